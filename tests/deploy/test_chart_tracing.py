"""Where the chart says that traces go."""

from __future__ import annotations

import pytest

from tests.support.chart import environment, least, render

ENDPOINT = "http://collector.monitoring:4318"


def told(**tracing: object) -> dict[str, dict[str, str]]:
    """OTEL_ variables of each pod's first container."""
    found = render(least(tracing=tracing))
    assert not found.refusal
    pods = {name: environment(pod["containers"][0]) for name, pod in found.pods().items()}
    return {
        name: {key: value for key, value in variables.items() if key.startswith("OTEL_")}
        for name, variables in pods.items()
    }


def test_every_service_sends_its_spans_to_the_collector() -> None:
    pods = told(endpoint=ENDPOINT, ratio=0.05)
    for service in ("rel-antiphon-signaling", "rel-antiphon-edge-local", "rel-antiphon-worker"):
        assert pods[service] == {
            "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.05",
        }, service


def test_without_a_collector_nothing_is_traced() -> None:
    assert not any(told().values())


@pytest.mark.parametrize(
    ("tracing", "named"),
    [
        ({"endpoint": "collector:4318"}, "endpoint"),
        ({"endpoint": "http://me:secret@collector:4318"}, "endpoint"),
        ({"ratio": 5}, "ratio"),
        ({"sampler": "always_on"}, "sampler"),
    ],
)
def test_a_value_that_cannot_work_is_refused(tracing: dict[str, object], named: str) -> None:
    assert named in render(least(tracing=tracing)).refusal
