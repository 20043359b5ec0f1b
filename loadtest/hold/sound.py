"""Speech and noise for the measures: the recordings in the folder `ANTIPHON_AUDIO`, synthesised ones without it.

Sound is float, mono, 16 kHz, between -1 and 1. Recordings are split: what was looked at while the detector was made is
not what it is judged by.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.support.speech import say as synthesise

from antiphon.client import read_audio
from antiphon.opus import Encoder
from loadtest.measuring.tools import ROOT

Sound = NDArray[np.float64]
Levels = NDArray[np.int64]

RATE = 16_000
OPUS_RATE = 48_000
FRAME = RATE // 50
SILENT = 127
NOISES = {
    "city": "noise_city-ambience.ogg",
    "babble": "noise_crowded-room.ogg",
    "music": "noise_hold_music.ogg",
    "keyboard": "noise_keyboard-typing.ogg",
    "office": "noise_office-ambience.ogg",
}
_RECORDINGS = Path(os.environ.get("ANTIPHON_AUDIO", ROOT / "recordings"))
_TUNED_ON = ("talk_60s.wav", "commercial_mono.wav")
_JUDGED_BY = (
    "jfk.flac", "katiesteve.wav", "two_channel_16k.wav", "dialogflow_230pm.wav", "dialogflow_book_a_room.wav",
    "dialogflow_half_an_hour.wav", "dialogflow_hello.wav", "dialogflow_mountain_view.wav", "dialogflow_today.wav",
    "dialogflow_two_people.wav",
)  # fmt: skip
_AGENTS = {True: ("talk_60s.wav", "jfk.flac"), False: ("katiesteve.wav", "commercial_mono.wav")}
_VOICES = ("en-us", "de", "fr", "es", "it", "nl")
_SENTENCES = (
    "No, wait, that is not what I meant at all.",
    "Stop, please. I have another question for you.",
    "Can you tell me when the next train to Frankfurt leaves?",
    "Actually, my order number is seven four two nine.",
    "Hello? Is there anybody who listens to me?",
)
_LONGEST_DTX = 2
_PAUSE_FRAMES = 15
_SHORTEST_FRAMES = 10


def power_to_level(power: NDArray[np.float64]) -> Levels:
    """RFC 6464 as libwebrtc takes it: the mean square against overload, in -dBov, rounded; 127 is silence."""
    levels = np.round(-10 * np.log10(np.maximum(power, 1e-13))).astype(np.int64)
    return np.clip(levels, 0, SILENT)


def levels(sound: Sound) -> Levels:
    """Level of each 20 ms frame in -dBov."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return power_to_level((frames**2).mean(axis=1))


