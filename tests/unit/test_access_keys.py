"""API keys from the configuration, files and folders; their change without a restart; and what is wrong with them."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.access import KeyWatch, read_keys
from antiphon.cli.settings import sample
from antiphon.config import load_config
from antiphon.config_auth import AuthConfig
from antiphon.errors import ConfigError
from tests.support.signaling import signaling
from tests.support.tokens import PRIVATE, PUBLIC
from tests.support.wait import until

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

SECRET, NEW = "0123456789abcdef", "fedcba9876543210"


def of(*paths: Path, **settings: object) -> AuthConfig:
    return AuthConfig.model_validate({"mode": "keys", "key_files": paths, **settings})


def test_a_file_has_keys_in_short_and_in_full(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f"one: {SECRET}\ntwo:\n  project: acme\n  secret: {NEW}\n  operator: true\n")
    keys = read_keys(of(file, api_keys={"zero": SECRET}))
    assert {key.id: (key.project, key.secret, key.operator) for key in keys.values()} == {
        "zero": ("default", SECRET, False),
        "one": ("default", SECRET, False),
        "two": ("acme", NEW, True),
    }


def test_a_folder_is_read_as_kubernetes_mounts_a_secret(tmp_path: Path) -> None:
    mounted(tmp_path, "1", app=f"{SECRET}\n", other=f"project: acme\nsecret: {NEW}\n")
    keys = read_keys(of(tmp_path))
    assert {key.id: (key.project, key.secret) for key in keys.values()} == {
        "app": ("default", SECRET),
        "other": ("acme", NEW),
    }


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f"two: {NEW}\n")
    monkeypatch.setenv("ANTIPHON_AUTH__MODE", "keys")
    monkeypatch.setenv("ANTIPHON_AUTH__API_KEYS", f'{{"one": {{"project": "acme", "secret": "{SECRET}"}}}}')
    monkeypatch.setenv("ANTIPHON_AUTH__KEY_FILES", f'["{file}"]')
    keys = read_keys(load_config().auth)
    assert {key.id: key.project for key in keys.values()} == {"one": "acme", "two": "default"}


async def test_two_valid_keys_make_a_rotation_without_a_restart(tmp_path: Path) -> None:
    mounted(tmp_path, "1", old=SECRET)
    watch = KeyWatch(of(tmp_path))

    def valid() -> list[bool]:
        return [watch.ring.holder(bearer) is not None for bearer in (f"old.{SECRET}", f"new.{NEW}")]

    assert valid() == [True, False]
    mounted(tmp_path, "2", old=SECRET, new=NEW)
    await watch.look()
    assert valid() == [True, True]
    mounted(tmp_path, "3", new=NEW)
    await watch.look()
    assert valid() == [False, True]


async def test_a_running_node_follows_its_key_files(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f"old: {SECRET}\n")
    async with signaling(valkey, auth={"mode": "keys", "key_files": [str(file)]}) as http:

        async def answers() -> list[int]:
            bearers = (f"old.{SECRET}", f"new.{NEW}")
            return [
                (await http.get("/v1/edges", headers={"Authorization": f"Bearer {bearer}"})).status_code
                for bearer in bearers
            ]

        async def become(expected: list[int]) -> None:
            async def are() -> bool:
                return await answers() == expected

            await until(are)

        assert await answers() == [200, 401]
        file.write_text(f"old: {SECRET}\nnew: {NEW}\n")
        await become([200, 200])
        file.write_text("old: {")
        file.write_text(f"new: {NEW}\n")
        await become([401, 200])


async def test_a_file_that_cannot_be_read_anew_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f"one: {SECRET}\n")
    watch = KeyWatch(of(file))
    for damage in ("one: {", "one: short\n", "- one\n"):
        file.write_text(damage)
        with pytest.raises(ConfigError):
            await watch.look()
        assert watch.ring.holder(f"one.{SECRET}") is not None
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        await watch.look()
    assert watch.ring.holder(f"one.{SECRET}") is not None


def test_a_pair_of_keys_signs_and_half_of_one_checks() -> None:
    config = of(api_keys={"pair": {"private_key": PRIVATE, "public_key": PUBLIC}, "half": {"public_key": PUBLIC}})
    keys = read_keys(config)
    assert [keys[name].algorithm for name in ("pair", "half")] == ["EdDSA", "EdDSA"]
    assert keys["pair"].signing is not None
    assert keys["half"].signing is None
    assert keys["half"].verifying is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.b: 0123456789abcdef", "holds no dot"),
        ("one: short", "its secret is too short"),
        ("one: 1234567890123456", "one: "),
        ("one: {project: acme}", "neither secret"),
        ("one: {secret: 0123456789abcdef, role: admin}", "role: Extra inputs"),
        ("one: {secret: 0123456789abcdef, project: ACME Inc}", "project: "),
        ("one: {private_key: nonsense}", "private_key is no Ed25519 key"),
        ("one: {public_key: nonsense}", "public_key is no Ed25519 key"),
        ("[1]", "must hold"),
        ("one: {", "line 1: is not YAML"),
        ("", "hold no key"),
    ],
)
def test_wrong_keys_are_told_in_one_line_without_what_is_secret(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as told:
        KeyWatch(of(file))
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    for secret in ("short-", "1234567890123456", "nonsense"):
        assert secret not in str(told.value)


@given(st.binary(max_size=200) | st.sampled_from([b"a: 2001-99-99", b"[" * 5000, b"{[a]: b}", b"&a [*a]", b"a: !!x b"]))
def test_any_bytes_are_keys_or_an_error_in_words(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("keys.yaml", "folder/key"):
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        for path in (Path(folder) / "keys.yaml", Path(folder) / "folder"):
            with suppress(ConfigError):
                read_keys(of(path))


def test_a_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f"one: {NEW}\n")
    with pytest.raises(ConfigError, match=r"the key one stands in auth\.api_keys too"):
        read_keys(of(file, api_keys={"one": SECRET}))


def test_the_printed_configuration_tells_of_every_limit() -> None:
    for line in ("key_files: []", "audience: antiphon", "max_ttl_s: 86400", "per_second: 30.0", "burst: 500"):
        assert line in sample()


def mounted(folder: Path, version: str, **files: str) -> None:
    """As the kubelet writes a secret: a folder for each version, and a link to it that all files go through."""
    content = folder / f"..version_{version}"
    content.mkdir()
    for name, text in files.items():
        (content / name).write_text(text)
    (folder / "..new").symlink_to(content.name)
    os.replace(folder / "..new", folder / "..data")  # noqa: PTH105 - as the kubelet does
    for old in folder.iterdir():
        if not old.name.startswith("..") and old.name not in files:
            old.unlink()
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
