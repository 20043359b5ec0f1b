"""When voice detection counts as overloaded, and when no longer."""

from antiphon.turns.overload import LATE_S, Overload


def seconds(overload: Overload, begin: int, count: int, *, late: int) -> list[bool]:
    """Lets seconds of 1000 judgements pass, some of them late; tells what was believed in each."""
    believed = []
    for second in range(begin, begin + count):
        overload.judged(second, 1000 - late, LATE_S / 4)
        overload.judged(second + 0.5, late, LATE_S * 2)
        believed.append(overload.at(second + 0.9))
    return believed


def test_three_poor_seconds_on_end_make_it_and_five_good_ones_end_it() -> None:
    overload = Overload()
    assert seconds(overload, 1, 10, late=10) == [False] * 10, "one in a hundred"
    assert seconds(overload, 11, 2, late=11) == [False] * 2
    assert seconds(overload, 13, 3, late=0) == [False] * 3, "two seconds are a hiccup"
    assert seconds(overload, 16, 6, late=500) == [False] * 3 + [True] * 3
    assert seconds(overload, 22, 4, late=0) == [True] * 4
    assert seconds(overload, 26, 1, late=100) == [True]
    assert seconds(overload, 27, 7, late=0) == [True] * 5 + [False] * 2


def test_who_has_nothing_to_judge_any_more_is_not_late() -> None:
    overload = Overload()
    assert seconds(overload, 1, 4, late=500)[-1]
    assert [overload.at(second) for second in (9, 10)] == [True, False]
    assert seconds(overload, 20, 3, late=500) == [False] * 3, "it begins anew"
