"""Columns of the link, out and back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.frames import Frame
from antiphon.turns import Echo
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.worker.link.columns import (
    FLUSH,
    BadColumnsError,
    Outbox,
    drop_rows,
    gap_rows,
    ingest_rows,
    quality_rows,
    report_rows,
)

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
ROWS = st.lists(st.tuples(U32, st.builds(Frame, U64, U64, U64, U32, U32, U32, st.binary(max_size=40))), max_size=20)


@given(ROWS)
def test_ingest_rows_come_back_as_they_went(rows: list[tuple[int, Frame]]) -> None:
    frames = [frame for _, frame in rows]
    message = pb.IngestFrames(
        session=[session for session, _ in rows],
        sequence=[frame.sequence for frame in frames],
        timestamp=[frame.timestamp for frame in frames],
        arrival_us=[frame.arrival_us for frame in frames],
        duration=[frame.duration for frame in frames],
        level=[frame.level for frame in frames],
        flags=[frame.flags for frame in frames],
        size=[len(frame.payload) for frame in frames],
        payload=b"".join(frame.payload for frame in frames),
    )
    assert list(ingest_rows(pb.IngestFrames.FromString(message.SerializeToString()))) == rows


@given(st.lists(st.tuples(U32, U32, U32, U32, U32, st.binary(max_size=40)), max_size=20))
def test_played_frames_travel_in_order(rows: list[tuple[int, int, int, int, int, bytes]]) -> None:
    outbox = Outbox()
    for row in rows:
        outbox.play(*row)
    assert len(outbox) == len(rows)
    frames = outbox.take().frames
    ends = [sum(frames.size[: n + 1]) for n in range(len(rows))]
    payloads = [frames.payload[end - size : end] for end, size in zip(ends, frames.size, strict=True)]
    columns = (frames.session, frames.utterance, frames.generation, frames.duration, frames.flags)
    assert list(zip(*columns, payloads, strict=True)) == rows
    assert len(outbox) == 0
    assert not outbox.take().HasField("frames")


def test_a_flush_takes_back_what_was_not_sent_yet_of_that_session_only() -> None:
    outbox = Outbox()
    for session in (1, 2):
        outbox.play(session, 1, 0, 960, 0, bytes([session]))
    outbox.command(1, FLUSH, 1)
    outbox.play(1, 2, 1, 960, 0, b"new")
    message = outbox.take()
    assert list(message.frames.session) == [2, 1]
    assert message.frames.payload == b"\x02new"
    assert list(message.commands.generation) == [1]


@given(st.lists(st.tuples(*[U32] * 3, *[U64] * 8, U32), max_size=20))
def test_quality_rows_come_back_as_they_went(rows: list[tuple[int, ...]]) -> None:
    names = [field.name for field in pb.IngestQuality.DESCRIPTOR.fields]
    message = pb.IngestQuality(**{name: [row[at] for row in rows] for at, name in enumerate(names)})
    for row, (session, quality) in zip(rows, quality_rows(message), strict=True):
        told = dict(zip(names, row, strict=True))
        assert session == told["session"]
        assert quality.rtt_s == (told["rtt_us"] / 1e6 if told["rtt_us"] else None)
        assert quality.jitter_s == told["jitter_us"] / 1e6
        assert quality.echo_loss_db == (told["echo"] - 3 if told["echo"] > 2 else None)
        assert quality.echo is list(Echo)[min(told["echo"], 3)]
        assert all(getattr(quality, name) == told[name] for name in names[3:-1])


@given(st.binary(max_size=200))
def test_any_message_is_rows_or_refused(data: bytes) -> None:
    try:
        message = pb.MediaRequest.FromString(data)
    except Exception:
        return
    for rows, table in (
        (lambda: ingest_rows(message.frames), message.frames),
        (lambda: gap_rows(message.gaps), message.gaps),
        (lambda: drop_rows(message.drops), message.drops),
        (lambda: quality_rows(message.quality), message.quality),
        (lambda: report_rows(message.playout), message.playout),
    ):
        with suppress(BadColumnsError):
            assert len(list(rows())) == len(table.session)


@pytest.mark.parametrize("size", [[4], [6], [2**32 - 1]])
def test_sizes_must_add_up(size: list[int]) -> None:
    one = {
        "session": [1],
        "sequence": [1],
        "timestamp": [1],
        "arrival_us": [1],
        "duration": [1],
        "level": [1],
        "flags": [1],
    }
    with pytest.raises(BadColumnsError):
        list(ingest_rows(pb.IngestFrames(**one, size=size, payload=b"12345")))
