"""The part of the HTTP API that a caller uses, with its refusals in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from antiphon.client.errors import CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Placed:
    """Signaling's answer to an offer."""

    session: str
    sdp: str
    edge: str
    region: str
    worker: str


class Api:
    """An async context manager around one HTTP client."""

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 15.0) -> None:
        """url: a signaling node, such as http://127.0.0.1:8080; timeout in seconds."""
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def create(
        self,
        sdp: str,
        *,
        agent: str | None,
        region: str | None,
        metadata: Mapping[str, Any],
        room: str | None = None,
        turns: Mapping[str, str] | None = None,
        rtts: Mapping[str, float] | None = None,
        recording: bool = False,
    ) -> Placed:
        """rtts: measured round trips in ms by region. Raises CallRefusedError."""
        body: dict[str, Any] = {"sdp": sdp, "metadata": dict(metadata)}
        measured = dict(rtts) if rtts else None
        wishes: dict[str, Any] = {"agent": agent, "region": region, "room": room, "turns": turns, "rtts": measured}
        wishes["recording"] = recording or None
        body |= {name: wish for name, wish in wishes.items() if wish is not None}
        answer = await self._ask("POST", "/v1/sessions", json=body)
        session = answer.headers["Location"].rsplit("/", 1)[1]
        told = answer.json()
        return Placed(session, told["sdp"], *(_name(told.get(key)) for key in ("edge", "region", "worker")))

    async def move(
        self,
        session: str,
        sdp: str,
        *,
        lost: Sequence[str],
        agent: str | None,
        region: str | None,
        metadata: Mapping[str, Any],
        turns: Mapping[str, str] | None = None,
    ) -> Placed:
        """Another edge's answer for a session that there is. Raises CallRefusedError."""
        body: dict[str, Any] = {"sdp": sdp, "lost": list(lost), "metadata": dict(metadata)}
        body |= {
            name: wish for name, wish in {"agent": agent, "region": region, "turns": turns}.items() if wish is not None
        }
        told = (await self._ask("POST", f"/v1/sessions/{session}:move", json=body)).json()
        return Placed(session, told["sdp"], *(_name(told.get(key)) for key in ("edge", "region", "worker")))

    async def regions(self) -> list[dict[str, Any]]:
        """Regions with their probes. Raises CallRefusedError."""
        return await self._all("/v1/regions", "regions")

    async def would_rebalance(self) -> dict[str, Any]:
        """Which live calls would be asked to move. Raises CallRefusedError."""
        told: dict[str, Any] = (await self._ask("GET", "/v1/placements:rebalance")).json()
        return told

    async def regions_away(self) -> list[str]:
        """Regions whose own Redis does not answer. Raises CallRefusedError."""
        told: list[str] = (await self._ask("GET", "/v1/regions", params={"limit": "1"})).json().get("regions_away", [])
        return told

    async def explain(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Where a caller would be placed, and why. Raises CallRefusedError."""
        told: dict[str, Any] = (await self._ask("POST", "/v1/placements:explain", json=dict(wish))).json()
        return told

    async def session(self, session: str) -> dict[str, Any]:
        told: dict[str, Any] = (await self._ask("GET", f"/v1/sessions/{session}")).json()
        return told

    async def turns(self, session: str) -> list[dict[str, Any]]:
        """Traces of the session's turns, the oldest first. Raises CallRefusedError."""
        return await self._all(f"/v1/sessions/{session}/turns", "turns")

    async def sessions(self) -> list[dict[str, Any]]:
        """The project's newest sessions. Raises CallRefusedError."""
        told: list[dict[str, Any]] = (await self._ask("GET", "/v1/sessions")).json()["sessions"]
        return told

    async def events(self) -> list[dict[str, Any]]:
        """All events that are kept, the oldest first: id, event and data. Raises CallRefusedError."""
        answer = await self._ask("GET", "/v1/events", params={"for_s": 0}, headers={"Last-Event-ID": "0-0"})
        found = []
        for block in answer.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in fields:
                found.append(
                    {"id": fields.get("id", ""), "event": fields["event"], "data": json.loads(fields.get("data", "{}"))}
                )
        return found

    async def recording(self, session: str) -> dict[str, Any]:
        """What there is of a session's recording. Raises CallRefusedError."""
        told: dict[str, Any] = (await self._ask("GET", f"/v1/sessions/{session}/recording")).json()
        return told

    async def track(self, url: str) -> bytes:
        """A track, by the address that `recording` tells: Ogg Opus. Raises CallRefusedError."""
        if url.startswith("/"):
            return (await self._ask("GET", url, follow_redirects=False)).content
        async with httpx.AsyncClient(timeout=self._http.timeout) as elsewhere:  # no key leaves the cluster
            try:
                answer = await elsewhere.get(url)
            except httpx.HTTPError as error:
                raise CallRefusedError(f"the recording cannot be fetched: {type(error).__name__}") from None
        if answer.is_error:
            raise CallRefusedError(f"the recording cannot be fetched: HTTP {answer.status_code}")
        return answer.content

    async def edges(self) -> list[dict[str, Any]]:
        """Live edges. Raises CallRefusedError."""
        return await self._all("/v1/edges", "edges")

    async def workers(self) -> list[dict[str, Any]]:
        """Live workers that serve the project of the key. Raises CallRefusedError."""
        return await self._all("/v1/workers", "workers")

    async def _all(self, path: str, name: str) -> list[dict[str, Any]]:
        """Page after page of a list."""
        found: list[dict[str, Any]] = []
        asked: dict[str, str] = {}
        while True:
            page = (await self._ask("GET", path, params=asked)).json()
            found += page[name]
            if not page.get("next") or page["next"] == asked.get("cursor"):
                return found
            asked = {"cursor": page["next"]}

    async def delete(self, session: str) -> bool:
        """False when it was gone already."""
        try:
            await self._ask("DELETE", f"/v1/sessions/{session}")
        except CallRefusedError as error:
            if error.status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
                return False
            raise
        return True

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        try:
            response = await self._http.request(method, path, **options)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            msg = f"{self.url!r} is no address of a signaling node: expected one such as http://127.0.0.1:8080"
            raise CallRefusedError(msg) from error
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            msg = f"no answer from {self.url}: {what}. Is Antiphon running there?"
            raise CallRefusedError(msg) from error
        if response.is_error:
            raise _refusal(response)
        return response


def _refusal(response: httpx.Response) -> CallRefusedError:
    """Reads problem+json (RFC 9457), or makes do with the status."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    words = problem.get("detail") or problem.get("title") or response.reason_phrase
    retry = response.headers.get("Retry-After", "")
    return CallRefusedError(
        f"{words} (HTTP {response.status_code})",
        status=response.status_code,
        retry_after=float(retry) if retry.isdigit() else None,
    )


def _name(told: object) -> str:
    """An id, given as such or as an object that has one."""
    if isinstance(told, dict):
        return str(told.get("id") or told.get("name") or "")
    return str(told or "")
