"""The chart refuses values that cannot work, with words that say what to do: one row each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chart import LEAST, least, region, render

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no secret", {"valkey": {"enabled": True}}, "auth.existingSecret is required: name a secret"),
    ("no Redis", {"auth": LEAST["auth"]}, "no Redis is named: set redis.url or redis.existingSecret"),
    ("two Redises", least(redis={"url": "redis://r:6379/0"}), "more than one Redis is named"),
    (
        "a password in the values",
        {"auth": LEAST["auth"], "redis": {"url": "redis://me:secret@r:6379/0"}},
        "redis.url holds a password",
    ),
    ("an unknown key", least(sinaling={"replicas": 2}), "sinaling"),
    ("an unknown key below", least(edge={"repliacs": 2}), "repliacs"),
    ("an unknown key of a region", least(regions=[region(capacty=5)]), "capacty"),
    ("a region without a place", least(regions=[{"name": "tokyo"}]), "latitude"),
    ("no region", least(regions=[]), "regions"),
    ("a region twice", least(regions=[region(), region()]), "regions has tokyo twice"),
    ("a region's name that is too long", least(regions=[region(name="a" * 21)]), "regions/0/name"),
    ("a region off the map", least(regions=[region(latitude=91)]), "latitude"),
    ("a kind of exposure that is none", least(edge={"exposure": {"type": "magic"}}), "type"),
    ("addresses that are names", least(edge={"exposure": {"addresses": ["edge.example.com"]}}), "addresses"),
    (
        "no address to advertise",
        least(regions=[region(exposure={"advertise": "values"})]),
        "region tokyo advertises addresses of the values, but exposure.addresses is empty",
    ),
    (
        "a load balancer whose address is not told",
        least(regions=[region(exposure={"type": "loadBalancer"})]),
        "set exposure.advertise to values and exposure.addresses",
    ),
    (
        "one address for several edges",
        least(regions=[region(replicas=2, exposure={"advertise": "values", "addresses": ["192.0.2.1"]})]),
        "cannot all have the same addresses",
    ),
    (
        "edges in the nodes' network that workers would not let in",
        least(edge={"exposure": {"type": "hostNetwork"}}),
        "set networkPolicy.nodeNetworks",
    ),
    ("an Ingress without a host", least(signaling={"ingress": {"enabled": True}}), "signaling.ingress.host is empty"),
    (
        "a Gateway's route to nowhere",
        least(signaling={"gateway": {"enabled": True}}),
        "signaling.gateway.parents is empty",
    ),
    ("a parent without a name", least(signaling={"gateway": {"parents": [{"namespace": "x"}]}}), "name"),
    ("a timeout that is none", least(signaling={"gateway": {"requestTimeout": "forever"}}), "requestTimeout"),
    (
        "KEDA without a Prometheus",
        least(worker={"autoscaling": {"enabled": True, "by": "keda"}}),
        "worker.autoscaling.keda.prometheus is empty",
    ),
    (
        "a metric of the other scaler",
        least(
            worker={"autoscaling": {"enabled": True, "by": "keda", "sessions": 9, "keda": {"prometheus": "http://p"}}}
        ),
        "set worker.autoscaling.keda.occupancyPercent",
    ),
    ("a scaler that is none", least(worker={"autoscaling": {"by": "hand"}}), "by"),
    ("workers more than full", least(worker={"autoscaling": {"keda": {"occupancyPercent": 101}}}), "occupancyPercent"),
    ("a cost that is told all the time", least(podDeletionCost={"everySeconds": 0}), "everySeconds"),
    (
        "a scale upside down",
        least(worker={"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}}),
        "worker.autoscaling.minReplicas is more than maxReplicas",
    ),
    (
        "agents from two places",
        least(worker={"agents": ["/a.py"], "agentsConfigMap": "agents"}),
        "set worker.agents (files in the image) or worker.agentsConfigMap, not both",
    ),
    ("an agent that is no file of Python", least(worker={"agents": ["my_agents"]}), "agents"),
    ("a key in a ConfigMap", least(config={"auth": {"api_keys": {"me": "x"}}}), "put keys into the secret"),
    ("Redis in a ConfigMap", least(config={"redis": {"url": "redis://r"}}), "config.redis does not belong"),
    ("the seal in a ConfigMap", least(config={"cluster_secret": "00"}), "config.cluster_secret does not belong"),
    ("a digest that is none", least(image={"digests": {"edge": "latest"}}), "digests"),
    ("a digest of no role", least(image={"digests": {"egde": "sha256:" + "0" * 64}}), "egde"),
    ("a kind of volume that is none", least(recording={"volume": {"type": "tape"}}), "type"),
    ("a size that is none", least(recording={"volume": {"size": "big"}}), "size"),
    (
        "a claim that is not named",
        least(recording={"enabled": True, "volume": {"type": "existingClaim"}}),
        "recording.volume.existingClaim is empty: name it",
    ),
    (
        "a claim that nothing uses",
        least(recording={"volume": {"existingClaim": "mine"}}),
        "recording.volume.type is emptyDir: set it to existingClaim",
    ),
    ("a bucket that is a web page", least(recording={"bucket": {"url": "https://bucket"}}), "url"),
    (
        "keys of no bucket",
        least(recording={"bucket": {"existingSecret": "keys"}}),
        "recording.bucket.url is empty: set it",
    ),
    ("a bucket's key in the values", least(recording={"bucket": {"secretAccessKey": "x"}}), "secretAccessKey"),
    (
        "a bucket's key in a ConfigMap",
        least(config={"recording": {"secret_access_key": "x"}}),
        "name it in recording.bucket.existingSecret",
    ),
    (
        "recording without a volume",
        least(config={"recording": {"enabled": True, "path": "/tmp/recordings"}}),
        "set recording.enabled instead",
    ),
    ("a port for probes that is taken", least(edge={"probePort": 4002}), "which is taken: use another"),
    ("a port that is none", least(edge={"port": 70000}), "port"),
    ("a Redis that is a web page", {"auth": LEAST["auth"], "redis": {"url": "http://r"}}, "url"),
    ("no replica of signaling", least(signaling={"replicas": 0}), "replicas"),
]


@pytest.mark.parametrize(("values", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_work_is_refused_in_words(values: dict[str, Any], words: str) -> None:
    refusal = render(values).refusal
    assert refusal, "it was not refused"
    assert words in refusal
