"""Who has the floor: how turns begin, seem over, are committed and withdrawn, and what interrupts an agent."""

import dataclasses

import pytest

from antiphon.turns import EAGERNESS, Eagerness, Echo, Kind, TurnPolicy, with_eagerness
from antiphon.turns.actions import (
    AgentLate,
    Cause,
    Committed,
    Flush,
    Hold,
    Idle,
    Reason,
    Resume,
    Tentative,
    TurnStarted,
    Withdrawn,
)
from antiphon.turns.evidence import Clear, Commit, EchoState, Hint, HoldFloor, Missing, Talk, Words
from antiphon.turns.words import Ending
from tests.support.floor import WINDOW_S, Story


def delay_s(end: float | None, policy: TurnPolicy | None = None) -> float:
    """From the caller's last voice to the commit."""
    story = Story(policy, end=end)
    story.voice(1.0)
    story.silence(4.0)
    (committed,) = story.of(Committed)
    return committed.at_s - committed.ended_s


def test_without_a_model_silence_alone_ends_a_turn() -> None:
    assert delay_s(None) == pytest.approx(0.6, abs=WINDOW_S)
    story = Story()
    story.voice(1.0)
    story.silence(1.0)
    assert story.names() == ["TurnStarted", "Tentative", "Committed"]
    assert story.of(Committed)[0].reason is Reason.SILENCE


def test_a_certain_end_is_answered_soon_and_an_unlikely_one_late() -> None:
    delays = [delay_s(probability) for probability in (1.0, 0.7, 0.3, 0.0)]
    assert delays == sorted(delays)
    assert delays[0] == pytest.approx(0.3, abs=WINDOW_S)
    assert delays[-1] == pytest.approx(1.2, abs=WINDOW_S)


def test_the_more_eager_the_sooner() -> None:
    names: list[Eagerness] = ["low", "medium", "high"]
    for end in (None, 0.95, 0.5, 0.05):
        delays = [delay_s(end, with_eagerness(TurnPolicy(), name)) for name in names]
        assert delays == sorted(delays, reverse=True)
        assert delays[0] > delays[-1]


def test_an_unknown_eagerness_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="low, medium, high, auto"):
        with_eagerness(TurnPolicy(), "frantic")  # type: ignore[arg-type]
    assert with_eagerness(with_eagerness(TurnPolicy(), "auto"), "medium") == TurnPolicy()
    assert set(EAGERNESS) == {"low", "medium", "high", "auto"}


def test_a_caller_who_pauses_long_is_waited_for_longer() -> None:
    def last_delay(pause_s: float) -> float:
        story = Story(with_eagerness(TurnPolicy(), "auto"), end=0.0)
        for _ in range(8):
            story.voice(1.0)
            story.silence(pause_s)
        story.voice(1.0)
        story.silence(5.0)
        committed = story.of(Committed)[-1]
        return committed.at_s - committed.ended_s

    assert last_delay(0.2) < 1.0 < 1.5 < last_delay(0.9)


def test_words_that_go_on_wait_and_whole_sentences_do_not() -> None:
    def delay(ending: Ending) -> float:
        story = Story(end=0.5)
        story.voice(1.0)
        story.tell(Words(story.now_s, ending, interrupts=True))
        story.silence(4.0)
        (committed,) = story.of(Committed)
        return committed.at_s - committed.ended_s

    assert delay(Ending.COMPLETE) < delay(Ending.OPEN) < delay(Ending.GOES_ON)
    assert delay(Ending.THINKING) >= 3.0


def test_a_turn_that_goes_on_while_it_only_seems_over_is_one_turn() -> None:
    story = Story(end=0.6)
    story.voice(1.0)
    story.silence(0.3)
    assert len(story.of(Tentative)) == 1
    story.voice(1.0)
    story.silence(2.0)
    (withdrawn,), (committed,) = story.of(Withdrawn), story.of(Committed)
    assert (withdrawn.cause, withdrawn.committed) == (Cause.WENT_ON, False)
    assert committed.started_s == 0.0
    assert len(story.of(TurnStarted)) == 1


def test_a_committed_turn_is_withdrawn_when_the_caller_goes_on_before_the_answer() -> None:
    story = Story(replies=True, kind=Kind.SPEECH)
    story.voice(1.0)
    story.silence(0.8)
    story.voice(1.0)
    story.silence(0.8)
    (withdrawn,) = story.of(Withdrawn)
    assert withdrawn.committed
    first, second = story.of(Committed)
    assert (first.started_s, second.started_s) == (0.0, 0.0)
    assert second.ended_s > first.ended_s + 1.0


