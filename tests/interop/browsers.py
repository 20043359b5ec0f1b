"""Chromium and Firefox, headless, with a page that takes the commands of page.js."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from playwright.sync_api import sync_playwright

from tests.support.browser import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PULSEAUDIO = shutil.which("pulseaudio")
_NOWHERE = subprocess.DEVNULL
_SCRIPT = Path(__file__).with_name("page.js").read_text()
_INSERT = "document.body.append(Object.assign(document.createElement('script'), { textContent: arguments[0] }));"
_PATIENCE = 60
_CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
_FIREFOX_SETTINGS = {
    "marionette.port": 0,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.autoplay.block-webaudio": False,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


@dataclass
class Page:
    """A page of the site that does what page.js can. `evaluate` runs an expression and returns its text."""

    version: str
    evaluate: Callable[[str], str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(self, command: str, **given: Any) -> Any:
        """Raises RuntimeError with the page's own words."""
        number = next(self._numbers)
        self.evaluate(f"void window.interop({number}, {json.dumps(command)}, {json.dumps(json.dumps(given))}), ''")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            answer = json.loads(self.evaluate("document.documentElement.dataset.answer || '{}'"))
            if answer.get("number") == number:
                if "error" in answer:
                    raise RuntimeError(f"{command}: {answer['error']}")
                return answer.get("value")
            time.sleep(0.02)
        raise RuntimeError(f"{command}: no answer after {_PATIENCE} s")

    def heard(self) -> NDArray[np.int16]:
        """Everything that came since the call began, mono at 16 kHz."""
        return np.frombuffer(base64.b64decode(self.ask("heard")), "<i2")


@contextmanager
def chromium(url: str) -> Iterator[Page]:
    """Opens the site's page; the calling thread's network namespace is the browser's."""
    with sync_playwright() as playwright:
        insecure = f"--unsafely-treat-insecure-origin-as-secure={url}"  # pages get media on https and loopback only
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_CHROMIUM_FLAGS, insecure])
        try:
            # With leave to use a microphone a page may use every interface, else only the default route's.
            page = browser.new_context(bypass_csp=True, permissions=["microphone"]).new_page()
            page.goto(f"{url}/sdk/antiphon.js")
            page.add_script_tag(content=_SCRIPT)
            yield Page(f"Chromium {browser.version}", lambda expression: str(page.evaluate(expression)))
        finally:
            browser.close()


@contextmanager
def firefox(url: str) -> Iterator[Page]:
    """As `chromium`, driven by Marionette, Firefox's own remote control: a message is its length and a JSON array."""
    assert FIREFOX is not None
    with tempfile.TemporaryDirectory(prefix="antiphon-firefox-") as profile, _speaker(Path(profile)) as speaker:
        settings = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _FIREFOX_SETTINGS.items()
        ]
        Path(profile, "user.js").write_text("".join(settings))
        command = (FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", profile)
        environment = {**os.environ, "PULSE_SERVER": speaker}
        with subprocess.Popen(command, stdout=_NOWHERE, stderr=_NOWHERE, env=environment) as process:
            try:
                with _Marionette(_port_of(Path(profile))) as marionette:
                    started = marionette.tell("WebDriver:NewSession", {})
                    marionette.tell("WebDriver:Navigate", {"url": f"{url}/sdk/antiphon.js"})
                    marionette.tell("WebDriver:ExecuteScript", {"script": _INSERT, "args": [_SCRIPT]})
                    yield Page(f"Firefox {started['capabilities']['browserVersion']}", marionette.evaluate)
            finally:
                process.terminate()
                process.wait(_PATIENCE)


@contextmanager
def _speaker(folder: Path) -> Iterator[str]:
    """PulseAudio with nothing behind it: without a device Firefox's audio contexts stand still."""
    assert PULSEAUDIO is not None
    door = folder / "speaker"
    modules = ("--load=module-null-sink", f"--load=module-native-protocol-unix auth-anonymous=1 socket={door}")
    command = (PULSEAUDIO, "-n", "--daemonize=no", "--exit-idle-time=-1", *modules)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    with subprocess.Popen(command, stdout=_NOWHERE, stderr=_NOWHERE, env=environment) as process:
        try:
            yield f"unix:{door}"
        finally:
            process.terminate()


def _port_of(profile: Path) -> int:
    """Firefox writes where its remote control listens once it does."""
    told = profile / "MarionetteActivePort"
    deadline = time.monotonic() + _PATIENCE
    while not (told.exists() and told.read_text().strip()):
        assert time.monotonic() < deadline, "Firefox did not start"
        time.sleep(0.1)
    return int(told.read_text())


class _Marionette:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self._read()  # its greeting
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def tell(self, command: str, given: dict[str, Any]) -> Any:
        text = json.dumps([0, next(self._numbers), command, given])
        self._socket.sendall(f"{len(text.encode())}:{text}".encode())
        _, _, error, value = self._read()
        if error is not None:
            raise RuntimeError(f"{command}: {error['message']}")
        return value

    def evaluate(self, expression: str) -> str:
        script = f"return window.eval({json.dumps(expression)});"
        return str(self.tell("WebDriver:ExecuteScript", {"script": script, "args": []})["value"])

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._some(1)
        body = b""
        while len(body) < int(length[:-1]):
            body += self._some(int(length[:-1]) - len(body))
        return json.loads(body)

    def _some(self, most: int) -> bytes:
        piece = self._socket.recv(most)
        assert piece, "Firefox has closed its remote control"
        return piece
