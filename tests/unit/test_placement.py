from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from antiphon.errors import ConfigError
from antiphon.placement import (
    POLICIES,
    Evidence,
    Locator,
    Place,
    caller_address,
    distance_km,
    expected_rtt_ms,
    gather,
    policy_named,
    rank_edges,
    rank_workers,
)
from tests.support.members import edge, worker

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.cluster import EdgeRecord

FRANKFURT, VIRGINIA, TOKYO = Place(50.11, 8.68), Place(38.95, -77.45), Place(35.68, 139.69)
EDGES = (
    edge("edge-frankfurt", region="frankfurt", latitude=50.11, longitude=8.68),
    edge("edge-virginia", region="virginia", latitude=38.95, longitude=-77.45),
)

places = st.builds(Place, st.floats(-90, 90), st.floats(-180, 180))
loads = st.integers(1, 500).flatmap(lambda capacity: st.tuples(st.just(capacity), st.integers(0, capacity + 5)))


@st.composite
def edge_lists(draw: st.DrawFn) -> list[EdgeRecord]:
    found = []
    for i in range(draw(st.integers(0, 6))):
        place, (capacity, sessions), draining = draw(places), draw(loads), draw(st.booleans())
        found.append(
            edge(
                f"edge-{i}",
                region=f"region-{i % 3}",
                latitude=place.latitude,
                longitude=place.longitude,
                capacity=capacity,
                sessions=sessions,
                draining=draining,
            )
        )
    return found


def test_distances_are_those_of_an_atlas() -> None:
    assert distance_km(FRANKFURT, VIRGINIA) == pytest.approx(6550, abs=60)
    assert distance_km(FRANKFURT, TOKYO) == pytest.approx(9340, abs=60)
    assert 70 < expected_rtt_ms(distance_km(FRANKFURT, VIRGINIA)) < 110


@given(places, places)
def test_distance_is_symmetric_and_no_longer_than_half_the_globe(a: Place, b: Place) -> None:
    assert distance_km(a, b) == pytest.approx(distance_km(b, a))
    assert 0 <= distance_km(a, b) <= 20016


@given(edge_lists(), places, st.sampled_from(sorted(POLICIES)))
def test_every_candidate_is_ranked_once_with_a_reason(edges: list[EdgeRecord], place: Place, policy: str) -> None:
    ranking = rank_edges(policy_named(policy), Evidence(place, "test"), edges)
    assert sorted(choice.id for choice in ranking.choices) == sorted(one.id for one in edges)
    assert all(choice.why for choice in ranking.choices)
    able = {one.id for one in edges if not one.draining and one.sessions < one.capacity}
    assert set(ranking.possible) == able
    assert [choice.id for choice in ranking.choices[: len(able)]] == ranking.possible


@given(edge_lists(), places, st.sampled_from(sorted(POLICIES)), st.randoms())
def test_a_ranking_does_not_depend_on_the_order_of_candidates(
    edges: list[EdgeRecord], place: Place, policy: str, random: object
) -> None:
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    evidence = Evidence(place, "test")
    assert rank_edges(POLICIES[policy], evidence, edges) == rank_edges(POLICIES[policy], evidence, shuffled)


@given(edge_lists().filter(len), places)
def test_equally_loaded_edges_are_ranked_by_distance(edges: list[EdgeRecord], place: Place) -> None:
    even = [replace(one, capacity=10, sessions=3, draining=False) for one in edges]
    ranking = rank_edges(POLICIES["nearest"], Evidence(place, "test"), even)
    by_id = {one.id: distance_km(place, Place(one.latitude, one.longitude)) for one in even}
    distances = [by_id[name] for name in ranking.possible]
    assert distances == pytest.approx(sorted(distances))


def test_load_moves_a_session_to_a_near_neighbour_but_not_across_an_ocean() -> None:
    amsterdam = edge("edge-amsterdam", region="amsterdam", latitude=52.37, longitude=4.9)
    busy = replace(EDGES[0], sessions=95)
    evidence = Evidence(FRANKFURT, "test")
    assert rank_edges(POLICIES["nearest"], evidence, [busy, amsterdam]).possible[0] == "edge-amsterdam"
    assert rank_edges(POLICIES["nearest"], evidence, [busy, EDGES[1]]).possible[0] == "edge-frankfurt"


def test_least_loaded_looks_at_room_alone() -> None:
    busy = replace(EDGES[0], sessions=50)
    ranking = rank_edges(POLICIES["least_loaded"], Evidence(FRANKFURT, "test"), [busy, EDGES[1]])
    assert ranking.possible == ["edge-virginia", "edge-frankfurt"]


