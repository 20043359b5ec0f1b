"""People who never were: voices of synthesisers, and what they say. Mono int16 at 16 kHz, trimmed to the sound.

Every fourth of espeak's voices, and piper's, are held out: no model was made of them. flite's and hibari's are not.
"""

# ruff: noqa: SIM905 - a list of words reads best as text

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import random
import shutil
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import espeakng_loader
import numpy as np
from tests.support.speech import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiphon.opus import Pcm

RATE = 16_000
Group = Literal["speech", "assent", "hum"]
_AUDIBLE = 300
_NO_VOICES = ("whisper", "croak", "obo", "Demonic")
"""Parts of the names of variants that sound like nobody."""

HUMS = {
    "mm-hm": "[[m:'hm:]]", "mhm": "[[mhm:]]", "hmm": "[[hm:]]", "mm": "[[m:]]", "uh-huh": "[[V'hV]]",
    "uhuh": "[[@h'V]]",
}  # fmt: skip
"""Hums of assent, as espeak's phonemes."""
ASSENTS = (
    "yeah", "yes", "okay", "right", "I see", "oh", "got it", "yep", "cool", "of course", "good", "oh yeah", "mm okay",
    "yeah yeah",
)  # fmt: skip
MORE_ASSENTS = (
    "yup", "ya", "yes yes", "okay okay", "uh okay", "aha", "true", "nice", "fine", "perfect", "absolutely",
    "definitely", "totally", "I know", "makes sense", "sounds good", "right right", "oh okay", "oh right", "mm yeah",
    "mm right", "cool cool", "good good", "oh nice", "oh good", "yeah okay", "yeah right", "yeah true", "really",
    "correct",
)  # fmt: skip
"""Of these the model is made, too; it is not judged by them."""
HELD_OUT_ASSENTS = ("sure", "ah", "great", "exactly", "wow", "all right")
"""No model was made of these wordings."""
SENTENCES = (
    "No, wait, that is not what I meant.", "Stop, please. I have another question.", "How long will it take?",
    "Can you tell me when the next train leaves?", "Actually, my order number is seven four two nine.",
    "Hello? Is anybody there?", "What about tomorrow morning?", "I would like to talk to a person.",
    "But that is too expensive for me.", "Excuse me, one question.", "Hang on, I did not get that.",
    "Please say that again.", "Never mind, let us start over.", "Where did you get that from?",
    "Sorry, could you speak slower?", "That is wrong, my name is Miller.", "Tell me about the second one.",
    "My flight was cancelled yesterday.", "We need four rooms for the weekend.", "Do you have it in green?",
    "Listen, I am in a hurry.", "Give me the number instead.", "Is it open on Sundays?",
    "Change the delivery address, please.", "They sent me the wrong size.", "Book the earlier one.",
    "You misunderstood me.", "Let me explain it again.", "For how many people?", "The password does not work.",
)  # fmt: skip
HELD_OUT_SENTENCES = (
    "Could we talk about the price first?", "Who is going to be there?", "Turn it down a little.", "Skip that part.",
    "It was on Monday, not on Tuesday.", "That will not do.", "Forget about the car.", "Put me through to support.",
    "Just cancel everything.", "Why is it so expensive?", "One moment, somebody is at the door.", "Not that one.",
    "I do not think so.", "Wait, go back.", "Maybe next week would be better.", "Hold on a second.",
)  # fmt: skip
_COMMON = (
    "the a to of and in that is was he for it with as his on be at by this had not but from have or an they which "
    "one you were her all she there would their we him been has when who will more no if out so said what up its "
    "about into than them can only other new some could time these two may then do first any my now such like our "
    "over man me even most made after also did many before must through back years where much your way well down "
    "should because each just those people how too little state good very make world still own see men work long "
    "get here between both life being under never day same another know while last might us great old year off "
    "come since against go came right used take three please tell give want need cancel change book order call "
    "find help show open close send pay buy move wait stop again actually sorry maybe hello hey excuse listen "
    "look tomorrow today Monday flight hotel number address name money doctor question problem answer credit card "
    "ticket account password email phone train table window Friday July seven nine twenty hundred eleven zero "
    "blue green red bigger cheaper later earlier somebody nothing everything anybody can't don't won't isn't "
    "let's I'm I'd we're they've Peter Anna Miller London Paris Chicago Berlin without instead around"
).split()


