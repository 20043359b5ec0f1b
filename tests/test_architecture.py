"""The import rules of ARCHITECTURE.md, held by a test: who may know whom."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "services" / "antiphon"
CRATES = ROOT / "services" / "media-plane" / "crates"

FOUNDATION = {p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__"} | {"wire"}

# A folder may import itself, the foundation, and these.
MAY_IMPORT: dict[str, set[str]] = {
    "cluster": set(),
    "placement": {"cluster"},
    "turns": set(),
    "console": set(),
    "access": set(),
    "recordings": set(),
    "signaling": {"placement", "cluster", "console", "access", "turns", "recordings"},
    "edge": {"placement", "cluster"},
    "worker": {"turns", "cluster", "recordings"},
    "voices": set(),
    "assistant": {"worker", "voices"},
    "agents": {"worker", "turns", "assistant"},
    "testing": {"worker", "turns", "agents"},
    "client": set(),
    "callers": set(),
    "cli": {
        "signaling",
        "edge",
        "worker",
        "turns",
        "agents",
        "client",
        "cluster",
        "console",
        "testing",
        "access",
        "recordings",
        "callers",
    },
}

# By Cargo.toml, tests' dependencies left out.
CRATES_MAY_USE: dict[str, set[str]] = {
    "engine": set(),
    "link": set(),
    "netsim": set(),
    "impairer": {"netsim"},
    "runtime": {"engine", "link"},
    "python": {"runtime", "link", "engine"},
    "caller": {"engine", "netsim"},
    "caller-python": {"caller"},
    "mirror": {"link"},
}


# Where system calls are made by hand.
SYSTEM_CALLS = ("runtime/src/socket/", "caller/src/sys.rs", "impairer/src/tun.rs")


def _imports(path: Path) -> set[str]:
    """Names of the folders and foundation modules of antiphon that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            module = node.module or ""
            names = [f"antiphon.{alias.name}" for alias in node.names] if module == "antiphon" else [module]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("antiphon.")}
    return found


def _without_comments(path: Path) -> str:
    return re.sub(r"//.*", "", path.read_text())


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_folder_imports_only_what_stands_below_it(folder: str) -> None:
    allowed = MAY_IMPORT[folder] | FOUNDATION | {folder}
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        strangers = _imports(path) - allowed
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}; it may import {sorted(allowed)}"


def test_foundation_imports_nothing_above_it() -> None:
    for path in sorted(PACKAGE.glob("*.py")):
        strangers = _imports(path) - FOUNDATION
        assert not strangers, f"{path.name} imports {sorted(strangers)}"


def test_every_folder_has_its_rule() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert folders - {"wire"} <= set(MAY_IMPORT)


@pytest.mark.parametrize("crate", sorted(CRATES_MAY_USE))
def test_crate_depends_only_on_what_stands_below_it(crate: str) -> None:
    manifest = tomllib.loads((CRATES / crate / "Cargo.toml").read_text())
    ours = {name.removeprefix("antiphon-") for name in manifest["dependencies"] if name.startswith("antiphon-")}
    assert ours <= CRATES_MAY_USE[crate]


def test_unsafe_stands_only_in_the_socket_layer() -> None:
    for path in sorted(CRATES.glob("*/src/**/*.rs")):
        if path.relative_to(CRATES).as_posix().startswith(SYSTEM_CALLS):
            continue
        assert not re.search(r"\bunsafe\s*(\{|fn|impl)", _without_comments(path)), (
            f"{path.relative_to(ROOT)} has unsafe code; only the socket layer may"
        )


def test_engine_does_no_io_and_reads_no_clock() -> None:
    forbidden = re.compile(r"std::net::(Udp|Tcp)|Instant::now|SystemTime::now|std::thread|std::fs")
    for path in sorted((CRATES / "engine" / "src").rglob("*.rs")):
        found = forbidden.search(_without_comments(path).split("#[cfg(test)]")[0])
        assert not found, f"{path.relative_to(ROOT)} uses {found.group() if found else ''}"


def test_generated_code_matches_the_protos(tmp_path: Path) -> None:
    source = ROOT / "proto" / "antiphon"
    arguments = [
        "protoc",
        f"--proto_path=antiphon/wire={source}",
        f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
        *[f"antiphon/wire/{p.relative_to(source)}" for p in sorted(source.rglob("*.proto"))],
    ]
    assert protoc.main(arguments) == 0
    version = re.compile(r"# Protobuf Python Version.*|_runtime_version\.[\s\S]*?\n\)")
    for made in sorted((tmp_path / "antiphon" / "wire").rglob("*_pb2.py*")):
        kept = PACKAGE / "wire" / made.relative_to(tmp_path / "antiphon" / "wire")
        assert version.sub("", made.read_text()) == version.sub("", kept.read_text()), (
            f"{kept.relative_to(ROOT)} is out of date: run make proto"
        )
