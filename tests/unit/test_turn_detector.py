from hypothesis import given
from hypothesis import strategies as st

from antiphon.turns import TurnDetector, TurnEnded, TurnPolicy, TurnStarted

WINDOW = 0.032


def hear(probabilities: list[float], policy: TurnPolicy | None = None) -> list[TurnStarted | TurnEnded]:
    detector = TurnDetector(policy)
    events = [detector.hear(n * WINDOW, (n + 1) * WINDOW, p) for n, p in enumerate(probabilities)]
    return [event for event in events if event is not None]


def test_voice_then_silence_is_one_turn() -> None:
    started, ended = hear([0.0] * 10 + [0.65] * 30 + [0.0] * 25)
    assert isinstance(started, TurnStarted)
    assert isinstance(ended, TurnEnded)
    assert abs(started.at_s - 10 * WINDOW) < 1e-9
    assert abs(ended.ended_s - 40 * WINDOW) < 1e-9
    assert 0.6 <= ended.decided_s - ended.ended_s < 0.6 + WINDOW


def test_a_sure_window_starts_a_turn_at_once() -> None:
    (started,) = hear([0.0, 0.95])
    assert isinstance(started, TurnStarted)


def test_a_click_is_no_turn() -> None:
    assert hear([0.0, 0.6, 0.0, 0.0, 0.6, 0.1] * 10) == []


def test_pauses_shorter_than_the_timeout_belong_to_the_turn() -> None:
    assert len(hear(([0.9] * 10 + [0.0] * 18) * 5)) == 1
    assert len(hear(([0.9] * 10 + [0.0] * 20) * 5)) == 10


def test_doubtful_windows_leave_things_as_they_are() -> None:
    assert hear([0.4] * 100) == []
    assert len(hear([0.9] * 3 + [0.4] * 100)) == 1


def test_a_turn_without_end_is_ended() -> None:
    policy = TurnPolicy(longest_s=2.0)
    turns = [event for event in hear([1.0] * 300, policy) if isinstance(event, TurnEnded)]
    assert len(turns) == 4
    assert all(turn.decided_s - turn.started_s < 2.0 + 2 * WINDOW for turn in turns)


@given(st.lists(st.floats(0, 1), max_size=400))
def test_starts_and_ends_alternate_and_time_never_goes_back(probabilities: list[float]) -> None:
    events = hear(probabilities)
    kinds = [type(event) for event in events]
    assert kinds == [TurnStarted, TurnEnded] * (len(kinds) // 2) + [TurnStarted] * (len(kinds) % 2)
    times = [t for event in events for t in ([event.at_s] if isinstance(event, TurnStarted) else [event.ended_s])]
    assert times == sorted(times)
    for started, ended in zip(events[::2], events[1::2], strict=False):
        assert isinstance(started, TurnStarted)
        assert isinstance(ended, TurnEnded)
        assert started.at_s == ended.started_s < ended.ended_s <= ended.decided_s


@given(st.lists(st.floats(0, 1), max_size=200))
def test_enough_silence_always_leaves_the_detector_quiet(probabilities: list[float]) -> None:
    detector = TurnDetector()
    for n, probability in enumerate([*probabilities, *[0.0] * 25]):
        detector.hear(n * WINDOW, (n + 1) * WINDOW, probability)
    assert not detector.open


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), max_size=100))
def test_windows_out_of_order_are_harmless(windows: list[tuple[float, float]]) -> None:
    detector = TurnDetector()
    latest = 0.0
    for end, probability in windows:
        detector.hear(end - WINDOW, end, probability)
        latest = max(latest, end)
        assert detector.now_s == latest
