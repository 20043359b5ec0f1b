"""`antiphon explain` and the regions of `antiphon up`, as people write them and read them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.explain import Wish, in_words, parse_rtts
from antiphon.cli.regions import DEFAULT, KNOWN, Place, parse_regions
from antiphon.errors import ConfigError
from antiphon.signaling.models import PLACEMENT


def antiphon(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    command = [sys.executable, "-m", "antiphon.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def test_regions_are_cities_or_places_of_one_s_own() -> None:
    assert parse_regions("frankfurt,virginia") == DEFAULT
    assert parse_regions("tokyo, mine=48.1:-11.6") == (Place("tokyo", 35.68, 139.69), Place("mine", 48.1, -11.6))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a name is lower-case"),
        ("frankfurt,", "a name is lower-case"),
        ("Frankfurt", "a name is lower-case"),
        ("x" * 28, "27 at most"),
        ("atlantis", "write atlantis=latitude:longitude"),
        ("mine=48.1", "expected degrees"),
        ("mine=91:0", "expected degrees"),
        ("mine=0:181", "expected degrees"),
        ("mine=nan:0", "expected degrees"),
        ("tokyo,tokyo", "names tokyo twice"),
        (",".join(list(KNOWN)[:17]), "16 at most"),
    ],
)
def test_regions_that_make_no_sense_are_told(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_regions(text)


@given(st.text(max_size=60))
def test_no_text_of_regions_breaks_the_command(text: str) -> None:
    try:
        places = parse_regions(text)
    except ConfigError:
        return
    assert all(-90 <= place.latitude <= 90 for place in places)


def test_up_names_a_region_that_it_does_not_know() -> None:
    result = antiphon("up", "--regions", "frankfurt,atlantis")
    assert result.returncode == 2
    assert result.stderr.startswith("antiphon: --regions has 'atlantis', whose place is not known")
    assert result.stderr.count("\n") == 1


def test_measured_round_trips_are_written_by_region() -> None:
    assert parse_rtts(["frankfurt=12.5", "tokyo=230"]) == {"frankfurt": 12.5, "tokyo": 230.0}


@pytest.mark.parametrize("text", ["frankfurt", "=3", "frankfurt=", "frankfurt=near", "frankfurt=-1", "a=1e9", "a=nan"])
def test_a_round_trip_that_is_none_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is no round trip"):
        parse_rtts([text])
    result = antiphon("explain", "--rtt", text)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


def test_explain_without_a_server_says_so() -> None:
    result = antiphon("explain", "--url", "http://127.0.0.1:9", "--ip", "81.2.69.160")
    assert result.returncode == 1
    assert "Is Antiphon running there?" in result.stderr


def test_a_wish_holds_what_was_said() -> None:
    assert Wish("http://x", ip="81.2.69.160", rtts={"a": 1.0}).document() == {"ip": "81.2.69.160", "rtts": {"a": 1.0}}


def test_an_explanation_is_read_as_a_table() -> None:
    far = {**PLACEMENT["edges"][0], "id": "edge-far", "chosen": False, "possible": False, "why": "draining; 900 km"}
    placement = {**PLACEMENT, "edges": [*PLACEMENT["edges"], far]}
    told = {"edge": "edge-frankfurt", "region": "frankfurt", "worker": "worker-0", "placement": placement}
    lines = in_words(told).splitlines()
    assert lines[0] == "caller     81.2.69.160 (81.2.69.0/24, AS20712)"
    assert lines[2] == "placed     edge edge-frankfurt in frankfurt, worker worker-0"
    assert lines[5].startswith("* edge-frankfurt    9.9 ms  8.4 ms measured by the caller")
    assert lines[6].split() == ["-", "edge-far", "-", "draining;", "900", "km"]
    assert lines[-1].startswith("* worker-0")


def test_nowhere_is_said_as_such() -> None:
    told = {"edge": None, "region": None, "worker": None, "placement": {**PLACEMENT, "edges": [], "workers": []}}
    assert "placed     nowhere: no edge can take the session" in in_words(told)
    assert "no edge\n" in in_words(told)
