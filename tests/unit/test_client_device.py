"""Playout reports of the Python caller."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from antiphon.client.device import Device


class Clock:
    def __init__(self) -> None:
        self.now = 5_000_000.0

    def __call__(self) -> float:
        return self.now


def fields(report: bytes) -> tuple[int, ...]:
    return struct.unpack(">BBHIIHHHHIII", report)


def test_the_newest_packet_is_what_was_played() -> None:
    clock = Clock()
    device = Device(clock)
    for sequence in (65_534, 65_535, 0, 2, 1):
        device.packet(7, sequence, (sequence * 960) % (1 << 32), 960)
        clock.now += 0.02
    clock.now += 0.05
    kind, version, flags, sent_ms, timestamp, age_ms, _, _, _, received, lost, _ = fields(device.report())
    assert (kind, version, flags) == (1, 1, 2)
    assert sent_ms == round(1000 * clock.now) % (1 << 32)
    assert timestamp == 3 * 960, "the end of packet 2, which came before packet 1"
    assert age_ms == 90
    assert (received, lost) == (5, 0)


def test_what_did_not_come_is_counted() -> None:
    device = Device(Clock())
    for sequence in (10, 11, 15, 16):
        device.packet(7, sequence, sequence * 960, 960)
    assert (device.received, device.lost) == (4, 3)


def test_before_anything_was_played_a_report_says_so() -> None:
    report = fields(Device(Clock()).report())
    assert report[2] == 0
    assert report[9:] == (0, 0, 0)


def test_another_source_begins_anew() -> None:
    device = Device(Clock())
    device.packet(7, 10, 960, 960)
    device.packet(8, 40_000, 5, 960)
    assert (device.received, device.lost) == (1, 0)
    assert fields(device.report())[4] == 965


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, (1 << 32) - 1), st.integers(0, 5_760)), max_size=30))
def test_any_packets_make_a_report(packets: list[tuple[int, int, int]]) -> None:
    device = Device(Clock())
    for sequence, timestamp, samples in packets:
        device.packet(7, sequence, timestamp, samples)
    assert len(device.report()) == 32
