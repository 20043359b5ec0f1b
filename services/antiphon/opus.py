"""Opus in Python: the libopus that PyAV's wheels carry, called directly through ctypes, which releases the GIL.

libopus itself takes and gives 8, 12, 16, 24 and 48 kHz, so that speech needs no resampler on its way to a model.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon.errors import AntiphonError
from antiphon.frames import CLOCK_RATE

NATIVE_RATES = (8000, 12000, 16000, 24000, 48000)
SILENCE_20_MS = b"\xf8\xff\xfe"
"""A packet of 20 ms of digital silence, mono."""

_SILENT = 127
_SILENT_SQUARE = 10**-12.7
_MAX_PACKET = 1275
_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS, _SET_DTX = 4002, 4010, 4012, 4014, 4016
_PCM = ctypes.POINTER(ctypes.c_int16)

Pcm = NDArray[np.int16]


class OpusError(AntiphonError):
    """libopus refused a packet or a setting, or is not there."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_find()))
    library.opus_strerror.restype = ctypes.c_char_p
    library.opus_encoder_create.restype = ctypes.c_void_p
    library.opus_encoder_create.argtypes = (ctypes.c_int32, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    library.opus_encoder_destroy.argtypes = (ctypes.c_void_p,)
    library.opus_encode.argtypes = (ctypes.c_void_p, _PCM, ctypes.c_int, ctypes.c_char_p, ctypes.c_int32)
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = (ctypes.c_int32, ctypes.c_int, ctypes.c_void_p)
    library.opus_decoder_destroy.argtypes = (ctypes.c_void_p,)
    library.opus_decode.argtypes = (
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, _PCM, ctypes.c_int, ctypes.c_int,
    )  # fmt: skip
    return library


def _find() -> Path | str:
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            found = sorted(folder.glob("*opus*"))
            if found:
                return found[0]
    system = ctypes.util.find_library("opus")
    if system is None:
        msg = "libopus was not found: reinstall PyAV (pip install --force-reinstall av), or install libopus0"
        raise OpusError(msg)
    return system


def _check(code: int, what: str) -> int:
    if code < 0:
        raise OpusError(f"{what}: {_library().opus_strerror(code).decode()}")
    return code


def frame_duration(packet: bytes) -> int:
    """Returns the duration of each Opus frame in a packet, in 48 kHz samples (RFC 6716, 3.1)."""
    toc = packet[0]
    if toc & 0x80:  # CELT
        return 120 << (toc >> 3 & 3)
    if toc & 0x60 == 0x60:  # hybrid
        return 960 if toc & 0x08 else 480
    return (480, 960, 1920, 2880)[toc >> 3 & 3]  # SILK


def packet_duration(packet: bytes) -> int:
    """Returns a packet's duration in 48 kHz samples, read from its first bytes (RFC 6716, 3.1); 0 if it has none."""
    if not packet:
        return 0
    code = packet[0] & 3
    count = (packet[1] & 63 if len(packet) > 1 else 0) if code == 3 else 1 if code == 0 else 2
    size = frame_duration(packet) * count
    return size if size <= 5760 else 0


def carries_fec(packet: bytes) -> bool:
    """Whether a packet of one frame (code 0) carries in-band FEC of the one before: LBRR (RFC 6716, 4.2.4)."""
    if len(packet) < 2 or packet[0] & 0x80 or packet[0] & 3:
        return False
    frames = max(1, frame_duration(packet) // 960)
    mono = packet[1] >> (7 - frames) & 1
    side = packet[1] >> (6 - 2 * frames) & 1 if packet[0] & 4 else 0
    return bool(mono or side)


def pcm_level(pcm: Pcm) -> int:
    """RFC 6464's measure of shape (samples,) as libwebrtc takes it: -10 log10 of the mean square against overload."""
    square = float(np.mean(np.square(pcm.astype(np.float32)))) / 32768**2
    return _SILENT if square <= _SILENT_SQUARE else min(_SILENT, max(1, round(-10 * math.log10(square))))


class Encoder:
    """One mono stream of 20 ms packets, made for speech, with in-band FEC for `loss_percent`.

    With `dtx` what is no voice for 200 ms becomes packets of one or two octets, which need not be sent.
    """

    def __init__(
        self,
        rate: int = CLOCK_RATE,
        *,
        bitrate: int = 32_000,
        complexity: int = 5,
        loss_percent: int = 5,
        dtx: bool = False,
    ) -> None:
        if rate not in NATIVE_RATES:
            raise OpusError(f"Opus encodes at {', '.join(map(str, NATIVE_RATES))} Hz, not at {rate}: resample first")
        self._library = _library()
        self.samples = rate // 50
        error = ctypes.c_int()
        self._state = self._library.opus_encoder_create(rate, 1, _VOIP, ctypes.byref(error))
        _check(error.value, "Opus encoder")
        for request, value in (
            (_SET_BITRATE, bitrate), (_SET_COMPLEXITY, complexity), (_SET_INBAND_FEC, 1),
            (_SET_PACKET_LOSS, loss_percent), (_SET_DTX, int(dtx)),
        ):  # fmt: skip
            self._library.opus_encoder_ctl(ctypes.c_void_p(self._state), request, ctypes.c_int32(value))
        self._packet = ctypes.create_string_buffer(_MAX_PACKET)

    def encode(self, pcm: Pcm) -> bytes:
        """Encodes exactly `samples` samples."""
        if len(pcm) != self.samples:
            raise OpusError(f"Opus frame of {len(pcm)} samples, expected {self.samples}")
        pcm = np.ascontiguousarray(pcm, np.int16)
        size = self._library.opus_encode(self._state, pcm.ctypes.data_as(_PCM), self.samples, self._packet, _MAX_PACKET)
        return self._packet.raw[: _check(size, "Opus encode")]

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_encoder_destroy(self._state)


class Decoder:
    """One stream, to mono."""

    def __init__(self, rate: int = CLOCK_RATE) -> None:
        if rate not in NATIVE_RATES:
            raise OpusError(f"Opus decodes at {', '.join(map(str, NATIVE_RATES))} Hz, not at {rate}: resample after")
        self._library = _library()
        self.rate = rate
        error = ctypes.c_int()
        self._state = self._library.opus_decoder_create(rate, 1, ctypes.byref(error))
        _check(error.value, "Opus decoder")
        self._pcm: Pcm = np.empty(rate * 120 // 1000, np.int16)
        self._pointer = self._pcm.ctypes.data_as(_PCM)

    def decode(self, packet: bytes) -> Pcm:
        """Returns the packet's samples, shape (samples,)."""
        count = self._library.opus_decode(self._state, packet, len(packet), self._pointer, len(self._pcm), 0)
        return self._pcm[: _check(count, "Opus decode")].copy()

    def recover(self, following: bytes) -> Pcm:
        """Decodes the frame before `following` from the in-band FEC in it. Its own decoding comes next."""
        return self.conceal(frame_duration(following) * self.rate // CLOCK_RATE, following)

    def conceal(self, samples: int, following: bytes | None = None) -> Pcm:
        """Makes up `samples` samples that are missing, with FEC data of the packet behind the gap where it has some."""
        step = self.rate // 400  # Opus conceals in steps of 2.5 ms
        samples = min(samples - samples % step, len(self._pcm))
        if samples <= 0:
            return np.zeros(0, np.int16)
        packet, size, fec = (following, len(following), 1) if following else (None, 0, 0)
        count = self._library.opus_decode(self._state, packet, size, self._pointer, samples, fec)
        return self._pcm[: _check(count, "Opus concealment")].copy()

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_decoder_destroy(self._state)
