"""What an agent's code can say about turns in mid-call: how patient to be, who ends turns, what the words are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from antiphon.turns import EAGERNESS, EnglishRules, with_eagerness
from antiphon.turns.evidence import Clear, Commit, HoldFloor, Talk, Words

if TYPE_CHECKING:
    from antiphon.turns import Eagerness, Mode, TurnPolicy, WordRules
    from antiphon.turns.evidence import Evidence
    from antiphon.worker.call import Call
    from antiphon.worker.partials import Recognizer


class TurnTaking:
    """`session.turns`. All of it works before `on_turn`, too, but for what ends or clears a turn."""

    def __init__(self, call: Call) -> None:
        self._call = call
        asked = call.info.turns.get("eagerness")
        self._eagerness: Eagerness = asked if asked in EAGERNESS else "medium"
        self.rules: WordRules = EnglishRules()
        """What judges `words`."""
        self.recognizer: Recognizer | None = None
        """What recognises words while they are spoken, in pauses and over the agent's voice; they go to `words`."""

    @property
    def eagerness(self) -> Eagerness:
        """How soon the agent takes the floor: low, medium, high, or auto (adapts most to the caller's own pauses)."""
        return self._eagerness

    @eagerness.setter
    def eagerness(self, eagerness: Eagerness) -> None:
        self.policy = with_eagerness(self.policy, eagerness)
        self._eagerness = eagerness

    @property
    def mode(self) -> Mode:
        """`automatic`, or `manual`: only `commit` and the caller's talk button end turns."""
        return self.policy.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in ("automatic", "manual"):
            raise ValueError(f"mode {mode!r}: expected automatic or manual")
        self.policy = replace(self.policy, mode=mode)

    @property
    def policy(self) -> TurnPolicy:
        """All numbers of turn-taking. Set another one to change them in mid-call."""
        return self._call.ears.policy

    @policy.setter
    def policy(self, policy: TurnPolicy) -> None:
        self._call.ears.policy = policy
        self._call.ears.apply_policy()

    def commit(self) -> None:
        """The caller's turn is over now."""
        self._tell(Commit(self._now_s))

    def clear(self) -> None:
        """The caller's turn so far is to be forgotten."""
        self._tell(Clear(self._now_s))

    def talk(self, begins: bool) -> None:  # noqa: FBT001 - as a button goes
        """Push-to-talk: the caller presses the button, or lets it go."""
        self._tell(Talk(self._now_s, begins))

    def obey(self, command: str) -> None:
        """What the caller's own page says of its turn: one of `data.TURN_COMMANDS`."""
        match command:
            case "press" | "release":
                self.talk(command == "press")
            case "commit":
                self.commit()
            case "clear":
                self.clear()
            case "manual" | "automatic":
                self.mode = command

    def hold_floor(self, seconds: float) -> None:
        """Gives the caller time to think: until then, no silence ends the turn or counts as idle."""
        if not seconds >= 0:
            raise ValueError(f"{seconds} seconds: expected 0 or more")
        self._tell(HoldFloor(self._now_s, seconds))

    def words(self, text: str) -> None:
        """What a recogniser made of the open turn so far: evidence for its end, and for an interruption by words."""
        if text.strip():
            verdict = self.rules.judge(text)
            self._tell(Words(self._now_s, verdict.ending, verdict.interrupts))

    def record(self, path: Path | str) -> None:
        """Writes at the end of the call what turn-taking was told and did, for `python -m antiphon.turns.replay`."""
        self._call.ears.record(Path(path))

    @property
    def _now_s(self) -> float:
        listener = self._call.ears.listener
        return 0.0 if listener is None else listener.now_s

    def _tell(self, evidence: Evidence) -> None:
        if self._call.ears.listener is not None:
            self._call.ears.listener.tell(evidence)
