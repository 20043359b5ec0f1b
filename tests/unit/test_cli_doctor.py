"""`antiphon doctor`: each check over real sockets, a real Valkey and real files, in good and bad states."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from redis.asyncio import Redis

from antiphon.cli.checks import ROLES, Check
from antiphon.cli.checks.geoip import check_geoip
from antiphon.cli.checks.machine import BUFFER, check_machine
from antiphon.cli.checks.memory import check_memory
from antiphon.cli.checks.ports import check_ports, ports_of, runs_here
from antiphon.cli.checks.reach import check_advertised, check_probes, check_reached
from antiphon.cli.checks.recordings import check_recordings
from antiphon.cli.checks.traces import check_traces
from antiphon.cli.doctor import doctor, examine, in_words, roles_of
from antiphon.cli.ports import any_free
from antiphon.cluster import Cluster, inspect_redis
from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.config import EdgeConfig, GeoIPConfig, load_config
from antiphon.config_recording import RecordingConfig
from antiphon.edge.probes import Probes
from tests.support.plane import plane_alone
from tests.support.signaling import served

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400


def levels(checks: list[Check]) -> dict[str, str]:
    return {check.subject: check.level for check in checks}


def bound(kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    return made


async def test_a_redis_that_is_well_is_told_with_its_version_and_clock() -> None:
    async with EmbeddedValkey() as valkey:
        config = load_config(redis={"url": valkey.url})
        before = await check_memory(config)
        assert {check.level for check in before} == {"ok"}
        assert before[0].fact.startswith("valkey ")
        assert (await inspect_redis(valkey.url)).functions == "missing"
        async with Cluster(valkey.url) as cluster:
            await cluster.members()
        assert (await inspect_redis(valkey.url)).functions == "loaded"


async def test_a_redis_that_is_away_or_refuses_is_a_failure_without_its_password() -> None:
    (check,) = await check_memory(load_config(redis={"url": "redis://me:s3cret-word@127.0.0.1:1/0"}))
    assert (check.level, check.subject) == ("failure", "redis.url")
    assert check.fact.startswith("127.0.0.1:1: ")
    assert "s3cret-word" not in repr(check)
    async with EmbeddedValkey() as valkey:
        url = valkey.url.replace("redis://", "redis://me:s3cret-word@")
        (check,) = await check_memory(load_config(redis={"url": url}))
        assert check.level == "failure"
        assert "AuthenticationError" in check.fact
        assert "s3cret-word" not in repr(check)


async def test_a_redis_user_that_may_not_load_functions_is_a_failure() -> None:
    async with EmbeddedValkey() as valkey:
        async with Redis.from_url(valkey.url) as client:
            rules: dict[str, Any] = {
                "enabled": True,
                "passwords": ["+a-password"],
                "keys": ["*"],
                "commands": ["+@all", "-function"],
            }
            await client.acl_setuser("weak", **rules)
            await client.config_set("maxmemory-policy", "allkeys-lru")
        url = valkey.url.replace("redis://", "redis://weak:a-password@")
        found = levels(await check_memory(load_config(redis={"url": url})))
    assert found["redis functions"] == "failure"
    assert found["redis maxmemory-policy"] == "warning"


async def test_a_port_is_free_or_taken_or_antiphon_s_own() -> None:
    with bound(socket.SOCK_DGRAM) as media:
        config = load_config(edge={"port": media.getsockname()[1], "tcp": False, "control_port": 0, "http_port": 0})
        (taken,) = await check_ports("edge", config, running=False)
        assert taken.level == "failure"
        assert "ss -lunp" in taken.todo
        (own,) = await check_ports("edge", config, running=True)
        assert own.level == "ok"
    (free,) = await check_ports("edge", config, running=False)
    assert free.level == "ok"


async def test_a_signaling_node_that_runs_here_is_known_by_its_metrics() -> None:
    async with EmbeddedValkey() as valkey, served(valkey) as url:
        config = load_config(signaling={"port": int(url.rpartition(":")[2])})
        assert await runs_here("signaling", config)
        (port,) = await check_ports("signaling", config, running=True)
        assert (port.level, "is held" in port.fact) == ("ok", True)
    assert not await runs_here("signaling", config)


async def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    edge = {"host": "192.0.2.7", "tcp": False, "control_port": 0, "http_port": 0}
    config = load_config(auth={"mode": "keys", "api_keys": {"a": "a secret of some length"}}, edge=edge)
    (check,) = await check_ports("edge", config, running=False)
    assert check.level == "failure"
    assert "cannot be listened on" in check.fact


def test_every_port_of_an_edge_is_looked_at() -> None:
    edge = {"host": ["127.0.0.1", "::1"], "port": 1, "tcp_port": 2, "control_port": 3, "http_port": 4}
    config = load_config(edge={**edge, "steering_port": 5, "probe_port": 6}, cluster_secret="ab" * 16)
    found = [(one.kind, one.host, one.port) for one in ports_of("edge", config)]
    assert sorted(port for _, _, port in found) == [1, 1, 2, 2, 3, 4, 5, 6, 6]
    assert ("udp", "127.0.0.1", 5) in found


def city_file(path: Path, kind: str = "GeoLite2-City") -> Path:
    writer = MMDBWriter(4, kind, languages=["en"])
    writer.insert_network(IPSet(["81.2.69.0/24"]), {"country": {"iso_code": "GB"}})
    writer.to_db_file(str(path))
    return path


def test_a_geoip_file_is_fresh_old_of_another_kind_or_none(tmp_path: Path) -> None:
    path = city_file(tmp_path / "city.mmdb")
    built = path.stat().st_mtime
    assert [one.level for one in check_geoip(GeoIPConfig(city_database=path), built + DAY_S)] == ["ok", "ok"]
    old = check_geoip(GeoIPConfig(city_database=path), built + 45.5 * DAY_S)[0]
    assert (old.level, "is 45 days old" in old.fact) == ("warning", True)
    assert check_geoip(GeoIPConfig(asn_database=path))[1].level == "failure"
    assert check_geoip(GeoIPConfig(city_database=tmp_path / "none.mmdb"))[0].level == "failure"
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"this is no database")
    assert check_geoip(GeoIPConfig(city_database=broken))[0].level == "failure"


@pytest.mark.parametrize(
    ("address", "level", "words"),
    [
        ("127.0.0.1", "warning", "loopback"),
        ("10.1.2.3", "warning", "private"),
        ("100.64.0.1", "warning", "private"),
        ("fe80::1", "warning", "link-local"),
        ("9.9.9.9", "ok", "public"),
        ("2620:fe::fe", "ok", "public"),
    ],
)
def test_an_advertised_address_is_told_by_who_can_reach_it(address: str, level: str, words: str) -> None:
    checks = check_advertised(EdgeConfig(advertise=(address,)))
    assert [(one.level, words in one.fact) for one in checks] == [(level, True)] * 2
    assert len(check_advertised(EdgeConfig(advertise=(address,), tcp=False))) == 1


async def test_probes_of_an_edge_answer_where_clients_are_told() -> None:
    port = any_free()
    plane = plane_alone()
    try:
        config = EdgeConfig(port=plane.port, probe_port=port)
        async with Probes(config):
            found = await check_probes(config, running=True)
            without = await check_probes(config.model_copy(update={"stun_probe": "off"}), running=True)
    finally:
        await asyncio.to_thread(plane.close)
    assert levels(found) == levels(without) == {"edge.probe_url": "ok", "edge.probe_stun": "ok"}
    assert [f":{plane.port} " in stun.fact for _, stun in (found, without)] == [True, False]


async def test_probes_that_do_not_answer_are_a_warning_and_untried_ones_say_so() -> None:
    port = any_free()
    config = EdgeConfig(port=any_free(), probe_port=port)
    assert levels(await check_probes(config, running=True)) == {
        "edge.probe_url": "warning",
        "edge.probe_stun": "warning",
    }
    (untried,) = await check_probes(config, running=False)
    assert "was not tried" in untried.fact


async def test_what_callers_are_told_over_tcp_is_connected_to_while_the_edge_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = EdgeConfig(advertise=("127.0.0.1", f"tcp:127.0.0.1:{port}"), tcp_port=1)
        silent, answers = await check_reached(config, running=True)
        assert (silent.level, answers.level) == ("warning", "ok")
        assert "TCP 127.0.0.1:1:" in silent.fact
        assert await check_reached(config, running=False) == []


async def test_a_place_for_recordings_is_looked_at(tmp_path: Path) -> None:
    assert levels(await check_recordings("worker", RecordingConfig())) == {"recording.enabled": "ok"}
    there = RecordingConfig(enabled=True, path=tmp_path / "new" / "folder")
    (found,) = await check_recordings("worker", there)
    assert found.level in {"ok", "warning"}
    assert "can be written to" in found.fact
    assert levels(await check_recordings("signaling", there)) == {"recording.path": "warning"}
    assert levels(await check_recordings("signaling", there.model_copy(update={"path": tmp_path}))) == {
        "recording.path": "ok"
    }
    blocked = RecordingConfig(enabled=True, path=city_file(tmp_path / "file.mmdb") / "below")
    assert levels(await check_recordings("worker", blocked)) == {"recording.path": "failure"}
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "never-shown"}
    away = RecordingConfig.model_validate(
        {
            "enabled": True,
            "path": tmp_path,
            "url": "s3://calls",
            "endpoint": "http://127.0.0.1:1",
            "region": "x",
            **keys,
        }
    )
    checks = await check_recordings("signaling", away)
    assert levels(checks) == {"recording.url": "failure"}
    assert "never-shown" not in str(checks)


def test_small_kernel_buffers_are_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "sys" / "net" / "core"
    folder.mkdir(parents=True)
    (folder / "rmem_max").write_text("212992\n")
    (folder / "wmem_max").write_text(f"{BUFFER}\n")
    checks = check_machine("edge", load_config(), tmp_path)
    found = levels(checks)
    assert (found["net.core.rmem_max"], found["net.core.wmem_max"]) == ("warning", "ok")
    assert found["native module"] == "ok"
    assert any(f"sysctl -w net.core.rmem_max={BUFFER}" in check.todo for check in checks)
    assert levels(check_machine("edge", load_config(), tmp_path / "none"))["net.core.wmem_max"] == "warning"


def test_traces_are_sent_not_asked_for_or_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    (found,) = check_traces()
    assert (found.level, "not asked for" in found.fact) == ("ok", True)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    (found,) = check_traces()
    assert (found.level, "pip install 'antiphon[otel]'" in found.fact) == ("failure", True)


def test_more_callers_than_open_files_is_a_warning() -> None:
    config = load_config(edge={"capacity": 1_000_000_000})
    assert levels(check_machine("edge", config))["open files"] == "warning"


async def test_all_roles_are_examined_and_what_is_wrong_has_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    async with EmbeddedValkey() as valkey:
        zero: dict[str, Any] = {"port": 0, "http_port": 0}
        config = load_config(
            redis={"url": valkey.url}, signaling={"port": 0}, edge={**zero, "control_port": 0}, worker=zero
        )
        found = await examine(ROLES, config)
        assert list(found) == ["cluster", *ROLES]
        for check in (check for checks in found.values() for check in checks):
            assert bool(check.means) is bool(check.todo) is (check.level != "ok")
        assert in_words(found).splitlines()[-1].endswith("0 failure")
        assert await doctor(("signaling",), config, as_json=True) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["ok"] is True
        assert list(told["checks"]) == ["cluster", "signaling"]


def test_the_command_fails_without_redis_and_shows_no_secret() -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    env["ANTIPHON_REDIS__URL"] = "redis://me:s3cret-word@127.0.0.1:1/0"
    command = [sys.executable, "-m", "antiphon.cli", "doctor", "worker"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert result.returncode == 1
    assert "failure  redis.url: 127.0.0.1:1" in result.stdout
    assert "s3cret-word" not in result.stdout + result.stderr


def test_a_role_that_is_none_is_told() -> None:
    assert roles_of([]) == ROLES
    assert roles_of(["worker", "edge"]) == ("edge", "worker")
    with pytest.raises(ValueError, match="'janitor' is no role"):
        roles_of(["janitor"])
