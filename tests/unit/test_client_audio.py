"""The Python caller's audio: pacing of what it says, and recordings that are true to time."""

from __future__ import annotations

import asyncio
import fractions
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from antiphon.client import RATE, CallEndedError, CallError, Hearing, Speaking, audible_seconds, read_audio, write_wav
from antiphon.client.audio import FRAME, at_call_rate, level_dbfs
from tests.support.speech import say
from tests.support.speech import write_wav as write_speech

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


def tone(seconds: float, hertz: float = 440.0) -> NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


def opus(pcm: NDArray[np.int16]) -> list[bytes]:
    """Encodes in frames of 20 ms."""
    codec = av.CodecContext.create("libopus", "w")
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", RATE
    codec.time_base = fractions.Fraction(1, RATE)
    packets: list[bytes] = []
    for start in range(0, len(pcm) - FRAME + 1, FRAME):
        frame = av.AudioFrame.from_ndarray(pcm[start : start + FRAME].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, fractions.Fraction(1, RATE)
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


async def test_frames_leave_20_ms_apart_with_silence_when_nothing_is_said() -> None:
    clock = Clock()
    track = Speaking(clock, clock.sleep)
    times = []
    for _ in range(5):
        frame = await track.recv()
        times.append(clock.time)
        assert not frame.to_ndarray().any()
    assert times == pytest.approx([100.0, 100.02, 100.04, 100.06, 100.08])


async def test_what_is_said_is_sent_whole_and_its_time_is_told() -> None:
    clock = Clock()
    track = Speaking(clock, clock.sleep)
    await track.recv()
    sound = tone(0.05)
    playing = asyncio.create_task(track.play(sound))
    await asyncio.sleep(0)
    sent = np.concatenate([(await track.recv()).to_ndarray().reshape(-1) for _ in range(4)])
    assert np.array_equal(sent[: len(sound)], sound)
    assert not sent[len(sound) :].any()
    assert await playing == pytest.approx((100.02, 100.07))


async def test_two_pieces_follow_each_other_without_a_gap() -> None:
    clock = Clock()
    track = Speaking(clock, clock.sleep)
    first, second = tone(0.03), tone(0.03, 600)
    playing = asyncio.gather(track.play(first), track.play(second))
    await asyncio.sleep(0)
    sent = np.concatenate([(await track.recv()).to_ndarray().reshape(-1) for _ in range(3)])
    assert np.array_equal(sent, np.concatenate([first, second]))
    (_, first_end), (second_begin, _) = await playing
    assert first_end == pytest.approx(second_begin)


async def test_a_call_that_ends_fails_what_is_not_yet_said() -> None:
    track = Speaking()
    playing = asyncio.create_task(track.play(tone(1.0)))
    await asyncio.sleep(0)
    track.end("the agent hung up")
    with pytest.raises(CallEndedError, match="the agent hung up"):
        await playing
    with pytest.raises(CallEndedError):
        await track.play(tone(1.0))


async def test_a_cancelled_piece_is_not_sent() -> None:
    clock = Clock()
    track = Speaking(clock, clock.sleep)
    playing = asyncio.create_task(track.play(tone(1.0)))
    await asyncio.sleep(0)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    assert not (await track.recv()).to_ndarray().any()


def hear(hearing: Hearing, clock: Clock, packets: list[tuple[int, bytes]], ssrc: int = 7) -> None:
    for timestamp, payload in packets:
        hearing.packet(ssrc, timestamp % (1 << 32), payload)
        clock.time += 0.02


def test_recording_puts_packets_where_their_timestamps_say() -> None:
    clock = Clock()
    hearing = Hearing(clock)
    clock.time += 1.0
    packets = opus(tone(0.2))
    start = (1 << 32) - 3 * FRAME  # wraps in the midst
    stamped = [(start + index * FRAME, packet) for index, packet in enumerate(packets)]
    later = [(start + (50 + index) * FRAME, packet) for index, packet in enumerate(packets)]
    stamped[4], stamped[5] = stamped[5], stamped[4]
    hear(hearing, clock, [*stamped, *later, later[-1]])

    pcm = hearing.pcm()

    assert level_dbfs(pcm[: RATE - FRAME]) < -100
    assert level_dbfs(pcm[RATE + 2 * FRAME : RATE + 10 * FRAME]) > -20
    assert level_dbfs(pcm[RATE + 12 * FRAME : RATE + 49 * FRAME]) < -100
    assert level_dbfs(pcm[RATE + 52 * FRAME : RATE + 60 * FRAME]) > -20
    assert len(pcm) == RATE + 60 * FRAME
    assert hearing.duplicates == 1
    assert hearing.first_at == pytest.approx(1.0)
    spans = [(stretch.begin, stretch.end) for stretch in hearing.stretches]
    assert spans == [pytest.approx((1.0, 1.2), abs=0.021), pytest.approx((2.0, 2.2), abs=0.021)]


def test_a_new_source_is_placed_by_its_arrival() -> None:
    clock = Clock()
    hearing = Hearing(clock)
    packets = opus(tone(0.1))
    hear(hearing, clock, [(1000 + index * FRAME, packet) for index, packet in enumerate(packets)])
    clock.time = 102.0
    hear(hearing, clock, [(9_000_000 + index * FRAME, packet) for index, packet in enumerate(packets)], ssrc=8)
    assert len(hearing.pcm()) == 2 * RATE + len(packets) * FRAME


def test_what_is_not_opus_is_counted() -> None:
    hearing = Hearing(Clock())
    hearing.packet(1, 0, b"\xff\xff\xff")
    hearing.packet(1, 960, b"")
    assert hearing.broken == 1
    assert len(hearing.pcm()) == 0


def test_sound_files_of_any_rate_are_read_at_the_call_s(tmp_path: Path) -> None:
    speech = say("good morning", 16000)
    pcm = read_audio(write_speech(tmp_path / "in.wav", speech, 16000))
    assert len(pcm) == pytest.approx(3 * len(speech), abs=FRAME)
    assert len(at_call_rate(speech, 16000)) == len(pcm)
    write_wav(tmp_path / "out.wav", pcm)
    assert np.array_equal(read_audio(tmp_path / "out.wav"), pcm)


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    file = tmp_path / "words.wav"
    file.write_text("no sound")
    with pytest.raises(CallError, match=r"words\.wav as sound"):
        read_audio(file)
    with pytest.raises(CallError, match="No such file"):
        read_audio(tmp_path / "missing.wav")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"cannot write .*out\.wav: No such file or directory"):
        write_wav(tmp_path / "nowhere" / "out.wav", tone(0.1))


def test_silence_at_the_end_is_not_audible() -> None:
    assert audible_seconds(np.concatenate([tone(0.5), np.zeros(RATE, np.int16)])) == pytest.approx(0.5)
    assert audible_seconds(np.zeros(RATE, np.int16)) == 0