@dataclass(frozen=True)
class Said:
    group: Group
    voice: str
    text: str
    audio: Pcm


def espeak_voices(*, held_out: bool) -> list[str]:
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    names = sorted(one.name for one in folder.iterdir() if not any(part in one.name for part in _NO_VOICES))
    return [name for index, name in enumerate(names) if (index % 4 == 0) == held_out]


def said(*, held_out: bool, sentences: int, seed: int = 0) -> Iterator[Said]:
    """What each voice says: all hums and assents, and so many sentences."""
    chosen = random.Random(seed)
    texts = HELD_OUT_SENTENCES if held_out else SENTENCES
    assents = (*ASSENTS, *(HELD_OUT_ASSENTS if held_out else MORE_ASSENTS))
    for name in espeak_voices(held_out=held_out):
        voice = f"{chosen.choice(('en-us', 'en-us', 'en'))}+{name}"
        spoken: list[tuple[Group, str, str]] = [("hum", text, phonemes) for text, phonemes in HUMS.items()]
        spoken += [("assent", text, text + chosen.choice(("", ".", "?", "!"))) for text in assents]
        spoken += [("speech", text, text) for text in chosen.sample(texts, min(sentences, len(texts)))]
        if not held_out:  # words in any order: what matters is how they begin
            strings = (" ".join(chosen.sample(_COMMON, 4)) for _ in range(sentences))
            spoken += [("speech", text, text) for text in strings]
        for group, text, written in spoken:
            speed, pitch = chosen.randint(140, 210), chosen.randint(25, 75)
            yield Said(group, name, text, trimmed(say(written, RATE, voice, speed=speed, pitch=pitch)))
    for name, speak in _natural(held_out=held_out):
        for text in assents:
            yield Said("assent", name, text, trimmed(speak(text)))
        more = [] if held_out else [" ".join(chosen.sample(_COMMON, 4)) for _ in range(100)]
        for text in (*texts, *more):
            yield Said("speech", name, text, trimmed(speak(text)))


def _natural(*, held_out: bool) -> Iterator[tuple[str, Callable[[str], Pcm]]]:
    """Voices that were made of people's recordings, as far as their synthesisers are installed."""
    if held_out:
        if importlib.util.find_spec("piper") is not None:
            yield "joe", _piper
        return
    if shutil.which("flite"):
        for name in ("awb", "kal", "rms", "slt"):
            yield name, functools.partial(_flite, name)
    if importlib.util.find_spec("hibari") is not None:
        yield "heart", _hibari


def trimmed(speech: Pcm) -> Pcm:
    """Without the silence around it: its onset is its first sample."""
    loud = np.flatnonzero(np.abs(speech.astype(np.int32)) > _AUDIBLE)
    return speech[loud[0] : loud[-1] + 1] if len(loud) else speech[:0]


def _flite(name: str, text: str) -> Pcm:
    command = ["flite", "-voice", name, "-t", text, "-o", "/dev/stdout"]
    return _wave(subprocess.run(command, capture_output=True, check=True).stdout)


@functools.cache
def _heart() -> Callable[[str], Pcm]:
    engine: Callable[[str], Pcm] = importlib.import_module("hibari").Hibari()
    return engine


def _hibari(text: str) -> Pcm:
    return resampled(np.asarray(_heart()(text + ".") * 32767, np.int16), 24_000)


@functools.cache
def _joe() -> object:
    from antiphon.voices.piper import Piper  # noqa: PLC0415 - an extra

    return Piper("")


def _piper(text: str) -> Pcm:
    engine = _joe()
    spoken = engine.speak(text + ".")  # type: ignore[attr-defined]
    return resampled(spoken.pcm, spoken.rate)


def _wave(content: bytes) -> Pcm:
    with wave.open(io.BytesIO(content)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(content[44:], np.int16)
    return resampled(samples, rate)


def resampled(samples: Pcm, rate: int) -> Pcm:
    count = round(len(samples) * RATE / rate)
    where = np.arange(count) * (rate / RATE)
    return np.asarray(np.interp(where, np.arange(len(samples)), samples), np.int16)
