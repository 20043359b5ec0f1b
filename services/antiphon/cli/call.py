"""`antiphon call`: one call from the command line, and an account of what happened in it, also after a Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from antiphon.cli.services import until_signal
from antiphon.client import CallEndedError, Caller, CallError, audible_seconds, read_audio, write_wav

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from antiphon.client import Statistics

_QUIET = 2.5
"""Seconds of silence after which an answer counts as done."""
_SLACK = 0.3
"""Seconds before our last word that an answer may end: an echo's end is no louder than our own."""
_NO_ANSWER = 10.0
"""Seconds to wait for an answer to begin."""
_STEPS = {
    "http": "answer",
    "ice": "ICE",
    "dtls": "DTLS",
    "data_channel": "data channel",
    "first_frame": "first frame heard",
}


@dataclass(frozen=True)
class Wish:
    """The command's options."""

    url: str
    agent: str | None
    room: str | None
    play: Path | None
    record: Path | None
    region: str | None
    token: str | None
    seconds: float | None
    recording: bool
    as_json: bool


@dataclass
class Account:
    """What is told at the end. Times are in seconds since the call began."""

    session: str
    agent: str
    edge: str
    region: str
    worker: str
    said: list[tuple[float, float]] = field(default_factory=list)
    heard: list[tuple[float, float]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)
    """Of each turn: where the time went until the answer."""
    utterances: list[dict[str, Any]] = field(default_factory=list)
    end: str = ""
    statistics: dict[str, Any] = field(default_factory=dict)
    recording: str | None = None
    kept: str = ""
    """What Antiphon said of its own recording: started, ended or failed, and why; empty where none was wished for."""
    room: str | None = None
    members: list[str] = field(default_factory=list)
    voices: list[list[tuple[float, float]]] = field(default_factory=list)
    """What was heard in each receive slot of the room."""


async def call_agent(wish: Wish) -> int:
    """Returns the exit code: 0, 1 when the call did not work, 2 when the options were wrong."""
    try:
        sound = read_audio(wish.play) if wish.play is not None else None
        if wish.record is not None:
            write_wav(wish.record, np.zeros(0, np.int16))  # told before the call, not after it
    except CallError as error:
        return _complain(str(error), 2)
    caller = Caller(
        wish.url, agent=wish.agent, room=wish.room, region=wish.region, recording=wish.recording, token=wish.token
    )
    said: list[tuple[float, float]] = []
    try:
        async with caller:
            await until_signal(_talk(caller, sound, said, wish.seconds), lambda _: None)
    except CallError as error:
        return _complain(str(error), 1)
    account = await _account(caller, wish, said)
    print(json.dumps(asdict(account), indent=2) if wish.as_json else _in_words(account, await caller.statistics()))
    return 0


async def _talk(
    caller: Caller, sound: NDArray[np.int16] | None, said: list[tuple[float, float]], seconds: float | None
) -> None:
    """Returns when the call has run its course; how it ended is told in the account."""
    with contextlib.suppress(TimeoutError, CallEndedError):
        async with asyncio.timeout(seconds):
            if sound is None:
                await caller.wait_ended()
            else:
                said.append(await caller.play(sound))
                await _until_answered(caller, said[-1][0] + audible_seconds(sound))


async def _until_answered(caller: Caller, ended_speaking: float) -> None:
    """Returns when the agent has said its say, or has nothing to say, or the call ends."""
    while not caller.ended:
        heard = caller.hearing.last_audible_at or 0.0
        last = max(ended_speaking, heard)
        answered = heard > ended_speaking - _SLACK or bool(caller.journal.utterances)
        patience = _QUIET if answered else _NO_ANSWER
        if not caller.journal.speaking() and caller.now() - last > patience:
            return
        await asyncio.sleep(0.05)