def test_workers_with_the_agent_are_ranked_by_load() -> None:
    ranking = rank_workers(
        "parrot",
        [
            worker("worker-a", sessions=50),
            worker("worker-b", sessions=2),
            worker("worker-c", agents=("other",)),
            worker("worker-d", sessions=100),
        ],
    )
    assert ranking.possible == ["worker-b", "worker-a"]
    assert [(choice.id, choice.why) for choice in ranking.choices][-1] == ("worker-d", "full: worker.capacity is 100")


def test_reasons_tell_of_the_claims_refusals() -> None:
    ranking = rank_edges(POLICIES["nearest"], Evidence(FRANKFURT, "test"), EDGES)
    told = ranking.explain("edge-virginia", {"edge-frankfurt": "full"})
    assert [(one["id"], one["chosen"]) for one in told] == [("edge-frankfurt", False), ("edge-virginia", True)]
    assert told[0]["why"].startswith("full when asked; 0 km")


def test_an_unknown_policy_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no policy 'random'; known: nearest, least_loaded"):
        policy_named("random")


@pytest.fixture
def city_database(tmp_path: Path) -> Path:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="GeoLite2-City", languages=["en"])
    for network, city, country, place in (
        ("198.51.100.0/24", "Ashburn", "US", VIRGINIA),
        ("2001:db8::/32", "Tokyo", "JP", TOKYO),
    ):
        writer.insert_network(
            IPSet([network]),
            {
                "city": {"names": {"en": city}},
                "country": {"iso_code": country},
                "location": {"latitude": place.latitude, "longitude": place.longitude},
            },
        )
    path = tmp_path / "city.mmdb"
    writer.to_db_file(str(path))
    return path


def test_geoip_finds_callers(city_database: Path) -> None:
    with Locator(city_database) as locator:
        found = locator.find("198.51.100.7")
        assert found is not None
        assert found[0].longitude == pytest.approx(-77.45)
        assert found[1] == "Ashburn, US"
        assert gather("198.51.100.7", None, EDGES, locator).how == "GeoIP says Ashburn, US"
        assert gather("2001:db8::1", None, EDGES, locator).how == "GeoIP says Tokyo, JP"
        evidence = gather("198.51.100.7", None, EDGES, locator)
        assert rank_edges(POLICIES["nearest"], evidence, EDGES).possible[0] == "edge-virginia"


def test_a_region_asked_for_counts_more_than_geoip(city_database: Path) -> None:
    with Locator(city_database) as locator:
        evidence = gather("198.51.100.7", "frankfurt", EDGES, locator)
    assert rank_edges(POLICIES["nearest"], evidence, EDGES).possible[0] == "edge-frankfurt"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "203.0.113.9", "testclient", ""])
def test_unknown_places_fall_back_to_the_region_asked_for_and_else_to_the_first(
    address: str, city_database: Path
) -> None:
    with Locator(city_database) as locator:
        assert gather(address, "virginia", EDGES, locator).how == "region virginia asked for"
        assert gather(address, None, EDGES, locator).place == FRANKFURT
        unknown = gather(address, "mars", EDGES, locator)
        assert unknown.place == FRANKFURT
        assert unknown.how.startswith("no edge in region mars, which was asked for; ")
        assert gather(address, None, (), locator).place is None


def test_an_unfit_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.mmdb"
    path.write_text("no database")
    with pytest.raises(ConfigError, match=r"signaling\.geoip\.city_database"):
        Locator(path)
    with pytest.raises(ConfigError, match=r"signaling\.geoip\.city_database"):
        Locator(tmp_path / "absent.mmdb")
    writer = MMDBWriter(database_type="GeoLite2-ASN")
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"autonomous_system_number": 64496})
    writer.to_db_file(str(path))
    with pytest.raises(ConfigError, match="not a City file"):
        Locator(path)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("198.51.100.7", "", (), "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", (), "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", ("10.0.0.0/8",), "198.51.100.7"),
        ("10.0.0.1", "203.0.113.1", ("10.0.0.0/8",), "203.0.113.1"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.1", ("10.0.0.0/8",), "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1, 10.0.0.2", ("10.0.0.0/8",), "203.0.113.1"),
        ("10.0.0.1", "nonsense", ("10.0.0.0/8",), "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::5", ("10.0.0.0/8",), "2001:db8::5"),
        ("testclient", "203.0.113.1", ("10.0.0.0/8",), "testclient"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: str, trusted: tuple[str, ...], address: str) -> None:
    assert caller_address(peer, forwarded, trusted) == address


@given(st.text(max_size=200))
def test_no_header_breaks_the_address(forwarded: str) -> None:
    assert caller_address("10.0.0.1", forwarded, ("0.0.0.0/0", "::/0"))
