"""Tests for agents: a simulated caller talks with one in this process, in virtual time, with no network and no models.

    def test_it_repeats_what_i_say(agent_call):
        call = agent_call("parrot")
        call.says("hello there")
        assert call.hears().complete

    def test_it_repeats_to_all(agent_room):
        room = agent_room("host")
        ann, bob = room.joins(), room.joins()
        ann.says("hello there")
        assert bob.hears().complete

`agent_call` and `agent_room` are pytest fixtures that come with the package; they make a SimulatedCall and a
SimulatedRoom. Such tests are plain functions, not async ones: each method lets virtual time pass.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.testing.call import AgentFailedError, SimulatedCall
    from antiphon.testing.edge import Heard
    from antiphon.testing.loop import VirtualTimeLoop
    from antiphon.testing.room import SimulatedRoom

__all__ = ["AgentFailedError", "Heard", "SimulatedCall", "SimulatedRoom", "VirtualTimeLoop"]

_HOMES = {
    "AgentFailedError": "call",
    "SimulatedCall": "call",
    "Heard": "edge",
    "VirtualTimeLoop": "loop",
    "SimulatedRoom": "room",
}


def __getattr__(name: str) -> object:
    """Imports on first use: pytest imports this package wherever Antiphon is installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
