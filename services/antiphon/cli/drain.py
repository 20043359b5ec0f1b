"""`antiphon drain`: orders an edge or a worker to run empty, or takes that back, and tells how far it is."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from antiphon.cli.services import FAILED, fail, until_signal
from antiphon.errors import AntiphonError

_LOOK_EVERY_S = 1.0
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_LONGEST_S = 86_400


@dataclass(frozen=True)
class Wish:
    """The command's options."""

    member: str
    seconds: float
    url: str
    token: str | None
    cancel: bool
    wait: bool


def seconds_of(text: str) -> int:
    """Reads `90s`, `10m`, `1h30m`, or plain seconds. Raises ValueError with words for people."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"--deadline {text!r} is no duration: expected one such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if total > _LONGEST_S:
        raise ValueError(f"--deadline {text} is longer than a day, the most that is taken")
    return total


async def drain_member(wish: Wish) -> int:
    """Returns the exit code: 0, or 1 where it did not work."""
    try:
        await until_signal(_drain(wish), lambda name: print(f"Stopped looking on {name}; the drain goes on"))
    except AntiphonError as error:
        fail(str(error), FAILED)
    return 0


async def _drain(wish: Wish) -> None:
    headers = {"Authorization": f"Bearer {wish.token}"} if wish.token else {}
    async with httpx.AsyncClient(base_url=wish.url.rstrip("/"), headers=headers, timeout=10.0) as http:
        kind = await _kind_of(http, wish.member)
        if wish.cancel:
            await _ask(http, "POST", f"/v1/{kind}/{wish.member}:undrain")
            print(f"{wish.member} takes sessions again")
            return
        found = await _ask(http, "POST", f"/v1/{kind}/{wish.member}:drain", json={"deadline_s": wish.seconds})
        print(f"{wish.member} drains, for {wish.seconds:.0f} s at most: {_left(found['sessions'])}")
        before = found["sessions"]
        while wish.wait and before:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = await _look(http, kind, wish.member)
            if now is None or not now["draining"]:
                print(f"{wish.member} {'is gone' if now is None else 'takes sessions again'}")
                return
            if now["sessions"] != before:
                print(_left(now["sessions"]))
            before = now["sessions"]


def _left(sessions: int) -> str:
    return "no session is left" if not sessions else f"{sessions} session{'s' * (sessions > 1)} left"


async def _kind_of(http: httpx.AsyncClient, member: str) -> Literal["edges", "workers"]:
    """Raises AntiphonError where there is no such member, or one of each kind."""
    kinds: list[Literal["edges", "workers"]] = []
    known: list[str] = []
    for kind in ("edges", "workers"):
        ids = [one["id"] for one in (await _ask(http, "GET", f"/v1/{kind}"))[kind]]
        known += ids
        if member in ids:
            kinds.append("edges" if kind == "edges" else "workers")
    if not kinds:
        raise AntiphonError(f"no edge or worker {member} lives; there are {', '.join(sorted(known)) or 'none'}")
    if len(kinds) > 1:
        raise AntiphonError(f"{member} names an edge and a worker: give each an id of its own")
    return kinds[0]


async def _look(http: httpx.AsyncClient, kind: str, member: str) -> dict[str, Any] | None:
    return next((one for one in (await _ask(http, "GET", f"/v1/{kind}"))[kind] if one["id"] == member), None)


async def _ask(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    try:
        response = await http.request(method, path, **options)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AntiphonError(f"no answer from {http.base_url}: {error}. Is Antiphon running there?") from None
    if response.is_error:
        try:
            words = response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            words = response.reason_phrase
        raise AntiphonError(f"{words} (HTTP {response.status_code})")
    told: dict[str, Any] = response.json()
    return told
