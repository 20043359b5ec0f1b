"""Ports of `antiphon up`: the usual ones, or the next that are free."""

from __future__ import annotations

import socket

import pytest

from antiphon.cli.ports import PortPicker, PortTakenError, any_free, is_free, require


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} is taken.*--port"):
            require(port)


def test_port_zero_is_any_free_one() -> None:
    assert require(0) > 0


def test_a_taken_port_is_stepped_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert not is_free(port, "udp")
        assert PortPicker(port - 7).pick(7, "udp") > port


def test_no_port_is_given_twice() -> None:
    base = any_free()
    picker = PortPicker(base)
    assert picker.pick(0) != picker.pick(0)
    anywhere = PortPicker(0)
    assert len({anywhere.pick(offset) for offset in range(20)}) == 20
