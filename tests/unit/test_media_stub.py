"""The native modules are what their stubs say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from antiphon.edge import _media

ROOT = Path(__file__).parents[2]
SECRET = bytes(16)


@pytest.mark.parametrize("module", ["antiphon.edge._media", "antiphon.callers._callers"])
def test_stub_matches_the_native_module(module: str) -> None:
    pytest.importorskip(module, reason="make callers builds it", exc_type=ImportError)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", module, "--mypy-config-file", "pyproject.toml"],
        cwd=ROOT,
        env={"PYTHONPATH": "services", "MYPYPATH": "services", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def plane(**changes: object) -> _media.MediaPlane:
    settings: dict[str, object] = {
        "edge": "edge-1",
        "region": "local",
        "secret": SECRET,
        "hosts": ["127.0.0.1"],
        "port": 0,
        "tcp_port": 0,
        "advertise": [],
        "steering": None,
        "shards": 1,
        "capacity": 4,
    }
    return _media.MediaPlane(**(settings | changes))  # type: ignore[arg-type]


def test_a_plane_starts_empty_and_closes() -> None:
    media = plane(shards=2)
    assert media.port > 0
    assert media.event_fd > 0
    assert (media.sessions(), media.workers(), media.take_events()) == ([], {}, [])
    assert media.counters()["datagrams_in"] == 0
    assert media.session_stats("nobody") is None
    assert media.close_session("nobody", epoch=1, reason="api") is False
    media.close()
    media.close()


def test_settings_that_cannot_be_met_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="off, padded or any is expected"):
        plane(stun_probe="always")
    with pytest.raises(ValueError, match="16 bytes"):
        plane(secret=b"short")
    with pytest.raises(ValueError, match="shards"):
        plane(shards=0)
    with pytest.raises(ValueError, match="advertise"):
        plane(advertise=[("udp", "nonsense", 1)])
    with pytest.raises(ValueError, match="neither udp nor tcp"):
        plane(advertise=[("sctp", "192.0.2.1", 1)])
    with pytest.raises(ValueError, match="1 to 7 are expected"):
        plane(hosts=[])
    first = plane()
    with pytest.raises(OSError, match=str(first.port)):
        plane(port=first.port)
    first.close()


def test_a_plane_tells_the_addresses_that_answers_name() -> None:
    media = plane(hosts=["127.0.0.1", "::1"], steering=("127.0.0.1", 0))
    udp, tcp = media.port, media.tcp_port
    hosts = ("127.0.0.1", "::1")
    both = ((transport, host, port) for transport, port in (("udp", udp), ("tcp", tcp)) for host in hosts)
    assert media.candidates == list(both)
    assert media.steering_port not in {None, 0, udp}
    assert media.set_edges({"edge-2": "192.0.2.2:4003", "edge-3": "nowhere"}) == ["edge-3"]
    media.close()

    media = plane(
        tcp_port=None, advertise=[("tcp", "192.0.2.1", 443), ("udp", "192.0.2.1", 0), ("udp", "192.0.2.1", 5000)]
    )
    assert media.candidates == [("udp", "192.0.2.1", media.port), ("udp", "192.0.2.1", 5000)]
    assert (media.tcp_port, media.steering_port) == (None, None)
    media.close()


def test_a_session_needs_a_worker_that_is_connected() -> None:
    media = plane()
    session = {"offer": "v=0", "agent": "echo", "metadata": "{}", "caller": "", "epoch": 1}
    with pytest.raises(KeyError, match="no worker w"):
        media.open_session("s", worker="w", **session)  # type: ignore[arg-type]
    media.connect_worker("w", "127.0.0.1:1")
    with pytest.raises(ConnectionError, match="is down"):
        media.open_session("s", worker="w", **session)  # type: ignore[arg-type]
    assert media.workers()["w"]["connected"] is False
    with pytest.raises(KeyError, match="no session s"):
        media.restart_ice("s", epoch=1, sdpfrag="a=ice-ufrag:x")
    media.close()
