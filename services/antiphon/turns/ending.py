"""How a caller's turn ends: silence is asked about, seems the end, is committed; or the caller goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from antiphon.turns import floor, table
from antiphon.turns.actions import AskEnd, AskKind, Cause, Committed, Reason, Tentative, Withdrawn
from antiphon.turns.patience import likelihood, wait_s, with_pause
from antiphon.turns.states import Asked, Awaiting, Open, Paused, Quiet, Silent, Talking, Turn
from antiphon.turns.states import Tentative as SeemsOver
from antiphon.turns.voice import Kind
from antiphon.turns.words import Ending

if TYPE_CHECKING:
    from antiphon.turns.evidence import EndAnswer, KindAnswer, Window
    from antiphon.turns.work import Work


def pause_after_s(work: Work) -> float:
    """Silence from which on a turn is paused."""
    return min(work.policy.ask_s, work.policy.silence_s)


def end_s(work: Work, turn: Turn, asked: Asked) -> float:
    """Where silence ends the turn, by what is known; in audio."""
    wait = wait_s(work.policy, work.state.pauses, asked.end, turn.ending)
    return max(turn.voice_s + wait, work.state.floor_until_s)


# what is heard


def hear_talking(work: Work, talking: Talking, window: Window) -> None:
    if window.probability >= work.policy.pause:
        turn = talking.turn
        voiced_s = turn.voiced_s + window.end_s - window.start_s
        work.remember(caller=Talking(replace(turn, voice_s=max(turn.voice_s, window.end_s), voiced_s=voiced_s)))


def hear_paused(work: Work, paused: Paused, window: Window) -> None:
    if window.probability >= work.policy.voice:
        _go_on(work, paused.turn, window.start_s, window.end_s)


def hear_tentative(work: Work, tentative: SeemsOver, window: Window) -> None:
    """A reply may be under way: one doubtful window does not withdraw it, but the commit waits for the next."""
    policy = work.policy
    if tentative.stirred_s is None:
        if window.probability < policy.voice:
            return
        tentative = replace(tentative, stirred_s=window.start_s)
    elif window.probability < policy.pause:
        work.remember(caller=replace(tentative, stirred_s=None))
        return
    tentative = replace(tentative, stirred_end_s=window.end_s)
    work.remember(caller=tentative)
    began_s = window.start_s if tentative.stirred_s is None else tentative.stirred_s
    if window.probability >= policy.sure or window.end_s - began_s >= policy.onset_s:
        _go_on(work, tentative.turn, began_s, window.end_s)


def hear_awaiting(work: Work, awaiting: Awaiting, window: Window) -> None:
    turn = awaiting.turn
    if awaiting.reason is Reason.COMMAND:
        if window.probability >= work.policy.pause and window.end_s <= awaiting.not_before_s:
            work.remember(caller=replace(awaiting, turn=replace(turn, voice_s=max(turn.voice_s, window.end_s))))
    elif window.probability >= work.policy.sure:
        _go_on(work, turn, window.start_s, window.end_s)


def _go_on(work: Work, turn: Turn, began_s: float, voice_s: float) -> None:
    caller = work.caller
    work.remember(pauses=with_pause(work.state.pauses, began_s - turn.voice_s))
    voiced_s = turn.voiced_s + voice_s - began_s
    talking = Talking(replace(turn, voice_s=voice_s, voiced_s=voiced_s, ending=Ending.OPEN))
    if isinstance(caller, Paused):
        work.caller_to(table.GOES_ON, talking)
    else:
        work.caller_to(table.WENT_ON, talking)
        work.do(Withdrawn(work.now_s, Cause.WENT_ON, committed=False))


def press_again(work: Work, turn: Turn) -> None:
    """The talk button, in a pause: the turn goes on."""
    withdrawn = not isinstance(work.caller, Paused)
    work.caller_to(table.PRESSED_AGAIN, Talking(replace(turn, pressed=True, ending=Ending.OPEN)))
    if withdrawn:
        work.do(Withdrawn(work.now_s, Cause.WENT_ON, committed=False))


# what is asked


def pause(work: Work, talking: Talking) -> None:
    work.caller_to(table.PAUSE, Paused(talking.turn, Asked(work.state.quiet_s)))
    if work.policy.mode == "automatic":
        ask_end(work)
    turn = talking.turn
    alone = turn.opened_s == turn.started_s and not turn.cuts and isinstance(work.agent, Silent)
    if alone and turn.voiced_s < work.policy.confirm_s:
        _ask(work, kind_asked_s=work.now_s)
        work.do(AskKind(work.now_s, turn.opened_s))


def ask_end(work: Work) -> None:
    _ask(work, end_asked_s=work.now_s, again_s=work.state.quiet_s + work.policy.ask_again_s)
    work.do(AskEnd(work.now_s))


def _ask(work: Work, **changes: Any) -> None:  # noqa: ANN401 - fields of Asked, each of its own type
    if isinstance(work.caller, Paused | SeemsOver):
        work.remember(caller=replace(work.caller, asked=replace(work.caller.asked, **changes)))


def answer_end(work: Work, answer: EndAnswer) -> None:
    caller = work.caller
    if not isinstance(caller, Paused | SeemsOver) or caller.asked.end_asked_s != answer.asked_s:
        return
    said = caller.asked.end if answer.probability is None else answer.probability
    _ask(work, end_asked_s=None, end=said)
    _judge(work)


def answer_kind(work: Work, answer: KindAnswer) -> None:
    """A short sound on an empty floor was no turn if it was nobody's words."""
    caller = work.caller
    if isinstance(caller, Paused | SeemsOver) and caller.asked.kind_asked_s == answer.asked_s:
        _ask(work, kind_asked_s=None)
        if answer.kind in (Kind.NOISE, Kind.ECHO):
            drop(work, Cause.NOISE)


