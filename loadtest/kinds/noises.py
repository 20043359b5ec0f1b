"""Noises to make the model of kinds of: made ones, and recorded ones where there are some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from antiphon.client import read_audio
from loadtest.kinds.voices import RATE, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from antiphon.opus import Pcm
    from antiphon.turns.kinds import Floats

    Throat = tuple[tuple[float, float, float], ...]

_LONGEST = 2 * RATE
_SHORTEST = RATE // 20
_GAP = RATE // 5


def recorded(folder: Path) -> Iterator[tuple[str, Pcm]]:
    """(recording, audio) of each event in a folder's recordings of noises."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".ogg", ".flac", ".mp3", ".oga")):
        for event in events(read_audio(path, RATE)):
            yield path.stem, event


def events(sound: Pcm) -> Iterator[Pcm]:
    """What is loud in a recording, each stretch between pauses of 0.2 s as one, two seconds at most."""
    size = RATE // 100
    frames = sound[: len(sound) // size * size].reshape(-1, size).astype(np.float64)
    power = np.sqrt(np.mean(frames**2, axis=1))
    loud = np.flatnonzero(power > max(200.0, 0.06 * power.max(initial=0.0)))
    if not len(loud):
        return
    for run in np.split(loud, np.flatnonzero(np.diff(loud) * size > _GAP) + 1):
        event = sound[run[0] * size : (run[-1] + 1) * size][:_LONGEST]
        if len(event) >= _SHORTEST and np.abs(event.astype(np.int32)).max() > 0:
            yield event


def made_noise(random: np.random.Generator) -> Pcm:
    """A sound of somebody who says nothing, or of what is around them."""
    makers = (_burst, _burst, _cough, _cough, _cough, _keys, _keys, _breath, _knocks, _clears_throat)
    sound = makers[random.integers(len(makers))](random)
    return np.asarray(sound / (np.abs(sound).max() + 1e-9) * 20_000, np.int16)


def _burst(random: np.random.Generator) -> Floats:
    """Noise through a throat's resonances, often with a voiced tail."""
    count = int(random.uniform(0.05, 0.5) * RATE)
    at_s = np.arange(count) / RATE
    burst = _through(random.standard_normal(count), _throat(random))
    shape = np.minimum(1, at_s / random.uniform(0.003, 0.03)) * np.exp(-at_s / random.uniform(0.03, 0.2))
    shape += random.uniform(0, 0.4) * np.exp(-(((at_s - random.uniform(0.15, 0.35)) / 0.06) ** 2))
    sound = burst / burst.std() * shape
    if random.random() < 0.5:
        where = np.exp(-(((at_s - random.uniform(0.05, 0.3)) / 0.1) ** 2))
        sound += _voiced(count, random) * shape * where * random.uniform(0.1, 0.6)
    return np.asarray(sound)


def _cough(random: np.random.Generator) -> Floats:
    """One to three: a burst, a long rush of air, at the end often a hoarse voice; air is drawn in before some."""
    throat, parts = _throat(random), []
    if random.random() < 0.2:
        parts += [_breath(random) * random.uniform(0.03, 0.15), np.zeros(int(random.uniform(0, 0.1) * RATE))]
    for _ in range(random.choice([1, 2, 3], p=[0.5, 0.35, 0.15])):
        burst_s, rush_s, voice_s = random.uniform(0.02, 0.07), random.uniform(0.08, 0.35), random.uniform(0.05, 0.25)
        count = int((burst_s + rush_s + voice_s) * RATE)
        at_s = np.arange(count) / RATE
        air = _through(random.standard_normal(count), throat)
        shape = np.minimum(1, at_s / random.uniform(0.002, 0.015)) * np.exp(-at_s / burst_s)
        rush = np.minimum(1, at_s / burst_s) * np.exp(-np.maximum(0, at_s - burst_s) / random.uniform(0.05, 0.25))
        shape += random.uniform(0.15, 0.8) * rush
        sound = air / (air.std() + 1e-9) * shape
        if random.random() < 0.6:
            middle = burst_s + rush_s + voice_s * random.uniform(-0.5, 0.5)
            where = np.exp(-(((at_s - middle) / random.uniform(0.03, 0.12)) ** 2))
            sound += _through(_voiced(count, random), throat) * where * random.uniform(0.1, 1.0)
        parts += [sound * random.uniform(0.4, 1.0), np.zeros(int(random.uniform(0, 0.15) * RATE))]
    return np.concatenate(parts)


def _keys(random: np.random.Generator) -> Floats:
    """Typing, clicks: short knocks of a few resonances, a louder one down and a softer one up."""
    sound = np.zeros(int(random.uniform(0.1, 1.2) * RATE))
    knock = _throat(random, lowest=400, highest=6000)
    at = 0
    while at < len(sound):
        for delay_s, height in ((0.0, 1.0), (random.uniform(0.04, 0.12), random.uniform(0.1, 0.7))):
            begin = at + int(delay_s * RATE)
            count = int(random.uniform(0.01, 0.05) * RATE)
            one = _through(random.standard_normal(count), knock)
            one *= np.exp(-np.arange(count) / RATE / random.uniform(0.002, 0.012)) * height * random.uniform(0.5, 1.0)
            end = min(len(sound), begin + count)
            sound[begin:end] += one[: max(0, end - begin)]
        at += int(random.uniform(0.06, 0.35) * RATE)
    return sound


def _breath(random: np.random.Generator) -> Floats:
    """Air, drawn in or blown out."""
    count = int(random.uniform(0.15, 0.8) * RATE)
    air = _through(random.standard_normal(count), _throat(random, lowest=400, highest=6000))
    return np.asarray(air / (air.std() + 1e-9) * np.sin(np.pi * np.linspace(0, 1, count)) ** random.uniform(0.4, 2.0))


def _knocks(random: np.random.Generator) -> Floats:
    """A door, a cup set down, something that falls: decaying resonances."""
    sound = np.zeros(int(random.uniform(0.15, 0.9) * RATE))
    pitches = random.uniform(80, 2500, 4)
    at = 0
    while at < len(sound):
        at_s = np.arange(len(sound) - at) / RATE
        for pitch in pitches:
            decay = np.exp(-at_s / random.uniform(0.01, 0.09))
            sound[at:] += np.sin(2 * np.pi * pitch * at_s + random.uniform(0, 6)) * decay * random.uniform(0.1, 1.0)
        sound[at:] += random.standard_normal(len(at_s)) * np.exp(-at_s / 0.008) * random.uniform(0.2, 2.0)
        at += int(random.uniform(0.1, 0.8) * RATE)
    return sound


def _clears_throat(random: np.random.Generator) -> Floats:
    """A hoarse voice, low and rough, mostly air."""
    count = int(random.uniform(0.2, 0.7) * RATE)
    throat = _throat(random)
    rough = 1 + 0.8 * np.sin(2 * np.pi * np.cumsum(random.uniform(20, 45) + random.normal(0, 30, count)) / RATE)
    voice = _through(_voiced(count, random) * rough, throat)
    air = _through(random.standard_normal(count), throat)
    share = random.uniform(0.2, 0.7)
    sound = voice / (voice.std() + 1e-9) * share + air / (air.std() + 1e-9) * (1 - share)
    return np.asarray(sound * np.sin(np.pi * np.linspace(0, 1, count)) ** random.uniform(0.3, 1.0))


def _throat(random: np.random.Generator, lowest: float = 300, highest: float = 5000) -> Throat:
    """Three resonances: middle and width in Hz, height."""
    first, second, third = lowest, (lowest * highest) ** 0.5, highest
    return (
        (random.uniform(first, 3 * first), random.uniform(150, 500), 1.0),
        (random.uniform(0.7 * second, 1.6 * second), random.uniform(200, 700), random.uniform(0.3, 1.2)),
        (random.uniform(0.5 * third, third), random.uniform(500, 1500), random.uniform(0.1, 0.9)),
    )


def _through(sound: Floats, throat: Throat) -> Floats:
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = 0.03 + sum(height * np.exp(-(((hertz - middle) / width) ** 2)) for middle, width, height in throat)
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound))


def _voiced(count: int, random: np.random.Generator) -> Floats:
    """A throat's pulses."""
    pitch = random.uniform(90, 300) * np.linspace(1, random.uniform(0.7, 1.2), count)
    pulses = (np.cumsum(pitch * (1 + random.normal(0, 0.02, count))) / RATE % 1 < 0.1) - 0.1
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    voiced = np.fft.irfft(np.fft.rfft(pulses) * np.exp(-hertz / 1500), count)
    return np.asarray(voiced / (voiced.std() + 1e-9))


def prompts(folder: Path) -> Iterator[Pcm]:
    """People's whole sentences: .wav files of a second and more."""
    for path in sorted(folder.rglob("*.wav")):
        if path.stat().st_size > RATE:
            audio = trimmed(read_audio(path, RATE))
            if len(audio) > RATE:
                yield audio