def packets(sound: Sound, *, loss_percent: int = 0) -> list[bytes]:
    """What Chromium sends of each 20 ms frame with DTX: an Opus packet, nothing (`b""`) where silence goes on."""
    encoder = Encoder(OPUS_RATE, complexity=9, dtx=True, loss_percent=loss_percent)
    pcm = np.clip(np.round(upsampled(sound) * 32768), -32768, 32767).astype(np.int16)
    sent: list[bytes] = []
    silent = False
    for at in range(len(sound) // FRAME):
        packet = encoder.encode(pcm[at * encoder.samples : (at + 1) * encoder.samples])
        dtx = len(packet) <= _LONGEST_DTX
        sent.append(b"" if dtx and silent else packet)
        silent = dtx
    return sent


def upsampled(sound: Sound) -> Sound:
    """To 48 kHz."""
    spectrum = np.fft.rfft(sound)
    return np.fft.irfft(spectrum, len(sound) * OPUS_RATE // RATE) * (OPUS_RATE / RATE)


def gain(db: float) -> float:
    return float(10 ** (db / 20))


def at_active(sound: Sound, dbov: float) -> Sound:
    """Scales speech so that the mean of its frames within 30 dB of the loudest is at `dbov`."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    quiet = levels(sound)
    active = quiet < quiet.min() + 30
    return sound * gain(dbov) / float(np.sqrt((frames[active] ** 2).mean()))


def at_rms(sound: Sound, dbov: float) -> Sound:
    return sound * gain(dbov) / float(np.sqrt((sound**2).mean()))


def recorded() -> bool:
    """Whether the recordings are there."""
    return _RECORDINGS.is_dir()


def noises(*, held_out: bool) -> dict[str, Sound]:
    """Each noise; of a recording the first half was tuned on."""
    if not recorded():
        return _made_noises(np.random.default_rng(7 + held_out))
    halves = {}
    for name, file in NOISES.items():
        sound = _load(_RECORDINGS / file)
        middle = len(sound) // 2
        halves[name] = sound[middle:] if held_out else sound[:middle]
    return halves


def utterances(*, held_out: bool) -> list[Sound]:
    """Stretches of speech with a pause before each, at -0 dBov active level."""
    if recorded():
        files = _JUDGED_BY if held_out else _TUNED_ON
        found = [one for file in files for one in _cut(_load(_RECORDINGS / file))]
    else:
        voices = _VOICES[3:] if held_out else _VOICES[:3]
        found = [_speech(text, voice) for text in _SENTENCES for voice in voices]
    return [at_active(one, 0.0) for one in found]


def agents(*, held_out: bool) -> list[Sound]:
    """Long speech of agents."""
    if recorded():
        return [_load(_RECORDINGS / file) for file in _AGENTS[held_out]]
    voices = _VOICES[:2] if held_out else _VOICES[2:4]
    pause = np.zeros(RATE // 3)
    return [np.concatenate([np.r_[_speech(text, voice), pause] for text in _SENTENCES]) for voice in voices]


def _load(path: Path) -> Sound:
    return read_audio(path, RATE).astype(np.float64) / 32768


def _cut(sound: Sound) -> list[Sound]:
    """Runs of frames within 32 dB of the loudest, begun 60 ms before."""
    quiet = levels(sound)
    voiced = quiet < quiet.min() + 32
    found, at = [], 0
    while at < len(voiced):
        end = at
        while voiced[at] and voiced[end : end + _PAUSE_FRAMES].any():
            end += 1
        if end - at >= _SHORTEST_FRAMES:
            found.append(sound[max(0, at - 3) * FRAME : end * FRAME])
        at = max(end, at + 1)
    return found


def _speech(text: str, voice: str) -> Sound:
    return synthesise(text, RATE, voice).astype(np.float64) / 32768


def _made_noises(random: np.random.Generator) -> dict[str, Sound]:
    """Likenesses of the recordings, 30 s each."""
    count = 30 * RATE
    pink = np.fft.irfft(np.fft.rfft(random.standard_normal(count)) / np.sqrt(np.arange(1, count // 2 + 2)), count)
    swell = 1 + 0.5 * np.sin(np.arange(count) * 2 * np.pi / (7 * RATE))
    voices = [np.tile(_speech(text, voice), 40)[:count] for text in _SENTENCES for voice in _VOICES[:3]]
    babble = np.sum([np.roll(one, int(random.integers(count))) for one in voices], axis=0)
    keys = np.zeros(count)
    for at in np.cumsum(random.exponential(0.17 * RATE, 150)).astype(int):
        if at + RATE // 20 < count:
            decay = np.exp(-np.arange(RATE // 20) / (0.008 * RATE))
            keys[at : at + RATE // 20] += random.standard_normal(RATE // 20) * decay * random.uniform(0.3, 1.0)
    notes = 220 * 2 ** (random.integers(0, 24, 60) / 12)
    music = np.concatenate([np.sin(np.arange(RATE // 2) * 2 * np.pi * note / RATE) for note in notes])
    return {
        "city": pink * swell,
        "babble": babble,
        "music": music * swell,
        "keyboard": keys + 0.01 * pink,
        "office": pink,
    }
