"""An offer whose author may not be sent audio, or send any: what an edge then reads in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.signaling.sdp import hearing_nothing, saying_nothing

_NAMES = ("sendrecv", "sendonly", "recvonly", "inactive")


def read(offer: str) -> list[tuple[str, str]]:
    """Media and direction by section, read as `engine/src/sdp` does: the first of the names, else sendrecv."""
    found: list[tuple[str, str]] = []
    for line in offer.split("\n"):
        text = line.rstrip()
        if text.startswith("m="):
            found.append((text[2:].split(" ")[0], ""))
        elif text.startswith("a=") and found:
            name = text[2:].split(":")[0].strip()
            if name in _NAMES and not found[-1][1]:
                found[-1] = (found[-1][0], name)
    return [(media, direction or "sendrecv") for media, direction in found]


@pytest.mark.parametrize(
    ("before", "after"),
    [("sendrecv", "sendonly"), ("sendonly", "sendonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
)
def test_a_direction_loses_its_receiving_half(before: str, after: str) -> None:
    offer = f"v=0\r\nm=audio 9 UDP 111\r\na={before}\r\na=mid:0\r\nm=video 9 UDP 96\r\na={before}\r\n"
    assert read(hearing_nothing(offer)) == [("audio", after), ("video", before)]


@pytest.mark.parametrize(
    ("before", "after"),
    [("sendrecv", "recvonly"), ("sendonly", "inactive"), ("recvonly", "recvonly"), ("inactive", "inactive")],
)
def test_a_direction_loses_its_sending_half(before: str, after: str) -> None:
    offer = f"v=0\r\nm=audio 9 UDP 111\r\na={before}\r\na=mid:0\r\nm=video 9 UDP 96\r\na={before}\r\n"
    assert read(saying_nothing(offer)) == [("audio", after), ("video", before)]
    assert read(saying_nothing(hearing_nothing(offer))) == [("audio", "inactive"), ("video", before)]


def test_what_the_session_says_counts_for_sections_that_say_nothing() -> None:
    assert read(hearing_nothing("v=0\r\na=recvonly\r\nm=audio 9 UDP 111\r\n")) == [("audio", "inactive")]
    assert read(hearing_nothing("v=0\r\nm=audio 9 UDP 111")) == [("audio", "sendonly")]


_LINES = st.sampled_from(
    [
        "m=audio 9 UDP 111", "m=audio", "m=video 9 UDP 96", "m=application 9 UDP x", "v=0", "", "a=mid:0", " m=audio 1",
        *(f"a={space}{name}{end}" for name in _NAMES for space in ("", " ", "\t") for end in ("", " ", ":x", " : y")),
    ]
)  # fmt: skip


@given(st.lists(_LINES, max_size=30), st.sampled_from(["\r\n", "\n"]))
def test_no_edge_reads_that_audio_is_wanted(lines: list[str], end: str) -> None:
    offer = end.join(lines)
    after = read(hearing_nothing(offer))
    assert [media for media, _ in after] == [media for media, _ in read(offer)]
    assert all(direction in {"sendonly", "inactive"} for media, direction in after if media == "audio")
    silenced = read(saying_nothing(offer))
    assert all(direction in {"recvonly", "inactive"} for media, direction in silenced if media == "audio")
