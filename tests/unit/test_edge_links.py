"""Which links an edge keeps, from membership, from what signaling names, and from what happens to them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from antiphon.edge.links import LinkKeeper
from antiphon.errors import NoWorkerError


class Plane:
    """The links of a media plane, without the media."""

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}
        self.up: set[str] = set()

    def connect_worker(self, worker: str, target: str) -> None:
        self.targets[worker] = target

    def disconnect_worker(self, worker: str) -> None:
        del self.targets[worker]
        self.up.discard(worker)

    def workers(self) -> dict[str, dict[str, Any]]:
        return {worker: {"connected": worker in self.up} for worker in self.targets}


def keeper(patience: float = 0.05) -> tuple[Plane, LinkKeeper]:
    plane = Plane()
    return plane, LinkKeeper(cast("Any", plane), patience=patience)


def test_links_follow_membership() -> None:
    plane, links = keeper()
    links.apply({"a": "127.0.0.1:1", "b": "127.0.0.1:2"})
    links.apply({"b": "127.0.0.1:2", "c": "127.0.0.1:3"})
    assert plane.targets == {"b": "127.0.0.1:2", "c": "127.0.0.1:3"}


def test_a_link_that_is_up_outlives_its_worker_s_registration() -> None:
    plane, links = keeper()
    links.apply({"a": "127.0.0.1:1"})
    plane.up.add("a")
    links.apply({})
    assert "a" in plane.targets
    plane.up.discard("a")
    links.link_down("a", "reset")
    assert plane.targets == {}


def test_a_worker_that_moved_is_dialled_at_its_new_place() -> None:
    plane, links = keeper()
    links.apply({"a": "127.0.0.1:1"})
    links.apply({"a": "127.0.0.1:9"})
    assert plane.targets == {"a": "127.0.0.1:9"}


async def test_a_session_waits_for_a_worker_that_membership_does_not_know_yet() -> None:
    plane, links = keeper(patience=30)
    waiting = asyncio.create_task(links.ensure("new", "127.0.0.1:5"))
    await asyncio.sleep(0)
    assert plane.targets == {"new": "127.0.0.1:5"}
    links.apply({})  # membership still lags
    plane.up.add("new")
    links.link_up("new")
    await waiting
    assert plane.targets == {"new": "127.0.0.1:5"}


async def test_a_worker_that_cannot_be_reached_is_an_error_and_forgotten() -> None:
    plane, links = keeper()
    with pytest.raises(NoWorkerError, match=r"worker gone at 127\.0\.0\.1:6 is down"):
        await links.ensure("gone", "127.0.0.1:6")
    assert plane.targets == {}


async def test_a_member_s_link_is_kept_though_a_session_gave_up_on_it() -> None:
    plane, links = keeper()
    links.apply({"a": "127.0.0.1:1"})
    with pytest.raises(NoWorkerError):
        await links.ensure("a", "127.0.0.1:1")
    assert plane.targets == {"a": "127.0.0.1:1"}
