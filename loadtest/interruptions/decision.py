"""The decision alone, in virtual time: the edge's detector, and a worker's ears with their models, on the same sounds.

No network, no cluster and no other work: what is left is what the decision itself takes. A frame is heard when its last
sample was spoken; then the detector takes it, and the listener with all its models, in no time. The agent speaks.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from antiphon.frames import CLOCK_RATE, Frame
from antiphon.opus import Encoder
from antiphon.testing import VirtualTimeLoop
from antiphon.turns import Echo, TurnPolicy
from antiphon.turns.actions import Flush, Hold, Resume
from antiphon.turns.evidence import AgentEnds, AgentStarts, EchoState, Hint
from antiphon.turns.silero import SileroModel, SileroVoice
from antiphon.worker.listening import Listener
from loadtest.hold.sound import FRAME, OPUS_RATE, RATE, gain, levels, upsampled
from loadtest.interruptions.event import Event, milliseconds
from loadtest.measuring.tools import BenchError, build_caller
from loadtest.measuring.tools import say as progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.turns.actions import Action
    from antiphon.turns.voice import Judged, VoiceStream
    from loadtest.interruptions.sounds import Sound

FRAME_S = 0.02
_LEAD_S = 3.0
"""By then the edge knows that there is no echo."""
_AFTER_S = 1.5
_MICROPHONE_DBOV = -70.0
_AGENT_LEVEL = 20
_HEAD = 4


@dataclass(frozen=True)
class Spoken:
    """A sound as a caller sends it."""

    sound: Sound
    onset_s: float
    packets: list[bytes]
    levels: list[int]


class AtOnce(SileroVoice):
    """Judges whatever comes on the event loop, before it goes on: in virtual time a thread would be late or early."""

    def __init__(self, model: SileroModel) -> None:
        super().__init__()
        self._model = model

    def start(self, loaded: Callable[[], None] = lambda: None) -> None:  # noqa: ARG002 - nothing is loaded here
        self._thread.start(None)

    def open(self, judged: Judged) -> VoiceStream:
        self.start()
        return super().open(judged)

    def push(self, stream, frame) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as its base
        super().push(stream, frame)
        self._work(self._model)


def decide(sounds: list[Sound], seed: int) -> list[Event]:
    """What becomes of each sound. Raises BenchError."""
    random = np.random.default_rng(seed)
    spoken = [_speak(sound, random) for sound in sounds]
    noticed = _notice(spoken)
    model = SileroModel()
    events = []
    for one, frames in zip(spoken, noticed, strict=True):
        loop = VirtualTimeLoop()
        try:
            events.append(loop.run_until_complete(_listen(one, frames, AtOnce(model))))
        finally:
            loop.close()
        if len(events) % 100 == 0:
            progress(f"decision alone: {len(events)} of {len(sounds)} sounds")
    return events


def _speak(sound: Sound, random: np.random.Generator) -> Spoken:
    """With a microphone's hiss around it; it begins anywhere in a frame."""
    audio = sound.audio.astype(np.float64) / 32768
    begin = round(_LEAD_S * RATE) + int(random.integers(FRAME))
    count = -(-(begin + len(audio) + round(_AFTER_S * RATE)) // FRAME) * FRAME
    heard = random.standard_normal(count) * gain(_MICROPHONE_DBOV)
    heard[begin : begin + len(audio)] += audio
    encoder = Encoder(OPUS_RATE, complexity=9, loss_percent=0)
    pcm = np.clip(np.round(upsampled(heard) * 32768), -32768, 32767).astype(np.int16)
    packets = [encoder.encode(block) for block in pcm.reshape(-1, encoder.samples)]
    return Spoken(sound, begin / RATE, packets, levels(heard).tolist())


def _notice(spoken: list[Spoken]) -> list[list[int]]:
    """The frames by which the engine's detector notices an onset."""
    lines = []
    for one in spoken:
        count = len(one.packets)
        columns = (
            ["1"] * count,
            [str(_AGENT_LEVEL)] * count,
            map(str, one.levels),
            (p[:_HEAD].hex() for p in one.packets),
        )
        lines.append(";".join(map(",".join, columns)))
    done = subprocess.run(
        [str(build_caller()), "hold"], input="\n".join(lines) + "\n", check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise BenchError(done.stderr.strip())
    return [json.loads(line)["onsets"] for line in done.stdout.splitlines()]


async def _listen(spoken: Spoken, noticed: list[int], voice: AtOnce) -> Event:
    loop = asyncio.get_running_loop()
    held: list[float] = []
    resumed: list[float] = []
    flushed: list[float] = []

    def act(action: Action) -> None:
        match action:
            case Hold():
                held.append(loop.time())
            case Resume():
                resumed.append(loop.time())
            case Flush():
                flushed.append(loop.time())
                listener.tell(AgentEnds(listener.now_s))

    listener = Listener(voice, TurnPolicy(), act)
    for number, payload in enumerate(spoken.packets):
        await asyncio.sleep(FRAME_S * (number + 1) - loop.time())
        level = 0x100 | spoken.levels[number]
        ticks = round(FRAME_S * CLOCK_RATE)
        if number in noticed:
            if not flushed:
                held.append(loop.time())
            listener.tell(Hint(listener.now_s, onset=True, held=not flushed))
        listener.hear(Frame(number, number * ticks, round(loop.time() * 1e6), ticks, level, 0, payload))
        if number == 0:
            listener.tell(EchoState(listener.now_s, Echo.NONE))
            listener.tell(AgentStarts(listener.now_s))
        await asyncio.sleep(0)
    listener.close()
    since = [
        next((at - spoken.onset_s for at in times if at >= spoken.onset_s), None) for times in (held, flushed, resumed)
    ]
    if since[1] is not None:
        since[2] = None
    return Event(spoken.sound.kind, spoken.sound.voice, spoken.sound.text, 0.0, *map(milliseconds, since))
