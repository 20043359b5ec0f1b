"""What the Users of one process share: the switchboard, the options, and locust's statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.callers import address_towards
from loadtest.load.options import Choice, choice_of
from loadtest.load.switchboard import Switchboard

if TYPE_CHECKING:
    from locust.env import Environment


class _Running:
    environment: Environment | None = None
    choice: Choice | None = None
    switchboard: Switchboard | None = None
    struck = False


_now = _Running()


class LoadError(Exception):
    """A drop that locust shows among its failures."""


def begin(environment: Environment) -> None:
    """Takes the options of a new test; its native callers are made with its first User."""
    end()
    _now.struck = False
    _now.environment = environment
    if environment.parsed_options is None:
        raise RuntimeError("locust has no options yet")
    _now.choice = choice_of(environment.parsed_options)


def choice() -> Choice:
    if _now.choice is None:
        raise RuntimeError("locust has not begun")
    return _now.choice


def offer_path() -> str:
    """Where the next offer goes to."""
    path, refuge = choice().offer_path, choice().refuge_region
    if not (_now.struck and refuge):
        return path
    return f"{path}{'&' if '?' in path else '?'}region={refuge}"


def switchboard() -> Switchboard:
    """This process's callers. Raises NoCallersError where the native module was not built."""
    if _now.switchboard is None:
        host = (_now.environment.host if _now.environment else None) or "http://127.0.0.1"
        chosen = choice()
        _now.switchboard = Switchboard(
            bind=address_towards(host), threads=chosen.threads, echoes=chosen.echoes, tell=tell
        )
    return _now.switchboard


def started() -> Switchboard | None:
    """The callers, if there are any."""
    return _now.switchboard


def tell(name: str, ms: float, failure: str | None) -> None:
    """Puts something into locust's statistics."""
    if _now.environment is None:
        return
    _now.environment.events.request.fire(
        request_type="call",
        name=name,
        response_time=ms,
        response_length=0,
        exception=LoadError(failure) if failure else None,
        context={},
    )


def strike(region: str) -> int:
    """All callers of a region lose their network. Returns how many."""
    _now.struck = True
    lost = [line for line in (_now.switchboard.lines if _now.switchboard else ()) if line.region == region]
    for line in lost:
        line.vanish()
    return len(lost)


def end() -> None:
    """Hangs all up."""
    if _now.switchboard is not None:
        _now.switchboard.close()
        _now.switchboard = None
