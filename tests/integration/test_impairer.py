"""The impairer between real sockets: what it says it does to packets is what their receivers see."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support import impaired
from tests.support.namespaces import namespace, veth, why_no_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.namespaces import Namespace

PATIENCE = 30


def udp_socket(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    made.settimeout(PATIENCE)
    return made


def test_a_proxy_loses_what_it_counts_and_no_more() -> None:
    with udp_socket() as server, udp_socket() as client:
        host, port = server.getsockname()
        with impaired.udp(f"{host}:{port}", up="loss=20%,duplicate=5%", down="none", seed=4) as network:
            came = []
            for number in range(400):  # one at a time, so that no socket's buffer overflows
                client.sendto(b"%d" % number, ("127.0.0.1", network.port))
                network.both("none")
                client.sendto(b"mark", ("127.0.0.1", network.port))
                while (packet := server.recv(64)) != b"mark":
                    came.append(int(packet))
                network.up("loss=20%,duplicate=5%")
            counts = network.counts()["up"]
    assert 40 < counts["lost"] < 120
    assert len(came) == 400 - counts["lost"] + counts["duplicated"]


def test_a_mistake_is_said_and_changes_nothing() -> None:
    with udp_socket() as server, impaired.udp("{}:{}".format(*server.getsockname())) as network:
        with pytest.raises(ValueError, match="often"):
            network.up("loss=often")
        assert network.counts()["up"]["sent"] == 0


needs_namespaces = pytest.mark.skipif(why_no_namespaces() is not None, reason=why_no_namespaces() or "")


@contextmanager
def two_namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    with namespace("left") as left, namespace("right") as right:
        yield left, right


def serve_echo(right: Namespace, host: str) -> tuple[int, threading.Thread]:
    """Sends one TCP connection's bytes back until they end."""
    with right.entered():
        listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)

    def echo() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            while piece := connection.recv(65_536):
                connection.sendall(piece)

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def said_back(left: Namespace, host: str, port: int, data: bytes) -> bytes:
    with left.entered():
        connection = socket.create_connection((host, port), timeout=PATIENCE)

    def say() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    with connection:
        sender = threading.Thread(target=say)
        sender.start()
        came = bytearray()
        while piece := connection.recv(65_536):
            came += piece
        sender.join()
    return bytes(came)


@needs_namespaces
@pytest.mark.parametrize(
    ("left_host", "right_host", "prefix"), [("10.77.0.1", "10.77.0.2", 24), ("fd77::1", "fd77::2", 64)]
)
def test_tcp_arrives_whole_over_a_lossy_path(left_host: str, right_host: str, prefix: int) -> None:
    data = bytes(range(256)) * 1_000
    with (
        two_namespaces() as (left, right),
        impaired.routed(left, "wan0", right, "wan0", up="loss=3%,delay=5ms,jitter=2ms", seed=9) as network,
    ):
        left.address("wan0", f"{left_host}/{prefix}")
        right.address("wan0", f"{right_host}/{prefix}")
        port, thread = serve_echo(right, right_host)
        assert said_back(left, right_host, port, data) == data
        thread.join(PATIENCE)
        counts = network.counts()
    assert counts["up"]["lost"] > 0
    assert counts["down"]["lost"] > 0


@needs_namespaces
def test_a_path_may_carry_tcp_and_no_udp() -> None:
    with two_namespaces() as (left, right), impaired.routed(left, "wan0", right, "wan0", up="udp=blocked") as network:
        left.address("wan0", "10.77.0.1/24")
        right.address("wan0", "10.77.0.2/24")
        with left.entered(), udp_socket("10.77.0.1") as client:
            client.sendto(b"into the void", ("10.77.0.2", 9))
        port, thread = serve_echo(right, "10.77.0.2")
        assert said_back(left, "10.77.0.2", port, b"through") == b"through"
        thread.join(PATIENCE)
        assert network.counts()["up"]["blocked"] == 1


@needs_namespaces
def test_a_cable_joins_namespaces_and_nothing_else_reaches_them() -> None:
    with two_namespaces() as (left, right), veth(left, "eth0", right, "eth0"):
        left.address("eth0", "10.77.0.1/24")
        right.address("eth0", "10.77.0.2/24")
        port, thread = serve_echo(right, "10.77.0.2")
        assert said_back(left, "10.77.0.2", port, b"through") == b"through"
        thread.join(PATIENCE)
        with pytest.raises(OSError), socket.create_connection(("10.77.0.2", port), timeout=0.5):
            pass
