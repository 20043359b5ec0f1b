"""Session tokens: what is minted is taken, and what is forged, stale or odd is refused with its reason."""

from __future__ import annotations

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.access import Grants, Identity, mint, verify
from antiphon.errors import BadRequestError, TokenError
from tests.support.tokens import PRIVATE, PUBLIC, ring, settings, token_of, wrong_tokens

KEYS, TOKENS = ring(), settings().tokens
_WRONG = wrong_tokens()


@pytest.mark.parametrize(("key", "algorithm"), [("acme", "HS256"), ("signer", "EdDSA")])
def test_what_a_key_mints_is_taken_with_its_grants(key: str, algorithm: str) -> None:
    token = token_of(key, agent="parrot", room="kitchen", region="frankfurt", metadata={"customer": "42"})
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": key, "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "grants"}
    assert verify(token, KEYS, TOKENS) == Identity(
        "acme",
        key,
        grants=Grants(agent="parrot", room="kitchen", region="frankfurt", metadata={"customer": "42"}),
        subject="caller",
    )


def test_tokens_without_a_subject_stand_for_different_people() -> None:
    one, other = (verify(token_of(subject=None), KEYS, TOKENS) for _ in range(2))
    assert one.subject
    assert one.subject != other.subject


def test_a_node_with_the_public_key_alone_takes_tokens_and_mints_none() -> None:
    from antiphon.access import Key, KeyRing  # noqa: PLC0415

    config = settings(api_keys={"signer": {"project": "acme", "public_key": PUBLIC}})
    key = Key.of("signer", config.api_keys["signer"])
    assert verify(token_of("signer"), KeyRing({"signer": key}), TOKENS).project == "acme"
    with pytest.raises(BadRequestError, match="signer cannot sign"):
        mint(key, Grants(), TOKENS, ttl_s=60)


def test_a_key_whose_secret_is_short_and_a_life_that_is_long_are_refused() -> None:
    short, acme = KEYS.get("short"), KEYS.get("acme")
    assert short is not None
    assert acme is not None
    with pytest.raises(BadRequestError, match="32 characters"):
        mint(short, Grants(), TOKENS, ttl_s=60)
    for ttl_s in (0, -1, TOKENS.max_ttl_s + 1):
        with pytest.raises(BadRequestError, match="ttl_s"):
            mint(acme, Grants(), TOKENS, ttl_s=ttl_s)


@pytest.mark.parametrize("name", sorted(_WRONG))
def test_wrong_tokens_are_refused_with_their_reason(name: str) -> None:
    token, reason = _WRONG[name]
    with pytest.raises(TokenError) as refused:
        verify(token, KEYS, TOKENS)
    assert refused.value.reason == reason
    assert token not in str(refused.value)


@given(st.text(max_size=200) | st.tuples(*[st.text("eyJ0abZ-_=", max_size=60)] * 3).map(".".join))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(TokenError):
        verify(text, KEYS, TOKENS)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_token_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    token = _GOOD
    at = place % len(token)
    changed = token[:at] + chr(33 + (ord(token[at]) - 33 + change) % 93) + token[at + 1 :]
    if _same(token, changed):
        return
    with pytest.raises(TokenError):
        verify(changed, KEYS, TOKENS)


_GOOD = token_of("signer", agent="parrot")


def _same(one: str, other: str) -> bool:
    """The last character of each part has bits that mean nothing, and base64 decoders pass over them."""
    return [jwt.utils.base64url_decode(part) for part in one.split(".")] == _decoded(other)


def _decoded(token: str) -> list[bytes]:
    try:
        return [jwt.utils.base64url_decode(part) for part in token.split(".")]
    except ValueError:
        return []


def test_nothing_secret_is_in_a_key_s_words() -> None:
    told = repr([KEYS.get(name) for name in KEYS.ids()])
    assert "secret" not in told
    assert PRIVATE not in told
