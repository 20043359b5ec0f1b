"""What happens by itself: all deadlines of a state, of which the machine lets those act that are reached."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from antiphon.turns import ending, floor, opening, table
from antiphon.turns.actions import AgentLate, Idle, Reason
from antiphon.turns.states import (
    Awaiting,
    Contested,
    Held,
    Ignored,
    Onset,
    Paused,
    Quiet,
    Silent,
    Talking,
    Tentative,
    Thinking,
)
from antiphon.turns.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiphon.turns.policy import TurnPolicy
    from antiphon.turns.states import State

_MOST_DOUBLINGS = 6
_MOST_STEPS = 32
_AGAIN_S = 0.05


class Due(NamedTuple):
    at_s: float
    audio: bool
    """Whether the caller's audio has to have come so far, in silence; else time has."""
    act: Callable[[Work], None]


def pass_time(work: Work) -> None:
    """Lets everything happen that is due."""
    for _ in range(_MOST_STEPS):
        reached = next((due for due in _dues(work) if _reached(work, due)), None)
        if reached is None:
            return
        reached.act(work)
    raise AssertionError(f"what is due stays due: {work.state}")


def wake_s(state: State, policy: TurnPolicy) -> float | None:
    """When the machine wants to hear of time, if nothing else comes; None while it need not."""
    at_s = [
        max(due.at_s + policy.stall_s if due.audio else due.at_s, state.now_s)
        for due in _dues(Work(state, policy, state.now_s))
    ]
    if not at_s:
        return None
    earliest = min(at_s)
    # Audio that is due but was not judged yet, although its frames came: look again soon.
    return earliest if earliest > state.now_s else state.now_s + _AGAIN_S


def _reached(work: Work, due: Due) -> bool:
    return (work.state.quiet_s if due.audio else work.now_s) >= due.at_s


def _dues(work: Work) -> Iterator[Due]:
    caller = work.caller
    match caller:
        case Quiet():
            yield from _of_quiet(work, caller)
        case Onset():
            yield from _of_onset(work, caller)
        case Contested():
            yield from _of_contested(work, caller)
        case Ignored():
            yield Due(caller.voice_s + work.policy.over_s, True, opening.faded)
            if caller.asked_s is None:
                yield Due(caller.again_s, False, lambda work: opening.ask_kind(work, caller))
        case Awaiting():
            whole = caller.not_before_s if not work.state.missing else caller.until_s
            yield Due(whole, False, lambda work: ending.awaited(work, caller))
        case _:
            yield from _of_turn(work, caller)
    if isinstance(work.agent, Thinking) and work.policy.late_s is not None and not work.agent.late:
        yield Due(work.agent.since_s + work.policy.late_s, False, _late)


def _of_quiet(work: Work, quiet: Quiet) -> Iterator[Due]:
    state, policy = work.state, work.policy
    if isinstance(work.agent, Held):
        back_off_s = policy.back_off_s * 2 ** min(max(0, state.yields - 1), _MOST_DOUBLINGS)
        yield Due(quiet.free_s + (back_off_s if work.agent.yielded else 0.0), False, floor.yield_no_more)
    elif isinstance(work.agent, Silent) and policy.idle_s is not None:
        idle_s = policy.idle_s * 2 ** min(state.idles, _MOST_DOUBLINGS)
        yield Due(max(state.calm_s + idle_s, state.floor_until_s), False, _idle)


def _of_onset(work: Work, onset: Onset) -> Iterator[Due]:
    policy = work.policy
    if onset.noticed_s is not None:
        doubt_s = policy.confirm_s if onset.voice_s is None else policy.confirm_s + policy.patience_s
        yield Due(onset.noticed_s + doubt_s, False, opening.no_voice)
    elif onset.voice_s is not None:
        yield Due(onset.voice_s + policy.over_s, True, opening.no_voice)


def _of_contested(work: Work, sound: Contested) -> Iterator[Due]:
    policy = work.policy
    wait_s = policy.words_s if policy.interruptions == "words" else policy.confirm_s + policy.patience_s
    yield Due(sound.opened_s + wait_s, False, _decide)
    if not sound.over:
        yield Due(sound.voice_s + policy.over_s, True, _sound_over)
        if sound.asked_s is None:
            yield Due(sound.again_s, False, lambda work: opening.ask_kind(work, sound))


def _of_turn(work: Work, caller: Talking | Paused | Tentative) -> Iterator[Due]:
    turn, policy = caller.turn, work.policy
    yield Due(turn.opened_s + policy.longest_s, True, lambda work: ending.finish(work, Reason.LONGEST))
    if turn.pressed:
        return
    if isinstance(caller, Talking):
        yield Due(turn.voice_s + ending.pause_after_s(work), True, lambda work: ending.pause(work, caller))
        return
    if policy.mode == "manual":
        return
    asked = caller.asked
    over_s = ending.end_s(work, turn, asked)
    if isinstance(caller, Tentative) and caller.stirred_s is not None:
        yield Due(max(over_s, caller.stirred_end_s + policy.over_s), True, _commit_now)
        return
    yield Due(over_s, True, _commit_now)
    if isinstance(caller, Paused):
        yield Due(
            max(min(turn.voice_s + policy.tentative_s, over_s), work.state.floor_until_s), True, ending.seems_over
        )
    if asked.end_asked_s is None:
        yield Due(asked.again_s, True, ending.ask_end)


# what happens


def _commit_now(work: Work) -> None:
    caller = work.caller
    if isinstance(caller, Paused | Tentative):
        ending.by_silence(work, caller.turn, caller.asked)


def _sound_over(work: Work) -> None:
    """It is asked one last time, unless an answer is on its way or only words would count."""
    sound = work.caller
    if isinstance(sound, Contested):
        over = replace(sound, over=True)
        work.remember(caller=over)
        if opening.words_only(work):
            opening.too_short(work)
        elif over.asked_s is None:
            opening.ask_kind(work, over)


def _decide(work: Work) -> None:
    """No answer came in time."""
    sound, policy = work.caller, work.policy
    if not isinstance(sound, Contested):
        return
    long = sound.voice_s - sound.since_s >= policy.confirm_s or not sound.over
    if long and not opening.words_only(work):
        opening.speech(work)
    else:
        opening.too_short(work)


def _idle(work: Work) -> None:
    work.remember(idles=work.state.idles + 1, calm_s=work.now_s)
    work.do(Idle(work.now_s, work.state.idles))


def _late(work: Work) -> None:
    agent = work.agent
    if isinstance(agent, Thinking):
        work.agent_to(table.LATE, Thinking(agent.since_s, agent.turn, late=True))
        work.do(AgentLate(work.now_s))
