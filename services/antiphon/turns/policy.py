"""How patient an agent is: the numbers of turn-taking, and named sets of them. See docs/turn-taking.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Eagerness = Literal["low", "medium", "high", "auto"]
Interruptions = Literal["never", "speech", "words"]
Mode = Literal["automatic", "manual"]
TURNS_KEY = "antiphon.turns"
"""Where a session's metadata carry to the worker how it shall take turns; its agent does not see that."""


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """Times in seconds; silence counts from the end of the caller's last voice."""

    # what is voice
    voice: float = 0.5
    """Probability from which on a window is voice."""
    pause: float = 0.35
    """Probability below which it is none; between the two it is what the windows before it were."""
    sure: float = 0.7
    """Probability at which one window is enough."""
    onset_s: float = 0.06
    """Voice this long is a sound that counts."""
    stall_s: float = 0.15
    """Without frames for this long (DTX, muted, lost), time itself is silence."""
    lag_s: float = 1.0
    """So is audio that the detector has not judged after this long: a detector that is stuck silences no agent."""

    # the end of a turn
    mode: Mode = "automatic"
    """Whether silence ends turns, or only `commit` and the talk button do."""
    ask_s: float = 0.16
    """Silence after which the end-of-turn model is asked for the first time."""
    ask_again_s: float = 0.3
    """How often it is asked again while the caller stays silent."""
    certain: float = 0.9
    """Probability of an end from which on `certain_s` of silence are enough."""
    unlikely: float = 0.1
    """Probability up to which `unsure_s` are waited; in between the wait is interpolated."""
    certain_s: float = 0.3
    unsure_s: float = 1.2
    silence_s: float = 0.6
    """Silence that ends a turn where no model answers."""
    likely: float = 0.5
    """Probability from which on a speculative reply may begin."""
    tentative_s: float = 0.4
    """Silence from which on it may begin in any case."""
    least_scale: float = 0.8
    most_scale: float = 1.5
    """How far the caller's own pauses shorten or lengthen `unsure_s` and `silence_s`."""
    think_s: float = 3.0
    """How long a caller who says "let me think" has the floor."""
    gap_wait_s: float = 0.3
    """A turn that is over with frames missing is handed over a round trip later, or after this at the latest."""
    tail_s: float = 0.15
    """A turn that a command ends in the midst of voice goes on for this long: frames are slower than the command."""
    longest_s: float = 60.0
    """A turn ends here in any case, so that memory is bounded."""

    # interruption
    interruptions: Interruptions = "speech"
    """What of the caller's may cut what is being said: nothing, speech, or only words that were recognised."""
    confirm_s: float = 0.3
    """A sound that is not known by then is judged by its length; what the edge noticed and no model heard was none."""
    ask_kind_s: float = 0.08
    """How often it is asked again what a sound is."""
    patience_s: float = 0.25
    """How long after `confirm_s` an answer is waited for, where one is on its way."""
    words_s: float = 1.0
    """Where only words interrupt: for how long playout waits for them."""
    over_s: float = 0.1
    """Silence that ends a sound over the agent's voice."""
    backchannel_s: float = 0.9
    """What lasts longer is no back-channel, whatever it began as."""
    echo_s: float = 0.8
    """For how long after an utterance its echo may come back, where there is one."""
    echo_wait_s: float = 0.5
    """Until it is known whether there is: what goes on for so long after playout is held is no echo."""
    answer_s: float = 1.0
    """A back-channel that came so shortly before the end of what the agent said is an answer."""

    # silence the other way
    idle_s: float | None = None
    """Both silent for this long: `on_idle`; each further time it takes twice as long."""
    late_s: float | None = None
    """The agent owes a reply for this long: `on_late`."""
    back_off_s: float = 0.4
    """An agent that yielded the floor takes it again so long after the caller; each further time twice as long."""


EAGERNESS: dict[Eagerness, dict[str, float]] = {
    "low": {"certain_s": 0.5, "unsure_s": 2.0, "silence_s": 1.0, "likely": 0.7, "tentative_s": 0.6},
    "medium": {"certain_s": 0.3, "unsure_s": 1.2, "silence_s": 0.6, "likely": 0.5, "tentative_s": 0.4},
    "high": {"certain_s": 0.2, "unsure_s": 0.8, "silence_s": 0.4, "likely": 0.4, "tentative_s": 0.3},
    "auto": {
        "certain_s": 0.3, "unsure_s": 1.2, "silence_s": 0.6, "likely": 0.5, "tentative_s": 0.4,
        "least_scale": 0.6, "most_scale": 2.0,
    },
}  # fmt: skip
"""What each eagerness sets; `medium` is what a TurnPolicy is by itself."""

_DEFAULT = TurnPolicy()


def with_eagerness(policy: TurnPolicy, eagerness: Eagerness) -> TurnPolicy:
    """Returns the policy with all that the eagerness sets, and all that only another one set as it is by itself."""
    if eagerness not in EAGERNESS:
        raise ValueError(f"eagerness {eagerness!r}: expected {', '.join(EAGERNESS)}")
    defaults = {"least_scale": _DEFAULT.least_scale, "most_scale": _DEFAULT.most_scale}
    return replace(policy, **(defaults | EAGERNESS[eagerness]))  # type: ignore[arg-type]


def with_wishes(policy: TurnPolicy, wishes: Mapping[str, Any]) -> TurnPolicy:
    """Returns the policy as a session asks for it: `eagerness`, `mode`, `interruptions`. Others are of no effect."""
    if (eagerness := wishes.get("eagerness")) in EAGERNESS:
        policy = with_eagerness(policy, eagerness)
    if (mode := wishes.get("mode")) in get_args(Mode):
        policy = replace(policy, mode=cast("Mode", mode))
    if (interruptions := wishes.get("interruptions")) in get_args(Interruptions):
        policy = replace(policy, interruptions=cast("Interruptions", interruptions))
    return policy
