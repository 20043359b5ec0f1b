"""Keys that a caller presses: RFC 4733 packets, some lost, some thrice, some in segments."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.frames import REPAIR, TELEPHONE_EVENT, Frame, Gap
from antiphon.testing import SimulatedCall
from antiphon.worker import Dtmf, Session
from antiphon.worker.dtmf import Keypad

AgentCall = Callable[..., SimulatedCall]


def event(timestamp: int, code: int, ticks: int, *, end: bool = False, flags: int = 0) -> Frame:
    payload = bytes((code, 0x8A if end else 0x0A)) + ticks.to_bytes(2, "big")
    return Frame(0, timestamp, 0, 0, 0, TELEPHONE_EVENT | flags, payload)


def keys(*packets: Frame) -> list[Dtmf]:
    keypad = Keypad()
    return [key for packet in packets for key in keypad.hear(packet)] + keypad.let_go()


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_each_key_reaches_the_agent_once_with_its_duration(agent_call: AgentCall, digit: str) -> None:
    pressed: list[Dtmf] = []

    async def agent(session: Session) -> None:
        session.on_dtmf(pressed.append)

    call = agent_call(agent)
    call.waits(1.0)
    call.presses(digit, seconds=0.2)
    call.waits(0.5)
    (key,) = pressed
    assert key.digit == digit
    assert key.seconds == pytest.approx(0.2)
    assert key.started == pytest.approx(1.0, abs=0.05)


def test_the_same_key_twice_is_two_keys() -> None:
    first = [event(0, 5, 960), event(0, 5, 4800, end=True), event(0, 5, 4800, end=True)]
    second = [event(9600, 5, 960), event(9600, 5, 4800, end=True)]
    assert [key.digit for key in keys(*first, *second)] == ["5", "5"]


def test_an_end_that_is_lost_is_known_by_the_next_key() -> None:
    told = keys(event(0, 1, 960), event(0, 1, 1920), event(9600, 2, 960), event(9600, 2, 1920, end=True))
    assert [(key.digit, key.seconds) for key in told] == [("1", 0.04), ("2", 0.04)]


def test_an_end_that_is_lost_is_known_by_silence(agent_call: AgentCall) -> None:
    pressed: list[Dtmf] = []

    async def agent(session: Session) -> None:
        session.on_dtmf(pressed.append)

    call = agent_call(agent)
    call.waits(0.1)
    call.presses("7", end_lost=True)
    call.waits(0.1)
    assert not pressed
    call.waits(0.2)
    assert [key.digit for key in pressed] == ["7"]


def test_a_key_that_is_held_down_is_one_key_over_its_segments() -> None:
    longest = 0xFFFF
    packets = [event(0, 9, ticks) for ticks in range(2400, longest, 2400)]
    packets += [event(0, 9, longest), event(longest, 9, 2400), event(longest, 9, 4800, end=True)]
    (key,) = keys(*packets)
    assert key.seconds == pytest.approx((longest + 4800) / 48_000)


def test_what_was_told_is_not_told_again_by_a_repair() -> None:
    assert len(keys(event(0, 3, 960, end=True), event(0, 3, 480, flags=REPAIR))) == 1


def test_events_that_are_no_keys_and_bytes_that_are_no_events_are_passed_over() -> None:
    assert keys(event(0, 16, 960, end=True)) == []
    assert keys(Frame(0, 0, 0, 0, 0, TELEPHONE_EVENT, b"\x01")) == []


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 255), st.integers(0, 0xFFFF), st.booleans())))
def test_any_packets_give_keys_whose_times_make_sense(rows: list[tuple[int, int, int, bool]]) -> None:
    for key in keys(*(event(timestamp, code, ticks, end=end) for timestamp, code, ticks, end in rows)):
        assert key.seconds >= 0


def test_a_key_is_neither_audio_nor_a_gap(agent_call: AgentCall) -> None:
    seen: list[Frame | Gap] = []

    async def agent(session: Session) -> None:
        session.on_dtmf(lambda _: None)
        async for item in session.frames(gaps=True):
            seen.append(item)  # noqa: PERF401 - a comprehension would lose all when cancelled

    call = agent_call(agent)
    call.waits(0.2)
    call.presses("4")
    call.waits(0.2)
    assert all(isinstance(item, Frame) and not item.flags & TELEPHONE_EVENT for item in seen)