@pytest.mark.parametrize("kind", [Kind.BACKCHANNEL, Kind.NOISE, Kind.ECHO])
def test_what_does_not_want_the_floor_is_resumed_where_it_was_held(kind: Kind) -> None:
    story = Story(kind=kind)
    story.agent_speaks()
    story.voice(0.4)
    story.silence(0.5)
    assert story.names() == ["Hold", "Resume"]
    assert story.of(Resume)[0].mistaken == (kind is not Kind.BACKCHANNEL)
    assert story.of(Resume)[0].at_s - story.of(Hold)[0].at_s <= 0.3


def test_speech_is_held_at_once_and_flushed_when_it_is_known() -> None:
    story = Story(kind=Kind.SPEECH)
    story.agent_speaks()
    story.voice(0.5)
    assert story.names() == ["Hold", "Flush", "TurnStarted"]
    assert story.of(Hold)[0].at_s <= 2 * WINDOW_S
    assert story.of(Flush)[0].at_s <= 0.35


def test_without_a_model_what_lasts_is_speech_and_what_is_short_is_not() -> None:
    for seconds, wanted in ((0.5, ["Hold", "Flush", "TurnStarted"]), (0.2, ["Hold", "Resume"])):
        story = Story()
        story.agent_speaks()
        story.voice(seconds)
        story.silence(0.3)
        assert story.names()[: len(wanted)] == wanted


def test_a_back_channel_that_does_not_end_is_speech() -> None:
    story = Story(kind=Kind.BACKCHANNEL)
    story.agent_speaks()
    story.voice(1.5)
    assert story.names() == ["Hold", "Resume", "Flush", "TurnStarted"]


def test_where_only_words_interrupt_sounds_do_not() -> None:
    policy = TurnPolicy(interruptions="words")
    story = Story(policy, kind=Kind.SPEECH)
    story.agent_speaks()
    story.voice(1.5)
    assert story.names() == ["Hold", "Resume"]
    story.tell(Words(story.now_s, Ending.OPEN, interrupts=True))
    assert story.names()[2:] == ["Flush", "TurnStarted"]


def test_where_the_agent_comes_back_only_what_the_edge_noticed_is_the_callers() -> None:
    story = Story(kind=Kind.SPEECH)
    story.tell(EchoState(story.now_s, Echo.HEARD))
    story.agent_speaks()
    story.voice(2.0)  # its own
    story.agent_ends()
    story.voice(0.5)  # the end of it, still under way
    story.silence(1.0)
    assert story.names() == []
    story.agent_speaks()
    story.voice(1.0)
    story.tell(Hint(story.now_s, onset=True, held=True))
    story.voice(1.0)
    assert story.names() == ["Flush", "TurnStarted"]


def test_where_no_echo_is_heard_the_edge_need_not_notice() -> None:
    story = Story(kind=Kind.SPEECH)
    story.tell(EchoState(story.now_s, Echo.HEARD))
    story.tell(EchoState(story.now_s, Echo.NONE))
    story.agent_speaks()
    story.voice(1.0)
    assert story.names() == ["Hold", "Flush", "TurnStarted"]


def test_before_an_echo_is_known_what_ends_when_the_agent_is_held_was_one() -> None:
    story = Story(kind=Kind.SPEECH)
    story.tell(EchoState(story.now_s, Echo.UNKNOWN))
    story.agent_speaks()
    story.voice(0.4)  # comes back for a while after it is held
    story.silence(0.5)
    assert story.names() == ["Hold", "Resume"]
    story.voice(1.0)
    assert story.names() == ["Hold", "Resume", "Hold", "Flush", "TurnStarted"]


def test_what_the_edge_was_wrong_about_it_does_not_expect_any_more() -> None:
    story = Story(kind=Kind.NOISE)
    story.tell(EchoState(story.now_s, Echo.HEARD))
    story.agent_speaks()
    story.tell(Hint(story.now_s, onset=True, held=True))
    story.voice(0.4)
    assert story.names() == ["Resume"]
    story.kind = Kind.SPEECH
    story.voice(1.0)
    assert story.names() == ["Resume"]


def test_never_lets_the_agent_speak_on_and_hears_the_turn_all_the_same() -> None:
    story = Story(TurnPolicy(interruptions="never"))
    story.agent_speaks()
    story.voice(1.0)
    story.silence(1.0)
    assert story.names() == ["TurnStarted", "Tentative", "Committed"]


def test_an_agent_that_begins_while_the_caller_speaks_waits() -> None:
    story = Story(replies=True)
    story.voice(0.5)
    story.agent_speaks()
    assert story.names() == ["TurnStarted", "Hold"]
    story.voice(0.5)
    story.silence(2.0)
    assert story.names()[2:] == ["Tentative", "Committed", "Resume"]
    committed, resumed = story.of(Committed)[0], story.of(Resume)[0]
    assert resumed.at_s - committed.at_s == pytest.approx(0.4, abs=2 * WINDOW_S)


