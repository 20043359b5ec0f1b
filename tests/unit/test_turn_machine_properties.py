"""Whatever happens in whatever order, no turn is lost, nobody is spoken over, and nobody stays silent for ever."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from antiphon.turns import Echo, Kind, State, TurnPolicy, drawing, table, wake_s
from antiphon.turns import evidence as ev
from antiphon.turns.actions import (
    Action,
    AskEnd,
    AskKind,
    Committed,
    Flush,
    Hold,
    Resume,
    Tentative,
    TurnStarted,
    Withdrawn,
)
from antiphon.turns.machine import step
from antiphon.turns.states import Awaiting, Held, Onset, Open, Quiet, Silent, Speaking, Talking, Thinking
from antiphon.turns.words import Ending
from tests.support.floor import pass_time

policies = st.builds(
    TurnPolicy,
    mode=st.sampled_from(["automatic", "automatic", "manual"]),
    interruptions=st.sampled_from(["speech", "words", "never"]),
    longest_s=st.just(10.0),
    idle_s=st.sampled_from([None, 2.0]),
    late_s=st.sampled_from([None, 0.5]),
)
steps = st.one_of(
    st.tuples(st.just("audio"), st.floats(0, 1)),
    st.tuples(st.just("audio"), st.sampled_from([0.0, 0.95])),
    st.tuples(st.just("audio"), st.sampled_from([0.0, 0.95])),
    st.tuples(st.just("nothing"), st.floats(0.01, 0.5)),
    st.tuples(st.just("end"), st.sampled_from([None, 0.0, 0.5, 1.0])),
    st.tuples(st.just("kind"), st.sampled_from([None, *Kind])),
    st.tuples(st.just("words"), st.sampled_from(list(Ending))),
    st.tuples(st.just("hint"), st.booleans()),
    st.tuples(st.just("echo"), st.sampled_from(list(Echo))),
    st.tuples(st.just("agent"), st.booleans()),
    st.tuples(st.just("command"), st.sampled_from(["commit", "clear", "press", "let go", "think"])),
    st.tuples(st.just("missing"), st.integers(0, 3)),
)


class World:
    """Tells the machine what happens, as a session would, and watches it."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.state = State()
        self.now_s = self.audio_s = 0.0
        self.end_asked: list[float] = []
        self.kind_asked: list[float] = []
        self.speaking = self.held = False
        self.open_turn: float | None = None
        self.tentative = False
        self.rows: set[object] = set()
        self.committed = 0

    def tell(self, evidence: ev.Evidence) -> None:
        work = step(self.state, self.policy, evidence)
        self.rows |= {id(row) for row in work.moves}
        self.state = work.state
        for action in work.actions:
            self.watch(action)
        self.check()

    def watch(self, action: Action) -> None:
        match action:
            case AskEnd():
                self.end_asked.append(action.at_s)
            case AskKind():
                self.kind_asked.append(action.at_s)
            case TurnStarted():
                assert self.open_turn is None
                self.open_turn = action.began_s
            case Tentative():
                assert self.open_turn is not None
                assert not self.tentative
                self.tentative = True
            case Withdrawn():
                if not action.committed:
                    self.tentative = False
                    if action.cause.value != "went_on":
                        self.open_turn = None
            case Committed():
                assert self.open_turn is not None
                # No audio is lost: what began is in what is handed over.
                assert action.started_s <= self.open_turn <= action.ended_s + 1e-6
                assert action.started_s <= action.ended_s
                self.open_turn, self.tentative = None, False
                self.committed += 1
            case Hold():
                assert self.speaking
                assert not self.held
                self.held = True
            case Resume():
                self.held = False
            case Flush():
                assert self.speaking
                self.speaking = self.held = False

    def check(self) -> None:
        state = self.state
        open_turn = isinstance(state.caller, Open)
        assert open_turn == (self.open_turn is not None)
        if isinstance(state.agent, Speaking | Held) and open_turn and self.policy.interruptions != "never":
            # The caller has the floor: whatever is being said is held.
            assert isinstance(state.agent, Held) or self.policy.mode == "manual"
        settled = isinstance(state.caller, Quiet) and isinstance(state.agent, Silent | Speaking | Thinking)
        waits_for_command = self.policy.mode == "manual" and open_turn
        if not settled and not waits_for_command:
            assert wake_s(state, self.policy) is not None

    def happen(self, what: str, value: object) -> None:
        match what:
            case "audio":
                start_s, self.audio_s = self.audio_s, self.audio_s + 0.032
                self.now_s = max(self.now_s, self.audio_s)
                self.tell(ev.Window(self.now_s, start_s, self.audio_s, float(str(value))))
            case "nothing":
                self.pass_time(float(str(value)))
            case "end" if self.end_asked:
                self.tell(ev.EndAnswer(self.now_s, self.end_asked.pop(), value))  # type: ignore[arg-type]
            case "kind" if self.kind_asked:
                self.tell(ev.KindAnswer(self.now_s, self.kind_asked.pop(), value))  # type: ignore[arg-type]
            case "words":
                self.tell(ev.Words(self.now_s, value, interrupts=value is Ending.COMPLETE))  # type: ignore[arg-type]
            case "hint":
                held = bool(value) and self.speaking and not self.held and self.policy.interruptions != "never"
                self.held = self.held or held
                self.tell(ev.Hint(self.now_s, bool(value), held))
                if not isinstance(self.state.agent, Held):
                    self.held = False  # it was released
            case "echo":
                self.tell(ev.EchoState(self.now_s, value))  # type: ignore[arg-type]
            case "agent" if bool(value) != self.speaking:
                self.speaking = bool(value)
                if value:
                    self.tell(ev.AgentStarts(self.now_s))
                else:
                    self.held = False
                    self.tell(ev.AgentEnds(self.now_s))
                    self.tell(ev.ReplyEnded(self.now_s))
            case "command":
                self.command(str(value))
            case "missing":
                self.tell(ev.Missing(self.now_s, int(str(value)), 0.2))

    def command(self, name: str) -> None:
        match name:
            case "commit":
                self.tell(ev.Commit(self.now_s))
            case "clear":
                self.tell(ev.Clear(self.now_s))
            case "press":
                self.tell(ev.Talk(self.now_s, begins=True))
            case "let go":
                self.tell(ev.Talk(self.now_s, begins=False))
            case _:
                self.tell(ev.HoldFloor(self.now_s, 1.0))

    def pass_time(self, seconds: float) -> None:
        pass_time(self, seconds)
        self.audio_s = self.now_s


