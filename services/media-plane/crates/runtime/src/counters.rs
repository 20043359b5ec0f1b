//! What shards count, and how large their tables are. A shard alone writes its own.

use std::sync::atomic::{AtomicUsize, Ordering};

antiphon_link::counters! {
    /// Counters of one shard.
    pub struct ShardCounters {
        /// Times that the shard woke.
        wakes,
        /// Datagrams read.
        datagrams_in,
        /// Datagrams sent.
        datagrams_out,
        /// Datagrams that may have waited in the socket for 2 ms or longer: for so long the shard had not looked, or had no core.
        waited_2ms,
        /// The same, 5 ms or longer.
        waited_5ms,
        /// The same, 10 ms or longer.
        waited_10ms,
        /// The same, 20 ms or longer.
        waited_20ms,
        /// Microseconds that the shard, under load, woke later than it had set itself: the machine had no core for it.
        late_wakes_us,
        /// Microseconds that handshakes had the shard, behind live calls' packets.
        handshake_us,
        /// Datagrams that the kernel dropped because the socket's buffer was full.
        drop_rxq_overflow,
        /// Datagrams longer than any of WebRTC, or without an address.
        drop_truncated,
        /// Datagrams from an address that never proved itself, other than a STUN request.
        drop_unknown_flow,
        /// STUN requests whose ufrag was not sealed by this cluster.
        drop_bad_ufrag,
        /// STUN requests whose ufrag is of a session that is over, or of an owner of before.
        drop_stale_ufrag,
        /// Datagrams for an edge that is no member.
        drop_other_edge,
        /// STUN requests whose MESSAGE-INTEGRITY is wrong.
        drop_bad_integrity,
        /// STUN requests of strangers, not looked at: strangers press, and too many of their source's were wrong.
        drop_source_rate,
        /// STUN requests of strangers, not looked at: all strangers together sent too many.
        drop_stranger_rate,
        /// STUN requests that named no session and were answered: clients measure the way here.
        probes_answered,
        /// The same, not answered: their source sent too many.
        drop_probe_source_rate,
        /// The same, not answered: all sources together sent too many.
        drop_probe_rate,
        /// First checks of sessions, not looked at: too many handshakes begin.
        drop_handshake_rate,
        /// TCP connections accepted.
        tcp_accepted,
        /// TCP connections that moved to their session's shard.
        tcp_moved,
        /// Frames received over TCP.
        tcp_frames_in,
        /// Frames queued for callers over TCP.
        tcp_frames_out,
        /// TCP connections that could not be accepted, most likely for want of descriptors.
        tcp_accept_errors,
        /// TCP connections closed at once: too many of one source, or of one session.
        drop_tcp_refused,
        /// TCP connections closed before they proved themselves, to make room for newer ones.
        drop_tcp_unproven,
        /// TCP connections closed because they did not prove themselves in time, or fell silent.
        drop_tcp_idle,
        /// TCP connections closed because they carried no frames of WebRTC's.
        drop_tcp_malformed,
        /// Frames dropped because a caller took too long to read those before.
        drop_tcp_backlog,
        /// Frames for a TCP connection that is gone.
        drop_tcp_gone,
        /// Datagrams of callers handed to the edge that owns their session.
        relayed_in,
        /// Datagrams for callers handed to the edge that their packets reach.
        relayed_out,
        /// Envelopes that are none, or not from this cluster to this edge.
        drop_envelope_forged,
        /// Envelopes seen before, or from before their sender's restart.
        drop_envelope_replayed,
        /// Datagrams of other edges' sessions for a caller that is not known here.
        drop_relay_unknown_flow,
        /// Datagrams that would have gone to a third edge.
        drop_relay_loop,
        /// Datagrams for a session that is gone.
        drop_no_session,
        /// Addresses forgotten for new ones because the table was full.
        drop_flows_full,
        /// Checks of sessions from an address where another session's caller is.
        drop_flow_taken,
        /// Datagrams not handed to their shard because its ring was full.
        drop_ring_full,
        /// Datagrams of callers who are not connected yet: they wait until live calls' packets had their turn.
        handshake_datagrams,
        /// Turns whose time for handshakes did not do for all that waited.
        handshake_budget_spent,
        /// Datagrams of callers who are not connected yet, dropped because too many waited.
        drop_handshake_full,
        /// Datagrams handed to another shard.
        handed_over,
        /// Datagrams not sent for want of room in the socket.
        drop_send_no_room,
        /// Datagrams that the kernel refused to send.
        drop_send_error,
        /// Frames passed towards workers.
        ingest_frames,
        /// Frames dropped because a worker fell behind.
        drop_ingest,
        /// Gaps and playout reports dropped because a worker fell behind too far.
        drop_reports,
        /// Sessions that lost their worker, or one that was asked to take them over.
        sessions_orphaned,
        /// Of these, another worker has them.
        sessions_taken_over,
        /// Frames kept for the case that a session's worker is lost.
        kept_frames,
        /// Frames that were kept and let go before their worker was done with them: for being ten seconds old, or too many bytes.
        kept_let_go,
        /// Frames that were kept, sent to a worker that took their session over.
        kept_replayed,
        /// Frames of sessions in rooms.
        room_frames,
        /// Frames forwarded to a listener.
        room_forwarded,
        /// Frames handed to another shard for those who listen there.
        room_crossings,
        /// Times that a room's home decided anew who hears whom.
        room_stages,
        /// Frames and levels of rooms not handed to another shard because its ring was full.
        drop_room_ring_full,
        /// Frames of members that are muted.
        drop_room_muted,
        /// Frames that reached a shard where nobody hears their sender any more.
        drop_room_unheard,
        /// Frames that a listener's session refused: late, not connected, or its agent speaks in the only stream.
        drop_room_refused,
        /// Commands of members that make no sense or come too fast, or of sessions in no room.
        drop_room_command,
        /// Frames taken from workers.
        playout_frames,
        /// Frames of workers that their session refused.
        drop_playout_refused,
        /// Times that a caller began to speak, by the edge's own ear.
        voice_onsets,
        /// Holds of playout because of that.
        edge_holds,
        /// Of these, the worker flushed: it was voice.
        edge_holds_confirmed,
        /// The worker said that it was none.
        edge_holds_released,
        /// The worker said nothing in time.
        edge_holds_expired,
        /// Milliseconds that they lasted.
        edge_held_ms,
        /// Frames and commands of workers for a session that is gone or another worker's.
        drop_playout_no_session,
        /// Data-channel messages not passed to a worker.
        drop_data_to_worker,
        /// Data-channel messages not passed to a caller.
        drop_data_to_caller,
        /// Sessions that ended because their code failed.
        session_faults,
        /// Events not told because nobody took them.
        drop_events,
    }
}

/// Entries of a shard's tables, as it last told them.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    flows: AtomicUsize,
    timers: AtomicUsize,
    handshakes: AtomicUsize,
    kept_chunks: AtomicUsize,
}

impl Tables {
    pub(crate) fn tell(&self, flows: usize, timers: usize, handshakes: usize, kept_chunks: usize) {
        self.flows.store(flows, Ordering::Relaxed);
        self.timers.store(timers, Ordering::Relaxed);
        self.handshakes.store(handshakes, Ordering::Relaxed);
        self.kept_chunks.store(kept_chunks, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, mut visit: impl FnMut(&'static str, usize)) {
        visit("flows", self.flows.load(Ordering::Relaxed));
        visit("timers", self.timers.load(Ordering::Relaxed));
        visit("handshakes_waiting", self.handshakes.load(Ordering::Relaxed));
        visit("kept_chunks", self.kept_chunks.load(Ordering::Relaxed));
    }
}
