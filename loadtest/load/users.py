"""The callers as locust Users: a class for each persona on native callers, and canaries on aiortc."""

from __future__ import annotations

import json
import random
import sys
from typing import TYPE_CHECKING, ClassVar

import gevent
from gevent import subprocess
from locust import FastHttpUser, User, constant, task

from antiphon.ids import session_region
from loadtest.load import running
from loadtest.load.personas import PERSONAS, Persona
from loadtest.measuring.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.load.switchboard import Line

_UP_S = 20.0
_ANSWER_S = 12.0
_REPLY_S = 60.0
_CANARY_S = 20.0
_RETRY_S = 1.0
_CREATED = (200, 201)


class VoiceCaller(FastHttpUser):
    """Places a call, behaves as its persona until the call is over, and calls again."""

    abstract = True
    persona: ClassVar[Persona]
    wait_time = constant(0)
    network_timeout = 15.0
    connection_timeout = 15.0

    @task
    def call(self) -> None:
        line = running.switchboard().line(self.persona)
        try:
            if self._place(line) and line.wait("connected", seconds=_UP_S) == "connected":
                self._live(line)
            elif not line.over:
                running.tell("call", 0.0, "not connected in time")
        finally:
            line.hang_up()
        if not line.over:
            return
        gevent.sleep(_RETRY_S)  # who was cut off calls again, but not in a tight loop

    def _place(self, line: Line) -> bool:
        choice = running.choice()
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        if choice.token:
            headers["Authorization"] = f"Bearer {choice.token}"
        path = running.offer_path()
        with self.client.post(path, data=line.offer, headers=headers, name="place", catch_response=True) as response:
            if response.status_code not in _CREATED:
                response.failure(f"refused with {response.status_code}")
                gevent.sleep(_RETRY_S)
                return False
            line.region = session_region((response.headers or {}).get("Location", "").rpartition("/")[2]) or ""
            line.answer(response.text or "")
        return True

    def _live(self, line: Line) -> None:
        life = running.choice().call_s
        seconds = random.expovariate(1 / life) if life else 1e9
        roaming = gevent.spawn(self._roam, line) if self.persona.roams_each_s else None
        try:
            with gevent.Timeout(seconds, False):
                for _ in self._turns(line):
                    if line.over:
                        return
        finally:
            if roaming is not None:
                roaming.kill(block=False)

    def _turns(self, line: Line) -> Iterator[None]:
        while True:
            if not self.persona.speaks:
                line.wait("ended", seconds=60)
                yield
                continue
            line.forget()
            line.speak(random.choice(running.switchboard().clips))
            line.wait("said", seconds=_ANSWER_S)
            if not running.choice().echoes:
                self._listen(line)
            gevent.sleep(random.uniform(0.3, 1.2))
            yield

    def _listen(self, line: Line) -> None:
        if line.wait("agent_speaks", seconds=_ANSWER_S) != "agent_speaks":
            return
        if self.persona.interrupts:
            gevent.sleep(random.uniform(0.3, 0.9))
            line.speak(random.choice(running.switchboard().clips))
            line.wait("said", seconds=_ANSWER_S)
            line.wait("agent_speaks", seconds=_ANSWER_S)
        line.wait("agent_silent", seconds=_REPLY_S)

    def _roam(self, line: Line) -> None:
        while not line.over:
            gevent.sleep(random.uniform(0.5, 1.5) * (self.persona.roams_each_s or 0.0))
            line.roam()


class Talker(VoiceCaller):
    persona = PERSONAS["talker"]


class Listener(VoiceCaller):
    persona = PERSONAS["listener"]


class Interrupter(VoiceCaller):
    persona = PERSONAS["interrupter"]


class Roamer(VoiceCaller):
    persona = PERSONAS["roamer"]


class Flaky(VoiceCaller):
    persona = PERSONAS["flaky"]


class Canary(User):
    """A caller on aiortc, in a process of its own: another implementation, with a jitter buffer and a decoder."""

    wait_time = constant(1)
    fixed_count = 0

    @task
    def call(self) -> None:
        command = [sys.executable, "-m", "loadtest.load.canary", self.host or "", running.choice().agent]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            said, wrong = process.communicate(timeout=3 * _CANARY_S)
        except subprocess.TimeoutExpired:
            running.tell("canary", 0.0, "no end in time")
            return
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode:
            lines = wrong.decode(errors="replace").strip().splitlines()
            running.tell("canary", 0.0, lines[-1] if lines else f"exit code {process.returncode}")
            return
        for name, ms in json.loads(said).items():
            running.tell(f"canary {name}", ms, None)


CALLERS: dict[str, type[VoiceCaller]] = {
    user.persona.name: user for user in (Talker, Listener, Interrupter, Roamer, Flaky)
}
