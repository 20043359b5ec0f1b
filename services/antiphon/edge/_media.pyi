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
        hosts: list[str],
        port: int,
        tcp_port: int | None,
        advertise: list[tuple[str, str, int]],
        steering: tuple[str, int] | None,
        shards: int,
        capacity: int,
        stun_probe: str = "padded",
    ) -> Self:
        """Binds the ports and starts the shards. secret: 16 bytes. Raises OSError, ValueError.

        port: UDP, on all hosts; tcp_port: likewise, None for no TCP. advertise: (udp or tcp, IP address, port), port 0
        for the bound one, best first; empty for hosts. steering: where to take other edges' packets, None for nowhere.
        stun_probe: off, padded or any; which STUN requests without a session's name are answered.
        """

    @property
    def port(self) -> int:
        """The bound UDP port."""

    @property
    def tcp_port(self) -> int | None:
        """The bound TCP port; None without one."""

    @property
    def steering_port(self) -> int | None:
        """The bound UDP port for other edges' packets; None without one."""

    @property
    def candidates(self) -> list[tuple[str, str, int]]:
        """What answers name, best first: (udp or tcp, IP address, port)."""

    def set_edges(self, edges: dict[str, str]) -> list[str]:
        """Takes where other edges take packets (address:port by edge id) as the whole truth, until the next time.

        Returns the ids of edges whose addresses make no sense; they are passed over.
        """

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
        room: str | None = None,
    ) -> tuple[str, str]:
        """Returns (SDP answer, ufrag). The worker must be connected; a session in a room needs none ("").

        Raises OfferRejected, KeyError (unknown worker), ConnectionError (its link is down), BlockingIOError (no room),
        PermissionError (epoch below one seen for this session).
        """

    def restart_ice(self, session: str, *, epoch: int, sdpfrag: str) -> tuple[str, str]:
        """Returns (sdpfrag, ufrag). Raises KeyError, OfferRejected, PermissionError."""

    def close_session(self, session: str, *, epoch: int, reason: str) -> bool:
        """Ends a session; False when it is gone already. Raises PermissionError.

        reason: api, moved, drain, worker or error.
        """

    def ask_to_move(self, session: str, *, epoch: int) -> bool:
        """Asks the caller of a session that no worker serves to come to another edge; False when the session is gone.

        Raises PermissionError (the epoch is old), BlockingIOError (too much waits).
        """

    def take_over(self, session: str, *, epoch: int, agent: str, worker: str, metadata: str, caller: str) -> bool:
        """Asks another worker to take over a session that has lost its own; False when the session is gone.

        What comes of it is an event: session_taken, or session_orphaned again. Raises KeyError (unknown worker),
        ConnectionError (its link is down), PermissionError (the epoch is old), BlockingIOError (too much waits).
        """

    def session_stats(self, session: str) -> dict[str, object] | None:
        """A live session: state, setup_us (dict), quality (dict of floats), remote, security; None when gone."""

    def rooms(self) -> list[dict[str, object]]:
        """Rooms with connected members: name, members (session, muted, speaking, hears, hearing)."""

    def change_member(
        self,
        session: str,
        *,
        epoch: int,
        muted: bool | None = None,
        hears_all: bool = False,
        hears_only: list[str] | None = None,
    ) -> bool:
        """Changes a member of a room; False when the session is in none. Raises PermissionError."""

    def sessions(self) -> list[str]:
        """Ids of live sessions."""

    def set_link_tls(self, *, certificate: bytes, key: bytes, authority: bytes, server_name: str) -> None:
        """Dials workers with mutual TLS from now on; links that are up go on. All but the name are PEM.

        server_name: in workers' certificates; empty where each carries the address that is dialled. Raises ValueError
        where it cannot be used; then nothing changed.
        """

    def set_link_secret(self, secret: bytes) -> None:
        """Signs what is dialled from now on with a secret that workers know."""

    def connect_worker(self, worker: str, target: str) -> None:
        """Keeps a link to a worker at host:port, redialling with back-off until disconnect_worker."""

    def disconnect_worker(self, worker: str) -> None:
        """Drops the link; its sessions are orphaned."""

    def workers(self) -> dict[str, dict[str, object]]:
        """Links by worker id: connected (bool), rtt_ms (float or None), sessions (int), target, error (str or None)."""

    def take_events(self) -> list[tuple[str, str, dict[str, object]]]:
        """Events since the last call: (kind, session or worker id, details).

        Kinds: session_connected (details: epoch, setup_us, security, remote), session_moved (epoch, remote, gap_us:
        how long no media came), session_closed (epoch, reason, setup_us,
        quality), session_orphaned (epoch, reason: link, refused or silent: its worker is lost, or the one that was
        asked to take it over; it ends within two seconds unless take_over names another), session_taken (epoch, number
        of workers that were asked, gap_us without one, frames that were kept for it), link_up, link_down (reason).
        """

    def counters(self) -> dict[str, int]:
        """All counters of shards and links, summed, by name."""

    def tables(self) -> dict[str, int]:
        """Entries of the shards' tables, summed, by name; some seconds old."""

    def close(self) -> None:
        """Closes all sessions with BYE and stops the threads. Blocks up to a second."""
