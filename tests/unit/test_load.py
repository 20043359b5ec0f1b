"""Load tests: personas, shapes and the judge of the load's own schedule."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtest.load.curves import CURVES, Wish, outage_at
from loadtest.load.personas import DEFAULT_MIX, PERSONAS, mix_of
from loadtest.load.report import summary, write_report
from loadtest.load.results import Results, summed
from loadtest.load.schedule import add_bins, faults, quantile, since
from loadtest.load.switchboard import shown

if TYPE_CHECKING:
    from pathlib import Path

from antiphon.callers import clip_of, vowels
from antiphon.opus import packet_duration

BINS = st.dictionaries(st.integers(1, 10**7), st.integers(1, 1_000), max_size=20)


def test_a_mix_names_personas_with_weights() -> None:
    assert mix_of(DEFAULT_MIX) == {"talker": 1, "listener": 9}
    assert mix_of("flaky, roamer=2") == {"flaky": 1, "roamer": 2}
    assert set(PERSONAS) == {"talker", "listener", "interrupter", "roamer", "flaky"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("talkr=1", "no persona 'talkr'"),
        ("talker=-1", "whole number"),
        ("talker=0", "nobody"),
        ("talker,talker", "twice"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused_in_words(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        mix_of(text)


@given(
    st.sampled_from(sorted(CURVES)),
    st.builds(Wish, users=st.integers(1, 5_000), rate=st.floats(0.1, 500), seconds=st.floats(1, 7_200)),
    st.floats(0, 1, exclude_max=True),
)
def test_every_shape_has_callers_to_its_end_and_never_more_than_asked_for(name: str, wish: Wish, share: float) -> None:
    moment = CURVES[name](wish, share * wish.seconds)
    assert moment is not None
    assert 1 <= moment[0] <= wish.users
    assert moment[1] > 0
    assert CURVES[name](wish, wish.seconds) is None


def test_a_ramp_only_climbs_and_a_burst_comes_and_goes() -> None:
    wish = Wish(100, 10, 60)
    climbed = [moment[0] for second in range(60) if (moment := CURVES["ramp"](wish, second))]
    assert climbed == sorted(climbed)
    assert (climbed[0], climbed[-1]) == (20, 100)
    waves = [moment[0] for second in range(60) if (moment := CURVES["burst"](wish, second))]
    assert set(waves) == {25, 100}
    assert sum(before != after for before, after in itertools.pairwise(waves)) >= 6


def test_an_outage_strikes_in_the_middle() -> None:
    assert outage_at(Wish(10, 1, 60)) == 30


@given(BINS, BINS)
def test_distributions_are_added_and_taken_apart(one: dict[int, int], other: dict[int, int]) -> None:
    both = add_bins(one, other)
    assert sum(both.values()) == sum(one.values()) + sum(other.values())
    assert since(both, one) == other
    assert since(one, one) == {}


def test_quantiles_are_upper_bounds_in_ms() -> None:
    bins = {1_000: 98, 2_000: 1, 50_000: 1}
    assert (quantile(bins, 0.5), quantile(bins, 0.99), quantile(bins, 1.0)) == (1.0, 2.0, 50.0)
    assert quantile({}, 0.5) is None
    assert shown({}) == []
    assert shown(bins)[-1] == 2.0


def test_a_load_that_kept_its_schedule_has_no_fault() -> None:
    assert faults({900: 1_000, 40_000: 5}, [{20_000: 100}]) == []
    assert faults({}, []) == []


def test_late_packets_and_a_blocked_hub_forbid_a_report() -> None:
    late = faults({900: 900, 9_000: 100}, [{20_000: 100}])
    assert len(late) == 1
    assert "packets left 9.0 ms late" in late[0]
    blocked = faults({900: 900}, [{20_000: 100}, {20_000: 90, 400_000: 10}])
    assert len(blocked) == 1
    assert "400 ms late" in blocked[0]


def part(received: int, delay_us: int) -> dict[str, object]:
    counts = dict.fromkeys(("sent", "voice", "received", "expected", "echoed", "unechoed"), received)
    group = counts | {"delay_us": {str(delay_us): received}}
    return {"groups": {"talker": group}, "lateness_us": {"100": received}, "hub_late_us": {}, "cpu_s": 1.5}


def test_processes_of_a_distributed_load_are_summed() -> None:
    total = summed([part(3, 1_000), part(4, 2_000)])
    assert total["groups"]["talker"]["received"] == 7
    assert total["groups"]["talker"]["delay_us"] == {1_000: 3, 2_000: 4}
    assert (total["lateness_us"], total["cpu_s"]) == ({100: 7}, 3.0)


def test_the_time_line_tells_what_each_second_added() -> None:
    results = Results({"a": part(3, 1_000)})
    results.sample(users=1)
    results.parts["a"] = part(5, 1_000)
    results.sample(users=2)
    assert [(row["users"], row["received"], row["delay_p50_ms"]) for row in results.timeline] == [
        (1, 3, 1.0),
        (2, 2, 1.0),
    ]


def test_clips_are_voice_from_end_to_end() -> None:
    clip = clip_of(vowels(1.0, seed=3), 48_000)
    assert 40 <= len(clip) <= 50
    assert all(packet_duration(payload) == 960 and len(payload) > 2 for payload, _ in clip)
    assert clip[0][1] < 50
    with pytest.raises(ValueError, match="nothing to hear"):
        clip_of(vowels(1.0)[:0], 48_000)


def test_a_report_has_its_plots_and_figures_inside(tmp_path: Path) -> None:
    row = {"at": 100.0, "users": 1, "delay_p50_ms": 1.0, "delay_p99_ms": 2.0, "lateness_p99_ms": 0.1}
    counts = {
        "sent": 50,
        "voice": 50,
        "received": 50,
        "expected": 50,
        "echoed": 50,
        "unechoed": 0,
        "generator_cpu_s": 0.1,
    }
    document = {
        "users": 1, "mix": "talker=1", "shape": "soak", "agent": "<echo>", "host": "http://h", "target": "antiphon",
        "entries": {"place": {"count": 2, "failures": 0, "times_ms": {"12": 1, "120": 1}}}, "failures": [],
        "totals": summed([part(50, 1_000)]), "timeline": [row | counts | {"at": at} for at in (100.0, 101.0, 110.0)],
        "machine": {"cpu": "c", "cores": 2, "kernel": "k", "at": "2026-01-01T00:00:00Z"},
        "began": 99.0, "seconds": 10.0,
        "cpu": [{"at": at, "edge": at / 100, "generator": at / 200} for at in (99.0, 104.0, 109.0)],
    }  # fmt: skip
    page = write_report(document, tmp_path).read_text(encoding="utf-8")
    assert page.count("<svg") == 5
    assert "agent &lt;echo&gt;" in page
    assert ("generator's CPU against the edge's", "0.50 times") in summary(document)
    assert ("CPU of the edge", "1.0 % of a core; a call 10.00 ms/s") in summary(document)
