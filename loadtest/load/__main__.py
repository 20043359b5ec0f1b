"""`make load`: callers by locust on a cluster of this machine, or on a peer, and an HTML report of what they heard.

Exit code 3: the load could not keep its own schedule, and nothing is reported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.load.curves import CURVES
from loadtest.load.personas import DEFAULT_MIX
from loadtest.load.report import write_docs, write_report
from loadtest.load.watching import CpuWatch
from loadtest.measuring.machine import machine
from loadtest.measuring.servers import antiphon, echo_program, go_first
from loadtest.measuring.tools import LATE, ROOT, BenchError, build_caller, build_pion, say

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from loadtest.measuring.servers import Server

LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
_SLACK_S = 120


def main() -> int:
    options = _arguments()
    options.results.mkdir(parents=True, exist_ok=True)
    try:
        with _target(options.target) as server:
            return _load(options, server)
    except BenchError as error:
        say(str(error))
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make load ARGS=...", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100, help="callers (100)")
    parser.add_argument("--rate", type=float, default=20.0, help="set-ups a second (20)")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all (60)")
    parser.add_argument("--mix", default=DEFAULT_MIX, help=f"personas and their weights ({DEFAULT_MIX})")
    parser.add_argument("--shape", choices=list(CURVES), default="soak", help="how many there are when (soak)")
    parser.add_argument("--agent", default="echo", help="agent to call (echo)")
    parser.add_argument("--canaries", type=int, default=0, help="callers on aiortc beside the native ones (0)")
    parser.add_argument("--call-seconds", type=float, default=0.0, help="how long a call is; 0: to the end (0)")
    parser.add_argument("--processes", type=int, default=1, help="locust's processes; more than 1: distributed (1)")
    parser.add_argument("--target", choices=["antiphon", "pion", "str0m"], default="antiphon", help="who answers")
    parser.add_argument("--docs", action="store_true", help="put figures and plots into docs/load-testing.md")
    parser.add_argument("--results", type=Path, default=ROOT / "bench-results", help="directory of the report")
    return parser.parse_args()


def _target(name: str) -> AbstractContextManager[Server]:
    if name == "antiphon":
        return antiphon()
    if name == "str0m":
        return echo_program([str(build_caller()), "peer"])
    program = build_pion()
    if program is None:
        raise BenchError("Pion's echo could not be built")
    return echo_program([str(program)])


def _load(options: argparse.Namespace, server: Server) -> int:
    found = options.results / "load.json"
    found.unlink(missing_ok=True)
    host, path = _split(server.url)
    if options.target == "antiphon":
        path = path.replace("agent=echo", f"agent={options.agent}")
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--host", host]
    command += ["--offer-path", path, "--agent", options.agent, "--mix", options.mix, "--shape", options.shape]
    command += ["-u", str(options.users), "-r", str(options.rate), "-t", f"{options.seconds:.0f}s"]
    command += ["--canaries", str(options.canaries), "--call-seconds", str(options.call_seconds)]
    command += ["--load-results", str(found)]
    if options.processes > 1:
        command += ["--processes", str(options.processes)]
    say(f"{options.users} callers of {options.target} for {options.seconds:.0f} s")
    began = time.time()
    with subprocess.Popen(command, cwd=ROOT) as locust:
        go_first(locust.pid)
        watched = server.processes | {"generator": locust.pid}
        with CpuWatch(watched, with_children=frozenset({"generator"})) as watch:
            code = locust.wait(options.seconds + options.users / options.rate + _SLACK_S)
    if code == LATE or not found.exists():
        say("nothing is reported")
        return code or 1
    document = json.loads(found.read_text(encoding="utf-8"))
    document |= {"machine": machine(), "target": options.target, "began": began, "cpu": watch.rows}
    document["seconds"] = options.seconds
    found.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    say(f"report: {write_report(document, options.results)}")
    if options.docs:
        write_docs(document, options.results)
    return code


def _split(url: str) -> tuple[str, str]:
    """Host and path of a URL for offers."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    return f"{scheme}://{authority}", f"/{path}"


if __name__ == "__main__":
    sys.exit(main())
