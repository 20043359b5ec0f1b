"""`python -m loadtest.kinds.train`: makes `kinds.npz`, the weights of the model that tells kinds of sounds.

Words and assents are said by synthesisers' voices (espeak's, and flite's where it is installed); coughs and the like
are made of shaped noise. `--prompts` names folders of .wav files in which people say whole sentences, in any language:
the shipped weights had those of Debian's asterisk-core-sounds-{es,fr,it,ru}-wav. Judged by voices that are held out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from antiphon.client import read_audio
from antiphon.turns.kinds import KINDS, LEAD, LOOKS_MS, RATE, features, forward
from antiphon.turns.voice import Kind
from loadtest.kinds.voices import said, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiphon.opus import Pcm
    from antiphon.turns.kinds import Floats

_GROUPS = {"speech": Kind.SPEECH, "prompt": Kind.SPEECH, "assent": Kind.BACKCHANNEL, "hum": Kind.BACKCHANNEL,
           "noise": Kind.NOISE}  # fmt: skip
_HIDDEN = 64
_EPOCHS, _BATCH, _STEP = 30, 128, 2e-3
_NOISES = 3000
_COPIES = {"prompt": 1, "speech": 1, "assent": 3, "hum": 4, "noise": 1}
_SHORTEST_PROMPT_S = 1.0


@dataclass(frozen=True)
class Example:
    group: str
    voice: str
    audio: Pcm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, nargs="*", default=[], help="folders of .wav files")
    parser.add_argument("--output", type=Path, default=Path("services/antiphon/turns/kinds.npz"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    known = [Example(one.group, one.voice, one.audio) for one in said(held_out=False, sentences=30) if len(one.audio)]
    known += [Example("prompt", folder.name, audio) for folder in arguments.prompts for audio in prompts(folder)]
    known += [Example("noise", "", made_noise(random)) for _ in range(_NOISES)]
    held = [Example(one.group, one.voice, one.audio) for one in said(held_out=True, sentences=8) if len(one.audio)]
    print(f"{len(known)} sounds of {len({one.voice for one in known})} voices, judged by {len(held)} of others")
    stored: dict[str, Floats] = {}
    for look_ms in LOOKS_MS:
        inputs, kinds = _table(known, look_ms, random)
        mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
        layers = _fit((inputs - mean) / scale, kinds, random)
        names = ("mean", "scale", "hidden", "hidden_bias", "output", "output_bias")
        for name, values in zip(names, (mean, scale, *layers), strict=True):
            stored[f"{look_ms}/{name}"] = values.astype(np.float16 if values.ndim > 1 else np.float32)
        _report(held, look_ms, (mean, scale, layers), random)
    np.savez_compressed(arguments.output, **stored)  # type: ignore[arg-type]
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1024:.0f} KiB")


def prompts(folder: Path) -> Iterable[Pcm]:
    for path in sorted(folder.rglob("*.wav")):
        if path.stat().st_size > RATE * _SHORTEST_PROMPT_S:
            audio = trimmed(read_audio(path, RATE))
            if len(audio) > RATE * _SHORTEST_PROMPT_S:
                yield audio


def made_noise(random: np.random.Generator) -> Pcm:
    """A cough or the like: a burst of noise through a throat's resonances, often with a voiced tail."""
    count = int(random.uniform(0.05, 0.5) * RATE)
    at_s = np.arange(count) / RATE
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    resonances = (
        (random.uniform(300, 900), random.uniform(150, 500), 1.0),
        (random.uniform(1000, 2200), random.uniform(200, 700), random.uniform(0.3, 1.2)),
        (random.uniform(2500, 5000), random.uniform(500, 1500), random.uniform(0.1, 0.9)),
    )
    throat = 0.03 + sum(height * np.exp(-(((hertz - middle) / width) ** 2)) for middle, width, height in resonances)
    burst = np.fft.irfft(np.fft.rfft(random.standard_normal(count)) * throat, count)
    shape = np.minimum(1, at_s / random.uniform(0.003, 0.03)) * np.exp(-at_s / random.uniform(0.03, 0.2))
    shape += random.uniform(0, 0.4) * np.exp(-(((at_s - random.uniform(0.15, 0.35)) / 0.06) ** 2))
    sound = burst / burst.std() * shape
    if random.random() < 0.5:
        pitch = random.uniform(90, 300) * np.linspace(1, random.uniform(0.7, 1.2), count)
        pulses = (np.cumsum(pitch) / RATE % 1 < 0.1) - 0.1
        voiced = np.fft.irfft(np.fft.rfft(pulses) * np.exp(-hertz / 1500), count)
        where = np.exp(-(((at_s - random.uniform(0.05, 0.3)) / 0.1) ** 2))
        sound += voiced / (voiced.std() + 1e-9) * shape * where * random.uniform(0.1, 0.6)
    return np.asarray(sound / np.abs(sound).max() * 20_000, np.int16)


