"""What any browser is asked to do: set up, repeat a sentence, talk for a while on a lossy path, come over TCP."""

from __future__ import annotations

import base64
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.interop.hearing import SENTENCE, verdict
from tests.interop.world import TOKEN
from tests.support import speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.interop.browsers import Page
    from tests.interop.facts import Facts
    from tests.interop.world import World

PERFECT = "delay=20ms"
LOSSY = "loss=5%,delay=20ms,jitter=5ms"
"""Each way: a round trip of 40 to 50 ms."""
TALK_SECONDS = 20.0
REPAIRED, UNREPAIRED = 1.0, 8.0
"""Percent that a browser may conceal at 5 % loss: with RED and NACK, and without."""
EDGE_FIGURES = (
    "expected",
    "lost",
    "repaired_red",
    "repaired_nack",
    "fec_recoverable",
    "given_up",
    "asked",
    "reordered",
    "late",
    "nacked",
    "answered",
    "underruns",
)


@cache
def wav(silence_after: float) -> str:
    """A second of silence, the sentence, and silence: a WAV file at 48 kHz as base64."""
    said = [speech.silence(1.0, 48000), speech.say(SENTENCE, 48000), speech.silence(silence_after, 48000)]
    with tempfile.TemporaryDirectory() as folder:
        return base64.b64encode(
            speech.write_wav(Path(folder, "a.wav"), np.concatenate(said), 48000).read_bytes()
        ).decode()


@dataclass(frozen=True)
class Call:
    """A call that is up, and how its parts saw it."""

    world: World
    page: Page
    answer: dict[str, Any]

    def edge(self) -> dict[str, Any]:
        return self.world.session(self.answer["session"])

    def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.ask("statistics")
        return found

    def tell_heard(self, facts: Facts, what: str, seconds: float = 1.0, *, required: bool = True) -> None:
        """Waits for so long that the sentence is heard; where that is not `required`, only how well it was is told."""
        wait_for(lambda: verdict(self.page.heard())[1], seconds)
        seen, wanted = verdict(self.page.heard())
        facts.add(what, seen, wanted=wanted if required else None)


@contextmanager
def called(world: World, page: Page, agent: str, *, loop: bool, repair: bool = True) -> Iterator[Call]:
    answer = page.ask("call", token=TOKEN, agent=agent, wav=wav(0.5 if loop else 30.0), loop=loop, repair=repair)
    try:
        yield Call(world, page, answer)
    finally:
        world.path.both(PERFECT)
        page.ask("hangUp")


def set_up(world: World, page: Page, facts: Facts) -> None:
    """On a perfect path of 40 ms: what was negotiated, and whether messages pass both ways."""
    world.path.both(PERFECT)
    with called(world, page, "mirror", loop=True) as call:
        call.page.ask("send", data={"number": 7})
        back = wait_for(lambda: {"number": 7} in page.ask("messages"))
        edge, seen = call.edge(), call.statistics()
        facts.add("sealed with", edge["security"], wanted="DTLS" in edge["security"])
        steps = ", ".join(f"{name} {us / 1000:.0f} ms" for name, us in edge["setup_us"].items())
        facts.add("set-up at a round trip of 40 ms, by the edge", steps)
        facts.add("data channel: a message and its answer", "came" if back else "did not come", wanted=back)
        facts.add("codec sent, received", f"{seen['sends']}, {seen['receives']}")


def repeats(world: World, page: Page, facts: Facts) -> None:
    """The parrot says the sentence back, at 5 % loss each way."""
    world.path.both(LOSSY)
    with called(world, page, "parrot", loop=False) as call:
        call.tell_heard(facts, "the parrot repeats a sentence, 5 % loss each way", seconds=30)


def lossy(world: World, page: Page, facts: Facts, *, repair: bool) -> None:
    """Talks with the echo at 5 % loss each way."""
    how = "5 % loss each way, " + ("repair on" if repair else "no RED, no NACK in the answer")
    world.path.both(LOSSY)
    with called(world, page, "echo", loop=True, repair=repair) as call:
        time.sleep(2.0)  # the jitter buffer settles
        before, lost_before = call.statistics(), world.path.counts()
        time.sleep(TALK_SECONDS)
        after, lost_after, edge = call.statistics(), world.path.counts(), call.edge()
        lost = {way: lost_after[way]["lost"] - lost_before[way]["lost"] for way in ("up", "down")}
        facts.add(f"{how}: packets lost by the path", f"{lost['up']} up, {lost['down']} down")
        facts.add(f"{how}: NACK and resending, at the browser", _repairs(after))
        facts.add(f"{how}: at the edge", told(edge["quality"]))
        concealed = _concealed(before, after)
        facts.add(
            f"{how}: concealed at the browser", _concealment(before, after), wanted=concealed < (1.0 if repair else 8.0)
        )
        call.tell_heard(facts, f"{how}: the echo is heard", required=repair)


def over_tcp(world: World, page: Page, facts: Facts) -> None:
    """A network that lets no UDP pass."""
    world.path.both(f"{PERFECT},udp=blocked")
    try:
        with called(world, page, "echo", loop=True) as call:
            protocol = call.statistics()["far"].get("protocol")
            facts.add("UDP blocked: connected by", protocol, wanted=protocol == "tcp")
            call.tell_heard(facts, "UDP blocked: the echo is heard", seconds=20)
    except RuntimeError as error:
        facts.add("UDP blocked: connected by", error, wanted=False)
        page.ask("hangUp")


def _concealed(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Percent of what was played, silence left out."""

    def grew(name: str) -> float:
        return float(after["inbound"].get(name, 0)) - float(before["inbound"].get(name, 0))

    return (
        100
        * max(0.0, grew("concealedSamples") - grew("silentConcealedSamples"))
        / max(1.0, grew("totalSamplesReceived"))
    )


def _concealment(before: dict[str, Any], after: dict[str, Any]) -> str:
    emitted = after["inbound"].get("jitterBufferEmittedCount", 0) - before["inbound"].get("jitterBufferEmittedCount", 0)
    delay = after["inbound"].get("jitterBufferDelay", 0) - before["inbound"].get("jitterBufferDelay", 0)
    return f"{_concealed(before, after):.2f} %, jitter buffer {1000 * delay / max(1, emitted):.0f} ms"


def _repairs(seen: dict[str, Any]) -> str:
    outbound, inbound = seen["outbound"], seen["inbound"]
    return (
        f"resent {outbound.get('retransmittedPacketsSent', 0)} on {outbound.get('nackCount', 0)} NACKs of the edge; "
        f"sent {inbound.get('nackCount', 0)} NACKs; missed {inbound.get('packetsLost', 0)} of "
        f"{inbound.get('packetsReceived', 0) + max(0, inbound.get('packetsLost', 0))}; "
        f"frames with FEC {inbound.get('fecPacketsReceived', 0)}; sent {_size(outbound):.0f} B a packet"
    )


def _size(outbound: dict[str, Any]) -> float:
    """Of a payload in bytes: RED doubles it."""
    return float(outbound.get("bytesSent", 0)) / max(1.0, float(outbound.get("packetsSent", 0)))


def told(figures: dict[str, float]) -> str:
    """What the edge counted of losses and repairs, where it counted any."""
    return ", ".join(f"{name} {figures[name]:.0f}" for name in EDGE_FIGURES if figures.get(name))


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.25)
    return False
