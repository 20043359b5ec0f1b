"""The tasks of one session or room: named after it, bounded, ended with it. Its owner says what becomes of an error."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from antiphon.worker import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context

_MOST_TASKS = 256


class Tasks:
    def __init__(
        self,
        owner: str,
        failed: Callable[[BaseException, str], None],
        context: Callable[[], Context] = copy_context,
    ) -> None:
        """`failed(error, what)` hears of each task that ends with an exception; each runs in a `context()`."""
        self._context = context
        self._owner = owner
        self._failed = failed
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], what: str, context: Context | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self._owner}/{what}", context=context or self._context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def handle(self, handler: Callable[..., Awaitable[None] | None], *arguments: object) -> None:
        """Calls a handler, plain or async, in a task of its own; counted and dropped where too many still run."""
        if len(self._tasks) >= _MOST_TASKS:
            metrics.dropped("message", "agent_slow")
            return
        self.spawn(called(handler, *arguments), "message")

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Returns when none runs any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self) -> None:
        """Cancels all but the task that asks, and waits for them."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error, task.get_name().rpartition("/")[2])


async def called(handler: Callable[..., Awaitable[None] | None], *arguments: object) -> None:
    """A handler, plain or async, as a coroutine."""
    result = handler(*arguments)
    if result is not None:
        await result
