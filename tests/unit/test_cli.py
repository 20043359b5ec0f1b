"""The command line: mistakes become one line and the right exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from antiphon.access import Grants, Identity, KeyRing, read_keys, verify
from antiphon.config import load_config

if TYPE_CHECKING:
    from pathlib import Path


def antiphon(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    return subprocess.run(
        [sys.executable, "-m", "antiphon.cli", *arguments],
        capture_output=True,
        text=True,
        env=clean | env,
        timeout=60,
        check=False,
    )


def test_version_is_printed() -> None:
    result = antiphon("version")
    assert result.returncode == 0
    assert result.stdout.startswith("antiphon ")


def test_every_command_is_in_the_help() -> None:
    shown = antiphon("--help").stdout
    commands = "up signaling edge worker call drain token explain status doctor bundle version"
    for command in commands.split():
        assert f"  {command} " in shown


@pytest.mark.parametrize("command", ["signaling", "edge", "worker"])
def test_an_unknown_key_in_the_file_is_named(tmp_path: Path, command: str) -> None:
    file = tmp_path / "antiphon.yaml"
    file.write_text("edge:\n  colour: red\n")
    result = antiphon(command, "--config", str(file))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "edge.colour" in result.stderr


def test_a_wrong_value_in_the_environment_is_named() -> None:
    result = antiphon("edge", ANTIPHON_EDGE__SHARDS="many")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "edge.shards" in result.stderr


def test_up_refuses_to_be_reached_by_others_without_authentication() -> None:
    result = antiphon("up", ANTIPHON_SIGNALING__HOST="0.0.0.0")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "auth.mode" in result.stderr


def test_up_says_that_no_redis_answers() -> None:
    result = antiphon("up", "--port", "0", "--redis-url", "redis://me:s3cret@127.0.0.1:1/0")
    assert result.returncode == 1
    assert "Redis does not answer" in result.stderr
    assert "s3cret" not in result.stderr + result.stdout


def test_up_says_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = antiphon("up", "--port", str(port))
    assert result.returncode == 1
    assert (
        result.stderr
        == f"antiphon: port {port} is taken: stop what listens there, or choose another port with --port\n"
    )


def test_up_names_a_missing_file_of_agents() -> None:
    result = antiphon("up", "--agents", "/no/such/agents.py")
    assert result.returncode == 2
    assert result.stderr == "antiphon: there is no file /no/such/agents.py\n"


def test_a_call_without_a_server_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = antiphon("call", "--url", url)
    assert result.returncode == 1
    assert f"no answer from {url}" in result.stderr
    assert "Is Antiphon running there?" in result.stderr


def test_a_call_with_a_missing_sound_file_says_so() -> None:
    result = antiphon("call", "--play", "/no/such.wav")
    assert result.returncode == 2
    assert "cannot read /no/such.wav as sound" in result.stderr


def test_a_call_to_what_is_no_address_says_so() -> None:
    result = antiphon("call", "--url", "localhost")
    assert result.returncode == 1
    assert "'localhost' is no address of a signaling node" in result.stderr


def test_a_recording_that_cannot_be_written_is_told_before_the_call(tmp_path: Path) -> None:
    result = antiphon("call", "--record", str(tmp_path / "nowhere" / "out.wav"))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "cannot write" in result.stderr


@pytest.mark.parametrize(("name", "value"), [("REDIS__URL", "http://127.0.0.1"), ("EDGE__ADVERTISE", '["no place"]')])
def test_an_address_that_is_none_is_told_in_one_line(name: str, value: str) -> None:
    free = {f"ANTIPHON_EDGE__{port}": "0" for port in ("PORT", "CONTROL_PORT", "HTTP_PORT")}
    result = antiphon("edge", **free, **{f"ANTIPHON_{name}": value})
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert name.lower().replace("__", ".") in result.stderr


KEYS = '{"web": {"project": "acme", "secret": "0123456789-0123456789-0123456789"}}'


def test_a_token_is_minted_by_the_configured_key() -> None:
    result = antiphon(
        "token", "--agent", "echo", "--metadata", '{"a": 1}', "--subject", "ann", ANTIPHON_AUTH__API_KEYS=KEYS
    )
    assert result.returncode == 0, result.stderr
    config = load_config(auth=json.loads(f'{{"api_keys": {KEYS}}}')).auth
    who = verify(result.stdout.strip(), KeyRing(read_keys(config)), config.tokens)
    assert who == Identity("acme", "web", grants=Grants(agent="echo", metadata={"a": 1}), subject="ann")


@pytest.mark.parametrize(
    ("arguments", "keys", "says"),
    [
        ((), "{}", "say which key signs, with --key; known: none"),
        (("--key", "app"), KEYS, "there is no key app; known: web"),
        (("--metadata", "{"), KEYS, "--metadata is no JSON"),
        (("--metadata", "[]"), KEYS, "--metadata: Input should be a valid dictionary"),
        (("--room", "a room"), KEYS, "--room: "),
        (("--ttl", "9999999"), KEYS, "ttl_s is 9999999"),
        ((), '{"web": "0123456789abcdef"}', "the key web cannot sign tokens"),
    ],
)
def test_a_token_that_cannot_be_minted_is_told_in_one_line(arguments: tuple[str, ...], keys: str, says: str) -> None:
    result = antiphon("token", *arguments, ANTIPHON_AUTH__API_KEYS=keys)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert says in result.stderr
