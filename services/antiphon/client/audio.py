"""Sound files to and from what a call carries: 48 kHz, mono, 16 bit."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import av
import numpy as np

from antiphon.client.errors import CallError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 48_000
"""Samples a second in a call."""
FRAME = 960
"""Samples in a frame of 20 ms."""


def read_audio(path: Path, rate: int = RATE) -> NDArray[np.int16]:
    """Reads any file that FFmpeg knows, as shape (samples,) at `rate`. Raises CallError when it is no sound."""
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            pieces = [
                out.to_ndarray().reshape(-1)
                for frame in (*container.decode(audio=0), None)
                for out in resampler.resample(frame)
            ]
    except (OSError, ValueError, IndexError) as error:  # PyAV's errors are among them
        msg = f"cannot read {path} as sound: {getattr(error, 'strerror', None) or error}"
        raise CallError(msg) from error
    return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)


def write_wav(path: Path, pcm: NDArray[np.int16]) -> None:
    """Writes shape (samples,) at 48 kHz. Raises CallError where the file cannot be written."""
    try:
        opened = path.open("wb")
    except OSError as error:
        raise CallError(f"cannot write {path}: {error.strerror}") from error
    with opened, wave.open(opened, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.astype("<i2").tobytes())


def at_call_rate(pcm: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """Resamples shape (samples,) from `rate` to 48 kHz."""
    if rate == RATE:
        return pcm
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    pieces = [out.to_ndarray().reshape(-1) for source in (frame, None) for out in resampler.resample(source)]
    return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)


def level_dbfs(pcm: NDArray[np.int16]) -> float:
    """Root mean square in dB of full scale; -120 for digital silence."""
    if not len(pcm):
        return -120.0
    power = float(np.mean(np.square(pcm.astype(np.float64) / 32768.0)))
    return max(-120.0, 10.0 * float(np.log10(power))) if power > 0 else -120.0