def hear_words(work: Work, ending: Ending) -> None:
    caller = work.caller
    if isinstance(caller, Talking | Paused | SeemsOver):
        work.remember(caller=replace(caller, turn=replace(caller.turn, ending=ending)))
        if ending is Ending.THINKING:
            work.remember(floor_until_s=max(work.state.floor_until_s, work.now_s + work.policy.think_s))
        _judge(work)


def _judge(work: Work) -> None:
    """Whether the turn seems over by what is known now."""
    caller = work.caller
    if isinstance(caller, Paused) and work.policy.mode == "automatic" and not caller.turn.pressed:
        known = likelihood(caller.asked.end, caller.turn.ending)
        if known is not None and known >= work.policy.likely and work.now_s >= work.state.floor_until_s:
            seems_over(work)


# what comes of it


def seems_over(work: Work) -> None:
    paused = work.caller
    if isinstance(paused, Paused):
        turn = paused.turn
        work.caller_to(table.SEEMS_OVER, SeemsOver(turn, paused.asked, work.now_s))
        work.do(Tentative(work.now_s, turn.started_s, turn.voice_s))


def finish(work: Work, reason: Reason, not_before_s: float = 0.0) -> None:
    """The turn is over; it is handed over at once, or when the frames came that are under way."""
    if isinstance(work.caller, Paused):
        seems_over(work)
    caller = work.caller
    if not isinstance(caller, Talking | SeemsOver):
        return
    end, tentative_s = None, work.now_s
    if isinstance(caller, SeemsOver):
        end, tentative_s = caller.asked.end, caller.since_s
    until_s = max(not_before_s, work.now_s + work.state.missing_wait_s if work.state.missing else 0.0)
    if until_s > work.now_s:
        work.caller_to(table.ENDED, Awaiting(caller.turn, tentative_s, reason, end, not_before_s, until_s))
    else:
        _commit(work, caller.turn, tentative_s, reason, end)


def by_silence(work: Work, turn: Turn, asked: Asked) -> None:
    """Silence has lasted as long as it had to."""
    if asked.end is not None:
        finish(work, Reason.END_OF_TURN)
    else:
        finish(work, Reason.SILENCE if likelihood(None, turn.ending) is None else Reason.WORDS)


def awaited(work: Work, awaiting: Awaiting) -> None:
    """The frames under way are there, or not worth waiting for any more."""
    _commit(work, awaiting.turn, awaiting.tentative_s, awaiting.reason, awaiting.end)


def _commit(work: Work, turn: Turn, tentative_s: float, reason: Reason, end: float | None) -> None:
    work.caller_to(table.COMMITTED, Quiet(work.now_s))
    work.remember(missing=0)
    floor.owe(work, turn)
    work.do(Committed(work.now_s, turn.started_s, turn.voice_s, tentative_s, reason, end))


def drop(work: Work, cause: Cause) -> None:
    """The turn is forgotten."""
    if isinstance(work.caller, Open):
        work.caller_to(table.DROPPED, Quiet(work.now_s))
        work.remember(missing=0)
        work.do(Withdrawn(work.now_s, cause, committed=False))
