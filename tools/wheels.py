"""`make wheels`: builds abi3 wheels into dist/, and shows that they work where nothing of this checkout is.

Zig links for an old glibc (manylinux2014), and for another architecture whose Rust target is installed
(`ARGS="--target aarch64-unknown-linux-gnu"`); without it a wheel runs on systems as new as this one. A wheel for this
machine is installed into a fresh environment, with the versions of the lock, and places a call there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "services/antiphon"
MODULES = ("edge._media", "signaling", "edge", "worker", "assistant", "client", "testing")
_GENEROUS_S = 120.0
_READY = re.compile(r"Antiphon is ready: (http://\S+)")


class WheelError(Exception):
    """What is wrong with a wheel, or why there is none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--target", action="append", default=[], help="a Rust target besides, or instead of, this one's"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--check-only", type=Path, metavar="WHEEL", help="build nothing, check this one")
    arguments = parser.parse_args()
    try:
        if arguments.check_only:
            check(arguments.check_only)
            return
        for target in arguments.target or [None]:
            check(build(target, arguments.out))
    except WheelError as error:
        sys.exit(str(error))


def build(target: str | None, folder: Path) -> Path:
    """Returns the wheel."""
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--strip", "--out"]
    with tempfile.TemporaryDirectory() as fresh:
        command += [fresh, "--interpreter", "python3.11"] if target else [fresh, "--interpreter", sys.executable]
        if sys.platform == "linux" and find_spec("ziglang") is not None:
            command += ["--zig", "--compatibility", "manylinux2014"]
        if target:
            command += ["--target", target]
        print(f"building for {target or 'this machine'}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            raise WheelError("maturin built no wheel: what it said stands above")
        (made,) = Path(fresh).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(made, folder / made.name))


def check(wheel: Path) -> None:
    """Raises WheelError."""
    inside = contents(wheel)
    if missing := sorted(tracked() - inside):
        raise WheelError(f"{wheel.name} lacks {', '.join(missing)}")
    if "abi3" not in wheel.name:
        raise WheelError(f"{wheel.name} is for one version of Python: abi3 was expected")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(inside)} files, none is missing", flush=True)
    if not fits(wheel):
        print("it is for another machine: not installed", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        python = install(wheel, Path(folder))
        told = run(python, "-m", "antiphon.cli", "version")
        if version() not in told:
            raise WheelError(f"antiphon version says {told!r}, pyproject.toml {version()}")
        run(python, "-c", f"import {', '.join(f'antiphon.{module}' for module in MODULES)}")
        print(f"installed: {told}", flush=True)
        print(f"called: {call(python)}", flush=True)


def tracked() -> set[str]:
    """Files of the package, as the wheel names them."""
    listed = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    return {name.removeprefix("services/") for name in listed}


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def fits(wheel: Path) -> bool:
    """Whether it is for a machine such as this one."""
    return wheel.stem.endswith(os.uname().machine)


def install(wheel: Path, folder: Path) -> Path:
    """Into a fresh environment, with the versions of the lock; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    versions = folder / "versions.txt"
    locked = re.findall(r"^(\S+==\S+)( ;[^\\\n]*)?", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    versions.write_text("\n".join(f"{version}{marker}" for version, marker in locked))
    run(python, "-m", "pip", "install", "--quiet", "--constraint", str(versions), str(wheel.resolve()))
    return python


def run(python: Path, *arguments: str) -> str:
    """Runs where nothing of the checkout is found; returns what it printed. Raises WheelError."""
    done = subprocess.run(
        [python, *arguments], cwd=python.parent, env=alone(), check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise WheelError(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def alone() -> dict[str, str]:
    """The environment without what leads to the checkout."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ANTIPHON", "VIRTUAL_"))
    }


def call(python: Path) -> str:
    """A whole cluster out of the wheel, its console, and a call to the echo agent; returns how the call ended."""
    command = [str(python), "-m", "antiphon.cli", "up", "--port", "0", "--base-port", "0", "--regions", "frankfurt"]
    log = python.parent / "up.log"
    with log.open("w") as output:
        cluster = subprocess.Popen(command, cwd=python.parent, env=alone(), stdout=output, stderr=subprocess.STDOUT)
    try:
        url = _wait_for_url(cluster, log)
        fetch = "import sys, httpx; [httpx.get(sys.argv[1] + path).raise_for_status() for path in sys.argv[2:]]"
        run(python, "-c", fetch, url, "/", "/sdk/antiphon.js", "/docs", "/v1/regions")
        told = run(python, "-m", "antiphon.cli", "call", "--url", url, "--agent", "echo", "--seconds", "3")
        return told.splitlines()[-1] if told else "nothing was told of the call"
    finally:
        cluster.send_signal(signal.SIGTERM)
        try:
            cluster.wait(timeout=_GENEROUS_S)
        except subprocess.TimeoutExpired:
            cluster.kill()


def _wait_for_url(cluster: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _GENEROUS_S
    while time.monotonic() < end and cluster.poll() is None:
        if found := _READY.search(log.read_text()):
            return found[1]
        time.sleep(0.2)
    raise WheelError(f"antiphon up did not come up:\n{log.read_text()}")


def version() -> str:
    """The project's."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


if __name__ == "__main__":
    main()
