from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.addresses import parse_advertised
from antiphon.config import Config, load_config
from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "00112233445566778899aabbccddeeff"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ANTIPHON_"):
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "antiphon.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_hold() -> None:
    config = load_config()
    assert isinstance(config, Config)
    assert config.edge.port == 4000
    assert config.signaling.host == "127.0.0.1"


def test_arguments_beat_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "edge: {id: from-file, port: 1, shards: 2}\nregion: {name: frankfurt, latitude: 50.11}\n")
    monkeypatch.setenv("ANTIPHON_EDGE__PORT", "2")
    monkeypatch.setenv("ANTIPHON_EDGE__SHARDS", "3")
    config = load_config(path, edge={"shards": 4})
    assert (config.edge.id, config.edge.port, config.edge.shards) == ("from-file", 2, 4)
    assert config.region.name == "frankfurt"


def test_the_environment_names_the_file_when_the_caller_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_CONFIG", str(write(tmp_path, "worker: {capacity: 7}\n")))
    assert load_config().worker.capacity == 7


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_EDGE__ADVERTISE", '["192.0.2.1", "2001:db8::1"]')
    assert load_config().edge.advertise == ("192.0.2.1", "2001:db8::1")
    assert load_config().edge.hosts == ("127.0.0.1",)
    monkeypatch.setenv("ANTIPHON_EDGE__HOST", '["127.0.0.1", "::1"]')
    assert load_config().edge.hosts == ("127.0.0.1", "::1")
    monkeypatch.setenv("ANTIPHON_EDGE__HOST", "::1")
    assert load_config().edge.hosts == ("::1",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("192.0.2.1", (("udp", "192.0.2.1", 0), ("tcp", "192.0.2.1", 0))),
        ("2001:db8::1", (("udp", "2001:db8::1", 0), ("tcp", "2001:db8::1", 0))),
        ("[2001:db8::1]", (("udp", "2001:db8::1", 0), ("tcp", "2001:db8::1", 0))),
        ("udp:192.0.2.1", (("udp", "192.0.2.1", 0),)),
        ("192.0.2.1:5000", (("udp", "192.0.2.1", 5000),)),
        ("tcp:192.0.2.1:443", (("tcp", "192.0.2.1", 443),)),
        ("tcp:[2001:db8::1]:443", (("tcp", "2001:db8::1", 443),)),
    ],
)
def test_an_address_for_callers_says_how_it_is_reached(text: str, told: tuple[tuple[str, str, int], ...]) -> None:
    assert tuple((a.transport, a.address, a.port) for a in parse_advertised(text)) == told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("edge: {prot: 4000}", "edge.prot: there is no such key"),
        ("egde: {port: 4000}", "egde: there is no such key"),
        ("edge: {port: 70000}", "edge.port: input should be less than or equal to 65535, not 70000"),
        ("edge: {advertise: [edge.example.com]}", "'edge.example.com' is no address that callers can be"),
        ("edge: {advertise: ['192.0.2.1:0']}", "'192.0.2.1:0' has port 0: ports are 1 to 65535"),
        ("edge: {advertise: ['0.0.0.0']}", "edge.advertise: '0.0.0.0' is no address that a caller can send to"),
        ("edge: {advertise: ['2001:db8::1', '[2001:db8::1]']}", "edge.advertise: names 2001:db8::1 over udp twice"),
        ("edge: {advertise: ['tcp:192.0.2.1:443']}", "edge.advertise: names addresses over TCP only"),
        ("edge: {host: []}", "edge.host"),
        ("edge: {host: ['127.0.0.1', '127.0.0.1']}", "edge.host: must be one address, or up to 7 that differ"),
        ("edge: {host: 0.0.0.0}", "edge: edge.host is 0.0.0.0, which is no address that callers can be told"),
        ("edge: {host: ['127.0.0.1', 192.0.2.1]}", "edge.host is 192.0.2.1, which others can reach"),
        ("edge: {steering_advertise: 10.0.0.5}", "edge.steering_advertise: must be address:port"),
        ("edge: {steering_host: '::', steering_port: 4003}", "which other edges cannot be told"),
        ("region: {name: Frankfurt am Main}", "region.name"),
        ("edge: [1]", "edge: input should be a valid dictionary"),
        ("- edge", "must hold keys"),
        ("edge: {", "line 1: is not YAML"),
        ("cluster_secret: tooshort", "cluster_secret: must be 32 hexadecimal digits"),
        ("auth: {mode: keys}", "auth.api_keys is empty"),
        ("auth: {mode: keys, api_keys: {console: short}}", "auth.api_keys.console: its secret is too short"),
        ("auth: {mode: keys, api_keys: {a.b: 0123456789abcdef}}", "holds no dot"),
        ("signaling: {host: 0.0.0.0}", "signaling.host is 0.0.0.0, which others can reach"),
        ("redis: {url: http://127.0.0.1}", "redis.url: must be redis://host:port/0"),
        ("redis: {url: redis://127.0.0.1:many}", "redis.url: must be redis://host:port/0"),
        ("worker: {host: 192.0.2.1}", "worker.host is 192.0.2.1, which others can reach"),
        ("signaling: {cors_origins: ['*']}", "signaling.cors_origins: '*' is no origin"),
        ("signaling: {cors_origins: ['https://app.example.com/']}", "is no origin"),
        ("signaling: {cors_origins: [app.example.com]}", "is no origin"),
        ("signaling: {geoip: {trusted_proxies: [10.0.0.0/33]}}", "signaling.geoip.trusted_proxies"),
    ],
)
def test_a_wrong_file_is_told_in_one_line_that_names_the_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ANTIPHON_EDGE__PROT", "1", "edge.prot: there is no such key"),
        ("ANTIPHON_EGDE__PORT", "1", "ANTIPHON_EGDE__PORT: there is no section 'egde'"),
        ("ANTIPHON_EDGE__PORT", "many", "edge.port"),
        ("ANTIPHON_EDGE__ADVERTISE", "192.0.2.1", "JSON"),
    ],
)
def test_a_wrong_variable_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variables_that_kubernetes_sets_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_SIGNALING_PORT", "tcp://10.0.0.1:8080")
    assert load_config().signaling.port == 8080


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "absent.yaml")


