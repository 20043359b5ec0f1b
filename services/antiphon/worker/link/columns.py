"""Columns of the media link, to rows and back: a message is parsed once, whatever is in it."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from antiphon.frames import Frame, Gap, VoiceHint
from antiphon.turns import Echo
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.worker.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Sized

HOLD, RESUME, FLUSH, RELEASE = 0, 1, 2, 3


class BadColumnsError(ValueError):
    """Columns of one table differ in length, or sizes do not add up to the payload."""


def _check_lengths(*columns: Sized) -> None:
    if len(set(map(len, columns))) != 1:
        raise BadColumnsError(f"columns of {', '.join(str(len(column)) for column in columns)} rows")


def ingest_rows(frames: pb.IngestFrames) -> Iterator[tuple[int, Frame]]:
    """Returns (session handle, frame) for each row."""
    columns = (
        list(frames.sequence), list(frames.timestamp), list(frames.arrival_us), list(frames.duration),
        list(frames.level), list(frames.flags),
    )  # fmt: skip
    sessions, sizes = list(frames.session), list(frames.size)
    _check_lengths(sessions, sizes, *columns)
    packets = _split(frames.payload, sizes)
    return zip(sessions, map(Frame._make, zip(*columns, packets, strict=True)), strict=True)


def _split(payload: bytes, sizes: Sequence[int]) -> list[bytes]:
    packets = []
    begin = 0
    for size in sizes:
        end = begin + size
        packets.append(payload[begin:end])
        begin = end
    if begin != len(payload):
        raise BadColumnsError(f"sizes add up to {begin}, payload has {len(payload)} bytes")
    return packets


def gap_rows(gaps: pb.IngestGaps) -> Iterator[tuple[int, Gap]]:
    _check_lengths(gaps.session, gaps.first, gaps.count, gaps.state)
    for session, first, count, state in zip(gaps.session, gaps.first, gaps.count, gaps.state, strict=True):
        yield session, Gap(first, count, state == 1)


_ECHOES = (Echo.UNTOLD, Echo.UNKNOWN, Echo.NONE, Echo.HEARD)
_ECHO_FOUND = 3


def quality_rows(table: pb.IngestQuality) -> Iterator[tuple[int, Quality]]:
    """Returns (session handle, quality) for each row. An edge of an older version tells of no echo."""
    echoes = table.echo or [0] * len(table.session)
    _check_lengths(
        table.session, table.rtt_us, table.jitter_us, table.expected, table.lost_before_repair, table.repaired_red,
        table.repaired_nack, table.late, table.reordered, table.duplicates, table.lost, echoes,
    )  # fmt: skip
    for row, session in enumerate(table.session):
        yield (
            session,
            Quality(
                rtt_s=table.rtt_us[row] / 1e6 if table.rtt_us[row] else None,
                jitter_s=table.jitter_us[row] / 1e6,
                expected=table.expected[row],
                lost_before_repair=table.lost_before_repair[row],
                repaired_red=table.repaired_red[row],
                repaired_nack=table.repaired_nack[row],
                late=table.late[row],
                reordered=table.reordered[row],
                duplicates=table.duplicates[row],
                lost=table.lost[row],
                echo=_ECHOES[min(echoes[row], _ECHO_FOUND)],
                echo_loss_db=echoes[row] - _ECHO_FOUND if echoes[row] >= _ECHO_FOUND else None,
            ),
        )


def drop_rows(drops: pb.IngestDrops) -> Iterator[tuple[int, int]]:
    _check_lengths(drops.session, drops.count)
    return zip(drops.session, drops.count, strict=True)


def report_rows(reports: pb.PlayoutReports) -> Iterator[tuple[int, ...]]:
    """Returns (session handle, then what `Speaker.report` takes in its order) for each row.

    An edge of an older version tells no times: they are 0.
    """
    unknown = [0] * len(reports.session)
    columns = (
        reports.session, reports.utterance, reports.sent, reports.heard, reports.state, reports.received, reports.basis,
        reports.underruns, reports.began_us or unknown, reports.way_us or unknown, reports.to_the_ear_us or unknown,
    )  # fmt: skip
    _check_lengths(reports.queued, *columns)
    return zip(*columns, strict=True)


def hint_rows(hints: pb.VoiceHints) -> Iterator[tuple[int, VoiceHint]]:
    """Returns (session handle, hint) for each row."""
    columns = hints.at_us, hints.timestamp, hints.kind, hints.level, hints.held
    _check_lengths(hints.session, *columns)
    for session, at_us, timestamp, kind, level, held in zip(hints.session, *columns, strict=True):
        yield session, VoiceHint(at_us, timestamp, kind == 0, -level, bool(held))


class Outbox:
    """Columns of one media stream that wait to be sent. Commands go before the frames of the same message."""

    def __init__(self) -> None:
        self._frames: tuple[list[int], ...] = ([], [], [], [], [], [], [])
        self._payloads: list[bytes] = []
        self._commands: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._receipts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._payloads) + len(self._commands[0]) + len(self._receipts)

    def play(
        self, session: int, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0
    ) -> None:
        sessions, utterances, generations, durations, all_flags, sizes, levels = self._frames
        sessions.append(session)
        utterances.append(utterance)
        generations.append(generation)
        durations.append(duration)
        all_flags.append(flags)
        sizes.append(len(payload))
        levels.append(level)
        self._payloads.append(payload)

    def command(self, session: int, command: int, generation: int = 0) -> None:
        if command == FLUSH:
            self._forget(session, generation)
        sessions, commands, generations = self._commands
        sessions.append(session)
        commands.append(command)
        generations.append(generation)

    def done(self, session: int, timestamp: int) -> None:
        """Of a session's receipts the last is enough."""
        self._receipts[session] = timestamp

    def _forget(self, session: int, generation: int) -> None:
        """Frames that the edge would refuse need not travel."""
        sessions, _, generations, *_ = self._frames
        keep = [s != session or g >= generation for s, g in zip(sessions, generations, strict=True)]
        if not all(keep):
            for column in self._frames:
                column[:] = compress(column, keep)
            self._payloads[:] = compress(self._payloads, keep)

    def take(self) -> pb.MediaResponse:
        """Returns all that waits, as one message."""
        sessions, utterances, generations, durations, flags, sizes, levels = self._frames
        message = pb.MediaResponse()
        if sessions:
            message.frames.MergeFrom(
                pb.PlayoutFrames(
                    session=sessions, utterance=utterances, generation=generations, duration=durations,
                    flags=flags, size=sizes, level=levels, payload=b"".join(self._payloads),
                )
            )  # fmt: skip
            for column in self._frames:
                column.clear()
            self._payloads.clear()
        if self._commands[0]:
            handles, commands, command_generations = self._commands
            message.commands.MergeFrom(
                pb.PlayoutCommands(session=handles, command=commands, generation=command_generations)
            )
            for column in self._commands:
                column.clear()
        if self._receipts:
            receipts = pb.IngestReceipts(session=self._receipts.keys(), timestamp=self._receipts.values())
            message.receipts.MergeFrom(receipts)
            self._receipts.clear()
        return message
