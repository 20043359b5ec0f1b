from __future__ import annotations

import json
import logging

import httpx
import pytest
import structlog

from antiphon import telemetry
from antiphon.config import LogConfig


@pytest.fixture(autouse=True)
def restore_logging() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_liveness_readiness_and_metrics_are_served_on_a_free_port() -> None:
    ready = False
    telemetry.counter("test_served", "Counts for a test.").inc()
    async with telemetry.serve("127.0.0.1", 0, lambda: ready) as port, httpx.AsyncClient() as client:
        base = f"http://127.0.0.1:{port}"
        assert (await client.get(f"{base}/livez")).status_code == 200
        assert (await client.get(f"{base}/readyz")).status_code == 503
        ready = True
        assert (await client.get(f"{base}/readyz")).status_code == 200
        page = await client.get(f"{base}/metrics")
        assert "antiphon_test_served_total 1.0" in page.text
        assert (await client.get(f"{base}/else")).status_code == 404
        assert (await client.post(f"{base}/livez")).status_code == 405
        assert (await client.head(f"{base}/livez")).content == b""
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{base}/livez")


def test_a_text_line_is_readable_and_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging(LogConfig(), service="edge-frankfurt")
    telemetry.get_logger("edge").info("session opened", agent="parrot", password="hunter2", note="two words")
    line = capsys.readouterr().err
    assert " edge-frankfurt   info     session opened  agent=parrot note='two words' password=(hidden)\n" in line


def test_json_lines_carry_exceptions_and_lines_of_the_standard_library(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging(LogConfig(format="json"), service="worker")
    key = "no line may hold this" + " or that"
    try:
        raise ValueError(f"broken{key[:0]}")
    except ValueError:
        telemetry.get_logger("worker").exception("agent failed")
    logging.getLogger("grpc").warning("channel %s", "down")
    text = capsys.readouterr().err
    assert key not in text
    first, second = (json.loads(line) for line in text.splitlines())
    assert first["event"] == "agent failed"
    assert first["exception"][0]["exc_value"] == "broken"
    assert (second["event"], second["service"], second["level"]) == ("channel down", "worker", "warning")


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging(LogConfig(level="warning"), service="x")
    telemetry.get_logger("x").info("quiet")
    assert capsys.readouterr().err == ""
