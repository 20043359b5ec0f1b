"""`antiphon doctor`: checks this machine and configuration for the roles it shall have, before or while they run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from antiphon.cli.checks import ROLES, Check, Role
from antiphon.cli.checks.geoip import check_geoip
from antiphon.cli.checks.machine import check_machine
from antiphon.cli.checks.memory import check_memory
from antiphon.cli.checks.models import check_models
from antiphon.cli.checks.ports import check_ports, runs_here
from antiphon.cli.checks.reach import check_advertised, check_probes, check_reached
from antiphon.cli.checks.recordings import check_recordings
from antiphon.cli.checks.traces import check_traces
from antiphon.cli.services import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.config import Config

Found = dict[str, list[Check]]


def roles_of(names: Sequence[str]) -> tuple[Role, ...]:
    """All of them where none is named. Raises ValueError with the right ones."""
    unknown = [name for name in names if name not in ROLES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no role: expected {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in names or not names)


async def doctor(roles: Sequence[Role], config: Config, *, as_json: bool) -> int:
    """Prints what was found. Returns the exit code: 1 where something is a failure."""
    found = await examine(roles, config)
    failed = any(check.level == "failure" for checks in found.values() for check in checks)
    if as_json:
        document = {"ok": not failed, "checks": {name: [asdict(one) for one in some] for name, some in found.items()}}
        print(json.dumps(document, indent=2))
    else:
        print(in_words(found))
    return FAILED if failed else 0


async def examine(roles: Sequence[Role], config: Config) -> Found:
    """Checks by role, and those that all roles share under `cluster`."""
    found: Found = {"cluster": await check_memory(config)}
    for role in roles:
        running = await runs_here(role, config)
        checks = await check_ports(role, config, running=running)
        checks += await asyncio.to_thread(check_machine, role, config)
        checks += await asyncio.to_thread(check_traces)
        if role == "signaling":
            checks += await asyncio.to_thread(check_geoip, config.signaling.geoip)
            checks += await check_recordings(role, config.recording)
        elif role == "edge":
            checks += check_advertised(config.edge) + await check_probes(config.edge, running=running)
            checks += await check_reached(config.edge, running=running)
        else:
            checks += await asyncio.to_thread(check_models, config)
            checks += await check_recordings(role, config.recording)
        found[role] = checks
    return found


def in_words(found: Mapping[str, Sequence[Check]]) -> str:
    """One line a check; two more where something is to be done; the sum last."""
    lines: list[str] = []
    for name, checks in found.items():
        lines.append(name)
        for check in checks:
            lines.append(f"  {check.level:<8} {check.subject}: {check.fact}")
            if check.level != "ok":
                lines += [f"           {check.means}", f"           {check.todo}"]
    levels = [check.level for checks in found.values() for check in checks]
    lines += ["", ", ".join(f"{levels.count(level)} {level}" for level in ("ok", "warning", "failure"))]
    return "\n".join(lines)
