"""The chart renders what it promises; what it refuses is in test_chart_refusals.py."""

from __future__ import annotations

import json
import runpy
import subprocess
from typing import Any

import pytest

from antiphon.config import load_config
from tests.support.chart import CHART, Rendered, environment, least, region, render

FILES = sorted((CHART / "ci").glob("*-values.yaml"))
IDS = [file.stem for file in FILES]
RENDERED: dict[str, Rendered] = {}


def rendered(stem: str) -> Rendered:
    if stem not in RENDERED:
        RENDERED[stem] = render({}, CHART / "ci" / f"{stem}.yaml")
        assert not RENDERED[stem].refusal
    return RENDERED[stem]


@pytest.mark.parametrize("stem", IDS)
def test_lint_is_strict(stem: str) -> None:
    command = ["helm", "lint", "--strict", "--kube-version", "1.31.0", str(CHART)]
    done = subprocess.run(
        [*command, "--values", str(CHART / "ci" / f"{stem}.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stem", IDS)
def test_every_pod_is_without_rights(stem: str) -> None:
    for name, pod in rendered(stem).pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["requests"]["cpu"], name
            assert container["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("stem", IDS)
def test_liveness_asks_livez_and_readiness_readyz(stem: str) -> None:
    for name, pod in rendered(stem).pods().items():
        for container in pod["containers"]:
            if "httpGet" not in container.get("livenessProbe", {}):
                assert name.endswith(("valkey", "test-call")), name
                continue
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
            assert container["startupProbe"]["httpGet"]["path"] == "/livez"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("stem", IDS)
def test_secrets_come_from_existing_secrets_only(stem: str) -> None:
    assert not rendered(stem).of("Secret")
    for pod in rendered(stem).pods().values():
        for container in pod["containers"]:
            for name, value in environment(container).items():
                if name in {"ANTIPHON_AUTH__API_KEYS", "ANTIPHON_CLUSTER_SECRET", "API_KEYS"}:
                    assert value["secretKeyRef"]["name"] == "antiphon-auth"
                if name in {"ANTIPHON_RECORDING__ACCESS_KEY_ID", "ANTIPHON_RECORDING__SECRET_ACCESS_KEY"}:
                    assert value["secretKeyRef"]["name"] == "antiphon-bucket"


@pytest.mark.parametrize("stem", IDS)
def test_selectors_of_services_budgets_and_policies_find_their_pods(stem: str) -> None:
    found = rendered(stem)
    made = [
        one["spec"]["template"]["metadata"]["labels"]
        for kind in ("Deployment", "StatefulSet")
        for one in found.of(kind)
    ]
    selectors = [one["spec"]["selector"] for one in found.of("Service")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in found.of("PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in found.of("NetworkPolicy")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in found.of("PodMonitor")]
    for selector in selectors:
        assert [labels for labels in made if selector.items() <= labels.items()], selector


def test_a_budget_is_one_of_two_as_kubernetes_wants_it() -> None:
    found = render(
        least(edge={"disruptionBudget": {"minAvailable": 1}}, worker={"disruptionBudget": {"maxUnavailable": "25%"}})
    )
    budgets = {one["metadata"]["name"]: one["spec"] for one in found.of("PodDisruptionBudget")}
    told = {name: {key: budget[key] for key in budget if key != "selector"} for name, budget in budgets.items()}
    assert told == {
        "rel-antiphon-edge-local": {"minAvailable": 1},
        "rel-antiphon-worker": {"maxUnavailable": "25%"},
        "rel-antiphon-signaling": {"maxUnavailable": 1},
    }


@pytest.mark.parametrize("drain_s", [0, 20, 600])
def test_kubernetes_waits_for_a_drain_and_half_a_minute_more(drain_s: int) -> None:
    pods = render(least(edge={"drainSeconds": drain_s}, worker={"drainSeconds": drain_s})).pods()
    assert pods["rel-antiphon-edge-local"]["terminationGracePeriodSeconds"] == drain_s + 30
    assert pods["rel-antiphon-worker"]["terminationGracePeriodSeconds"] == drain_s + 30
    assert environment(pods["rel-antiphon-edge-local"]["containers"][0])["ANTIPHON_EDGE__DRAIN_S"] == str(drain_s)
    assert environment(pods["rel-antiphon-worker"]["containers"][0])["ANTIPHON_WORKER__DRAIN_S"] == str(drain_s)


def test_a_region_sets_anew_what_it_says_and_keeps_the_rest() -> None:
    regions = [region(replicas=3, capacity=50, exposure={"advertise": "nodeAnnotation"}), region(name="osaka")]
    found = render(least(edge={"capacity": 70, "shards": 2}, regions=regions))
    tokyo = found.one("StatefulSet", "rel-antiphon-edge-tokyo")["spec"]
    osaka = found.one("StatefulSet", "rel-antiphon-edge-osaka")["spec"]
    assert (tokyo["replicas"], osaka["replicas"]) == (3, 1)
    told = {
        name: environment(found.pods()[f"rel-antiphon-edge-{name}"]["containers"][0]) for name in ("tokyo", "osaka")
    }
    assert [told[name]["ANTIPHON_EDGE__CAPACITY"] for name in told] == ["50", "70"]
    assert [told[name]["ANTIPHON_EDGE__SHARDS"] for name in told] == ["2", "2"]
    assert told["tokyo"]["ANTIPHON_REGION__LATITUDE"] == "35.68"
    assert "ANTIPHON_EDGE__ADVERTISE" not in told["tokyo"]
    assert told["osaka"]["ANTIPHON_EDGE__ADVERTISE"] == '["$(NODE_IP)"]'


def test_an_edge_is_exposed_as_it_is_said() -> None:
    port = rendered("regions-values").pods()["rel-antiphon-edge-frankfurt"]["containers"][0]["ports"][0]
    assert (port["protocol"], port["hostPort"]) == ("UDP", 4000)
    balanced = rendered("loadbalancer-values")
    assert "hostPort" not in balanced.pods()["rel-antiphon-edge-tokyo"]["containers"][0]["ports"][0]
    service = balanced.one("Service", "rel-antiphon-edge-tokyo-media")["spec"]
    assert service["type"] == "LoadBalancer"
    assert {port["protocol"] for port in service["ports"]} == {"UDP", "TCP"}
    told = environment(balanced.pods()["rel-antiphon-edge-tokyo"]["containers"][0])
    assert told["ANTIPHON_EDGE__STEERING_PORT"] == "4003"
    assert json.loads(told["ANTIPHON_EDGE__ADVERTISE"]) == ["203.0.113.7", "tcp:203.0.113.7:443"]
    pod = rendered("hostnetwork-values").pods()["rel-antiphon-edge-local"]
    assert pod["hostNetwork"] is True
    assert environment(pod["containers"][0])["ANTIPHON_EDGE__HOST"] == "$(POD_IP)", "answers leave by what was asked"


def test_each_service_knows_the_redises_of_regions_where_the_secret_has_them() -> None:
    named = render({"auth": least()["auth"], "redis": {"existingSecret": "redises", "regionsKey": "redis-regions"}})
    assert not named.refusal
    services = [environment(pod["containers"][0]) for pod in named.pods().values()]
    services = [told for told in services if "ANTIPHON_REDIS__URL" in told]
    assert len(services) >= 3
    for told in services:
        assert told["ANTIPHON_REDIS__REGIONS"]["secretKeyRef"] == {"name": "redises", "key": "redis-regions"}
    for pod in render(least()).pods().values():
        assert "ANTIPHON_REDIS__REGIONS" not in environment(pod["containers"][0])


@pytest.mark.parametrize(
    ("connection", "ends"),
    [
        ("control", ("rel-antiphon-signaling", "rel-antiphon-edge-frankfurt")),
        ("link", ("rel-antiphon-edge-frankfurt", "rel-antiphon-worker")),
    ],
)
def test_connections_have_mutual_tls_and_members_sign_where_secrets_are_named(
    connection: str, ends: tuple[str, str]
) -> None:
    variable, name_of_volume = f"ANTIPHON_{connection.upper()}_TLS", f"{connection}-tls"
    pods = rendered("regions-values").pods()
    for name in ends:
        told = environment(pods[name]["containers"][0])
        assert told[f"{variable}__AUTHORITY"] == f"/run/{connection}-tls/ca.crt"
        assert told["ANTIPHON_REGISTRATION_SECRETS"]["secretKeyRef"]["key"] == "registration-secrets"
        mounts = {mount["name"]: mount["mountPath"] for mount in pods[name]["containers"][0]["volumeMounts"]}
        assert mounts[name_of_volume] == f"/run/{connection}-tls"
        (volume,) = (volume for volume in pods[name]["volumes"] if volume["name"] == name_of_volume)
        assert volume["secret"]["secretName"] == f"antiphon-{connection}-tls"
    for pod in rendered("trial-values").pods().values():
        plain = environment(pod["containers"][0])
        assert not [name for name in plain if name.startswith((variable, "ANTIPHON_REGISTRATION"))]


def test_what_pods_are_told_is_what_the_program_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "ANTIPHON_AUTH__API_KEYS": '{"me": "sixteen-characters-or-more"}',
        "ANTIPHON_CLUSTER_SECRET": "00" * 16,
        "ANTIPHON_REDIS__URL": "redis://redis:6379/0",
        "ANTIPHON_REGISTRATION_SECRETS": '["sixteen-characters-or-more"]',
        "ANTIPHON_EDGE__ADVERTISE": '["192.0.2.1"]',
        "ANTIPHON_RECORDING__ACCESS_KEY_ID": "an-id",
        "ANTIPHON_RECORDING__SECRET_ACCESS_KEY": "a-secret",
    }
    for stem in IDS:
        for name, pod in rendered(stem).pods().items():
            with monkeypatch.context() as patch:
                for key, value in environment(pod["containers"][0]).items():
                    if key.startswith("ANTIPHON_") and key not in {"ANTIPHON_CONFIG", "ANTIPHON_URL"}:
                        text = value if isinstance(value, str) else secrets[key]
                        patch.setenv(
                            key,
                            text.replace("$(POD_IP)", "10.0.0.7")
                            .replace("$(NODE_IP)", "192.0.2.1")
                            .replace("$(POD_NAME)", "rel-7"),
                        )
                if "signaling" in name or "worker" in name or "edge" in name:
                    patch.setenv("ANTIPHON_EDGE__ADVERTISE", secrets["ANTIPHON_EDGE__ADVERTISE"])
                    assert load_config().auth.mode == "keys"


def test_probes_are_exposed_as_media_is() -> None:
    container = rendered("regions-values").pods()["rel-antiphon-edge-frankfurt"]["containers"][0]
    (port,) = (port for port in container["ports"] if port["name"] == "probe-udp")
    assert port["hostPort"] == 4004
    assert 'ANTIPHON_EDGE__PROBE_URL="http://$PUBLIC_HOST:4004"' in container["command"][2]
    told = environment(rendered("loadbalancer-values").pods()["rel-antiphon-edge-tokyo"]["containers"][0])
    assert told["ANTIPHON_EDGE__PROBE_URL"] == "http://203.0.113.7:4004"
    service = rendered("loadbalancer-values").one("Service", "rel-antiphon-edge-tokyo-media")["spec"]
    assert {port["name"] for port in service["ports"]} >= {"probe-udp", "probe-tcp"}
    told = environment(render(least(edge={"probePort": 4004})).pods()["rel-antiphon-edge-local"]["containers"][0])
    assert told["ANTIPHON_EDGE__PROBE_STUN"] == "$(NODE_IP):4004"
    own = {"probePort": 4004, "probeUrl": "https://probe.example.com", "exposure": {"advertise": "nodeAnnotation"}}
    container = render(least(edge=own)).pods()["rel-antiphon-edge-local"]["containers"][0]
    assert environment(container)["ANTIPHON_EDGE__PROBE_URL"] == "https://probe.example.com"
    assert "PROBE_URL" not in container["command"][2]


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("udp:192.0.2.1:5000", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("tcp:[2001:db8::1]:443", "[2001:db8::1]"),
    ],
)
def test_the_host_of_an_address_is_found_by_templates_and_by_the_init_container(address: str, host: str) -> None:
    exposure = {"advertise": "values", "addresses": [address]}
    told = environment(
        render(least(edge={"probePort": 4004, "exposure": exposure})).pods()["rel-antiphon-edge-local"]["containers"][0]
    )
    assert told["ANTIPHON_EDGE__PROBE_URL"] == f"http://{host}:4004"
    assert runpy.run_path(str(CHART / "files" / "advertise.py"))["host_of"](address) == host


def test_only_who_reads_an_annotation_may_ask_kubernetes() -> None:
    assert not rendered("trial-values").of("ClusterRole")
    (role,) = rendered("regions-values").of("ClusterRole")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]
    pods = rendered("regions-values").pods()
    assert pods["rel-antiphon-edge-frankfurt"]["serviceAccountName"] == "rel-antiphon-edge"
    assert pods["rel-antiphon-worker"]["serviceAccountName"] == "rel-antiphon"
    mounts = pods["rel-antiphon-edge-frankfurt"]["containers"][0]["volumeMounts"]
    assert "kubernetes" not in {mount["name"] for mount in mounts}, "the edge itself has no token"


def test_workers_are_scaled_by_calls_against_capacity_where_keda_is() -> None:
    found = rendered("keda-gateway-values")
    assert "rel-antiphon-worker" not in {one["metadata"]["name"] for one in found.of("HorizontalPodAutoscaler")}
    assert "replicas" not in found.one("Deployment", "rel-antiphon-worker")["spec"]
    spec = found.one("ScaledObject", "rel-antiphon-worker")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 30)
    prometheus, cpu = spec["triggers"]
    asked = prometheus["metadata"]
    assert asked["serverAddress"] == "http://prometheus-operated.monitoring:9090"
    assert asked["threshold"] == "70"
    these = 'namespace="voice", instance=~"rel-antiphon-worker-.+"'
    assert asked["query"] == (
        f"100 * (sum(antiphon_worker_sessions{{{these}}}) or vector(0)) / sum(antiphon_worker_capacity{{{these}}})"
    )
    assert prometheus["authenticationRef"] == {"name": "prometheus-token"}
    assert cpu["metadata"] == {"value": "60"}
    hpa = rendered("regions-values").one("HorizontalPodAutoscaler", "rel-antiphon-worker")["spec"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]


def test_signaling_is_behind_a_gateway_where_one_is_named() -> None:
    spec = rendered("keda-gateway-values").one("HTTPRoute", "rel-antiphon-signaling")["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert spec["hostnames"] == ["voice.example.com"]
    (rule,) = spec["rules"]
    assert rule["backendRefs"] == [{"name": "rel-antiphon-signaling", "port": 80}]
    assert rule["timeouts"] == {"request": "0s"}
    assert not rendered("regions-values").of("HTTPRoute")
    assert not rendered("keda-gateway-values").of("Ingress")


@pytest.mark.parametrize("stem", IDS)
def test_pods_know_the_account_that_may_write_their_cost_only_where_that_is_wanted(stem: str) -> None:
    found = rendered(stem)
    wanted = stem == "keda-gateway-values"
    assert [role["rules"] for role in found.of("Role")] == wanted * [
        [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    ]
    accounts = {one["metadata"]["name"] for one in found.of("ServiceAccount")}
    bound = {subject["name"] for one in found.of("RoleBinding") for subject in one["subjects"]}
    writers = [pod for name, pod in found.pods().items() if "-edge-" in name or name.endswith("worker")]
    for pod in found.pods().values():
        mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
        told = environment(pod["containers"][0])
        assert ("kubernetes" in mounts) == ("ANTIPHON_KUBERNETES__POD" in told) == (wanted and pod in writers)
        assert pod.get("serviceAccountName", "default") in accounts | {"default"}
        if wanted and pod in writers:
            assert pod["serviceAccountName"] in bound
            (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "kubernetes")
            paths = [next(iter(source.values())) for source in volume["projected"]["sources"]]
            assert {path.get("path") or path["items"][0]["path"] for path in paths} == {"token", "ca.crt", "namespace"}


def test_images_are_what_their_digests_say() -> None:
    digest = "sha256:" + "7" * 64
    pods = render(least(image={"registry": "r.example.com", "tag": "1.2.3", "digests": {"edge": digest}})).pods()
    images = {name: pod["containers"][0]["image"] for name, pod in pods.items()}
    assert images["rel-antiphon-edge-local"] == f"r.example.com/antiphon/edge:1.2.3@{digest}"
    assert images["rel-antiphon-worker"] == "r.example.com/antiphon/worker:1.2.3"


RECORDED: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]] = [
    ("none by default", {}, None, None),
    ("a folder that goes with the pod", {"volume": {"size": "3Gi"}}, {"emptyDir": {"sizeLimit": "3Gi"}}, None),
    (
        "a claim of the user's",
        {"volume": {"type": "existingClaim", "existingClaim": "mine"}},
        {"persistentVolumeClaim": {"claimName": "mine"}},
        {"persistentVolumeClaim": {"claimName": "mine"}},
    ),
    (
        "a claim of the chart's",
        {"volume": {"type": "claim"}},
        {"persistentVolumeClaim": {"claimName": "rel-antiphon-recordings"}},
        {"persistentVolumeClaim": {"claimName": "rel-antiphon-recordings"}},
    ),
    (
        "a bucket, and a claim until it has them",
        {"volume": {"type": "claim"}, "bucket": {"url": "s3://recordings"}},
        {"persistentVolumeClaim": {"claimName": "rel-antiphon-recordings"}},
        None,
    ),
]


@pytest.mark.parametrize(
    ("recording", "at_workers", "at_signaling"), [case[1:] for case in RECORDED], ids=[case[0] for case in RECORDED]
)
def test_recordings_are_written_to_a_volume_that_signaling_has_where_it_gives_them_out(
    recording: dict[str, Any], at_workers: dict[str, Any] | None, at_signaling: dict[str, Any] | None
) -> None:
    pods = render(least(recording={"enabled": True} | recording if recording else {})).pods()
    for name, wanted in {"rel-antiphon-worker": at_workers, "rel-antiphon-signaling": at_signaling}.items():
        (container,) = pods[name]["containers"]
        volumes = [volume for volume in pods[name]["volumes"] if volume["name"] == "recordings"]
        assert volumes == ([{"name": "recordings"} | wanted] if wanted else [])
        mounts = [mount for mount in container["volumeMounts"] if mount["name"] == "recordings"]
        assert mounts == ([{"name": "recordings", "mountPath": "/var/lib/antiphon"}] if wanted else [])
        told = environment(container)
        assert ("ANTIPHON_RECORDING__ENABLED" in told) == bool(recording), "both have to want it"
        assert told.get("ANTIPHON_RECORDING__URL") == recording.get("bucket", {}).get("url")
    assert "recordings" not in {volume["name"] for volume in pods["rel-antiphon-edge-local"]["volumes"]}


def test_a_claim_for_recordings_is_as_it_is_said_and_outlives_the_release() -> None:
    claim = rendered("recording-values").one("PersistentVolumeClaim", "rel-antiphon-recordings")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "shared-files",
        "resources": {"requests": {"storage": "200Gi"}},
    }
    (plain,) = render(least(recording={"enabled": True, "volume": {"type": "claim"}})).of("PersistentVolumeClaim")
    assert "storageClassName" not in plain["spec"], "the cluster's default"
    assert not rendered("regions-values").of("PersistentVolumeClaim")


