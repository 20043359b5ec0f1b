"""Frames that are missing, late, or lost for good: what an agent sees of them, in virtual time."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from antiphon.frames import FEC, REDUNDANT, REPAIR, Frame, Gap
from antiphon.opus import SILENCE_20_MS, Decoder, Encoder, carries_fec, frame_duration
from antiphon.testing import SimulatedCall
from antiphon.turns import TurnPolicy
from antiphon.worker import Quality, Session, Turn, TurnQuality
from antiphon.worker.ingest import Conceal, PcmAssembler
from antiphon.worker.order import Order
from tests.support.speech import say

AgentCall = Callable[..., SimulatedCall]
RATE = 16_000


def frame(sequence: int, *, flags: int = 0, payload: bytes = SILENCE_20_MS, late_s: float = 0.0) -> Frame:
    arrival = round((sequence * 0.02 + late_s) * 1e6)
    return Frame(sequence, sequence * 960, arrival, 960, 0x190, flags, payload)


def spoken(text: str) -> list[Frame]:
    """Speech as frames, as an edge marks them."""
    encoder, speech = Encoder(RATE), say(text)
    blocks = speech[: len(speech) // 320 * 320].reshape(-1, 320)
    packets = [encoder.encode(block) for block in blocks]
    return [frame(n, payload=p, flags=FEC if carries_fec(p) else 0) for n, p in enumerate(packets)]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"antiphon_{name}_total", labels) or 0.0


# what an agent sees


def test_a_gap_is_announced_and_its_repair_comes_marked(agent_call: AgentCall) -> None:
    seen: list[Frame | Gap] = []

    async def agent(session: Session) -> None:
        async for item in session.frames(gaps=True):
            seen.append(item)  # noqa: PERF401 - a comprehension would lose all when cancelled

    call = agent_call(agent)
    call.says("testing", seconds=0.4, late={5: 0.08}, lost={9})
    gaps = [item for item in seen if isinstance(item, Gap)]
    assert [gap.lost for gap in gaps] == [False, True]
    repaired = [item for item in seen if isinstance(item, Frame) and item.repaired]
    assert [item.sequence for item in repaired] == [gaps[0].first]
    assert seen.index(repaired[0]) > seen.index(gaps[0])


def test_pcm_waits_for_a_repair_and_puts_it_in_its_place(agent_call: AgentCall) -> None:
    whole, repaired = (heard_by(agent_call, late) for late in ({}, {10: 0.1, 11: 0.1, 30: 0.06}))
    assert len(whole) == len(repaired)
    assert np.array_equal(whole, repaired)


def heard_by(agent_call: AgentCall, late: dict[int, float]) -> np.ndarray:
    pieces: list[np.ndarray] = []

    async def agent(session: Session) -> None:
        async for samples in session.pcm(RATE):
            pieces.append(samples)  # noqa: PERF401 - a comprehension would lose all when cancelled

    call = agent_call(agent)
    call.says(say("nothing is missing here"), late=late)
    call.waits(0.5)
    return np.concatenate(pieces)


def test_pcm_does_not_wait_for_long(agent_call: AgentCall) -> None:
    heard_at: list[float] = []

    async def agent(session: Session) -> None:
        async for _ in session.pcm(RATE):
            heard_at.append(asyncio.get_running_loop().time())  # noqa: PERF401 - a comprehension would lose all

    call = agent_call(agent)
    call.measures(Quality(rtt_s=0.08))
    call.says("testing", seconds=1.0, late={20: 5.0})
    call.waits(0.2)
    pauses = np.diff(heard_at)
    assert max(pauses) == pytest.approx(0.12, abs=0.021)  # a round trip and a little, seen at frames' ends


# turns


def turns_of(
    agent_call: AgentCall, policy: TurnPolicy, late: dict[int, float], rtt_s: float = 0.1
) -> list[tuple[float, Turn]]:
    turns: list[tuple[float, Turn]] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def note(turn: Turn) -> None:
            turns.append((asyncio.get_running_loop().time(), turn))

    call = agent_call(agent, policy=policy)
    call.measures(Quality(rtt_s=rtt_s))
    call.says("what time is it", seconds=1.0, late=late)
    call.waits(1.5)
    return turns


def test_a_turn_is_handed_over_at_once_when_nothing_is_missing(agent_call: AgentCall) -> None:
    ((at, turn),) = turns_of(agent_call, TurnPolicy(silence_s=0.1), {})
    assert at == pytest.approx(1.08, abs=0.03)
    assert turn.quality == TurnQuality(len(turn.audio), 0, 0, 0, turn.quality.jitter_s)


def test_a_key_pressed_within_a_turn_is_not_missing_of_it(agent_call: AgentCall) -> None:
    turns: list[Turn] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def note(turn: Turn) -> None:
            turns.append(turn)

    call = agent_call(agent, policy=TurnPolicy(silence_s=0.5))
    call.says("my number is", seconds=0.5)
    call.presses("7", seconds=0.2)
    call.says("thank you", seconds=0.5)
    call.waits(1.0)
    (turn,) = turns
    numbers = [one.sequence for one in turn.audio]
    assert numbers[-1] - numbers[0] + 1 > len(numbers)
    assert (turn.quality.expected, turn.quality.missing) == (len(numbers), 0)


def test_a_turn_waits_for_a_frame_that_is_on_its_way(agent_call: AgentCall) -> None:
    before = counted("worker_turn_gap_waits", outcome="repaired")
    ((at, turn),) = turns_of(agent_call, TurnPolicy(silence_s=0.1), {48: 0.18})
    sequences = [one.sequence for one in turn.audio]
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    assert at == pytest.approx(0.96 + 0.18, abs=0.03)
    assert (turn.quality.repaired, turn.quality.missing) == (1, 0)
    assert counted("worker_turn_gap_waits", outcome="repaired") == before + 1


def test_a_turn_waits_for_a_round_trip_and_no_longer(agent_call: AgentCall) -> None:
    before = counted("worker_turn_gap_waits", outcome="timeout")
    ((at, turn),) = turns_of(agent_call, TurnPolicy(silence_s=0.1), {48: 3.0}, rtt_s=0.1)
    assert at == pytest.approx(1.08 + 0.12, abs=0.03)
    assert (turn.quality.repaired, turn.quality.missing) == (0, 1)
    assert counted("worker_turn_gap_waits", outcome="timeout") == before + 1


@pytest.mark.parametrize("gap_wait_s", [0.0, 0.05])
def test_the_policy_bounds_the_wait(agent_call: AgentCall, gap_wait_s: float) -> None:
    ((at, _),) = turns_of(agent_call, TurnPolicy(silence_s=0.1, gap_wait_s=gap_wait_s), {48: 3.0}, rtt_s=0.25)
    assert at == pytest.approx(1.08 + gap_wait_s, abs=0.03)


def test_a_caller_who_goes_on_ends_the_wait_and_the_turns_are_one(agent_call: AgentCall) -> None:
    turns: list[Turn] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def note(turn: Turn) -> None:
            turns.append(turn)

    call = agent_call(agent, policy=TurnPolicy(silence_s=0.1, gap_wait_s=2.0, onset_s=0.02))
    call.measures(Quality(rtt_s=1.9))
    call.says("one", seconds=0.5, late={24: 9.0})
    call.waits(0.2)
    assert not turns
    call.says("two", seconds=0.5)
    call.waits(2.5)
    (turn,) = turns
    assert (turn.text, turn.quality.missing) == ("one two", 1)


def test_quality_is_what_the_edge_told_last(agent_call: AgentCall) -> None:
    seen: list[Quality] = []

    async def agent(session: Session) -> None:
        while True:
            seen.append(session.quality)
            await asyncio.sleep(1)

    call = agent_call(agent)
    call.waits(0.1)
    before = counted("worker_caller_packets", outcome="repaired_nack")
    call.measures(Quality(0.08, 0.004, 1000, 100, 90, 8, 1, 3, 2, 3))
    call.waits(1)
    assert seen[0] == Quality()
    assert (seen[-1].loss_before_repair, seen[-1].loss) == (0.1, 0.002)
    assert counted("worker_caller_packets", outcome="repaired_nack") == before + 8


def test_a_turns_quality_tells_what_is_missing_repaired_and_recovered() -> None:
    frames = [
        frame(10), frame(11, flags=REPAIR, late_s=0.2), frame(12, flags=REDUNDANT), frame(15, flags=FEC), frame(17),
    ]  # fmt: skip
    quality = TurnQuality.of(frames)
    assert (quality.expected, quality.missing, quality.repaired, quality.fec_recovered) == (8, 3, 2, 1)
    assert quality.jitter_s == 0.0  # repairs are no jitter
    assert TurnQuality.of([]) == TurnQuality()


# samples


def samples(frames: Sequence[Frame], conceal: Conceal = "silence") -> np.ndarray:
    assembler = PcmAssembler(RATE, conceal)
    return np.concatenate([assembler.push(one) for one in frames])


def without_fec(frames: Sequence[Frame], lost: int) -> list[Frame]:
    return [one._replace(flags=0) for one in frames if one.sequence != lost]


def loudest_with_fec(frames: Sequence[Frame]) -> int:
    """A frame in the middle of speech whose follower carries FEC of it."""
    pcm = np.abs(samples(frames).reshape(-1, 320).astype(int)).mean(axis=1)
    following = [n for n in range(10, len(frames) - 1) if frames[n + 1].fec]
    assert following, "the encoder makes FEC"
    return max(following, key=lambda n: float(pcm[n]))


def test_a_lost_frame_is_decoded_from_the_fec_of_the_next() -> None:
    frames = spoken("The quick brown fox jumps over the lazy dog.")
    lost = loudest_with_fec(frames)
    place = slice(lost * 320, lost * 320 + 320)
    whole = samples(frames).astype(float)
    recovered = samples([one for one in frames if one.sequence != lost]).astype(float)
    assert len(recovered) == len(whole)
    likeness = np.corrcoef(whole[place], recovered[place])[0, 1]
    assert likeness > 0.8


def test_what_is_lost_without_fec_is_silence_or_left_out_or_made_up_as_asked() -> None:
    frames = spoken("The quick brown fox jumps over the lazy dog.")
    lost = loudest_with_fec(frames)
    rest = without_fec(frames, lost)
    silence, omitted, made_up = (samples(rest, conceal) for conceal in ("silence", "omit", "opus"))
    place = slice(lost * 320, lost * 320 + 320)
    assert not silence[place].any()
    assert len(omitted) == len(silence) - 320
    assert np.abs(made_up[place]).max() > 100
    assert len(made_up) == len(silence)


def test_a_pause_of_dtx_is_zeros_whatever_conceals_losses() -> None:
    frames = [frame(0), Frame(1, 960 * 20, 0, 960, 0, FEC, SILENCE_20_MS)]
    for conceal in ("silence", "omit", "opus"):
        assert len(samples(frames, conceal)) == 21 * 320


@given(st.binary(min_size=1, max_size=60))
def test_fec_is_told_of_any_bytes_without_failing(packet: bytes) -> None:
    if carries_fec(packet):
        assert frame_duration(packet) >= 480
        assert packet[0] < 0x80


def test_fec_is_told_as_libopus_tells_it() -> None:
    library = Decoder(RATE)._library
    oracle = library.opus_packet_has_lbrr
    packets = [one.payload for one in spoken("The quick brown fox jumps over the lazy dog.")]
    told = [carries_fec(packet) for packet in packets]
    assert told == [oracle(packet, len(packet)) == 1 for packet in packets]
    assert any(told)
    assert not all(told)


# order


@given(st.permutations(range(12)), st.sets(st.integers(1, 11), max_size=6))
def test_frames_come_out_in_order_once_their_gaps_are_announced(arrivals: list[int], lost: set[int]) -> None:
    order, out, highest = Order(), [], -1
    for sequence in [one for one in arrivals if one not in lost]:
        if sequence > highest + 1:
            out += order.hear(Gap(highest + 1, sequence - highest - 1, lost=False), 0.0, 1.0)
        highest = max(highest, sequence)
        out += order.hear(frame(sequence), 0.0, 1.0)
    out += order.pass_over(1.0)
    sequences = [one.sequence for one in out]
    assert sequences == sorted(sequences)
    assert sorted(sequences) == [one for one in range(12) if one not in lost]


def test_what_is_lost_for_good_is_not_waited_for() -> None:
    order = Order()
    assert order.hear(Gap(5, 2, lost=False), 0.0, 1.0) == []
    assert order.hear(frame(7), 0.0, 1.0) == []
    assert order.deadline == 1.0
    assert order.hear(Gap(5, 2, lost=True), 0.1, 1.0) == [frame(7)]
    assert order.deadline is None
