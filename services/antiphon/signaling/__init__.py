"""The HTTP face of the cluster: answers callers' offers and tells who is where."""

from antiphon.signaling.server import run

__all__ = ["run"]
