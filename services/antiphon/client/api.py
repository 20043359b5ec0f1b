"""The part of the HTTP API that a caller uses, with its refusals in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from antiphon.client.errors import CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    ) -> Placed:
        """Raises CallRefusedError."""
        body: dict[str, Any] = {"sdp": sdp, "metadata": dict(metadata)}
        wishes = {"agent": agent, "region": region, "room": room}
        body |= {name: wish for name, wish in wishes.items() if wish is not None}
        answer = await self._ask("POST", "/v1/sessions", json=body)
        session = answer.headers["Location"].rsplit("/", 1)[1]
        told = answer.json()
        return Placed(session, told["sdp"], *(_name(told.get(key)) for key in ("edge", "region", "worker")))

    async def session(self, session: str) -> dict[str, Any]:
        told: dict[str, Any] = (await self._ask("GET", f"/v1/sessions/{session}")).json()
        return told

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
