"""The supervisor of `antiphon up`, with small children that stand in for services."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from antiphon.cli.output import Printer
from antiphon.cli.supervisor import Child, Patience, StartError, Supervisor
from tests.support.wait import until

QUICK = Patience(start=20, stop=1, pause=0.05, longest_pause=0.1)


def child(tmp_path: Path, name: str, code: str) -> Child:
    """A Python process that is ready once it has made the file `<name>.ready`, whose path is in READY."""
    mark = tmp_path / f"{name}.ready"

    async def ready() -> bool:
        return mark.exists()

    lines = "import os, pathlib, signal, sys, time\nready = pathlib.Path(os.environ['READY'])\n" + textwrap.dedent(code)
    return Child(name, (sys.executable, "-c", lines), ready, {"READY": str(mark), "PYTHONUNBUFFERED": "1"})


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


SERVE = "ready.touch()\nprint('serving')\nwhile True: time.sleep(60)"


async def test_returns_when_ready_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = io.StringIO()
    async with Supervisor(Printer(out), QUICK) as supervisor:
        await supervisor.start(child(tmp_path, "one", SERVE), child(tmp_path, "two", SERVE))
        pids = supervisor.pids()
        assert set(pids) == {"one", "two"}
        assert all(alive(pid) for pid in pids.values())
    assert not any(alive(pid) for pid in pids.values())
    assert "one            | serving" in out.getvalue()


async def test_stops_the_last_started_first(tmp_path: Path) -> None:
    out = io.StringIO()
    code = """
        def stop(*_):
            print("leaving")
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        ready.touch()
        while True: time.sleep(60)
    """
    async with Supervisor(Printer(out), QUICK) as supervisor:
        await supervisor.start(child(tmp_path, "first", code))
        await supervisor.start(child(tmp_path, "second", code))
    leaving = [line.split()[0] for line in out.getvalue().splitlines() if "leaving" in line]
    assert leaving == ["second", "first"]


async def test_kills_a_child_that_does_not_stop_and_its_own_children(tmp_path: Path) -> None:
    code = """
        import subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        ready.with_suffix(".grandchild").write_text(str(grandchild.pid))
        ready.touch()
        while True: time.sleep(60)
    """
    async with Supervisor(Printer(io.StringIO()), QUICK) as supervisor:
        await supervisor.start(child(tmp_path, "stubborn", code))
        grandchild = int((tmp_path / "stubborn.grandchild").read_text())
        assert alive(grandchild)
    await until(lambda: not alive(grandchild))


async def test_restarts_a_child_that_crashes(tmp_path: Path) -> None:
    out = io.StringIO()
    async with Supervisor(Printer(out), QUICK) as supervisor:
        await supervisor.start(child(tmp_path, "frail", SERVE))
        before = supervisor.pids()["frail"]
        os.kill(before, signal.SIGKILL)
        await until(lambda: supervisor.pids().get("frail", before) != before)
        after = supervisor.pids()["frail"]
    assert "ended by itself (signal SIGKILL): starting it again" in out.getvalue()
    assert not alive(after)


async def test_says_what_could_not_start(tmp_path: Path) -> None:
    out = io.StringIO()
    with pytest.raises(StartError, match=r"broken could not start \(exit code 7\)"):
        async with Supervisor(Printer(out), QUICK) as supervisor:
            await supervisor.start(
                child(tmp_path, "broken", "print('the reason')\nsys.exit(7)"), child(tmp_path, "fine", SERVE)
            )
    assert "broken         | the reason" in out.getvalue()


async def test_gives_up_on_a_child_that_is_never_ready(tmp_path: Path) -> None:
    async with Supervisor(Printer(io.StringIO()), Patience(start=0.3, stop=1)) as supervisor:
        with pytest.raises(StartError, match="was not ready"):
            await supervisor.start(child(tmp_path, "slow", "time.sleep(600)"))


async def test_a_missing_program_is_named() -> None:
    async def ready() -> bool:
        return True

    async with Supervisor(Printer(io.StringIO()), QUICK) as supervisor:
        with pytest.raises(StartError, match="ghost could not start: /no/such/program"):
            await supervisor.start(Child("ghost", ("/no/such/program",), ready))


async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "supervise.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import asyncio, sys
            from antiphon.cli.output import Printer
            from antiphon.cli.supervisor import Child, Supervisor

            async def ready():
                return True

            async def main():
                async with Supervisor(Printer(open({str(tmp_path / "log")!r}, "w"))) as supervisor:
                    await supervisor.start(Child("c", (sys.executable, "-c", "import time; time.sleep(600)"), ready))
                    print(supervisor.pids()["c"], flush=True)
                    await asyncio.Event().wait()

            asyncio.run(main())
            """
        )
    )
    supervisor = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    assert supervisor.stdout is not None
    pid = int(await supervisor.stdout.readline())
    assert alive(pid)
    supervisor.kill()
    await supervisor.wait()
    await until(lambda: not alive(pid))


def test_lines_keep_their_time_and_say_the_service_once() -> None:
    out = io.StringIO()
    printer = Printer(out)
    printer.line("edge-frankfurt", "12:30:01.123 edge-frankfurt   info     link up  worker=worker")
    printer.line("worker", "Traceback (most recent call last):")
    assert out.getvalue().splitlines() == [
        "edge-frankfurt | 12:30:01.123 info    link up  worker=worker",
        "worker         | Traceback (most recent call last):",
    ]
