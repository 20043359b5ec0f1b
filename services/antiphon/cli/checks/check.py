"""What a check found: a level, the fact, and where it is not well what that means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["signaling", "edge", "worker"]
Level = Literal["ok", "warning", "failure"]
ROLES: tuple[Role, ...] = ("signaling", "edge", "worker")


@dataclass(frozen=True)
class Check:
    """`subject` is a setting's name or another short name, the same for every outcome."""

    subject: str
    level: Level
    fact: str
    means: str = ""
    todo: str = ""


def ok(subject: str, fact: str) -> Check:
    return Check(subject, "ok", fact)


def warning(subject: str, fact: str, means: str, todo: str) -> Check:
    return Check(subject, "warning", fact, means, todo)


def failure(subject: str, fact: str, means: str, todo: str) -> Check:
    return Check(subject, "failure", fact, means, todo)
