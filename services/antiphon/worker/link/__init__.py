"""The worker's end of the media link: all sessions of an edge over one control stream and a few media streams."""

from antiphon.worker.link.pace import gather_us
from antiphon.worker.link.server import LinkServer

__all__ = ["LinkServer", "gather_us"]