@settings(max_examples=300, deadline=None)
@given(policies, st.lists(steps, max_size=120))
def test_no_schedule_loses_audio_speaks_over_the_caller_or_stays_silent_for_ever(
    policy: TurnPolicy, story: list[tuple[str, object]]
) -> None:
    world = World(policy)
    for what, value in story:
        world.happen(what, value)
    # Then nobody does anything any more.
    if policy.mode == "manual":
        world.command("commit")
    world.command("let go")
    world.pass_time(30.0)
    assert isinstance(world.state.caller, Quiet), world.state
    assert world.open_turn is None
    assert not world.held
    assert not isinstance(world.state.agent, Held)


def test_every_row_of_the_table_is_taken_by_some_story() -> None:
    taken: set[object] = set()

    @settings(max_examples=600, deadline=None, database=None)
    @given(policies, st.lists(steps, min_size=20, max_size=120))
    def live(policy: TurnPolicy, story: list[tuple[str, object]]) -> None:
        world = World(policy)
        for what, value in story:
            world.happen(what, value)
        taken.update(world.rows)

    for number in range(20):  # some rows are rare
        seed(number)(live)()
        never = [row.when for row in (*table.CALLER, *table.AGENT) if id(row) not in taken]
        if not never:
            break
    assert not never


def test_states_of_the_table_are_all_states_there_are() -> None:
    named = {row.target for row in (*table.CALLER, *table.AGENT)}
    assert {Awaiting, Onset, Talking, Quiet, Silent, Speaking, Held, Thinking} <= named
    assert len(get_args(ev.Evidence)) == 15


def test_the_docs_draw_the_table_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "turn-taking.md").read_text()
    assert drawing.into(text) == text, "python -m antiphon.turns.drawing --into docs/turn-taking.md"