def test_manual_turns_end_by_command_alone() -> None:
    story = Story(TurnPolicy(mode="manual"), end=1.0)
    story.voice(1.0)
    story.silence(5.0)
    story.voice(1.0)
    assert story.names() == ["TurnStarted"]
    story.tell(Commit(story.now_s))
    story.silence(0.3)
    (committed,) = story.of(Committed)
    assert committed.reason is Reason.COMMAND
    assert committed.started_s == 0.0


def test_the_talk_button_makes_a_turn_of_what_is_said_while_it_is_down() -> None:
    story = Story(TurnPolicy(mode="manual"))
    story.tell(Talk(story.now_s, begins=True))
    story.silence(0.5)
    story.voice(0.5)
    story.silence(3.0)
    story.tell(Talk(story.now_s, begins=False))
    story.silence(0.3)
    assert story.names() == ["TurnStarted", "Committed"]
    touched = Story(TurnPolicy(mode="manual"))
    touched.tell(Talk(0.0, begins=True))
    touched.silence(0.1)
    touched.tell(Talk(touched.now_s, begins=False))
    assert touched.names() == ["TurnStarted", "Withdrawn"]


def test_a_cleared_turn_is_forgotten() -> None:
    story = Story()
    story.voice(1.0)
    story.tell(Clear(story.now_s))
    story.silence(2.0)
    assert story.names() == ["TurnStarted", "Withdrawn"]
    assert story.of(Withdrawn)[0].cause is Cause.CLEARED


def test_who_was_given_time_to_think_is_not_answered_before() -> None:
    story = Story(end=1.0)
    story.voice(1.0)
    story.tell(HoldFloor(story.now_s, 5.0))
    story.silence(4.5)
    assert story.of(Committed) == []
    story.silence(1.0)
    assert len(story.of(Committed)) == 1


def test_a_click_is_no_turn_and_noise_on_an_empty_floor_is_taken_back() -> None:
    story = Story()
    for _ in range(10):
        story.voice(WINDOW_S, 0.6)
        story.silence(0.2)
    assert story.actions == []
    cough = Story(kind=Kind.NOISE)
    cough.voice(0.2)
    cough.silence(1.0)
    assert cough.names() == ["TurnStarted", "Withdrawn"]
    assert cough.of(Withdrawn)[0].cause is Cause.NOISE


def test_missing_frames_are_waited_for_and_not_for_ever() -> None:
    story = Story()
    story.voice(1.0)
    story.tell(Missing(story.now_s, 2, 0.3))
    story.silence(3.0)
    (committed,) = story.of(Committed)
    assert committed.at_s - committed.ended_s == pytest.approx(0.9, abs=WINDOW_S)
    story = Story()
    story.voice(1.0)
    story.tell(Missing(story.now_s, 2, 0.3))
    story.silence(0.7)
    story.tell(Missing(story.now_s, 0, 0.3))
    assert len(story.of(Committed)) == 1


def test_a_turn_without_end_is_ended() -> None:
    story = Story(TurnPolicy(longest_s=2.0))
    story.voice(9.0)
    assert {one.reason for one in story.of(Committed)} == {Reason.LONGEST}
    assert len(story.of(Committed)) == 4


def test_nobody_speaking_is_told_and_each_time_takes_twice_as_long() -> None:
    story = Story(TurnPolicy(idle_s=5.0))
    story.nothing(40.0)
    assert [one.count for one in story.of(Idle)] == [1, 2, 3]
    assert [one.at_s for one in story.of(Idle)] == pytest.approx([5.0, 15.0, 35.0], abs=0.01)


def test_an_agent_that_owes_a_reply_is_late_once() -> None:
    story = Story(TurnPolicy(late_s=1.0), replies=True)
    story.voice(1.0)
    story.nothing(10.0)
    (late,), (committed,) = story.of(AgentLate), story.of(Committed)
    assert late.at_s - committed.at_s == pytest.approx(1.0, abs=0.01)


def test_no_frames_are_silence() -> None:
    story = Story()
    story.voice(1.0)
    story.nothing(1.0)
    (committed,) = story.of(Committed)
    assert committed.at_s - committed.ended_s == pytest.approx(0.75, abs=0.02)


def test_all_numbers_of_the_policy_are_times_or_probabilities() -> None:
    for field in dataclasses.fields(TurnPolicy):
        value = getattr(TurnPolicy(), field.name)
        assert value is None or isinstance(value, str) or value > 0


def test_what_cut_the_agent_is_never_taken_back_as_a_noise() -> None:
    """Nobody would say anything any more."""
    story = Story(kind=Kind.SPEECH)
    story.agent_speaks()
    story.voice(0.2)
    assert len(story.of(Flush)) == 1
    story.agent_ends()
    story.kind = Kind.NOISE
    story.silence(3.0)
    assert [one.cause for one in story.of(Withdrawn)] == []
    assert len(story.of(Committed)) == 1
