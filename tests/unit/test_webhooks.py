"""Signatures of webhooks: the published example, what must not be taken, and settings that are refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import webhooks
from antiphon.config import load_config
from antiphon.errors import ConfigError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.0, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
GOOD = {"webhook-id": ID, "webhook-timestamp": "1614265330", "webhook-signature": SIGNATURE}


def test_the_example_of_the_specification_is_signed_and_verified() -> None:
    assert webhooks.headers(ID, BODY, [SECRET], at=AT) == GOOD
    assert webhooks.verify(BODY, GOOD, SECRET, at=AT) == {"test": 2432232314}


@pytest.mark.parametrize(
    ("changes", "body", "words"),
    [
        ({}, BODY + b" ", "no signature"),
        ({"webhook-id": "msg_other"}, BODY, "no signature"),
        ({"webhook-timestamp": "1614265331"}, BODY, "no signature"),
        ({"webhook-timestamp": "1614265030"}, BODY, "no signature"),
        ({"webhook-timestamp": "1614265029"}, BODY, "within 300 s"),
        ({"webhook-timestamp": "1614265631"}, BODY, "within 300 s"),
        ({"webhook-timestamp": "-1614265330"}, BODY, "within 300 s"),
        ({"webhook-timestamp": "\u0661"}, BODY, "within 300 s"),
        ({"webhook-timestamp": "9" * 400}, BODY, "within 300 s"),
        ({"webhook-signature": ""}, BODY, "no signature"),
        ({"webhook-signature": "v1,"}, BODY, "no signature"),
        ({"webhook-signature": "v1,=="}, BODY, "no signature"),
        ({"webhook-signature": "v1,\u00e4"}, BODY, "no signature"),
        ({"webhook-signature": SIGNATURE.replace("v1,", "v1a,")}, BODY, "no signature"),
        ({"webhook-signature": None}, BODY, "webhook-signature is missing"),
        ({"webhook-id": None}, BODY, "webhook-id is missing"),
    ],
)
def test_what_is_not_of_the_sender_is_refused(changes: dict[str, Any], body: bytes, words: str) -> None:
    headers = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(webhooks.WebhookError, match=words):
        webhooks.verify(body, headers, SECRET, at=AT)


def test_a_receiver_goes_from_one_secret_to_the_next() -> None:
    both = webhooks.headers(ID, b"{}", [SECRET, OTHER], at=AT)
    for secret in (SECRET, OTHER):
        assert webhooks.verify(b"{}", both, secret, at=AT) == {}
    assert webhooks.verify(b"{}", webhooks.headers(ID, b"{}", [SECRET], at=AT), OTHER, SECRET, at=AT) == {}
    with pytest.raises(webhooks.WebhookError):
        webhooks.verify(b"{}", webhooks.headers(ID, b"{}", [SECRET], at=AT), OTHER, at=AT)


@given(body=st.binary(max_size=60), key=st.binary(min_size=24, max_size=64), flip=st.integers(0, 2**16))
def test_any_body_that_is_changed_is_refused(body: bytes, key: bytes, flip: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    event = b'{"data": "' + body.hex().encode() + b'"}'
    headers = {name.title(): value for name, value in webhooks.headers(ID, event, [secret], at=AT).items()}
    assert webhooks.verify(event, headers, secret, at=AT) == {"data": body.hex()}
    at, bit = flip // 8 % len(event), flip % 8
    changed = event[:at] + bytes([event[at] ^ 1 << bit]) + event[at + 1 :]
    with pytest.raises(webhooks.WebhookError):
        webhooks.verify(changed, headers, secret, at=AT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://example.com/hook"}, "must be https://"),
        ({"url": "http://10.0.0.1/hook"}, "must be https://"),
        ({"url": "ftp://127.0.0.1/hook"}, "must be https://"),
        ({"url": "https://user:hunter2@example.com/"}, "without user"),
        ({"url": "https://example.com/#part"}, "without user and fragment"),
        ({"url": "https://[::1/"}, "without user and fragment"),
        ({"url": "https://example.com:99999/"}, "without user and fragment"),
        ({"url": "https:///hook"}, "without user and fragment"),
        ({"secrets": []}, "at least 1"),
        ({"secrets": ["hunter2"]}, "whsec_"),
        ({"secrets": ["whsec_" + base64.b64encode(b"hunter2").decode()]}, "whsec_"),
        ({"secrets": ["whsec_hunter2!"]}, "whsec_"),
        ({"events": ["session.*.x"]}, "no type of events"),
        ({"events": ["call.ended"]}, "no type of events"),
        ({"verify": False}, "no such key"),
    ],
)
def test_settings_that_are_not_safe_are_refused_without_what_is_secret(changes: dict[str, Any], words: str) -> None:
    endpoint = {"url": "https://example.com/hook", "secrets": [SECRET], **changes}
    with pytest.raises(ConfigError, match=r"webhooks\.endpoints\.crm") as refused:
        load_config(webhooks={"endpoints": {"crm": endpoint}})
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://example.com/a?b=c", "http://127.0.0.1:9/", "http://[::1]/", "http://localhost/"]
)
def test_receivers_may_be_anywhere_over_https_and_here_without(url: str) -> None:
    config = load_config(webhooks={"endpoints": {"crm": {"url": url, "secrets": [SECRET], "events": ["session.*"]}}})
    assert url not in repr(config)
    assert SECRET not in repr(config)
    assert config.webhooks.endpoints["crm"].wants("session.ended")
    assert not config.webhooks.endpoints["crm"].wants("room.closed")