def test_secrets_stay_out_of_errors_and_of_the_printed_tree(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "cluster_secret: hunter2hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "redis: {url: 'redis://:hunter2@127.0.0.1:hunter2'}"))
    assert "hunter2" not in str(caught.value)
    config = load_config(cluster_secret=SECRET, redis={"url": "redis://:hunter2@127.0.0.1/0"})
    assert "hunter2" not in repr(config)
    assert SECRET not in repr(config)


def test_keys_open_other_addresses() -> None:
    config = load_config(
        signaling={"host": "0.0.0.0"}, auth={"mode": "keys", "api_keys": {"console": "0123456789abcdef"}}
    )
    assert config.signaling.host == "0.0.0.0"


KEYS = {"mode": "keys", "api_keys": {"console": "0123456789abcdef"}}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "8.8.8.8", "worker.example.com"])
def test_keys_do_not_open_what_they_do_not_guard(host: str) -> None:
    with pytest.raises(ConfigError, match="keys guard the HTTP API only"):
        load_config(worker={"host": host}, auth=KEYS)
    with pytest.raises(ConfigError, match="keys guard the HTTP API only"):
        load_config(edge={"control_host": host}, auth=KEYS)


def test_the_link_may_stand_on_a_private_address_where_keys_are_set() -> None:
    assert load_config(worker={"host": "10.1.2.3"}, auth=KEYS).worker.host == "10.1.2.3"


@pytest.mark.parametrize("host", ["10.1.2.3", "0.0.0.0"])
def test_no_address_but_loopback_is_listened_on_without_keys(host: str) -> None:
    for section, field in (("signaling", "host"), ("edge", "host"), ("edge", "http_host"), ("worker", "http_host")):
        overrides: dict[str, Any] = {section: {field: host}}
        with pytest.raises(ConfigError, match=rf"{section}\.{field} is {host}"):
            load_config(None, **overrides)