def varied(audio: Pcm, random: np.random.Generator) -> Pcm:
    """As it might come: other heads, rooms, lines and loudnesses, the onset found a little early or late."""
    stretched = random.uniform(0.88, 1.14)
    count = int(len(audio) / stretched)
    sound = np.interp(np.arange(count) * stretched, np.arange(len(audio)), audio / 32768)
    sound *= 10 ** (random.uniform(-34, -16) / 20) / (np.sqrt(np.mean(sound**2)) + 1e-6)
    sound = np.concatenate([np.zeros(LEAD + random.integers(-LEAD // 2, LEAD)), sound, np.zeros(RATE)])
    sound -= random.uniform(-0.4, 0.4) * np.append(0, sound[:-1])
    if random.random() < 0.3:  # a telephone
        spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / RATE)
        spectrum[hertz > 3500] = 0
        spectrum[hertz < 200] *= 0.3
        sound = np.fft.irfft(spectrum, len(sound))
    sound += random.standard_normal(len(sound)) * 10 ** (random.uniform(-75, -45) / 20)
    return np.asarray(np.clip(sound * 32768, -32768, 32767), np.int16)


def _table(examples: list[Example], look_ms: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    rows, kinds = [], []
    for one in examples:
        for _ in range(_COPIES[one.group]):
            rows.append(features(varied(one.audio, random), look_ms))
            kinds.append(KINDS.index(_GROUPS[one.group]))
    return np.array(rows), np.eye(len(KINDS))[kinds]


def _fit(inputs: Floats, kinds: Floats, random: np.random.Generator) -> list[Floats]:
    """Adam, with a part of the inputs and hidden units left out at each step."""
    size = inputs.shape[1]
    layers = [random.standard_normal((size, _HIDDEN)) / np.sqrt(size), np.zeros(_HIDDEN)]
    layers += [random.standard_normal((_HIDDEN, len(KINDS))) * 0.1, np.zeros(len(KINDS))]
    first, second = ([np.zeros_like(one) for one in layers] for _ in range(2))
    step = 0
    for _ in range(_EPOCHS):
        for batch in np.array_split(random.permutation(len(inputs)), len(inputs) // _BATCH):
            shown = inputs[batch] * (random.random((len(batch), size)) > 0.1)
            kept = (random.random((len(batch), _HIDDEN)) > 0.3) / 0.7
            hidden = np.maximum(shown @ layers[0] + layers[1], 0) * kept
            odds = hidden @ layers[2] + layers[3]
            odds = np.exp(odds - odds.max(axis=1, keepdims=True))
            wrong = (odds / odds.sum(axis=1, keepdims=True) - kinds[batch]) / len(batch)
            back = (wrong @ layers[2].T) * (hidden > 0) * kept
            slopes = [shown.T @ back + 1e-4 * layers[0], back.sum(axis=0)]
            slopes += [hidden.T @ wrong + 1e-4 * layers[2], wrong.sum(axis=0)]
            step += 1
            for index, slope in enumerate(slopes):
                first[index] = 0.9 * first[index] + 0.1 * slope
                second[index] = 0.999 * second[index] + 0.001 * slope**2
                size_of = np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8
                layers[index] -= _STEP * first[index] / (1 - 0.9**step) / size_of
    return layers


def _report(
    held: list[Example], look_ms: int, model: tuple[Floats, Floats, list[Floats]], random: np.random.Generator
) -> None:
    mean, scale, layers = model
    inputs = np.array([features(varied(one.audio, random), look_ms) for one in held])
    best = forward((inputs - mean) / scale, layers).argmax(axis=1)
    for group in sorted({(one.group, one.voice == "joe") for one in held}):
        rows = [index for index, one in enumerate(held) if (one.group, one.voice == "joe") == group]
        told = ", ".join(f"{kind.value} {np.mean(best[rows] == index):.0%}" for index, kind in enumerate(KINDS))
        print(f"{look_ms} ms: {group[0]}{' (joe)' if group[1] else ''}, {len(rows)} sounds: {told}")


if __name__ == "__main__":
    main()
