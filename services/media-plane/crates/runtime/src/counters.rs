//! What shards count. A shard alone writes its own.

antiphon_link::counters! {
    /// Counters of one shard.
    pub struct ShardCounters {
        /// Times that the shard woke.
        wakes,
        /// Datagrams read.
        datagrams_in,
        /// Datagrams sent.
        datagrams_out,
        /// Datagrams that the kernel dropped because the socket's buffer was full.
        drop_rxq_overflow,
        /// Datagrams longer than any of WebRTC, or without an address.
        drop_truncated,
        /// Datagrams from an address that never proved itself, other than a STUN request.
        drop_unknown_flow,
        /// STUN requests whose ufrag was not sealed by this cluster.
        drop_bad_ufrag,
        /// STUN requests for another edge.
        drop_other_edge,
        /// STUN requests whose MESSAGE-INTEGRITY is wrong.
        drop_bad_integrity,
        /// Datagrams for a session that is gone.
        drop_no_session,
        /// Addresses forgotten for new ones because the table was full.
        drop_flows_full,
        /// Datagrams not handed to their shard because its ring was full.
        drop_ring_full,
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
        /// Frames taken from workers.
        playout_frames,
        /// Frames of workers that their session refused.
        drop_playout_refused,
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
