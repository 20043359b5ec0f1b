"""The planet's simulation is repeatable and fair, and its load speaks to a real Valkey."""

from __future__ import annotations

import itertools
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtest.planet import bursts, claims, tables
from loadtest.planet.callers import DAY_S, HALF_LIFE_S, Learned, a_day, activity
from loadtest.planet.cities import CITIES
from loadtest.planet.claims import Found, _reply, _request
from loadtest.planet.day import Outage, simulate
from loadtest.planet.drawing import claims_in_words, day_in_words, two_in_words
from loadtest.planet.world import REGIONS, make_world

from antiphon.placement import Place, distance_km

if TYPE_CHECKING:
    from loadtest.planet.day import Result

CALLS = 1500
NOON = 12 * 3600


@pytest.fixture(scope="module")
def result() -> Result:
    return simulate(CALLS, 3, [Outage("mumbai", NOON, NOON + 3600)])


def test_cities_are_where_cities_can_be() -> None:
    assert len({city.name for city in CITIES}) == len(CITIES) > 200
    assert all(-60 < city.latitude < 70 and 0 < city.millions < 40 for city in CITIES)
    assert len(REGIONS) == 40
    by_name = {city.name: Place(city.latitude, city.longitude) for city in CITIES}
    assert all(distance_km(by_name[name], REGIONS[name]) < 250 for name in by_name.keys() & REGIONS.keys())


def test_the_same_seed_gives_the_same_day(result: Result) -> None:
    again = simulate(CALLS, 3, [Outage("mumbai", NOON, NOON + 3600)])
    assert again.placed == result.placed


def test_nothing_is_better_than_the_best(result: Result) -> None:
    assert len(result.placed) + result.refused == pytest.approx(CALLS + result.moved, rel=0.05)
    assert all(one.way_ms - one.best_way_ms > -1e-6 for one in result.placed)
    assert all(one.trip_ms - one.best_trip_ms > -1e-6 for one in result.placed)


def test_what_is_known_better_is_placed_better(result: Result) -> None:
    rows = {row["evidence"]: row for row in tables.by_evidence(result)}
    assert float(rows["measured"]["at_best"]) > float(rows["geoip"]["at_best"])
    assert float(rows["measured"]["longer_p50"]) < 2.0
    assert sum(int(row["calls"]) for name, row in rows.items() if name != "all") == len(result.placed)
    assert "1,5" in day_in_words(list(rows.values()), result, 3)
    times = tables.by_time(result)
    assert sum(int(row["calls"]) for row in times) == len(result.placed)


def test_a_day_has_waves_and_its_calls_are_in_order() -> None:
    random = Random(5)
    calls = list(a_day(make_world(random), 4000, random))
    assert all(before.at_s <= after.at_s for before, after in itertools.pairwise(calls))
    assert calls[0].at_s >= 0
    assert calls[-1].at_s <= DAY_S
    assert activity(0, 16 * 3600) > 5 * activity(0, 4 * 3600)
    assert activity(139.7, 7 * 3600) > 5 * activity(139.7, 19 * 3600)


def test_lessons_fade_as_they_do_in_redis() -> None:
    learned = Learned()
    learned.learn("n", "tokyo", 100.0, 0.0)
    learned.learn("n", "tokyo", 40.0, HALF_LIFE_S)
    found = learned.of("n")["tokyo"]
    assert (round(found.ms), found.weight) == (60, 1.5)


def test_two_choices_spread_a_burst_that_one_would_pile_up() -> None:
    random = Random(9)
    assert bursts.uneven(800, random, spread=True) < 0.5
    assert bursts.uneven(800, random, spread=False) > 2.0


REPLIES = [b":7\r\n", b"$2\r\nhi\r\n", b"$-1\r\n", b"+OK\r\n", b"$0\r\n\r\n", b"*2\r\n:1\r\n$1\r\na\r\n", b"*0\r\n"]


@given(st.lists(st.sampled_from(REPLIES), max_size=8), st.integers(0, 200))
def test_replies_are_read_however_they_are_cut(replies: list[bytes], cut: int) -> None:
    stream = b"".join(replies)

    def read(buffer: bytes) -> int:
        at = count = 0
        while (found := _reply(buffer, at)) is not None:
            at, count = found[1], count + 1
        assert at <= len(buffer)
        return count

    assert read(stream) == len(replies)
    assert read(stream[:cut]) <= len(replies)


def test_a_refusal_is_no_reply() -> None:
    with pytest.raises(RuntimeError, match="no such function"):
        _reply(b"-ERR no such function\r\n", 0)
    assert _request("GET", "ä") == b"*2\r\n$3\r\nGET\r\n$2\r\n\xc3\xa4\r\n"


async def test_placements_go_through_a_real_valkey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RATES", (50,))
    monkeypatch.setattr(claims, "_SAMPLES", 80)
    monkeypatch.setattr(claims, "go_first", lambda _: None)
    found = await claims.measure(quick=True)
    (row,) = found.rows
    assert float(row["placed"]) > 0
    assert row["refused"] == "0"
    assert set(found.costs_us) == {"learned", "claim", "update", "hold", "release", "members"}
    words = claims_in_words(
        Found([{**row, "rate": "5000"}], found.costs_us), {"cpu": "x", "cores": 2, "at": "2026-11-26"}
    )
    assert "**not met**" in words


async def test_placements_go_through_the_redis_of_their_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RATES", (50,))
    monkeypatch.setattr(claims, "go_first", lambda _: None)
    found = await claims.measure(quick=True, servers=2)
    (row,) = found.rows
    assert float(row["placed"]) > 0
    assert row["refused"] == "0"
    one = Found([{**row, "rate": "6000", "placed": "6000", "p99_ms": "3"}], dict.fromkeys(("learned", "claim"), 9.0))
    one.costs_us |= dict.fromkeys(("update", "release"), 1.0)
    words = two_in_words(one, Found([{**row, "all_cores": "1.95"}], {}), {"cores": 2})
    assert "one Valkey placed 6,000 a second" in words
    assert "used 1.95 of this machine's cores" in words