def test_users_agents_are_loaded_from_their_image_or_config_map() -> None:
    container = rendered("regions-values").pods()["rel-antiphon-worker"]["containers"][0]
    assert container["image"] == "registry.example.com/my-agents:7"
    assert container["args"] == ["/agents/my_agents.py"]
    container = rendered("hostnetwork-values").pods()["rel-antiphon-worker"]["containers"][0]
    assert "set -- /agents/*.py" in container["command"][2]


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    found = rendered("regions-values")
    (rules,) = found.of("PrometheusRule")
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    for alert in alerts:
        assert alert["annotations"]["runbook_url"].startswith("https://wiki.example.com/antiphon#")
    dashboards = [one for one in found.of("ConfigMap") if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    told = {name: text for one in dashboards for name, text in one["data"].items()}
    files = {path.name: json.loads(path.read_text()) for path in (CHART / "files" / "dashboards").iterdir()}
    assert {name: json.loads(text) for name, text in told.items()} == files


def test_a_long_release_name_leaves_ids_short() -> None:
    command = render(least(fullnameOverride="a-very-long-name-of-a-release-of-someone")).pods()
    (edge,) = (pod for name, pod in command.items() if name.endswith("edge-local"))
    assert "${POD_NAME#a-very-long-name-of-a-release-of-someone-}" in edge["containers"][0]["command"][2]
