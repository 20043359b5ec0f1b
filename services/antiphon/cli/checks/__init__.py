"""What `antiphon doctor` looks at, one subject a file. A check tells; it changes nothing."""

from antiphon.cli.checks.check import ROLES, Check, Level, Role, failure, ok, warning

__all__ = ["ROLES", "Check", "Level", "Role", "failure", "ok", "warning"]
