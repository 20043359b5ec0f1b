"""Regions, placements explained, and evidence over HTTP: a real Valkey and real gRPC, with a double for the edges."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from antiphon.cluster import Cluster
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, SDP, signaling
from tests.support.tokens import AUTH, by_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from antiphon.cluster.embedded import EmbeddedValkey

CALLER = "81.2.69.160"
PROBES = {"probe_url": "http://192.0.2.1:4004/probe", "probe_stun": "192.0.2.1:4004"}
VIRGINIA = {"region": "virginia", "latitude": 38.95, "longitude": -77.45}


@asynccontextmanager
async def site(valkey: EmbeddedValkey, **sections: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Cluster]]:
    """An edge in frankfurt, one in virginia, a worker beside the latter, and a caller of a public address."""
    async with (
        serving(EdgeDouble()) as control,
        Cluster(valkey.url) as cluster,
        kept(
            cluster,
            edge("edge-f", control=control, links={"worker-a": 88.0}, **PROBES),
            edge("edge-v", control=control, links={"worker-a": 1.0}, **VIRGINIA),
            worker(),
        ),
        signaling(valkey, (CALLER, 50000), **sections) as http,
    ):
        yield http, cluster


async def call(http: httpx.AsyncClient, **wishes: Any) -> dict[str, Any]:
    reply = await http.post("/v1/sessions", json={"sdp": OFFER, **wishes})
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def explained(http: httpx.AsyncClient, **wishes: Any) -> dict[str, Any]:
    reply = await http.post("/v1/placements:explain", json=wishes)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def test_regions_are_listed_with_their_probes(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (http, _):
        frankfurt, virginia = (await http.get("/v1/regions")).json()["regions"]
    assert (frankfurt["name"], frankfurt["latitude"], frankfurt["edges"]) == ("frankfurt", 50.11, 1)
    assert frankfurt["probes"] == [{"http": PROBES["probe_url"], "stun": f"stun:{PROBES['probe_stun']}"}]
    assert (virginia["name"], virginia["probes"]) == ("virginia", [])


async def test_the_callers_measurement_decides_and_stays_in_the_record(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (http, _):
        made = await call(http, rtts={"frankfurt": 12.0, "virginia": 190.0, "mars": 1.0})
        assert made["edge"] == "edge-f"
        assert made["placement"]["evidence"]["measured"] == {"frankfurt": 12.0, "virginia": 190.0}
        kept_record = (await http.get(f"/v1/sessions/{made['id']}")).json()["placement"]
        assert kept_record["edges"] == made["placement"]["edges"]
        chosen = kept_record["edges"][0]
        assert (chosen["id"], chosen["chosen"], chosen["rank"]) == ("edge-f", True, 1)
        assert {term["policy"]: term["ms"] for term in chosen["terms"]} == {
            "caller_rtt": 12.0,
            "worker_rtt": 88.0,
            "load": 0.0,
        }
        assert chosen["cost_ms"] == pytest.approx(100.0)


async def test_where_the_worker_is_decides_for_a_caller_in_between(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (http, _):
        told = await explained(http, rtts={"frankfurt": 40.0, "virginia": 50.0})
    assert (told["edge"], told["region"], told["worker"]) == ("edge-v", "virginia", "worker-a")
    assert "1.0 ms to worker-a" in told["placement"]["edges"][0]["why"]


async def test_calls_teach_the_cluster_how_far_their_network_is(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (http, cluster):
        first = await call(http, region="frankfurt")
        assert first["placement"]["evidence"]["networks"] == ["81.2.69.0/24"]
        assert await cluster.round_trips.learn({first["id"]: 250.0}) == 1
        told = await explained(http)
        assert told["placement"]["evidence"]["learned"]["frankfurt"] == {
            "ms": 250.0,
            "calls": 1.0,
            "network": "81.2.69.0/24",
        }
        assert told["edge"] == "edge-v"
        neighbour = await explained(http, ip="81.2.69.9")
        assert neighbour["placement"]["evidence"]["learned"]["frankfurt"]["ms"] == 250.0
        stranger = await explained(http, ip="81.2.70.9")
        assert stranger["placement"]["evidence"]["learned"] == {}


async def test_explaining_claims_nothing_and_shows_every_candidate(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (http, cluster), kept(cluster, *(edge(f"far-{i:02}", region="far") for i in range(30))):
        told = await explained(http)
        assert len(told["placement"]["edges"]) == 32
        assert told["placement"]["left_out"] == 0
        assert all(one.sessions == 0 for one in await cluster.edges())
        made = await call(http, region="frankfurt")
        assert len(made["placement"]["edges"]) == 16
        assert made["placement"]["left_out"] == 16


async def test_a_place_of_geoip_is_shown_with_its_network(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    city, asn = tmp_path / "city.mmdb", tmp_path / "asn.mmdb"
    where = {"city": {"names": {"en": "London"}}, "location": {"latitude": 51.5, "longitude": -0.1}}
    for path, kind, said in (
        (city, "GeoLite2-City", where),
        (asn, "GeoLite2-ASN", {"autonomous_system_number": 20712}),
    ):
        writer = MMDBWriter(database_type=kind, languages=["en"])
        writer.insert_network(IPSet(["81.2.69.0/24"]), said)
        writer.to_db_file(str(path))
    geoip = {"city_database": str(city), "asn_database": str(asn)}
    async with site(valkey, signaling={"geoip": geoip, "policy": ["caller_rtt", "load"]}) as (http, _):
        told = await explained(http)
    evidence = told["placement"]["evidence"]
    assert evidence["networks"] == ["81.2.69.0/24", "AS20712"]
    assert evidence["place"] == {"latitude": 51.5, "longitude": -0.1}
    assert told["placement"]["caller"] == "GeoIP says London"
    assert told["edge"] == "edge-f"


async def test_a_full_cluster_is_explained_and_not_an_error(valkey: EmbeddedValkey) -> None:
    async with (
        Cluster(valkey.url) as cluster,
        kept(cluster, edge(sessions=100), worker(sessions=100)),
        signaling(valkey) as http,
    ):
        told = await explained(http)
    assert (told["edge"], told["worker"]) == (None, None)
    (only_edge,), (only_worker,) = told["placement"]["edges"], told["placement"]["workers"]
    assert (only_edge["possible"], only_worker["possible"]) == (False, False)
    assert only_edge["why"].startswith("full: edge.capacity is 100")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b'{"ip": "nowhere"}', 400, "bad_request"),
        (b'{"ip": 7}', 400, "bad_request"),
        (b'{"volume": 11}', 400, "bad_request"),
        (b'{"rtts": {"frankfurt": -1}}', 400, "bad_request"),
        (b'{"rtts": {"frankfurt": 1e999}}', 400, "bad_request"),
        (b'{"rtts": {"frankfurt": "near"}}', 400, "bad_request"),
        (b'{"rtts": {' + b",".join(b'"r%d": 1' % i for i in range(65)) + b"}}", 400, "bad_request"),
        (b'{"agent": "nobody"}', 404, "unknown_agent"),
        (b"x" * 65537, 413, "too_large"),
    ],
)
async def test_what_cannot_be_explained_is_told(valkey: EmbeddedValkey, body: bytes, status: int, code: str) -> None:
    async with site(valkey) as (http, _):
        reply = await http.post("/v1/placements:explain", content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text


async def test_workers_of_other_projects_are_not_there(valkey: EmbeddedValkey) -> None:
    theirs = worker("worker-b", projects=("globex",))
    near = edge("edge-n", links={"worker-a": 9.0, "worker-b": 1.0})
    async with (
        Cluster(valkey.url) as cluster,
        kept(cluster, near, worker(), theirs),
        signaling(valkey, auth=AUTH) as http,
    ):
        reply = await http.post("/v1/placements:explain", json={}, headers=by_key("acme"))
        told = reply.json()
    assert [one["id"] for one in told["placement"]["workers"]] == ["worker-a"]
    assert "9.0 ms to worker-a" in told["placement"]["edges"][0]["why"]


async def test_spoofed_headers_move_nobody(valkey: EmbeddedValkey) -> None:
    headers = {"x-forwarded-for": "203.0.113.5", "cf-iplatitude": "38.95", "cf-iplongitude": "-77.45", **SDP}
    geoip = {"trusted_proxies": ["10.0.0.0/8"], "location_headers": "cloudflare"}
    async with site(valkey, signaling={"geoip": geoip}) as (http, _):
        made = await http.post("/v1/sessions", content=OFFER, headers=headers)
        told = (await http.get(made.headers["location"])).json()
    assert told["caller"] == CALLER
    assert "cloudflare" not in told["placement"]["caller"]


async def test_what_a_network_taught_fades(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (http, cluster):
        session = (await call(http, region="frankfurt"))["id"]
        trips = cluster.round_trips
        for ms in (100.0, 100.0, 40.0):
            await trips.learn({session: ms})
        found = (await trips.learned(["81.2.69.0/24"]))["frankfurt"]
        assert found.ms == pytest.approx(80.0, abs=0.1)
        assert found.weight == pytest.approx(3.0, abs=0.01)
        assert await trips.learned(["AS20712"]) == {}
        assert await trips.learn({"ses_frankfurt_" + "0" * 20: 1.0}) == 0, "nobody knows that session"


async def test_readings_of_the_membership_are_shared(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as (_, cluster):
        found = await asyncio.gather(*(cluster.recent_members(within_s=5.0) for _ in range(10)))
        assert len({id(one) for one in found}) == 1
        assert await cluster.recent_members(within_s=5.0) is found[0]
        assert await cluster.recent_members(within_s=0.0) is not found[0]
        assert found[0].edges[0].links == {"worker-a": 88.0}
