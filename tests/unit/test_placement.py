from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cluster import Membership, RoundTrip
from antiphon.errors import ConfigError
from antiphon.placement import (
    COMBINATIONS,
    POLICIES,
    Distances,
    Evidence,
    Link,
    Place,
    distance_km,
    expected_rtt_ms,
    policies_named,
)
from antiphon.placement import rank_edges as rank_edges_by_chance
from antiphon.placement import rank_workers as rank_workers_by_chance
from tests.support.members import edge, worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.cluster import EdgeRecord, WorkerRecord
    from antiphon.placement import Ranking

FRANKFURT, VIRGINIA, TOKYO = Place(50.11, 8.68), Place(38.95, -77.45), Place(35.68, 139.69)
EDGES = (
    edge("edge-frankfurt", region="frankfurt", latitude=50.11, longitude=8.68),
    edge("edge-virginia", region="virginia", latitude=38.95, longitude=-77.45),
)

NAMES = sorted([*POLICIES, *COMBINATIONS])


def rank_edges(policy: str, evidence: Evidence, edges: Sequence[EdgeRecord], seed: int = 1) -> Ranking:
    return rank_edges_by_chance(policies_named(policy), evidence, edges, Random(seed))


def rank_workers(agent: str, workers: Sequence[WorkerRecord], links: dict[str, float] | None = None) -> Ranking:
    return rank_workers_by_chance(agent, workers, Random(1), links)


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


@given(edge_lists(), places, st.sampled_from(NAMES))
def test_every_candidate_is_ranked_once_with_a_reason(edges: list[EdgeRecord], place: Place, policy: str) -> None:
    ranking = rank_edges(policy, Evidence(place, "test"), edges)
    assert sorted(choice.id for choice in ranking.choices) == sorted(one.id for one in edges)
    told = ranking.explain("", {})
    assert [one["rank"] for one in told] == list(range(1, len(edges) + 1))
    assert all(one["why"] for one in told if not one["possible"])
    assert all(one["cost_ms"] >= 0 for one in told)
    able = {one.id for one in edges if not one.draining and one.sessions < one.capacity}
    assert set(ranking.possible) == able
    assert [choice.id for choice in ranking.choices[: len(able)]] == ranking.possible


@given(edge_lists(), places, st.sampled_from(NAMES), st.randoms())
def test_a_ranking_does_not_depend_on_the_order_of_candidates(
    edges: list[EdgeRecord], place: Place, policy: str, random: object
) -> None:
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    evidence = Evidence(place, "test")
    assert rank_edges(policy, evidence, edges).explain("", {}) == rank_edges(policy, evidence, shuffled).explain("", {})


@given(edge_lists().filter(len), places)
def test_equally_loaded_edges_are_ranked_by_distance(edges: list[EdgeRecord], place: Place) -> None:
    even = [replace(one, capacity=10, sessions=3, draining=False) for one in edges]
    ranking = rank_edges("nearest", Evidence(place, "test"), even)
    by_id = {one.id: distance_km(place, Place(one.latitude, one.longitude)) for one in even}
    rtts = [expected_rtt_ms(by_id[name]) for name in ranking.possible]
    assert all(later >= earlier - 2.0 for earlier, later in itertools.pairwise(rtts))


def test_load_moves_a_session_to_a_near_neighbour_but_not_across_an_ocean() -> None:
    amsterdam = edge("edge-amsterdam", region="amsterdam", latitude=52.37, longitude=4.9)
    busy = replace(EDGES[0], sessions=95)
    evidence = Evidence(FRANKFURT, "test")
    assert rank_edges("nearest", evidence, [busy, amsterdam]).possible[0] == "edge-amsterdam"
    assert rank_edges("nearest", evidence, [busy, EDGES[1]]).possible[0] == "edge-frankfurt"


def test_least_loaded_looks_at_room_alone() -> None:
    busy = replace(EDGES[0], sessions=50)
    ranking = rank_edges("least_loaded", Evidence(FRANKFURT, "test"), [busy, EDGES[1]])
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


def test_a_worker_without_places_is_full() -> None:  # it hears late, and has no sessions
    ranking = rank_workers("parrot", [worker("worker-a", capacity=0), worker("worker-b", sessions=99)])
    assert ranking.possible == ["worker-b"]
    assert ranking.choices[-1].why == "full: worker.capacity is 0"


def test_reasons_tell_of_the_claims_refusals() -> None:
    ranking = rank_edges("nearest", Evidence(FRANKFURT, "test"), EDGES)
    told = ranking.explain("edge-virginia", {"edge-frankfurt": "full"})
    assert [(one["id"], one["chosen"]) for one in told] == [("edge-frankfurt", False), ("edge-virginia", True)]
    assert told[0]["why"].startswith("full when asked; 0 km")


def test_an_unknown_policy_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no policy 'random'; known: nearest, asked, caller_rtt"):
        policies_named(("load", "random"))


@pytest.mark.parametrize("names", [(), ("load", "load"), ("nearest", "load")])
def test_policies_that_make_no_sum_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="each once"):
        policies_named(names)


def test_what_the_caller_measured_counts_more_than_all_else() -> None:
    learned = {"frankfurt": RoundTrip(5.0, 9.0, "81.2.69.0/24")}
    evidence = Evidence(FRANKFURT, "test", measured={"frankfurt": 80.0, "virginia": 20.0}, learned=learned)
    ranking = rank_edges("nearest", evidence, EDGES)
    assert ranking.possible == ["edge-virginia", "edge-frankfurt"]
    assert [choice.why.split(";")[0] for choice in ranking.choices] == [
        "20 ms measured by the caller",
        "80 ms measured by the caller",
    ]


