"""`antiphon bundle --cluster`: what is in it, and that no secret of the configuration is, wherever it is written."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.bundle import hidden_in
from antiphon.cli.support_bundle import ClusterWish, secrets_of, support_bundle
from antiphon.cluster import Cluster
from antiphon.config import load_config
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import served
from tests.support.tokens import PRIVATE

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from antiphon.cluster.embedded import EmbeddedValkey
    from antiphon.config import Config

SECRETS = {
    "ops": "a-secret-of-thirty-two-characters-or-more",
    "filed": "a-secret-from-a-file-of-thirty-two-chars",
    "redis": "p4ss:word",
    "cluster": "0123456789abcdef0123456789abcdef",
    "registration": "a-registration-secret",
    "model": "sk-a-key-of-a-language-model",
    "bucket": "the/secret+of/the+bucket",
}
KEY = f"ops.{SECRETS['ops']}"


def configured(folder: Path) -> Config:
    """With every secret that there is."""
    keys = folder / "keys.yaml"
    keys.write_text(yaml.safe_dump({"filed": SECRETS["filed"]}))
    return load_config(
        redis={"url": "redis://me:p4ss%3Aword@127.0.0.1:1/0"},
        auth={
            "mode": "keys",
            "api_keys": {"ops": {"secret": SECRETS["ops"]}, "signer": {"private_key": PRIVATE}},
            "key_files": [keys],
        },
        cluster_secret=SECRETS["cluster"],
        registration_secrets=[SECRETS["registration"]],
        assistant={"model_key": SECRETS["model"]},
        recording={
            "enabled": True,
            "path": folder / "recordings",
            "access_key_id": "AKIAEXAMPLE",
            "secret_access_key": SECRETS["bucket"],
        },
    )


def contents(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.removeprefix("antiphon-cluster/")] = content.read().decode()
        return found


async def test_no_secret_of_the_configuration_is_in_it_wherever_it_is_written(
    valkey: EmbeddedValkey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path)
    log = tmp_path / "edge.log"
    spilt = [*SECRETS.values(), "redis://me:p4ss%3Aword@127.0.0.1:1/0", KEY, *PRIVATE.splitlines()[1:-1], "AKIAEXAMPLE"]
    log.write_text("".join(f"{number} {json.dumps({'said': secret})}\n" for number, secret in enumerate(spilt)))
    file = tmp_path / "cluster.tar.gz"
    auth = {"mode": "keys", "api_keys": {"ops": {"secret": SECRETS["ops"], "operator": True}}}
    async with (
        serving(EdgeDouble()) as control,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge(control=control), worker()),
        served(valkey, auth=auth) as url,
    ):
        assert await support_bundle(ClusterWish(file, url, config, KEY, [log], [f"{url}/metrics"])) == 0
    found = contents(file)
    everything = "\n".join(found.values()) + capsys.readouterr().out
    for secret in spilt:
        assert secret not in everything
    assert {"bundle.json", "config.yaml", "status.json", "sessions.json", "regions.json", "events.json", "doctor.json",
            "logs/0-edge.log", "metrics/signaling.txt", "metrics/0-127.0.0.1.txt"} <= set(found)  # fmt: skip
    assert [one["id"] for one in json.loads(found["status.json"])["edges"]] == ["edge-a"]
    assert "edge.joined" in found["events.json"]
    assert json.loads(found["doctor.json"])["cluster"][0]["level"] == "failure"
    assert "antiphon_" in found["metrics/signaling.txt"]
    assert yaml.safe_load(found["config.yaml"])["recording"]["retention_days"] == 30.0
    assert found["logs/0-edge.log"].count("(left out)") == len(spilt)
    assert file.stat().st_mode & 0o077 == 0
    missing = json.loads(found["bundle.json"])["missing"]
    assert {"metrics/edge.txt", "metrics/worker.txt"} <= set(missing)


async def test_a_cluster_that_does_not_answer_still_makes_a_bundle_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.tar.gz"
    assert await support_bundle(ClusterWish(file, "http://127.0.0.1:1", configured(tmp_path), KEY)) == 0
    found = contents(file)
    assert {"bundle.json", "config.yaml", "doctor.json"} <= set(found)
    assert "status.json is not in it" in capsys.readouterr().err


def test_what_everybody_knows_is_no_secret() -> None:
    assert not secrets_of(load_config(cluster_secret="0" * 32)) - {"0" * 32}


@given(st.lists(st.text(min_size=4, max_size=30), min_size=1, max_size=5), st.data())
def test_no_secret_survives_in_any_text(secrets: list[str], data: Any) -> None:
    ordered = sorted(set(secrets), key=len, reverse=True)
    ordered = [secret for secret in ordered if secret not in "(left out)"]
    pieces = data.draw(st.lists(st.sampled_from([*secrets, "x", " "]), max_size=10))
    told = hidden_in("|".join(pieces), ordered).replace("(left out)", "\0")
    assert not [secret for secret in ordered if secret in told and "\0" not in secret and "|" not in secret]
