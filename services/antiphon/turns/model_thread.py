"""A thread that loads a model once and works when it is woken, so that no model runs on the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import onnxruntime

from antiphon.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

M = TypeVar("M")
_log = get_logger("worker.models")


def one_thread_session(path: Path) -> onnxruntime.InferenceSession:
    """An ONNX model that computes on the thread that asks it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class ModelThread(Generic[M]):
    """`work(model)` is called after each `wake`, and takes all that waits. One that fails is told to `failed`."""

    def __init__(
        self,
        name: str,
        work: Callable[[M], None],
        failed: Callable[[], None],
        *,
        lost: Callable[[], None] = lambda: None,
        yields: int = 0,
    ) -> None:
        """`yields` is how much it gives way to the process's other threads where there are too few cores: 0 to 19.

        `lost()` is called on the thread where the model cannot be loaded: what waits for it waits in vain.
        """
        self._lost = lost
        self._name = name
        self._yields = yields
        self._work = work
        self._failed = failed
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self.ready = False
        """Whether the model is loaded."""
        self.usable = False
        """Whether it is, or will be, as far as is known."""

    def start(self, load: Callable[[], M] | None) -> None:
        """Call it on the event loop that is to hear of results, once. None: there is no model, and no thread."""
        self._loop = asyncio.get_running_loop()
        if load is None:
            return
        self.usable = True
        self._thread = threading.Thread(target=self._run, args=(load,), name=self._name, daemon=True)
        self._thread.start()

    @property
    def started(self) -> bool:
        return self._thread is not None

    def wake(self) -> None:
        self._wake.set()

    def tell(self, told: Callable[..., None], *arguments: object) -> None:
        """Calls on the event loop, from any thread; nobody where that is gone."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(told, *arguments)

    def close(self) -> None:
        """Waits for what is under way."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, load: Callable[[], M]) -> None:
        if self._yields:
            with suppress(OSError, AttributeError):  # not each system ranks threads
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._yields)
        try:
            model = load()
        except Exception:  # noqa: BLE001 - readiness tells, and the log why
            self.usable = False
            _log.exception("a model cannot be loaded", model=self._name)
            self._lost()
            return
        self.ready = True
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            try:
                self._work(model)
            except Exception:  # noqa: BLE001 - all other callers still need this thread
                self._failed()
                _log.exception("a model failed on a batch; it goes on", model=self._name)
