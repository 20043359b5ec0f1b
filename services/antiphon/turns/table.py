"""The states and transitions of both sides in one table: the machine moves by its rows and no other way."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.turns import states as st


@dataclass(frozen=True, slots=True)
class Row:
    """From any of these states to that one."""

    sources: tuple[type, ...]
    target: type
    when: str


_OPEN = (st.Talking, st.Paused, st.Tentative, st.Awaiting)
_SOUND = (st.Onset, st.Contested, st.Ignored)

# the caller's side
NOTICED = Row((st.Quiet,), st.Onset, "the edge notices a sound")
HEARD = Row((st.Quiet,), st.Onset, "voice")
NO_VOICE = Row((st.Onset,), st.Quiet, "it was none")
CONTEST = Row((st.Onset,), st.Contested, "voice lasts, agent speaks or thinks")
TURN = Row((st.Onset,), st.Talking, "voice lasts")
SPEECH = Row((st.Contested, st.Ignored), st.Talking, "speech: flush or withdraw")
NO_SPEECH = Row((st.Contested,), st.Ignored, "back-channel, noise, echo, or too short: resume")
FADED = Row((st.Ignored,), st.Quiet, "the sound ends")
ANSWER = Row((st.Quiet,), st.Talking, "the back-channel was an answer")
PRESSED = Row((st.Quiet, *_SOUND), st.Talking, "talk button or commit")
PAUSE = Row((st.Talking,), st.Paused, "silence: ask the model")
GOES_ON = Row((st.Paused,), st.Talking, "voice")
SEEMS_OVER = Row((st.Paused,), st.Tentative, "likely over, or silence lasts")
WENT_ON = Row((st.Tentative, st.Awaiting), st.Talking, "voice: withdrawn")
PRESSED_AGAIN = Row((st.Paused, st.Tentative, st.Awaiting), st.Talking, "talk button")
ENDED = Row((st.Talking, st.Paused, st.Tentative), st.Awaiting, "over, frames under way")
COMMITTED = Row(_OPEN, st.Quiet, "over: committed")
DROPPED = Row(_OPEN, st.Quiet, "cleared, or noise: withdrawn")

# the agent's side
OWES = Row((st.Silent, st.Thinking), st.Thinking, "a turn is committed")
NOTHING_TO_SAY = Row((st.Thinking,), st.Silent, "the reply ended, or was withdrawn")
LATE = Row((st.Thinking,), st.Thinking, "late")
STARTS = Row((st.Silent, st.Thinking), st.Speaking, "first frame")
YIELDS = Row((st.Silent, st.Thinking), st.Held, "first frame, and the caller has the floor or may want it")
DOUBTED = Row((st.Speaking,), st.Held, "a sound of the caller")
RESUMED = Row((st.Held,), st.Speaking, "it did not want the floor, or has given it back")
CUT = Row((st.Speaking, st.Held), st.Silent, "speech: flush")
FINISHED = Row((st.Speaking, st.Held), st.Silent, "all played or stopped")
MORE_TO_SAY = Row((st.Speaking, st.Held), st.Thinking, "all played, the reply goes on")

CALLER = (
    NOTICED, HEARD, NO_VOICE, CONTEST, TURN, SPEECH, NO_SPEECH, FADED, ANSWER, PRESSED, PAUSE, GOES_ON, SEEMS_OVER,
    WENT_ON, PRESSED_AGAIN, ENDED, COMMITTED, DROPPED,
)  # fmt: skip
AGENT = (
    OWES, NOTHING_TO_SAY, LATE, STARTS, YIELDS, DOUBTED, RESUMED, CUT, FINISHED, MORE_TO_SAY,
)  # fmt: skip
