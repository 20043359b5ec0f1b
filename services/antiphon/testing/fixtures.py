"""pytest fixtures, found by pytest wherever Antiphon is installed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from antiphon.testing.call import SimulatedCall
    from antiphon.testing.room import SimulatedRoom


@pytest.fixture
def agent_call() -> Iterator[Callable[..., SimulatedCall]]:
    """`agent_call(agent, metadata=None, policy=None)` makes a SimulatedCall, which is closed at the test's end."""
    from antiphon.testing.call import SimulatedCall  # noqa: PLC0415 - other projects' tests do not pay for it

    with ExitStack() as stack:

        def call(agent: str | Path | Callable[..., Any], **options: Any) -> SimulatedCall:  # noqa: ANN401
            return stack.enter_context(SimulatedCall(agent, **options))

        yield call


@pytest.fixture
def agent_room() -> Iterator[Callable[..., SimulatedRoom]]:
    """`agent_room(agent, name="room", policy=None, restored=None)` makes a SimulatedRoom, closed at the test's end."""
    from antiphon.testing.room import SimulatedRoom  # noqa: PLC0415 - other projects' tests do not pay for it

    with ExitStack() as stack:

        def room(agent: str | Path | Callable[..., Any], **options: Any) -> SimulatedRoom:  # noqa: ANN401
            return stack.enter_context(SimulatedRoom(agent, **options))

        yield room
