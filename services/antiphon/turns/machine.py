"""Who has the floor: evidence in, actions out. Pure, so that a recorded trace replays to the same decisions.

`advance` takes one piece of evidence, lets what it means happen (`opening`, `ending`, `floor`), and then all that time
has made due (`due`). The states are in `states`, the transitions in `table`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from antiphon.turns import ending, floor, opening, table
from antiphon.turns.actions import Action, Cause, Reason
from antiphon.turns.due import pass_time, wake_s
from antiphon.turns.evidence import (
    AgentEnds,
    AgentStarts,
    Clear,
    Clock,
    Commit,
    EchoState,
    EndAnswer,
    Evidence,
    Hint,
    HoldFloor,
    KindAnswer,
    Missing,
    ReplyEnded,
    Talk,
    Window,
    Words,
)
from antiphon.turns.states import (
    Awaiting,
    Contested,
    Held,
    Ignored,
    Onset,
    Open,
    Paused,
    Quiet,
    Silent,
    State,
    Talking,
    Tentative,
)
from antiphon.turns.work import Work

if TYPE_CHECKING:
    from antiphon.turns.policy import TurnPolicy

__all__ = ["advance", "step", "wake_s"]

_SHORTEST_PRESS_S = 0.2


def advance(state: State, policy: TurnPolicy, evidence: Evidence) -> tuple[State, tuple[Action, ...]]:
    """Returns the next state and what is to be done, in order. `wake_s` tells when time itself is evidence."""
    work = step(state, policy, evidence)
    return work.state, tuple(work.actions)


def step(state: State, policy: TurnPolicy, evidence: Evidence) -> Work:
    """As `advance`, with the rows of the table that were taken: `moves`."""
    work = Work(state, policy, evidence.at_s)
    was_calm = _calm(state)
    if isinstance(work.agent, Held) and not work.interruptible:
        floor.yield_no_more(work)
    _take(work, evidence)
    pass_time(work)
    if not was_calm and _calm(work.state):
        work.remember(calm_s=work.now_s)
    return work


def _calm(state: State) -> bool:
    return isinstance(state.caller, Quiet) and isinstance(state.agent, Silent)


def _take(work: Work, evidence: Evidence) -> None:  # noqa: C901, PLR0912 - one line for each kind of evidence
    match evidence:
        case Window():
            _hear(work, evidence)
        case Clock():
            _pass(work, evidence)
        case EndAnswer():
            ending.answer_end(work, evidence)
        case KindAnswer():
            if isinstance(work.caller, Contested | Ignored):
                if work.caller.asked_s == evidence.asked_s:
                    opening.answer_kind(work, work.caller, evidence.kind)
            else:
                ending.answer_kind(work, evidence)
        case Words():
            _hear_words(work, evidence)
        case Hint():
            opening.noticed(work, evidence)
        case EchoState():
            work.remember(echo=evidence.echo)
        case AgentStarts():
            floor.starts(work)
        case AgentEnds():
            floor.ends(work)
            _answered(work)
        case ReplyEnded():
            floor.reply_ended(work)
            _answered(work)
        case Missing():
            work.remember(missing=evidence.frames, missing_wait_s=evidence.wait_s)
        case Commit():
            _commit(work)
        case Clear():
            ending.drop(work, Cause.CLEARED)
        case Talk():
            _press(work) if evidence.begins else _let_go(work)
        case HoldFloor():
            seconds = min(evidence.seconds, work.policy.longest_s)
            work.remember(floor_until_s=work.now_s + max(0.0, seconds))


def _hear(work: Work, window: Window) -> None:
    """Windows in the past are ignored."""
    if window.end_s <= work.state.heard_s:
        return
    work.remember(heard_s=window.end_s, quiet_s=window.end_s)
    caller = work.caller
    match caller:
        case Quiet():
            opening.hear_quiet(work, caller, window)
        case Onset():
            opening.hear_onset(work, caller, window)
        case Contested() | Ignored():
            opening.hear_sound(work, caller, window)
        case Talking():
            ending.hear_talking(work, caller, window)
        case Paused():
            ending.hear_paused(work, caller, window)
        case Tentative():
            ending.hear_tentative(work, caller, window)
        case Awaiting():
            ending.hear_awaiting(work, caller, window)


def _pass(work: Work, clock: Clock) -> None:
    """Where no frames come, or none are judged, time is silence."""
    policy, silent_s = work.policy, work.now_s - work.policy.lag_s
    if work.now_s - clock.received_s >= policy.stall_s:
        silent_s = work.now_s - policy.stall_s
    if silent_s > work.state.quiet_s:
        work.remember(quiet_s=silent_s)


def _hear_words(work: Work, words: Words) -> None:
    caller = work.caller
    if not isinstance(caller, Contested | Ignored | Quiet):
        ending.hear_words(work, words.ending)
    elif not words.interrupts:
        opening.hear_assent(work)
    elif work.interruptible:
        opening.take_aside(work) if isinstance(caller, Quiet) else opening.speech(work)


def _answered(work: Work) -> None:
    """The agent has finished: what was let pass at its last words was the answer to them."""
    if isinstance(work.agent, Silent):
        opening.take_aside(work)


# commands


def _commit(work: Work) -> None:
    caller = work.caller
    if isinstance(caller, Onset | Contested | Ignored) and (voice_s := caller.voice_s) is not None:
        opening.start_turn(work, table.PRESSED, caller.since_s, voice_s)
    _end_by_command(work)


def _end_by_command(work: Work) -> None:
    caller = work.caller
    if not isinstance(caller, Open) or isinstance(caller, Awaiting):
        return
    speaking = work.state.quiet_s - caller.turn.voice_s < work.policy.tail_s
    ending.finish(work, Reason.COMMAND, work.now_s + work.policy.tail_s if speaking else 0.0)


def _press(work: Work) -> None:
    caller = work.caller
    if isinstance(caller, Talking):
        work.remember(caller=Talking(replace(caller.turn, pressed=True)))
    elif isinstance(caller, Paused | Tentative | Awaiting):
        ending.press_again(work, caller.turn)
    else:
        opening.start_turn(work, table.PRESSED, work.now_s, work.now_s, pressed=True)


def _let_go(work: Work) -> None:
    caller = work.caller
    if isinstance(caller, Talking) and caller.turn.pressed:
        turn = caller.turn
        if turn.voiced_s == 0 and work.now_s - turn.opened_s < _SHORTEST_PRESS_S:
            ending.drop(work, Cause.EMPTY)
        else:
            ending.finish(work, Reason.COMMAND, work.now_s + work.policy.tail_s)