async def _account(caller: Caller, wish: Wish, said: list[tuple[float, float]]) -> Account:
    if wish.record is not None:
        write_wav(wish.record, caller.recording())
    return Account(
        session=caller.session,
        agent=caller.journal.agent or wish.agent or "",
        room=wish.room,
        members=sorted(caller.journal.members),
        voices=[[(one.begin, one.end) for one in voice.stretches] for voice in caller.voices],
        edge=caller.edge,
        region=caller.region,
        worker=caller.worker,
        said=said,
        heard=[(stretch.begin, stretch.end) for stretch in caller.hearing.stretches],
        turns=[asdict(turn) for turn in caller.journal.turns.values()],
        traces=[asdict(trace) for trace in caller.journal.traces.values()],
        utterances=[asdict(utterance) for utterance in caller.journal.utterances.values()],
        end=caller.end_reason,
        statistics=asdict(await caller.statistics()),
        recording=str(wish.record) if wish.record else None,
        kept=_kept(caller) if wish.recording else "",
    )


def _in_words(account: Account, statistics: Statistics) -> str:
    where = f"edge {account.edge}" + (f" in {account.region}" if account.region else "") + f", worker {account.worker}"
    whom = f"room {account.room}" if account.room else account.agent
    lines = [
        f"called     {whom} ({account.session})",
        f"over       {where}",
        f"set-up     {_setup(statistics)}",
    ]
    lines += [f"said       {_span(begin, end)}" for begin, end in account.said]
    lines += [
        f"turn {turn['number']:<5} {turn['state']} at {turn['said_at']:.2f} s, {turn['audio_ms'] / 1000:.2f} s of audio"
        for turn in account.turns
    ]
    lines += [f"latency {trace['turn']:<2} {_latency(trace)}" for trace in account.traces]
    lines += [
        f"answer {utterance['number']:<3} {utterance['state']} from {utterance['began']:.2f} s, "
        f"heard {utterance['heard_ms'] / 1000:.2f} of {utterance['length_ms'] / 1000:.2f} s"
        for utterance in account.utterances
    ]
    lines += [f"heard      {_span(begin, end)}" for begin, end in account.heard]
    lines += [
        f"voice {slot:<4} {_span(begin, end)}"
        for slot, stretches in enumerate(account.voices, 1)
        for begin, end in stretches
    ]
    lines.append(f"network    {_network(statistics)}")
    if account.recording:
        lines.append(f"recorded   {account.recording}")
    if account.kept:
        lines.append(f"kept       recording {account.kept}: GET /v1/sessions/{account.session}/recording")
    lines.append(f"ended      {account.end}")
    return "\n".join(lines)


def _kept(caller: Caller) -> str:
    state, reason = caller.journal.recording or "not started", caller.journal.recording_reason
    return f"{state} ({reason})" if reason else state


def _latency(trace: dict[str, Any]) -> str:
    """Stages of less than a millisecond are left out."""
    parts = ", ".join(f"{name} {took:.0f}" for name, took in trace["stages"] if took >= 1)
    if trace["response_ms"] is None:
        return f"{trace['outcome']}: {parts} ms" if parts else str(trace["outcome"])
    return f"{trace['response_ms']:.0f} ms from the last sound to the answer: {parts}"


def _setup(statistics: Statistics) -> str:
    known = [f"{name} {statistics.setup_ms[key]:.0f} ms" for key, name in _STEPS.items() if key in statistics.setup_ms]
    return ", ".join(known)


def _network(statistics: Statistics) -> str:
    rtt = f"round trip {statistics.rtt_ms:.1f} ms" if statistics.rtt_ms is not None else "round trip not known yet"
    jitter = f", jitter {statistics.jitter_ms:.1f} ms" if statistics.jitter_ms is not None else ""
    return (
        f"{rtt}{jitter}, {statistics.packets_sent} packets sent ({statistics.lost_upstream} lost), "
        f"{statistics.packets_received} received ({statistics.lost} lost, {statistics.loss_percent:.1f} %)"
    )


def _span(begin: float, end: float) -> str:
    return f"{begin:.2f} to {end:.2f} s"


def _complain(message: str, code: int) -> int:
    print(f"antiphon: {message}", file=sys.stderr)
    return code
