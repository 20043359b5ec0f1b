"""What an agent may say, made into Opus packets: Opus frames as they are, PCM of any rate encoded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from antiphon.frames import CLOCK_RATE, Frame
from antiphon.opus import NATIVE_RATES, SILENCE_20_MS, Encoder, Pcm, packet_duration, pcm_level
from antiphon.worker.speech import Speech, Word

Piece = Frame | bytes | NDArray[Any] | Speech
"""An Opus frame, an Opus packet, mono PCM of shape (samples,), int16 or float between -1 and 1, or that with words."""
Audio = Piece | Iterable[Piece] | AsyncIterable[Piece]

_FRAME_TICKS = 960
_AT_ONCE = CLOCK_RATE
_END = object()
_LONGEST_PAUSE = 2 * CLOCK_RATE
_ROUNDING_S = 1e-3
_SILENT = 127


def frame_level(frame: Frame) -> int:
    """A caller's own measure of a frame as the link wants it: -dBov, 0 when unknown."""
    level = frame.level_dbov
    return 0 if level is None else max(1, -level)


class Packet(NamedTuple):
    payload: bytes
    duration: int
    """In 48 kHz samples."""
    level: int = 0
    """Loudness in -dBov (RFC 6464), 0 when unknown."""
    words: tuple[Word, ...] = ()
    """The words that end in it."""


class Packetizer:
    """Makes packets of pieces. PCM is kept until it fills 20 ms; `finish` pads the rest with zeros."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._taken_s = 0.0
        """Of PCM that was pushed."""
        self._encoded_s = 0.0
        self._words: deque[Word] = deque()
        self._encoder: Encoder | None = None
        self._resampler: av.AudioResampler | None = None
        self._rest: Pcm = np.zeros(0, np.int16)
        self._next: int | None = None

    def push(self, piece: Piece) -> Iterator[Packet]:
        if isinstance(piece, Frame):
            yield from self._pause_before(piece)
            yield Packet(piece.payload, piece.duration or packet_duration(piece.payload), frame_level(piece))
        elif isinstance(piece, bytes):
            duration = packet_duration(piece)
            if duration == 0:
                raise ValueError(
                    f"{len(piece)} bytes that are no Opus packet: say() takes Opus packets, or PCM as numpy arrays"
                )
            yield Packet(piece, duration)
        elif isinstance(piece, np.ndarray):
            yield from self._push_pcm(piece)
        elif isinstance(piece, Speech):
            if self._rate not in {None, piece.rate}:
                raise ValueError(f"speech at {piece.rate} Hz follows speech at {self._rate} Hz: say() takes one rate")
            self._rate = piece.rate
            self._words.extend(piece.words(self._taken_s))
            yield from self._push_pcm(piece.pcm)
        else:
            raise TypeError(f"say() takes Opus frames, packets, numpy arrays or Speech, not {type(piece).__name__}")

    def _push_pcm(self, pcm: NDArray[Any]) -> Iterator[Packet]:
        for at in range(0, len(pcm) or 1, _AT_ONCE):  # converting a minute at once would hold the event loop
            part = _to_int16(pcm[at : at + _AT_ONCE])
            at_encoder_rate = self._at_encoder_rate(part)
            self._taken_s += len(part) / (self._rate or CLOCK_RATE)
            yield from self._encode(at_encoder_rate)

    def finish(self) -> Iterator[Packet]:
        if self._resampler is not None:
            yield from self._encode(_samples(self._resampler.resample(None)))
        if self._encoder is not None and len(self._rest):
            yield from self._encode(np.zeros(self._encoder.samples - len(self._rest), np.int16))

    def _pause_before(self, frame: Frame) -> Iterator[Packet]:
        """Frames of a caller leave out what was silence (DTX) or lost: keep their timing."""
        missing = 0 if self._next is None else min(frame.timestamp - self._next, _LONGEST_PAUSE)
        for _ in range(missing // _FRAME_TICKS):
            yield Packet(SILENCE_20_MS, _FRAME_TICKS, _SILENT)
        self._next = frame.timestamp + frame.duration

    def _at_encoder_rate(self, pcm: Pcm) -> Pcm:
        if self._rate is None:
            raise ValueError("say() needs the rate of PCM: say(samples, rate=24000)")
        if self._encoder is None:
            native = self._rate in NATIVE_RATES
            self._encoder = Encoder(self._rate if native else CLOCK_RATE)
            if not native:
                self._resampler = av.AudioResampler(format="s16", layout="mono", rate=CLOCK_RATE)
        if self._resampler is None or not len(pcm):
            return pcm
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return _samples(self._resampler.resample(frame))

    def _encode(self, pcm: Pcm) -> Iterator[Packet]:
        encoder = self._encoder
        if encoder is None:
            return
        samples = np.concatenate([self._rest, pcm]) if len(self._rest) else pcm
        whole = len(samples) - len(samples) % encoder.samples
        self._rest = samples[whole:]
        for at in range(0, whole, encoder.samples):
            block = samples[at : at + encoder.samples]
            yield Packet(encoder.encode(block), _FRAME_TICKS, pcm_level(block), self._ending())

    def _ending(self) -> tuple[Word, ...]:
        """The words that end in the packet that is made now."""
        self._encoded_s += _FRAME_TICKS / CLOCK_RATE
        ending: list[Word] = []
        while self._words and self._words[0].end <= self._encoded_s + _ROUNDING_S:
            ending.append(self._words.popleft())
        return tuple(ending)


async def packets(audio: Audio, rate: int | None) -> AsyncIterator[Packet]:
    """Packets of `audio`, made as they are asked for."""
    packetizer = Packetizer(rate)
    async with aclosing(_pieces(audio)) as pieces:
        async for piece in pieces:
            for packet in packetizer.push(piece):
                yield packet
    for packet in packetizer.finish():
        yield packet


async def _pieces(audio: Audio) -> AsyncGenerator[Piece, None]:
    """What has a length is at hand; any other iterable may block, and is stepped through in a thread of its own."""
    if isinstance(audio, Frame | bytes | np.ndarray | Speech):
        yield audio
    elif isinstance(audio, AsyncIterable):
        async for piece in audio:
            yield piece
    elif isinstance(audio, Sized):
        for piece in audio:
            yield piece
    else:
        loop, iterator = asyncio.get_running_loop(), iter(audio)
        step: partial[Any] = partial(copy_context().run, next, iterator, _END)
        thread = ThreadPoolExecutor(1, "say")
        try:
            while (found := await loop.run_in_executor(thread, step)) is not _END:
                yield found
        finally:
            thread.shutdown(wait=False)


def _to_int16(pcm: NDArray[Any]) -> Pcm:
    if pcm.ndim != 1:
        raise ValueError(f"PCM of shape {pcm.shape}: say() takes mono, shape (samples,)")
    if pcm.dtype == np.int16:
        return pcm
    if np.issubdtype(pcm.dtype, np.floating):
        return np.asarray(np.clip(pcm, -1.0, 1.0) * 32767, np.int16)
    raise ValueError(f"PCM of {pcm.dtype}: say() takes int16, or float between -1 and 1")


def _samples(frames: list[av.AudioFrame]) -> Pcm:
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]) if frames else np.zeros(0, np.int16)
