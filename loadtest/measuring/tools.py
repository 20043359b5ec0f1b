"""Builds the load and its peers, and runs the load. What is missing on this machine is said, not guessed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MEDIA_PLANE = ROOT / "services" / "media-plane"
PION = ROOT / "loadtest" / "peers" / "pion-echo"
LATE = 3
"""Exit code of a load that could not keep its own schedule."""
TRIES = 3
CALM = 0.3
"""Cores that other work may take without being told of."""

Figures = dict[str, Any]


class BenchError(Exception):
    """Something could not be measured; the text says what, and why."""


def say(text: str) -> None:
    """Progress, apart from results."""
    print(text, file=sys.stderr, flush=True)


def _run(command: list[str], directory: Path, what: str) -> None:
    done = subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"cannot build {what}:\n{done.stderr.strip()}")


def _target_directory() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", MEDIA_PLANE / "target"))


def build_caller() -> Path:
    """The native load, optimised."""
    return _build("antiphon-caller")


def build_mirror() -> Path:
    """A worker that sends each frame back at once, optimised."""
    return _build("antiphon-mirror")


def _build(package: str) -> Path:
    say(f"building {package}")
    _run(["cargo", "build", "--quiet", "--release", "--package", package], MEDIA_PLANE, package)
    return _target_directory() / "release" / package


def build_pion() -> Path | None:
    """Pion's echo; none where there is no Go, or its modules cannot be had."""
    if shutil.which("go") is None:
        say("go is missing: Pion is left out (install Go 1.24 or later to compare with it)")
        return None
    program = _target_directory() / "peers" / "pion-echo"
    say("building Pion's echo")
    try:
        _run(["go", "build", "-o", str(program), "."], PION, "Pion's echo")
    except BenchError as error:
        say(f"{error}\nPion is left out")
        return None
    return program


@dataclass(frozen=True)
class Load:
    """How the load is run. `silent` calls send nothing: what a set-up costs."""

    calls: int
    window: float
    rate: float = 50.0
    settle: float = 1.0
    silent: bool = False


WARM_UP = Load(calls=10, window=1.0)
"""Fills a server's caches and pools; nothing of it is judged."""


@dataclass
class Caller:
    """The native load as a program."""

    program: Path
    notes: list[str] = field(default_factory=list)
    """What went wrong on the way and did not end the run."""
    patience: float = 60.0
    """Seconds, for the whole run, in which the machine's other work is waited for."""

    def load_once(self, url: str, load: Load, watch: dict[str, int]) -> Figures:
        """The same at once and only once: something else happens meanwhile, and is meant to."""
        notes = len(self.notes)
        found = self.load(url, load, watch, tries=1)
        del self.notes[notes:]
        return found

    def load(self, url: str, load: Load, watch: dict[str, int], tries: int = TRIES) -> Figures:
        """Runs the load on a server. Tries again when the machine was too busy for its schedule."""
        command = ["load", url, "--json", f"--calls={load.calls}", f"--window={load.window}", f"--rate={load.rate}"]
        command += [f"--settle={load.settle}", *(["--silent"] if load.silent else [])]
        command += [f"--watch={name}={pid}" for name, pid in watch.items()]
        found = self._measure(command, tries)[0]
        if found["other_cores"] > CALM and not load.silent and load.calls > WARM_UP.calls:
            cores = f"{found['other_cores']:.1f} cores"
            self.notes.append(f"{load.calls} calls of {url}: other work on this machine took {cores} meanwhile")
        return found

    def saturated(self, sessions: int, window: float) -> Figures:
        """The engine with its sockets, saturated, and the saturated floor."""
        return self._measure(["saturated", f"--sessions={sessions}", f"--window={window}"])[0]

    def start_lives(self, url: str, calls: int, seconds: float, *, idle: bool = False) -> subprocess.Popen[str]:
        """Set-ups at full speed: so many places for calls that end as soon as they are up. Prints JSON at its end.

        `idle`: it has the cores that nobody else wants.
        """
        command = [str(self.program), "lives", url, f"--calls={calls}", f"--seconds={seconds}"]
        command += ["--life=0.05", "--pause=0", "--polite"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        if idle:
            go_last(process.pid)
        return process

    def floor(self, sessions: int, window: float) -> Figures:
        """The least of echo servers; 0 sessions saturate it."""
        return self._measure(["floor", f"--sessions={sessions}", f"--window={window}"])[0]

    def engine(self, sessions: int) -> Figures:
        """The engine without sockets, against its cipher alone."""
        return self._measure(["engine", f"--sessions={sessions}"])[0]

    def _measure(self, arguments: list[str], tries: int = TRIES) -> list[Figures]:
        for _ in range(tries):
            if tries > 1:
                self._wait_for_calm()
            done = subprocess.run([str(self.program), *arguments], check=False, capture_output=True, text=True)
            if done.returncode == 0:
                found = json.loads(done.stdout)
                return found if isinstance(found, list) else [found]
            reason = done.stderr.strip()
            if done.returncode != LATE:
                break
            note = f"{' '.join(arguments)}: {reason}"
            self.notes.append(note)
            say(note)
        raise BenchError(reason)

    def _wait_for_calm(self) -> None:
        while self.patience > 0 and _busy_cores(0.5) > CALM:
            self.patience -= 0.5


def go_last(pid: int) -> None:
    """Lets all threads of a process, and those that they start, have what cores are left only. Anybody may."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        # Its scheduling group too, where it leads one: else that is its leader's, whom it shall not slow down.
        if os.getsid(pid) == pid:
            Path(f"/proc/{pid}/autogroup").write_text("19", encoding="ascii")


def _busy_cores(seconds: float) -> float:
    def busy() -> int:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4]

    before = busy()
    time.sleep(seconds)
    return (busy() - before) / os.sysconf("SC_CLK_TCK") / seconds
