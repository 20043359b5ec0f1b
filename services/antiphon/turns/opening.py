"""How a caller's turn begins: sounds that become one, and sounds that do not because they do not want the floor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from antiphon.turns import floor, table
from antiphon.turns.actions import AskKind, Release, TurnStarted
from antiphon.turns.patience import with_pause
from antiphon.turns.states import (
    Aside,
    Contested,
    Held,
    Ignored,
    Onset,
    Quiet,
    Silent,
    Speaking,
    Talking,
    Thinking,
    Turn,
)
from antiphon.turns.voice import Kind

if TYPE_CHECKING:
    from antiphon.turns.evidence import Hint, Window
    from antiphon.turns.table import Row
    from antiphon.turns.work import Work

_ASK_IGNORED = 3
"""So much rarer is it asked what a sound is that was ignored before."""


def start_turn(work: Work, row: Row, since_s: float, voice_s: float, *, pressed: bool = False) -> None:
    cuts = not isinstance(work.agent, Thinking) and floor.contestable(work)
    before = floor.take(work)
    started_s = since_s
    if before is not None:
        started_s = before.started_s
        work.remember(pauses=with_pause(work.state.pauses, since_s - before.voice_s))
    turn = Turn(started_s, since_s, voice_s, max(0.0, voice_s - since_s), pressed=pressed, cuts=cuts)
    work.caller_to(row, Talking(turn))
    work.remember(idles=0, missing=0)
    work.do(TurnStarted(work.now_s, since_s))


# what is heard


def hear_quiet(work: Work, quiet: Quiet, window: Window) -> None:
    if window.probability >= work.policy.voice and not floor.may_be_echo(work):
        work.caller_to(table.HEARD, Onset(window.start_s, window.end_s))
        _establish(work, window)
    elif quiet.aside is not None and window.end_s - quiet.aside.voice_s > work.policy.answer_s:
        work.remember(caller=Quiet(quiet.free_s))


def hear_onset(work: Work, onset: Onset, window: Window) -> None:
    policy = work.policy
    if onset.voice_s is None:
        if window.probability >= policy.voice:
            work.remember(caller=replace(onset, since_s=window.start_s, voice_s=window.end_s))
            _establish(work, window)
    elif window.probability >= policy.pause:
        work.remember(caller=replace(onset, voice_s=window.end_s))
        _establish(work, window)
    elif onset.noticed_s is None:
        no_voice(work)
    else:
        work.remember(caller=replace(onset, voice_s=None))


def _establish(work: Work, window: Window) -> None:
    """Whether the voice so far is a sound that counts."""
    onset, policy = work.caller, work.policy
    if not isinstance(onset, Onset) or onset.voice_s is None:
        return
    sure = window.probability >= (policy.voice if work.state.expected else policy.sure)
    if not sure and (window.probability < policy.voice or onset.voice_s - onset.since_s < policy.onset_s):
        floor.hold(work)
    elif floor.contestable(work):
        floor.hold(work)
        work.caller_to(table.CONTEST, Contested(onset.since_s, onset.voice_s, work.now_s, work.now_s))
    else:
        start_turn(work, table.TURN, onset.since_s, onset.voice_s)


def no_voice(work: Work) -> None:
    """What was heard was too short, or the edge's mistake."""
    noticed = isinstance(work.caller, Onset) and work.caller.noticed_s is not None
    work.caller_to(table.NO_VOICE, Quiet(work.now_s))
    if noticed:
        work.remember(expected=False)
    floor.let_go(work, mistaken=True, noticed=noticed)


def hear_sound(work: Work, sound: Contested | Ignored, window: Window) -> None:
    if window.probability < work.policy.pause:
        return
    if isinstance(sound, Contested):
        work.remember(caller=replace(sound, voice_s=window.end_s, over=False))
        judge_by_length(work)
    else:
        work.remember(caller=replace(sound, voice_s=window.end_s))
        _judge_ignored(work)


# what it is


def ask_kind(work: Work, sound: Contested | Ignored) -> None:
    rarer = _ASK_IGNORED if isinstance(sound, Ignored) else 1
    again_s = work.now_s + rarer * work.policy.ask_kind_s
    work.remember(caller=replace(sound, asked_s=work.now_s, again_s=again_s))
    work.do(AskKind(work.now_s, sound.since_s))


