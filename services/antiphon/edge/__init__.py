"""The edge: terminates WebRTC in Rust (`_media`) and is run by Python."""

from antiphon.edge.service import run

__all__ = ["run"]
