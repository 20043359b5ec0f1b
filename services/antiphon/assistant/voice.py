"""A voice whose synthesiser runs in a process of its own, one for all callers of a worker: `antiphon.voices.serve`."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from antiphon.assistant import metrics
from antiphon.assistant.parts import PartError
from antiphon.worker import Speech

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MOST_WAITING = 64
_PATIENCE_S = 20.0
_LONGEST_LINE = 1 << 20


class VoiceProcess:
    """A Voice. `engine` is `espeak` or `piper`, `voice` one of its voices. It starts when something is to be said.

    A process that died is started again for the next text. Texts are said in the order that they were asked for;
    those whose caller no longer waits are left out.
    """

    def __init__(self, engine: str, voice: str = "") -> None:
        self._command = (sys.executable, "-m", "antiphon.voices.serve", engine, voice)
        self._engine = engine
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """Raises PartError where the engine is missing, fails, or has too much to do."""
        if self._waiting >= _MOST_WAITING:
            metrics.REFUSED.labels("voice", "overload").inc()
            raise PartError(f"{self._waiting} texts wait for the voice {self._engine} already")
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        exchange = asyncio.create_task(self._exchange(text))
        exchange.add_done_callback(self._done)
        yield await asyncio.shield(exchange)  # a caller that leaves must not leave its answer in the pipe

    async def start(self) -> None:
        """Loads the voice, so that the first caller need not wait for it."""
        async with self._turn:
            await self._started()

    async def close(self) -> None:
        async with self._turn:
            await self._stop()

    def _done(self, exchange: asyncio.Task[Speech]) -> None:
        self._turn.release()
        if not exchange.cancelled():
            exchange.exception()  # whoever asked may be gone

    async def _exchange(self, text: str) -> Speech:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                process = await self._started()
                assert process.stdin is not None  # noqa: S101 - both are pipes
                assert process.stdout is not None  # noqa: S101
                process.stdin.write(json.dumps({"text": text}).encode() + b"\n")
                await process.stdin.drain()
                header = await self._header(process.stdout)
                pcm = np.frombuffer(await process.stdout.readexactly(2 * header["samples"]), np.int16)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            await self._stop()
            metrics.REFUSED.labels("voice", "died").inc()
            raise PartError(f"the voice {self._engine} did not answer; it is started again") from None
        except asyncio.CancelledError:
            await self._stop()
            raise
        ends = header["wordEnds"]
        return Speech(pcm, header["rate"], text, None if ends is None else tuple(ends))

    async def _header(self, out: asyncio.StreamReader) -> dict[str, Any]:
        line = await out.readline()
        if not line:
            raise asyncio.IncompleteReadError(b"", None)
        header: dict[str, Any] = json.loads(line)
        if "error" in header:
            raise PartError(f"the voice {self._engine} failed: {header['error']}")
        return header

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, limit=_LONGEST_LINE
        )
        assert self._process.stdout is not None  # noqa: S101
        try:
            await self._header(self._process.stdout)
        except PartError:
            await self._stop()
            raise
        return self._process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
