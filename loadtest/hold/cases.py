"""What the detector is put to: traces of levels with the truth beside them, drawn from a seed.

An onset is the first 20 ms frame of an utterance that is 10 dB above the median of the noise (and above -50 dBov).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from loadtest.hold.sound import FRAME, RATE, agents, at_active, at_rms, gain, levels, noises, packets, utterances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loadtest.hold.sound import Levels, Sound

SECONDS = 120
AGENT_DBOV = -20.0
_ABOVE_NOISE_DB = 10
_FAINTEST_DBOV = -50
_BED_DBOV = -75.0
_HEAD = 4
"""Octets of a packet that the detector is shown; one frame's framing says the same of them."""


@dataclass
class Case:
    kind: str
    """onset, noise or echo."""
    group: str
    """What is counted together."""
    detail: str
    played: Levels
    heard: Levels
    sent: list[bytes]
    """The packet of each frame; empty where DTX sends none."""
    speech: NDArray[np.bool_]
    onsets: list[int] = field(default_factory=list)

    def line(self) -> str:
        columns = [
            map(str, self.speech.astype(int).tolist()),
            map(str, self.played.tolist()),
            map(str, self.heard.tolist()),
            (packet[:_HEAD].hex() for packet in self.sent),
        ]
        return ";".join(map(",".join, columns))


class Maker:
    def __init__(self, seed: int, *, held_out: bool, loss_percent: int = 0) -> None:
        self._loss_percent = loss_percent
        self._random = np.random.default_rng(seed)
        self._noises = noises(held_out=held_out)
        self._utterances = utterances(held_out=held_out)
        self._agents = [at_active(agent, AGENT_DBOV) for agent in agents(held_out=held_out)]

    def cases(self) -> Iterator[Case]:
        """All of a run."""
        for name in self._noises:
            for dbov in (-32, -38, -46):
                yield self.noise(name, dbov)
        for loss in (10, 20, 30, 40):
            for delay_ms in (50, 100, 200, 300):
                yield self.echo(loss, delay_ms)
        for name, dbovs in (("quiet", (-70, -60, -50)), *((name, (-38, -46)) for name in self._noises)):
            for dbov in dbovs:
                for loudness in (-18, -24, -30):
                    if loudness - dbov >= 14:
                        yield self.speech(name, dbov, loudness)
        for loss in (20, 30, 40):
            yield self.speech("quiet", -65, -22, echo_db=loss)

    def noise(self, name: str, dbov: float) -> Case:
        noise = self._noise(name, dbov)
        return self._case("noise", name, f"{dbov} dBov", self._agent(), noise)

    def echo(self, loss_db: int, delay_ms: int) -> Case:
        agent = self._agent()
        name, dbov = [("quiet", -65.0), ("office", -60.0)][self._random.integers(2)]
        heard = self._echo(agent, loss_db, delay_ms) + self._noise(name, dbov)
        return self._case("echo", f"{loss_db} dB", f"{delay_ms} ms, {name}", agent, heard)

    def speech(self, name: str, dbov: float, loudness: float, echo_db: int | None = None) -> Case:
        clean = np.zeros(SECONDS * RATE)
        said = list(self._say(clean, loudness))
        around, agent = self._noise(name, dbov), self._agent()
        needed = max(float(np.median(-levels(around))) + _ABOVE_NOISE_DB, _FAINTEST_DBOV)
        if echo_db is not None:
            around = around + self._echo(agent, echo_db, 200)
            needed = max(needed, AGENT_DBOV - echo_db + _ABOVE_NOISE_DB)
        loud = -levels(clean) >= needed
        speech = np.zeros(len(loud), bool)
        onsets = []
        for begin, end in said:
            speech[begin : end + 10] = True
            above = np.flatnonzero(loud[begin:end])
            if len(above):
                onsets.append(begin + int(above[0]))
        group = name if echo_db is None else f"echo {echo_db} dB"
        detail = f"noise {dbov}, speech {loudness} dBov"
        case = self._case("onset", group, detail, agent, clean + around)
        case.speech, case.onsets = speech, onsets
        return case

    def _case(self, kind: str, group: str, detail: str, agent: Sound, heard: Sound) -> Case:
        level = levels(heard)
        nobody = np.zeros(len(level), bool)
        return Case(kind, group, detail, levels(agent), level, packets(heard, loss_percent=self._loss_percent), nobody)

    def _say(self, clean: Sound, loudness: float) -> Iterator[tuple[int, int]]:
        """Puts utterances into `clean`, pauses between them, and gives the frames that they lie in."""
        at = 8 * RATE
        order = self._random.permutation(len(self._utterances))
        for turn in range(10_000):
            said = self._utterances[order[turn % len(order)]] * gain(loudness)
            at += int(self._random.uniform(2.5, 4.5) * RATE)
            if at + len(said) >= len(clean) - RATE:
                return
            clean[at : at + len(said)] += said
            yield at // FRAME, (at + len(said)) // FRAME
            at += len(said)

    def _agent(self) -> Sound:
        return self._long(self._agents[self._random.integers(len(self._agents))])

    def _noise(self, name: str, dbov: float) -> Sound:
        white = self._random.standard_normal(SECONDS * RATE)
        if name == "quiet":
            return white * gain(dbov)
        return at_rms(self._long(self._noises[name]), dbov) + white * gain(_BED_DBOV)

    def _long(self, sound: Sound) -> Sound:
        count = SECONDS * RATE
        turned = np.roll(sound, -int(self._random.integers(len(sound))))
        return np.tile(turned, count // len(turned) + 1)[:count]

    def _echo(self, agent: Sound, loss_db: float, delay_ms: int) -> Sound:
        """The agent out of a speaker, through a room of up to 400 ms reverberation, into the caller's microphone."""
        reverberation = float(self._random.choice([0.05, 0.2, 0.4]))
        count = int(0.4 * RATE)
        decay = np.exp(-np.arange(count) / (reverberation * RATE / 6.9))
        room = self._random.standard_normal(count) * decay * 0.05
        room[0] = 1.0
        size = len(agent) + count
        wet = np.fft.irfft(np.fft.rfft(agent, size) * np.fft.rfft(room, size), size)[: len(agent)]
        wet *= np.sqrt((agent**2).mean() / (wet**2).mean())
        delay = delay_ms * RATE // 1000
        return np.concatenate([np.zeros(delay), wet])[: len(agent)] * gain(-loss_db)
