from __future__ import annotations

import pytest

from antiphon.ids import new_session_id, session_region


def test_a_session_id_names_its_region_and_is_never_given_twice() -> None:
    ids = {new_session_id("frankfurt-1") for _ in range(1000)}
    assert len(ids) == 1000
    assert {session_region(session) for session in ids} == {"frankfurt-1"}


@pytest.mark.parametrize("text", ["", "ses_", "ses_frankfurt_short", "ses_Frankfurt_00000000000000000000", "../etc"])
def test_what_is_no_session_id_names_no_region(text: str) -> None:
    assert session_region(text) is None
