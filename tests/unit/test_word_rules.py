"""Which words over the agent's voice want the floor, however a recogniser spells them."""

from __future__ import annotations

import pytest

from antiphon.turns import EnglishRules


@pytest.mark.parametrize("heard", ["Mm-h", "mm-hm.", "Hmm", "Mmh, mm", "Uh-huh.", "Yeah, right.", "Oh, I see."])
def test_assent_leaves_the_agent_the_floor(heard: str) -> None:
    assert not EnglishRules().judge(heard).interrupts


@pytest.mark.parametrize("heard", ["Stop", "Mm-hm, but who was she?", "Him.", "Yeah, no.", "Ham"])
def test_words_take_it(heard: str) -> None:
    assert EnglishRules().judge(heard).interrupts
