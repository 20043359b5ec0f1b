"""The agent's side: when what it says is held, goes on, is cut, or waits because the caller has the floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.turns import table
from antiphon.turns.actions import Cause, Flush, Hold, Release, Resume, Withdrawn
from antiphon.turns.states import (
    Awaiting,
    Contested,
    Held,
    Onset,
    Paused,
    Silent,
    Speaking,
    Talking,
    Tentative,
    Thinking,
    Turn,
)
from antiphon.turns.voice import Echo

if TYPE_CHECKING:
    from antiphon.turns.work import Work


def contestable(work: Work) -> bool:
    """Whether a sound of the caller is weighed against something: what the agent says, or is about to say."""
    agent = work.agent
    if isinstance(agent, Thinking):
        return True
    return work.interruptible and (isinstance(agent, Speaking) or (isinstance(agent, Held) and not agent.yielded))


def may_be_echo(work: Work) -> bool:
    """Whether a voice may be the agent's own: the edge, which knows how that comes back, hears no other."""
    return work.state.echo is Echo.HEARD and _unnoticed(work)


def may_prove_echo(work: Work, sound: Contested) -> bool:
    """While nobody knows: whether a sound may yet end soon after the agent is held, as an echo does."""
    outlasts = sound.voice_s - sound.opened_s >= work.policy.echo_wait_s
    return work.state.echo is Echo.UNKNOWN and not outlasts and _unnoticed(work)


def _unnoticed(work: Work) -> bool:
    state = work.state
    plays = isinstance(work.agent, Speaking | Held) or work.now_s - state.said_s < work.policy.echo_s
    return plays and not state.expected


def hold(work: Work) -> None:
    """A sound of the caller: what is being said waits until it is known what that is."""
    if isinstance(work.agent, Speaking) and work.interruptible:
        work.agent_to(table.DOUBTED, Held())
        work.do(Hold(work.now_s))


def let_go(work: Work, *, mistaken: bool, noticed: bool = False) -> None:
    """It did not want the floor. `mistaken`: it was nobody's voice; `noticed`: the edge waits to hear that."""
    if mistaken:
        work.remember(expected=False)
    if isinstance(work.agent, Held) and not work.agent.yielded:
        work.agent_to(table.RESUMED, Speaking())
        work.do(Resume(work.now_s, mistaken))
    elif noticed and mistaken:
        work.do(Release(work.now_s))


def yield_no_more(work: Work) -> None:
    """The caller has given the floor back."""
    work.agent_to(table.RESUMED, Speaking())
    work.do(Resume(work.now_s, mistaken=False))


def take(work: Work) -> Turn | None:
    """The caller takes the floor. Returns the turn that goes on, where nothing of its reply was heard."""
    agent = work.agent
    if isinstance(agent, Thinking):
        work.agent_to(table.NOTHING_TO_SAY, Silent())
        work.remember(replying=False)
        if agent.turn is not None:
            work.do(Withdrawn(work.now_s, Cause.WENT_ON, committed=True))
        return agent.turn
    if contestable(work):
        work.agent_to(table.CUT, Silent())
        work.remember(replying=False)
        work.do(Flush(work.now_s))
    return None


def starts(work: Work) -> None:
    """An utterance begins. Where the caller has the floor, it waits; the caller always has priority."""
    if isinstance(work.agent, Speaking | Held):
        return
    if work.interruptible and _callers(work):
        work.agent_to(table.YIELDS, Held(yielded=True))
        work.remember(yields=work.state.yields + 1)
        work.do(Hold(work.now_s))
    elif work.interruptible and _may_be_callers(work):
        work.agent_to(table.YIELDS, Held())
        work.do(Hold(work.now_s))
    else:
        work.agent_to(table.STARTS, Speaking())


def _callers(work: Work) -> bool:
    if work.policy.mode == "manual":
        return isinstance(work.caller, Talking)
    return isinstance(work.caller, Talking | Paused | Tentative | Awaiting)


def _may_be_callers(work: Work) -> bool:
    caller = work.caller
    return isinstance(caller, Contested) or (isinstance(caller, Onset) and caller.voice_s is not None)


def ends(work: Work) -> None:
    """An utterance is over."""
    if isinstance(work.agent, Speaking | Held):
        work.remember(yields=0, said_s=work.now_s)
        if work.state.replying:
            work.agent_to(table.MORE_TO_SAY, Thinking(work.now_s, None))
        else:
            work.agent_to(table.FINISHED, Silent())


def reply_ended(work: Work) -> None:
    work.remember(replying=False)
    if isinstance(work.agent, Thinking):
        work.agent_to(table.NOTHING_TO_SAY, Silent())


def owe(work: Work, turn: Turn) -> None:
    """A turn was committed: the agent's code is at work on its reply."""
    work.remember(replying=True)
    if isinstance(work.agent, Silent | Thinking):
        work.agent_to(table.OWES, Thinking(work.now_s, turn))