def answer_kind(work: Work, sound: Contested | Ignored, kind: Kind | None) -> None:
    sound = replace(sound, asked_s=None)
    work.remember(caller=sound)
    if isinstance(sound, Ignored) and floor.may_be_echo(work):
        return
    if isinstance(sound, Contested) and floor.may_prove_echo(work, sound):
        if sound.over:
            ignore(work, Kind.ECHO)
    elif kind is Kind.SPEECH and work.policy.interruptions != "words":
        speech(work)
    elif kind is None or kind is Kind.SPEECH:
        if isinstance(sound, Ignored):
            return
        if sound.over:
            too_short(work)
        else:
            judge_by_length(work)
    elif isinstance(sound, Ignored):
        work.remember(caller=replace(sound, kind=kind))
    elif kind is Kind.BACKCHANNEL and isinstance(work.agent, Silent):
        speech(work)  # the agent has finished meanwhile: it is an answer
    else:
        ignore(work, kind)


def hear_assent(work: Work) -> None:
    """The words of a sound that is over were a back-channel's."""
    sound = work.caller
    if isinstance(sound, Contested) and sound.over:
        answer_kind(work, sound, Kind.BACKCHANNEL)


def judge_by_length(work: Work) -> None:
    """Without an answer, what lasts is speech."""
    sound, policy = work.caller, work.policy
    if not isinstance(sound, Contested) or sound.voice_s - sound.since_s < policy.confirm_s:
        return
    if floor.may_prove_echo(work, sound):
        return
    patient = sound.asked_s is not None and work.now_s < sound.opened_s + policy.confirm_s + policy.patience_s
    if not patient and not words_only(work):
        speech(work)


def words_only(work: Work) -> bool:
    """Whether no sound interrupts, but only words that were recognised."""
    return work.policy.interruptions == "words" and not isinstance(work.agent, Thinking | Silent)


def too_short(work: Work) -> None:
    """The sound is over, and nobody knows what it was."""
    if isinstance(work.agent, Silent):
        speech(work)
    else:
        ignore(work, None)


def _judge_ignored(work: Work) -> None:
    """A back-channel that does not end is none."""
    sound, policy = work.caller, work.policy
    if (
        isinstance(sound, Ignored)
        and sound.kind in (None, Kind.BACKCHANNEL)
        and sound.voice_s - sound.since_s >= policy.backchannel_s
        and policy.interruptions != "words"
        and not floor.may_be_echo(work)
    ):
        speech(work)


def speech(work: Work) -> None:
    sound = work.caller
    if isinstance(sound, Contested | Ignored):
        start_turn(work, table.SPEECH, sound.since_s, sound.voice_s)


def ignore(work: Work, kind: Kind | None) -> None:
    sound = work.caller
    if isinstance(sound, Contested):
        again_s = work.now_s + _ASK_IGNORED * work.policy.ask_kind_s
        work.caller_to(table.NO_SPEECH, Ignored(sound.since_s, sound.voice_s, kind, again_s))
        floor.let_go(work, mistaken=kind is not Kind.BACKCHANNEL)


def faded(work: Work) -> None:
    """What was ignored is over. It is kept in mind if it may yet prove to be words."""
    sound = work.caller
    if isinstance(sound, Ignored):
        kept = sound.kind in (None, Kind.BACKCHANNEL)
        aside = Aside(sound.since_s, sound.voice_s) if kept else None
        work.caller_to(table.FADED, Quiet(work.now_s, aside))


def take_aside(work: Work) -> None:
    """What was let pass is a turn after all, if it was a moment ago."""
    quiet = work.caller
    if isinstance(quiet, Quiet) and quiet.aside is not None:
        aside = quiet.aside
        if work.now_s - aside.voice_s <= work.policy.answer_s:
            start_turn(work, table.ANSWER, aside.since_s, aside.voice_s)
        else:
            work.remember(caller=Quiet(quiet.free_s))


# what the edge says


def noticed(work: Work, hint: Hint) -> None:
    work.remember(expected=hint.onset)
    if not hint.onset:
        return
    caller = work.caller
    if not work.interruptible:
        work.do(Release(work.now_s))
        return
    if isinstance(caller, Quiet):
        work.caller_to(table.NOTICED, Onset(work.now_s, None, work.now_s))
    elif isinstance(caller, Onset):
        work.remember(caller=replace(caller, noticed_s=work.now_s))
    if not hint.held:
        return
    if isinstance(work.agent, Speaking) and isinstance(work.caller, Onset | Contested):
        work.agent_to(table.DOUBTED, Held())
    elif not isinstance(work.agent, Held):
        work.do(Release(work.now_s))
