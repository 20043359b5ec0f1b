"""What callers do over an agent's speech: interrupt it, assent, cough, type. By voices that no model was made of.

Recorded coughs, short clips of one each, come from the folder `ANTIPHON_COUGHS`; without it they are made of noise.
Typing comes from the recordings in `ANTIPHON_AUDIO`, and is left out without them. What people say in recordings comes
from the folders in `ANTIPHON_VOICES`, one a person, divided by colons, and is left out without them: of each at most 20
stretches between pauses, of a second and more, since what is shorter may be an assent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from antiphon.client import read_audio
from loadtest.hold.sound import NOISES, at_active
from loadtest.kinds.noises import events as stretches
from loadtest.kinds.noises import made_noise
from loadtest.kinds.voices import RATE, said, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiphon.opus import Pcm

_LOUDNESS_DBOV = -24.0
_TYPING_S = 0.7
_SHORTEST = RATE // 20
_LONG, _LONGEST, _OF_A_PERSON = RATE, 3 * RATE, 20


@dataclass(frozen=True)
class Sound:
    kind: str
    """speech, person, assent, hum, cough or typing; a person's is speech, too, recorded."""
    voice: str
    text: str
    audio: Pcm
    """Mono at 16 kHz; its onset is its first sample."""


def sounds(a_kind: int, seed: int) -> dict[str, list[Sound]]:
    """So many of each kind, over all voices, in an order of chance."""
    random = np.random.default_rng(seed)
    spoken = [one for one in said(held_out=True, sentences=12, seed=seed) if len(one.audio) >= _SHORTEST]
    found = {
        group: [Sound(group, one.voice, one.text, one.audio) for one in spoken if one.group == group]
        for group in ("speech", "assent", "hum")
    }
    found["cough"] = _coughs(random, a_kind)
    people = list(_people(random))
    if people:
        found["person"] = people
    typing = _typing(random, a_kind)
    if typing:
        found["typing"] = typing
    return {kind: _chosen(all_of, a_kind, random) for kind, all_of in found.items()}


def _chosen(all_of: list[Sound], count: int, random: np.random.Generator) -> list[Sound]:
    order = np.concatenate([random.permutation(len(all_of)) for _ in range(1 + count // len(all_of))])[:count]
    return [_levelled(all_of[index]) for index in order]


def _levelled(sound: Sound) -> Sound:
    levelled = at_active(sound.audio.astype(np.float64) / 32768, _LOUDNESS_DBOV)
    return Sound(sound.kind, sound.voice, sound.text, np.clip(levelled * 32768, -32768, 32767).astype(np.int16))


def recorded_coughs() -> bool:
    return bool(os.environ.get("ANTIPHON_COUGHS"))


def _coughs(random: np.random.Generator, count: int) -> list[Sound]:
    if not recorded_coughs():
        return [Sound("cough", "noise", "", made_noise(random)) for _ in range(count)]
    files = sorted(path for path in Path(os.environ["ANTIPHON_COUGHS"]).rglob("*") if path.suffix in (".wav", ".mp3"))
    clips = ((path.name.rpartition("-")[0], trimmed(read_audio(path, RATE))) for path in files)
    return [Sound("cough", person, "", clip) for person, clip in clips if len(clip) >= _SHORTEST]


def _people(random: np.random.Generator) -> Iterator[Sound]:
    for name in filter(None, os.environ.get("ANTIPHON_VOICES", "").split(":")):
        folder = Path(name)
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".ogg", ".flac", ".mp3"))
        said = 0
        for index in random.permutation(len(files)):
            for stretch in stretches(read_audio(files[index], RATE)):
                if len(stretch) >= _LONG and said < _OF_A_PERSON:
                    said += 1
                    yield Sound("person", folder.name, files[index].stem, trimmed(stretch)[:_LONGEST])
            if said >= _OF_A_PERSON:
                break


def _typing(random: np.random.Generator, count: int) -> list[Sound]:
    folder = os.environ.get("ANTIPHON_AUDIO")
    if not folder:
        return []
    recording = read_audio(Path(folder) / NOISES["keyboard"], RATE)
    length = round(_TYPING_S * RATE)
    starts = random.integers(0, len(recording) - length, count)
    clips = (trimmed(recording[start : start + length]) for start in starts)
    return [Sound("typing", "keyboard", "", clip) for clip in clips if len(clip) >= _SHORTEST]
