"""The steps of `make verify`: what each shows, how long it takes, and what it needs of this machine. Runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv" / "tools" / "bin"


@dataclass(frozen=True)
class Step:
    name: str
    shows: str
    command: tuple[str, ...]
    minutes: float
    """About so long, on two cores; a step that takes four times as long, or half an hour more, has failed."""
    needs: tuple[Callable[[], str], ...] = ()
    """Each asks the machine, and returns what is missing and how to get it, or nothing."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def limit_s(self) -> float:
        return 60 * max(4 * self.minutes, self.minutes + 30)

    def missing(self) -> str:
        """Why it cannot run here; empty where it can."""
        return "; ".join(filter(None, (need() for need in self.needs)))


def program(name: str, how: str) -> Callable[[], str]:
    def need() -> str:
        return "" if shutil.which(name) else f"{name} is not installed ({how})"

    return need


def root() -> str:
    return "" if os.geteuid() == 0 else "not root, which network namespaces need"


def cluster() -> str:
    """A Kubernetes that answers, and images that it can pull."""
    if shutil.which("kubectl") is None or _fails("kubectl", "version", "--request-timeout=5s"):
        return "no Kubernetes cluster answers kubectl"
    return "" if os.environ.get("VERIFY_REGISTRY") else "VERIFY_REGISTRY names no registry with antiphon's images"


def engine() -> str:
    if shutil.which("buildah") is not None or not _fails("docker", "info"):
        return ""
    return "no Docker engine answers, and buildah is not installed"


def advisories() -> str:
    """Where pip-audit and cargo-deny look known faults up."""
    sources = {
        "the Python package index": "https://pypi.org/pypi/pip/25.0/json",
        "RustSec's database": "https://github.com/RustSec/advisory-db",
    }
    for source, url in sources.items():
        try:
            urllib.request.urlopen(url, timeout=20).close()  # noqa: S310 - one of these two
        except OSError:
            return f"known faults cannot be looked up: {source} does not answer"
    return ""


def _fails(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode != 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return True


NODE = program("npx", "Node.js 20 or later")
HELM = program("helm", "https://helm.sh")
KUBECONFORM = program("kubeconform", "https://github.com/yannh/kubeconform")
PROMETHEUS = program("prometheus", "Debian: prometheus")
PROMTOOL = program("promtool", "Debian: prometheus")
GO = program("go", "Go 1.24 or later")
CARGO_DENY = program("cargo-deny", "cargo install --locked cargo-deny")


def make(target: str, *arguments: str) -> tuple[str, ...]:
    return ("make", "--no-print-directory", target, *([f"ARGS={' '.join(arguments)}"] if arguments else []))


def tests(*arguments: str) -> tuple[str, ...]:
    return (str(ROOT / ".venv" / "bin" / "python"), "-m", "pytest", "-q", *arguments)


_DENY = ("cargo", "deny", "--manifest-path", "services/media-plane/Cargo.toml")
STEPS = (
    Step("breaking", "protos speak with the last release", make("breaking"), 1, (NODE,)),
    Step("docs", "the site is made, and no link or anchor is dead", make("docs"), 1),
    Step(
        "crates",
        "crates' licences and sources are those that deny.toml allows",
        (*_DENY, "--offline", "--log-level", "error", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"),
        1,
        (CARGO_DENY,),
    ),
    Step(
        "audit",
        "no known fault in locked packages and crates, no licence that is not allowed",
        make("audit"),
        3,
        (CARGO_DENY, advisories),
    ),
    Step("wheels", "a manylinux wheel, installed alone, places a call", make("wheels"), 15),
    Step("api", "the HTTP API keeps to its OpenAPI document, whatever it is sent", make("api-check"), 4),
    Step(
        "chart",
        "the chart's templates, refusals and Kubernetes' schemas",
        tests(*(f"tests/deploy/test_chart{part}.py" for part in ("", "_refusals", "_schemas"))),
        2,
        (HELM, KUBECONFORM),
    ),
    Step("rules", "alerts fire and stay silent as they should", tests("tests/deploy/test_rules.py"), 1, (PROMTOOL,)),
    Step(
        "dashboards",
        "every panel is answered by a Prometheus that scrapes a cluster",
        tests("tests/deploy/test_live_dashboards.py"),
        3,
        (PROMETHEUS,),
    ),
    Step(
        "alerts",
        "faults in a real cluster fire their alerts in a real Prometheus",
        make("alerts-check"),
        4,
        (PROMETHEUS,),
    ),
    Step(
        "callers",
        "native callers, locust and calibrate on a real cluster",
        ("make", "--no-print-directory", "test-long"),
        4,
    ),
    Step(
        "kubernetes",
        "the chart on a real cluster: calls through an upgrade and an edge's drain, recorded on a volume; uninstall",
        ("tools/verify/kubernetes.sh",),
        10,
        (HELM, cluster),
    ),
    Step(
        "images",
        "images of the three roles are built",
        make("images", os.environ.get("VERIFY_IMAGES", "")),  # such as --build-arg PYTHON_IMAGE=...
        20,
        (engine,),
    ),
    Step(
        "fuzz",
        "a minute of fuzzing for each parser of outside bytes",
        make("fuzz"),
        15,
        environment={"FUZZ_SECONDS": "60"},
    ),
    Step("chaos", "calls live through parts that die, drain and restart", make("bench-chaos", "--rounds", "3"), 25),
    Step("soak", "ten minutes of 300 calls of random life: nothing leaks", make("soak", "--minutes", "10"), 14),
    Step("interop", "real peers on a bad network", make("interop"), 15, (root,)),
    Step("plots", "loss and its repair, in virtual time", make("plots"), 10),
    Step("planet", "a day of a million callers, and placements through one Valkey", make("bench-planet"), 20),
    Step("hold", "how soon playout is held when a caller speaks", make("bench-hold"), 10),
    Step(
        "interruptions",
        "what holds, what interrupts, what lets an agent go on",
        make("bench-interruptions", "--each", "60"),
        25,
    ),
    Step("answers", "how long callers wait for the offline assistant", make("bench-answers"), 8),
    Step("ears", "how many sessions a core listens to", make("bench-ears"), 4),
    Step(
        "load",
        "1,000 native callers, one in ten talking, for five minutes on one machine",
        make("load", "--users 1000 --seconds 300 --docs"),
        8,
    ),
    Step(
        "load-pion",
        "the same callers at Pion's echo",
        make("load", "--users 1000 --seconds 300 --target pion"),
        8,
        (GO,),
    ),
    Step("bench", "floor, engine, whole path and peers on one load", make("bench"), 8),
)
QUICK = 4.0
"""Minutes: what `--quick` runs takes no longer."""
