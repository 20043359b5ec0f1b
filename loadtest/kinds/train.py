"""`python -m loadtest.kinds.train`: makes `kinds.npz`, the weights of the model that tells kinds of sounds.

Words and assents are said by synthesisers' voices (espeak's; flite's and hibari's where they are installed).
`--prompts` names folders of .wav files in which people say whole sentences, in any language: the shipped weights had
those of Debian's asterisk-core-sounds-{es,fr,it,ru}-wav. Noises are made; `--noises` names a folder of recorded ones.
Prints what the model makes of voices, wordings and clips that it was not made of.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from antiphon.turns.kinds import KINDS, LATER, LEAD, LOOKS_MS, RATE, SURE, features, forward, onset
from antiphon.turns.voice import Kind
from loadtest.kinds.noises import made_noise, prompts, recorded
from loadtest.kinds.voices import said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from antiphon.opus import Pcm
    from antiphon.turns.kinds import Floats

    Singles = NDArray[np.float32]

_GROUPS = {"speech": Kind.SPEECH, "prompt": Kind.SPEECH, "assent": Kind.BACKCHANNEL, "hum": Kind.BACKCHANNEL,
           "noise": Kind.NOISE, "recorded": Kind.NOISE}  # fmt: skip
_COPIES = {"prompt": 1, "speech": 1, "assent": 1, "hum": 4, "noise": 2, "recorded": 4}
_HIDDEN = 96
_EPOCHS, _BATCH, _STEP = 30, 256, 2e-3
_NOISES = 2000
_PROMPTS = 150
"""Of each folder."""
_VALIDATED = 7
"""Of so many voices and clips, one is not learnt from, but tells how well it goes."""
_TAIL = round(1.2 * RATE)
_WORDS = 16


@dataclass(frozen=True)
class Example:
    group: str
    voice: str
    audio: Pcm


@dataclass
class Rows:
    """Of one look."""

    inputs: list[Singles]
    kinds: list[int]
    groups: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, nargs="*", default=[], help="folders of .wav files")
    parser.add_argument("--noises", type=Path, help="a folder of recorded noises")
    parser.add_argument("--output", type=Path, default=Path("services/antiphon/turns/kinds.npz"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    known = list(examples(arguments.prompts, arguments.noises, random))
    held = [Example(one.group, one.voice, one.audio) for one in said(held_out=True, sentences=8) if len(one.audio)]
    voices = sorted({(one.group in ("noise", "recorded"), one.voice) for one in known})
    validating = set(voices[::_VALIDATED])
    told = [(one.group in ("noise", "recorded"), one.voice) in validating for one in known]
    parts = {
        "learnt": [one for one, kept in zip(known, told, strict=True) if not kept],
        "validated": [one for one, kept in zip(known, told, strict=True) if kept],
        "held out": held,
    }
    print(", ".join(f"{name}: {len(of)} sounds of {len({one.voice for one in of})}" for name, of in parts.items()))
    tables = {name: table(of, random, copied=name == "learnt") for name, of in parts.items()}
    stored: dict[str, Floats] = {}
    for look in (*LOOKS_MS, LATER):
        rows = tables["learnt"][look]
        inputs, kinds = np.array(rows.inputs, np.float32), np.eye(len(KINDS), dtype=np.float32)[rows.kinds]
        mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + np.float32(1e-3)
        layers = fit((inputs - mean) / scale, kinds, random)
        names = ("mean", "scale", "hidden", "hidden_bias", "output", "output_bias")
        for name, values in zip(names, (mean, scale, *layers), strict=True):
            stored[f"{look}/{name}"] = values.astype(np.float16 if values.ndim > 1 else np.float32)
        for name in ("validated", "held out"):
            report(f"{look}, {name}", look, tables[name][look], (mean.astype(float), scale.astype(float), layers))
    np.savez_compressed(arguments.output, **stored)  # type: ignore[arg-type]
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1024:.0f} KiB")


def examples(folders: list[Path], noises: Path | None, random: np.random.Generator) -> Iterator[Example]:
    """All that the model is made of, and validated by."""
    for one in said(held_out=False, sentences=_WORDS):
        if len(one.audio):
            yield Example(one.group, one.voice, one.audio)
    for folder in folders:
        for audio in islice(prompts(folder), _PROMPTS):
            yield Example("prompt", folder.name, audio)
    for number in range(_NOISES):
        yield Example("noise", f"made {number}", made_noise(random))
    if noises is not None:
        for clip, audio in recorded(noises):
            yield Example("recorded", clip, audio)


def varied(audio: Pcm, random: np.random.Generator) -> tuple[Pcm, int]:
    """As it might come: other heads, rooms, lines and loudnesses; and the sample of its onset."""
    stretched = random.uniform(0.88, 1.14)
    count = int(len(audio) / stretched)
    sound = np.interp(np.arange(count) * stretched, np.arange(len(audio)), audio / 32768)
    sound *= 10 ** (random.uniform(-34, -16) / 20) / (np.sqrt(np.mean(sound**2)) + 1e-6)
    before = RATE // 4 + int(random.integers(RATE // 50))
    sound = np.concatenate([np.zeros(before), sound, np.zeros(_TAIL)])
    size = 1 << len(sound).bit_length()
    spectrum, hertz = np.fft.rfft(sound, size), np.fft.rfftfreq(size, 1 / RATE)
    curve = np.interp(np.log(hertz + 50), np.log([50, 200, 600, 1500, 3500, 8050]), random.uniform(-5, 5, 6))
    spectrum *= 10 ** (curve / 20)
    if random.random() < 0.25:  # a telephone
        spectrum[hertz > 3500] = 0
        spectrum[hertz < 200] *= 0.3
    if random.random() < 0.4:  # a room
        length = int(random.uniform(0.05, 0.3) * RATE)
        room = random.standard_normal(length) * np.exp(-np.arange(length) / (length / 5)) * random.uniform(0.005, 0.04)
        room[0] = 1.0
        spectrum *= np.fft.rfft(room, size)
    sound = np.fft.irfft(spectrum, size)[: len(sound)]
    sound += random.standard_normal(len(sound)) * 10 ** (random.uniform(-85, -48) / 20)
    return np.asarray(np.clip(sound * 32768, -32768, 32767), np.int16), before


def table(of: list[Example], random: np.random.Generator, *, copied: bool) -> dict[int | str, Rows]:
    """The looks' features of all examples, each varied some times."""
    found: dict[int | str, Rows] = {look: Rows([], [], []) for look in (*LOOKS_MS, LATER)}
    of_group: dict[str, list[Pcm]] = {}
    for one in of:
        of_group.setdefault(one.group, []).append(one.audio)

    def add(look: int | str, group: str, cut: Pcm) -> None:
        if len(cut) < LEAD + (LOOKS_MS[-1] if look == LATER else int(look)) * RATE // 1000:
            return
        rows = found[look]
        rows.inputs.append(features(cut, look).astype(np.float32))
        rows.kinds.append(KINDS.index(_GROUPS[group]))
        rows.groups.append(group)

    for one in of:
        for _ in range(_COPIES[one.group] if copied else 1):
            audio = one.audio
            if _GROUPS[one.group] is Kind.NOISE and random.random() < 0.5:
                audio = followed(audio, of_group[one.group], random)
            sound, begin = varied(audio, random)
            voice = begin + round(random.uniform(-0.03, 0.09) * RATE)
            begin = onset(sound, voice) - LEAD
            for look in LOOKS_MS:
                add(look, one.group, sound[begin : begin + LEAD + look * RATE // 1000])
        cut = later(one, of_group[one.group], random)
        if cut is not None:
            add(LATER, one.group, cut)
    return found


def followed(audio: Pcm, others: list[Pcm], random: np.random.Generator) -> Pcm:
    """With another of its group soon after it, as of a fit."""
    gap = np.zeros(int(random.uniform(0.0, 0.25) * RATE), np.int16)
    return np.concatenate([audio, gap, others[random.integers(len(others))]])


def later(one: Example, others: list[Pcm], random: np.random.Generator) -> Pcm | None:
    """A stretch of what goes on, wherever it is looked at; None where it does not go on so long."""
    audio = one.audio
    length = LOOKS_MS[-1] * RATE // 1000
    if _GROUPS[one.group] is not Kind.SPEECH:
        while len(audio) < 2 * length:
            audio = followed(audio, others, random)
    if len(audio) < length + RATE // 8:
        return None
    sound, begin = varied(audio, random)
    at = begin + int(random.uniform(0.4 * length, max(0.4 * length, len(audio) - 1.05 * length)))
    return sound[at - LEAD : at + length]


def fit(inputs: Singles, kinds: Singles, random: np.random.Generator) -> list[Floats]:
    """Adam, with a part of the inputs and hidden units left out at each step; each kind counts as much."""
    size = inputs.shape[1]
    share = len(kinds) / len(KINDS) / kinds.sum(axis=0)
    weights = (kinds @ share)[:, None].astype(np.float32)
    drawn = [random.standard_normal((size, _HIDDEN)) / np.sqrt(size), np.zeros(_HIDDEN)]
    drawn += [random.standard_normal((_HIDDEN, len(KINDS))) * 0.1, np.zeros(len(KINDS))]
    layers: list[Singles] = [one.astype(np.float32) for one in drawn]
    first, second = ([np.zeros_like(one) for one in layers] for _ in range(2))
    step, last = 0, _EPOCHS * (len(inputs) // _BATCH)
    for _ in range(_EPOCHS):
        for batch in np.array_split(random.permutation(len(inputs)), len(inputs) // _BATCH):
            shown = inputs[batch] * (random.random((len(batch), size), np.float32) > 0.1)
            kept = (random.random((len(batch), _HIDDEN), np.float32) > 0.3) / np.float32(0.7)
            hidden = np.maximum(shown @ layers[0] + layers[1], 0) * kept
            odds = hidden @ layers[2] + layers[3]
            odds = np.exp(odds - odds.max(axis=1, keepdims=True))
            wrong = (odds / odds.sum(axis=1, keepdims=True) - kinds[batch]) * weights[batch] / len(batch)
            back = (wrong @ layers[2].T) * (hidden > 0) * kept
            slopes = [shown.T @ back + 1e-4 * layers[0], back.sum(axis=0)]
            slopes += [hidden.T @ wrong + 1e-4 * layers[2], wrong.sum(axis=0)]
            step += 1
            rate = _STEP * (1 - step / (last + 1))
            for index, slope in enumerate(slopes):
                first[index] = 0.9 * first[index] + 0.1 * slope
                second[index] = 0.999 * second[index] + 0.001 * slope**2
                size_of = np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8
                layers[index] -= np.float32(rate) * first[index] / (1 - 0.9**step) / size_of
    return [one.astype(np.float64) for one in layers]


def report(title: str, look: int | str, rows: Rows, model: tuple[Floats, Floats, list[Floats]]) -> None:
    """How many of each group are called speech, at the threshold that is used, and at others."""
    mean, scale, layers = model
    speech = forward((np.array(rows.inputs, np.float64) - mean) / scale, layers)[:, 0]
    groups = np.array(rows.groups)
    print(f"{title}: share called speech from {SURE[look]} on, and from", *(f"{at:.2f}" for at in _THRESHOLDS))
    for group in sorted(set(rows.groups)):
        of = speech[groups == group]
        others = " ".join(f"{np.mean(of >= at):4.0%}" for at in _THRESHOLDS)
        print(f"  {group:8s} {len(of):5d} {np.mean(of >= SURE[look]):4.0%}   {others}")


_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


if __name__ == "__main__":
    main()