def test_a_region_without_an_answer_is_no_nearer_than_those_that_answered() -> None:
    evidence = Evidence(FRANKFURT, "test", measured={"virginia": 40.0})
    frankfurt, virginia = rank_edges("caller_rtt", evidence, EDGES).explain("", {})
    assert {frankfurt["cost_ms"], virginia["cost_ms"]} == {40.0}
    assert any("no answer of its probe" in one["why"] for one in (frankfurt, virginia))


def test_what_was_learned_counts_more_than_the_distance() -> None:
    evidence = Evidence(FRANKFURT, "test", learned={"frankfurt": RoundTrip(150.0, 3.0, "AS64496")})
    ranking = rank_edges("nearest", evidence, EDGES)
    assert ranking.possible[0] == "edge-virginia"
    assert "150 ms learned from calls of AS64496" in ranking.choices[1].why


def test_the_way_from_edge_to_worker_counts() -> None:
    near = replace(EDGES[0], links={"worker-us": 95.0})
    far = replace(EDGES[1], links={"worker-us": 1.0})
    members = Membership((near, far), (worker("worker-us"),))
    links = Distances().links("parrot", members)
    assert links == {"edge-frankfurt": Link("worker-us", 95.0), "edge-virginia": Link("worker-us", 1.0)}
    midway = Evidence(Place(48.0, -30.0), "test", links=links)
    assert rank_edges("nearest", midway, members.edges).possible[0] == "edge-virginia"
    assert rank_edges("caller_rtt", midway, members.edges).possible[0] == "edge-frankfurt"


def test_an_edge_whose_links_are_not_measured_counts_as_the_farthest() -> None:
    members = Membership((replace(EDGES[0]), replace(EDGES[1], links={"worker-a": 70.0})), (worker(),))
    links = Distances().links("parrot", members)
    told = {
        one["id"]: one
        for one in rank_edges("worker_rtt", Evidence(None, "", links=links), members.edges).explain("", {})
    }
    assert told["edge-frankfurt"]["cost_ms"] == told["edge-virginia"]["cost_ms"] == 70.0
    assert "not measured yet" in told["edge-frankfurt"]["why"]


def test_distances_are_of_workers_that_have_room_and_the_agent() -> None:
    links = {"worker-a": 1.0, "worker-b": 5.0, "worker-c": 2.0}
    members = Membership(
        (replace(EDGES[0], links=links),),
        (worker("worker-a", sessions=100), worker("worker-b"), worker("worker-c", agents=("x",))),
    )
    distances = Distances()
    assert distances.links("parrot", members)["edge-frankfurt"] == Link("worker-b", 5.0)
    assert distances.links("nobody", members) == {}
    changed = replace(members, workers=(worker("worker-a"),))
    assert distances.links("parrot", changed)["edge-frankfurt"] == Link("worker-a", 1.0)


def test_workers_near_the_edge_come_first_unless_they_are_full_to_the_brim() -> None:
    links = {"worker-a": 40.0, "worker-b": 1.0}
    assert (
        rank_workers("parrot", [worker("worker-a"), worker("worker-b", sessions=50)], links).possible[0] == "worker-b"
    )
    links = {"worker-a": 20.0, "worker-b": 1.0}
    assert (
        rank_workers("parrot", [worker("worker-a"), worker("worker-b", sessions=99)], links).possible[0] == "worker-a"
    )


def test_a_burst_that_sees_the_same_loads_spreads_over_equal_edges() -> None:
    equal = [edge(f"edge-{i}", sessions=10) for i in range(4)]
    random = Random(7)
    policies, evidence = policies_named("nearest"), Evidence(FRANKFURT, "test")
    firsts = Counter(rank_edges_by_chance(policies, evidence, equal, random).possible[0] for _ in range(400))
    assert set(firsts) == {one.id for one in equal}
    assert max(firsts.values()) < 220, firsts


def test_of_two_equal_edges_the_emptier_comes_first_and_a_farther_one_never() -> None:
    far = replace(EDGES[1], sessions=0)
    for seed in range(20):
        ranking = rank_edges(
            "nearest", Evidence(FRANKFURT, "test"), [edge("edge-a", sessions=30), edge("edge-b"), far], seed
        )
        assert ranking.possible == ["edge-b", "edge-a", "edge-virginia"]


@given(edge_lists(), places, st.integers(0, 2**32))
def test_chance_decides_only_among_equals(edges: list[EdgeRecord], place: Place, seed: int) -> None:
    told = [
        one for one in rank_edges("nearest", Evidence(place, "test"), edges, seed).explain("", {}) if one["possible"]
    ]
    if told:
        assert told[0]["cost_ms"] <= min(one["cost_ms"] for one in told) + 2.11  # rounded to tenths


def test_a_record_tells_of_the_best_and_of_those_that_matter() -> None:
    many = [edge(f"edge-{i:02}", latitude=i, sessions=0) for i in range(40)]
    told = rank_edges("caller_rtt", Evidence(Place(0, 8.68), "test"), many).explain("edge-30", {"edge-35": "full"}, 3)
    assert [one["id"] for one in told][-2:] == ["edge-30", "edge-35"]
    assert len(told) == 5
    assert told[-1]["possible"] is False
