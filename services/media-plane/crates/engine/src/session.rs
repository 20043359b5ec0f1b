//! One caller: SDP, ICE-lite, DTLS, SRTP, data channels, ingest and playout joined into one state machine.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::EngineConfig;
use crate::output::Output;
use crate::sdp::OfferError;
use crate::stats::SessionStats;
use crate::time::Time;

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct OpenSession<'a> {
    /// The caller's SDP offer.
    pub offer: &'a str,
    /// Slot for the sealed ufrag: the runtime puts the shard in the top 8 bits.
    pub slot: u32,
    /// Fencing token.
    pub epoch: u64,
    /// Stream id of a negotiated data channel.
    pub data_channel: Option<u16>,
}

/// A frame of an utterance, from the worker.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutFrame<'a> {
    /// The utterance, from 1.
    pub utterance: u32,
    /// Grows with each flush; older ones are refused.
    pub generation: u32,
    /// Duration in 48 kHz samples; 0 to read it from the packet.
    pub duration: u32,
    /// Ends the utterance (the packet may be empty).
    pub last: bool,
    /// Leaves on arrival instead of being paced.
    pub live: bool,
    /// The Opus packet.
    pub payload: &'a [u8],
}

/// One caller.
#[derive(Debug)]
pub struct Session {
    _private: (),
}

impl Session {
    /// Answers an offer. Returns the session and the SDP answer.
    ///
    /// # Errors
    /// [`OfferError`] names the line that cannot be answered.
    pub fn accept(config: &Arc<EngineConfig>, open: &OpenSession<'_>, now: Time) -> Result<(Self, String), OfferError> {
        let _ = (config, open, now);
        unimplemented!()
    }

    /// The ufrag in the answer, or in the fragment of the last ICE restart.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        ""
    }

    /// A datagram came from `from`. It is opened in place.
    pub fn receive(&mut self, now: Time, from: SocketAddr, datagram: &mut [u8], out: &mut impl Output) {
        let _ = (now, from, datagram, out);
    }

    /// Time has come to [`Session::deadline`].
    pub fn handle_timeout(&mut self, now: Time, out: &mut impl Output) {
        let _ = (now, out);
    }

    /// When [`Session::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }

    /// Takes a frame to play. Returns whether it was accepted; else the counter in the stats says why.
    pub fn play(&mut self, now: Time, frame: PlayoutFrame<'_>, out: &mut impl Output) -> bool {
        let _ = (now, frame, out);
        false
    }

    /// Pauses playout.
    pub fn hold(&mut self, now: Time, out: &mut impl Output) {
        let _ = (now, out);
    }

    /// Goes on where [`Session::hold`] paused.
    pub fn resume(&mut self, now: Time, out: &mut impl Output) {
        let _ = (now, out);
    }

    /// Drops what is queued below `generation` and refuses what comes of it later.
    pub fn flush(&mut self, now: Time, generation: u32, out: &mut impl Output) {
        let _ = (now, generation, out);
    }

    /// Sends a data-channel message on the channel with this label. Returns false when there is none or it is full.
    pub fn send_data(&mut self, now: Time, label: &str, binary: bool, payload: &[u8], out: &mut impl Output) -> bool {
        let _ = (now, label, binary, payload, out);
        false
    }

    /// Takes the caller's new ICE credentials (RFC 8840 fragment); returns the edge's fragment.
    ///
    /// # Errors
    /// [`OfferError`] names the line.
    pub fn restart_ice(&mut self, now: Time, sdpfrag: &str) -> Result<String, OfferError> {
        let _ = (now, sdpfrag);
        unimplemented!()
    }

    /// Ends the session: RTCP BYE, DTLS `close_notify`, then `Closed`. With `after_playout`, when all queued frames left.
    pub fn close(&mut self, now: Time, reason: &'static str, after_playout: bool, out: &mut impl Output) {
        let _ = (now, reason, after_playout, out);
    }

    /// Counters and measurements.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats::default()
    }
}
