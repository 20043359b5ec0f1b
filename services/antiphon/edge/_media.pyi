"""The media plane, in Rust. Every call releases the GIL and returns at once unless it says otherwise."""

from typing import Self, final

__all__ = ["MediaPlane", "OfferRejected"]

class OfferRejected(ValueError):
    """An offer or fragment cannot be answered. args: (message, line); line 0 means the whole."""

@final
class MediaPlane:
    """Shards, sessions and links of one edge process."""

    def __new__(
        cls,
        *,
        edge: str,
        region: str,
        secret: bytes,
        host: str,
        port: int,
        advertise: list[str],
        shards: int,
        capacity: int,
    ) -> Self:
        """Binds the UDP port and starts the shards. secret: 16 bytes. Raises OSError, ValueError.

        advertise: address:port, or an address alone for the bound port; empty for host.
        """

    @property
    def port(self) -> int:
        """The bound UDP port."""

    @property
    def event_fd(self) -> int:
        """An eventfd that is readable while take_events has something."""

    def open_session(
        self,
        session: str,
        *,
        epoch: int,
        offer: str,
        agent: str,
        worker: str,
        metadata: str,
        caller: str,
        data_channel: int | None = None,
    ) -> tuple[str, str]:
        """Returns (SDP answer, ufrag). The worker must be connected.

        Raises OfferRejected, KeyError (unknown worker), ConnectionError (its link is down), BlockingIOError (no room),
        PermissionError (epoch below one seen for this session).
        """

    def restart_ice(self, session: str, *, epoch: int, sdpfrag: str) -> tuple[str, str]:
        """Returns (sdpfrag, ufrag). Raises KeyError, OfferRejected, PermissionError."""

    def close_session(self, session: str, *, epoch: int, reason: str) -> bool:
        """Ends a session; False when it is gone already. Raises PermissionError.

        reason: api, moved, drain or error.
        """

    def session_stats(self, session: str) -> dict[str, object] | None:
        """A live session: state, setup_us (dict), quality (dict of floats), remote, security; None when gone."""

    def sessions(self) -> list[str]:
        """Ids of live sessions."""

    def connect_worker(self, worker: str, target: str) -> None:
        """Keeps a link to a worker at host:port, redialling with back-off until disconnect_worker."""

    def disconnect_worker(self, worker: str) -> None:
        """Drops the link; its sessions close with reason worker."""

    def workers(self) -> dict[str, dict[str, object]]:
        """Links by worker id: connected (bool), rtt_ms (float or None), sessions (int), target, error (str or None)."""

    def take_events(self) -> list[tuple[str, str, dict[str, object]]]:
        """Events since the last call: (kind, session or worker id, details).

        Kinds: session_connected (details: epoch, setup_us, security, remote), session_closed (epoch, reason, setup_us,
        quality), link_up, link_down (reason).
        """

    def counters(self) -> dict[str, int]:
        """All counters of shards and links, summed, by name."""

    def tables(self) -> dict[str, int]:
        """Entries of the shards' tables, summed, by name; some seconds old."""

    def close(self) -> None:
        """Closes all sessions with BYE and stops the threads. Blocks up to a second."""
