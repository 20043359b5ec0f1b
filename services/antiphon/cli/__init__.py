"""The `antiphon` command."""

from antiphon.cli.app import main

__all__ = ["main"]
