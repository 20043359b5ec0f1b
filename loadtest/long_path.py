"""What a long path between edge and worker adds to a call's delay, over one connection and over striped ones.

    PYTHONPATH=services python -m loadtest.long_path --calls 300 --rtt 80 150 --loss 0.1 0.5 --stripes 1 4

Needs root: edge and worker stand in network namespaces of their own, joined by `antiphon-impairer`, so that TCP's own
recovery is at work, over a path that really loses. The edge is the media plane, the worker the SDK's link server with
the echo agent. Prints JSON, and lays it into `bench-results/bench.json` as `link` if that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import itertools
import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from tests.support import impaired
from tests.support.namespaces import Namespace, namespace, why_no_namespaces
from tests.support.plane import plane_alone

from loadtest.measuring.tools import ROOT, build_caller, say
from loadtest.worker_echo import serve_echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from antiphon.edge._media import MediaPlane

_EDGE, _WORKER = "10.78.0.1", "10.78.0.2"
_ATTEMPTS = 100


def edge_process(pipe: Connection, inside: Namespace, worker: str, capacity: int) -> None:
    """An edge with as much of signaling as a load needs: offers are posted, sessions deleted."""
    with inside.entered():
        plane = plane_alone("edge", capacity)
        plane.connect_worker("worker", worker)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(plane))
        pipe.send(server.server_port)
        server.serve_forever()


def _handler(plane: MediaPlane) -> type[http.server.BaseHTTPRequestHandler]:
    numbers = itertools.count()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
            session = f"session-{next(numbers)}"
            for _ in range(_ATTEMPTS):
                try:
                    answer, _ = plane.open_session(
                        session, epoch=1, offer=offer, agent="echo", worker="worker", metadata="{}", caller=""
                    )
                    return self._answer(201, answer, session)
                except ConnectionError:
                    time.sleep(0.1)
            return self._answer(503, "the link is down", session)

        def do_DELETE(self) -> None:
            plane.close_session(self.path.rpartition("/")[2], epoch=1, reason="api")
            self._answer(204, "", "")

        def _answer(self, status: int, body: str, session: str) -> None:
            self.send_response(status)
            self.send_header("Location", f"/sessions/{session}")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing of requests."""

    return Handler


def worker_process(pipe: Connection, inside: Namespace, stripes: int) -> None:
    """A worker with the echo agent."""
    with inside.entered():
        uvloop.run(serve_echo(pipe, _WORKER, stripes))


@contextlib.contextmanager
def _process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield pipe
    finally:
        process.kill()
        process.join()


def measure(program: Path, arguments: argparse.Namespace, rtt_ms: float, loss: float, stripes: int) -> dict[str, Any]:
    """One path, one number of connections."""
    qualities = f"delay={rtt_ms / 2}ms,loss={loss}%"
    with contextlib.ExitStack() as stack:
        edge, worker = stack.enter_context(namespace("edge")), stack.enter_context(namespace("worker"))
        stack.enter_context(impaired.routed(edge, "wan0", worker, "wan0", up=qualities))
        edge.address("wan0", f"{_EDGE}/24")
        worker.address("wan0", f"{_WORKER}/24")
        with contextlib.suppress(OSError), worker.entered():
            Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("bbr", encoding="ascii")
        far = stack.enter_context(_process(worker_process, worker, stripes))
        target = f"{_WORKER}:{far.recv()}"
        near = stack.enter_context(_process(edge_process, edge, target, arguments.calls + 50))
        url = f"http://127.0.0.1:{near.recv()}/sessions"
        command = [str(program), "load", url, "--json", f"--calls={arguments.calls}", "--rate=50"]
        command += [f"--window={arguments.window}", "--settle=3"]
        with edge.entered():
            done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        return {"rtt_ms": rtt_ms, "loss": loss / 100, "stripes": stripes, "error": done.stderr.strip()}
    found = json.loads(done.stdout)
    kept = {key: found[key] for key in ("up", "failed", "sent", "lost", "delay_ms", "other_cores")}
    return {"rtt_ms": rtt_ms, "loss": loss / 100, "stripes": stripes, **kept}


def main() -> int:
    """Measures all combinations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--window", type=float, default=20.0, help="seconds that are measured, for each path")
    parser.add_argument("--rtt", type=float, nargs="+", default=[80.0, 150.0], help="ms")
    parser.add_argument("--loss", type=float, nargs="+", default=[0.1, 0.5], help="percent, each way")
    parser.add_argument("--stripes", type=int, nargs="+", default=[1, 4])
    arguments = parser.parse_args()
    if (why := why_no_namespaces()) is not None:
        say(f"long_path: {why}")
        return 1
    program = build_caller()
    rows = []
    for rtt_ms, loss, stripes in itertools.product(arguments.rtt, arguments.loss, arguments.stripes):
        say(f"{rtt_ms:.0f} ms, {loss} %, {stripes} connections")
        rows.append(measure(program, arguments, rtt_ms, loss, stripes))
    print(json.dumps(rows, indent=2))
    kept = ROOT / "bench-results" / "bench.json"
    if kept.exists():
        results = json.loads(kept.read_text(encoding="utf-8"))
        results["link"] = [row for row in rows if "error" not in row]
        kept.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
