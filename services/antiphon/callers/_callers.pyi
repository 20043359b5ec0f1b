"""The native module of crates/caller-python: callers in Rust. Each call releases the GIL and returns at once."""

from typing import Any, final

__all__ = ["Callers"]

@final
class Callers:
    """Callers that talk, on threads of their own, each with a UDP socket of its own."""

    def __new__(cls, *, bind: str, threads: int) -> Callers:
        """bind: the IPv4 address of the callers' sockets. Raises OSError, ValueError."""

    def add_clip(self, frames: list[tuple[bytes, int]]) -> int:
        """Takes something to say: Opus packets of 20 ms with levels (0 to 127, in -dBov); returns its number.

        It begins and ends with voice, since turns are timed by its ends. Raises ValueError.
        """

    def offer(
        self, group: str, *, echoes: bool, impairment: tuple[float, float, float] | None = None
    ) -> tuple[int, str]:
        """Makes a caller and its SDP offer: (call, offer). Raises ConnectionError, OSError.

        group: what it is counted with. echoes: its agent sends back what it hears, as it is.
        impairment: delay and jitter in ms, and loss as a share, of each direction.
        """

    def answer(self, call: int, sdp: str) -> None: ...
    def speak(self, call: int, clip: int) -> None:
        """Says a clip; what was being said is broken off. Raises KeyError."""

    def hush(self, call: int) -> None: ...
    def roam(self, call: int) -> None:
        """Goes on by another address, as behind a NAT that changed its mind."""

    def restart(self, call: int) -> None:
        """Begins an ICE restart: an event `restarts` has the fragment to ask with (RFC 8840)."""

    def restarted(self, call: int, sdpfrag: str) -> None:
        """Goes on with the fragment that answered."""

    def vanish(self, call: int) -> None:
        """Is gone without a word, as who loses its network."""

    def hang_up(self, call: int) -> None: ...
    def now(self) -> float:
        """The time on the callers' clock in ms."""

    def poll(self) -> list[tuple[int, str, float, str]]:
        """Events since the last call, in order: (call, kind, ms, text).

        ice (since the answer), dtls (since ice), connected, first_audio (since the offer), agent_speaks, agent_silent,
        turn (since the caller's last frame of voice), barge_in (since the first frame spoken over the agent),
        went_on (it spoke on for 3 s), began (a clip's first frame was sent: when, as `now` tells it), said,
        roamed (first packet by the new address), restarts (text: the fragment), ended (text: why; empty where that was
        wished).
        """

    def totals(self) -> dict[str, Any]:
        """What was counted since the beginning: groups, lateness_us, cpu_s.

        Groups by name: sent, voice, received, expected, echoed, unechoed, delay_us.
        Distributions are lists of (upper bound, how many).
        """

    def close(self) -> None:
        """Hangs all up and ends the threads. Blocks for some ms. Raises OSError."""
