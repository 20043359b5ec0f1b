"""Rates of requests: in Redis, in the node, over HTTP, and behind proxies that are trusted or only say so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cluster import Cluster
from antiphon.signaling import rates
from antiphon.signaling.rates import LocalRates, network
from tests.support.signaling import OFFER, SDP, signaling
from tests.support.tokens import AUTH, by_key, by_token, token_of

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

SLOW = {"per_second": 0.001}


def limited(address: int = 1000, key: int = 1000, subject: int = 1000) -> dict[str, Any]:
    """Bursts; after them hardly anything."""
    bursts = {"per_address": address, "per_key": key, "per_subject": subject}
    return {**AUTH, "limits": {name: {**SLOW, "burst": burst} for name, burst in bursts.items()}}


class Hand:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.sampled_from([0.1, 0.5, 1.0]))
def test_no_more_than_a_burst_and_the_rate_come_through(pauses: list[float], burst: int, interval: float) -> None:
    clock = Hand()
    rates, admitted = LocalRates(clock), list[float]()
    for pause in pauses:
        clock.now += pause
        wait_s, _ = rates.admit([("one", interval, burst)])
        if not wait_s:
            admitted.append(clock.now)
            for since in admitted:
                count = sum(1 for at in admitted if at >= since)
                assert count <= burst + (clock.now - since) / interval + 1e-6
        else:
            clock.now += wait_s
            assert rates.admit([("one", interval, burst)]) == (0.0, 0), "who waits as long as told is admitted"
            admitted.append(clock.now)


def test_a_request_that_one_rate_refuses_counts_for_none() -> None:
    rates = LocalRates(Hand())
    for _ in range(3):
        assert rates.admit([("address", 1.0, 5), ("key", 1.0, 3)])[0] == 0
    for _ in range(5):
        assert rates.admit([("address", 1.0, 5), ("key", 1.0, 3)]) == (1.0, 1)
    assert [rates.admit([("address", 1.0, 5)])[0] > 0 for _ in range(3)] == [False, False, True]


def test_subjects_that_were_quiet_for_longest_are_forgotten() -> None:
    rates = LocalRates(Hand(), most=10)
    for number in range(100):
        rates.admit([(str(number), 1.0, 1)])
    assert len(rates) == 10
    assert rates.admit([("99", 1.0, 1)])[0] > 0


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_counts_as_its_network(address: str, whose: str) -> None:
    assert network(address) == whose


async def test_redis_counts_at_once_for_all_nodes(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as one, Cluster(server.url) as other:
        waits = await asyncio.gather(*(node.admit(("key:a", 3600.0, 10)) for node in (one, other) for _ in range(20)))
        assert sum(1 for wait_s, _ in waits if not wait_s) == 10
        assert all(0 < wait_s <= 3600 for wait_s, _ in waits if wait_s)
        assert (await one.admit(("key:b", 3600.0, 10), ("key:a", 3600.0, 10)))[1] == 1
        assert sum([not (await one.admit(("key:b", 3600.0, 10)))[0] for _ in range(12)]) == 10


async def test_a_caller_over_its_rate_is_told_when_to_come_again(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_PATIENCE_S", 10.0)  # a busy machine is no outage
    async with signaling(valkey, auth=limited(key=3)) as http, signaling(valkey, auth=limited(key=3)) as other:
        asked = [await node.get("/v1/edges", headers=by_key("acme")) for node in (http, other, http, other)]
        assert [reply.status_code for reply in asked] == [200, 200, 200, 429]
        told = asked[-1]
        assert told.json()["code"] == "too_many_requests"
        assert int(told.headers["retry-after"]) >= 1
        assert (await http.get("/v1/edges", headers=by_key("acme-new"))).status_code == 200
        page = (await http.get("/metrics")).text
    assert 'antiphon_signaling_rate_refusals_total{whose="key"}' in page


async def test_tokens_have_a_rate_by_subject_and_together_and_take_nothing_from_the_key(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey, auth=limited(key=5, subject=3)) as http:

        async def asked(subject: str) -> int:
            return (await http.get("/v1/edges", headers=by_token(token_of("acme", subject=subject)))).status_code

        assert [await asked("ann") for _ in range(4)] == [200, 200, 200, 429]
        assert [await asked(str(number)) for number in range(3)] == [200, 200, 429]
        assert (await http.get("/v1/edges", headers=by_key("acme"))).status_code == 200
        page = (await http.get("/metrics")).text
    for whose in ("subject", "tokens"):
        assert f'antiphon_signaling_rate_refusals_total{{whose="{whose}"}}' in page


async def test_who_guesses_keys_is_slowed_down_by_address(valkey: EmbeddedValkey) -> None:
    guess = {"Authorization": "Bearer acme.guess"}
    async with signaling(valkey, ("192.0.2.1", 1), auth=limited(address=5)) as http:
        codes = [(await http.get("/v1/edges", headers=guess)).status_code for _ in range(7)]
        assert codes == [401] * 5 + [429] * 2
        assert (await http.get("/v1/edges", headers=by_key("acme"))).status_code == 429
    async with signaling(valkey, ("192.0.2.2", 1), auth=limited(address=5)) as http:
        assert (await http.get("/v1/edges", headers=by_key("acme"))).status_code == 200


@pytest.mark.parametrize(
    ("peer", "trusted", "header", "admitted"),
    [
        ("192.0.2.1", [], "X-Forwarded-For", 3),
        ("192.0.2.1", ["10.0.0.0/8"], "X-Forwarded-For", 3),
        ("192.0.2.1", [], "X-Real-IP", 3),
        ("192.0.2.1", [], "CF-Connecting-IP", 3),
        ("10.0.0.9", ["10.0.0.0/8"], "X-Real-IP", 3),
        ("10.0.0.9", ["10.0.0.0/8"], "X-Forwarded-For", 6),
    ],
)
async def test_forwarded_addresses_count_only_from_trusted_proxies(
    valkey: EmbeddedValkey, peer: str, trusted: list[str], header: str, admitted: int
) -> None:
    """Whoever writes another address into each request must not have a new rate with each."""
    geoip = {"trusted_proxies": trusted}
    async with signaling(valkey, (peer, 1), auth=limited(address=3), signaling={"geoip": geoip}) as http:
        codes = [
            (await http.get("/v1/edges", headers=by_key("acme") | {header: f"198.51.100.{number}"})).status_code
            for number in range(6)
        ]
    assert codes == [200] * admitted + [429] * (6 - admitted)


async def test_what_a_caller_puts_before_a_proxys_word_does_not_count(valkey: EmbeddedValkey) -> None:
    geoip = {"trusted_proxies": ["10.0.0.0/8"]}
    async with signaling(valkey, ("10.0.0.9", 1), auth=limited(address=3), signaling={"geoip": geoip}) as http:
        spoofed = [f"203.0.113.{number}, 198.51.100.7" for number in range(5)]
        codes = [
            (await http.get("/v1/edges", headers=by_key("acme") | {"X-Forwarded-For": hops})).status_code
            for hops in spoofed
        ]
    assert codes == [200] * 3 + [429] * 2


async def test_without_redis_the_node_counts_alone(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey, auth=limited(key=3)) as http:
        await valkey.kill()
        codes = [
            (await http.post("/v1/sessions", content=OFFER, headers=SDP | by_key("acme"))).status_code for _ in range(5)
        ]
        assert codes == [503] * 3 + [429] * 2


async def test_without_keys_nobody_is_slowed_down(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey, auth={"limits": limited(address=1, key=1)["limits"]}) as http:
        assert [(await http.get("/v1/edges")).status_code for _ in range(4)] == [200] * 4
