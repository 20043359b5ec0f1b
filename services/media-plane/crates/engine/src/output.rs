//! What a session says: datagrams for the caller, frames for the worker, events for the edge.

use std::time::Duration;

use crate::remote::Remote;
use crate::time::Time;

/// Takes what a session says while it is being driven. Nothing in it may be kept by reference.
pub trait Output {
    /// A datagram for the caller.
    fn transmit(&mut self, to: Remote, datagram: &[u8]);
    /// A frame of the caller, for the worker.
    fn frame(&mut self, frame: IngestFrame<'_>);
    /// Frames of the caller are missing.
    fn gap(&mut self, gap: Gap);
    /// What came of the caller's packets so far: about once a second while they come.
    fn quality(&mut self, quality: IngestQuality) {
        let _ = quality;
    }
    /// How far an utterance is.
    fn playout(&mut self, report: PlayoutReport);
    /// The caller's voice was noticed, or what it had held goes on.
    fn voice(&mut self, event: VoiceEvent) {
        let _ = event;
    }
    /// Anything that is not of every packet.
    fn event(&mut self, event: Event);
}

/// One Opus packet of the caller, or one packet of a DTMF event.
#[derive(Clone, Copy, Debug)]
pub struct IngestFrame<'a> {
    /// Unwrapped RTP sequence number; never goes back for a session.
    pub sequence: u64,
    /// Unwrapped RTP timestamp at 48 kHz on the session's time line.
    pub timestamp: u64,
    /// Duration in 48 kHz samples; 0 for an event.
    pub duration: u32,
    /// RFC 6464: 0 when absent, else `0x100 | voice << 7 | level` in -dBov.
    pub level: u16,
    /// Starts a talk spurt (RTP marker).
    pub marker: bool,
    /// Fills a gap that was announced.
    pub repaired: bool,
    /// Came out of RED.
    pub redundant: bool,
    /// The payload is RFC 4733's four octets of `telephone-event`.
    pub telephone_event: bool,
    /// Carries in-band FEC (LBRR) of the frame before it.
    pub fec: bool,
    /// The packet.
    pub payload: &'a [u8],
}

/// A run of missing packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Unwrapped sequence number of the first.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// Whether repair is still possible.
    pub state: GapState,
}

/// What became of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapState {
    /// Repair is possible.
    Announced,
    /// It will not be filled.
    Lost,
}

/// What came of the caller's packets, counted from the session's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestQuality {
    /// Round trip; 0 while unknown.
    pub round_trip_us: u32,
    /// Interarrival jitter (RFC 3550 A.8).
    pub jitter_us: u32,
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that did not come by themselves: loss before repair.
    pub lost: u64,
    /// Frames out of a later packet's redundancy.
    pub repaired_red: u64,
    /// Packets that came when they were asked for.
    pub repaired_nack: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that were given up; some of them may be late.
    pub given_up: u64,
    /// Whether the agent's voice comes back; `None` where the edge does not listen.
    pub echo: Option<EchoPath>,
}

/// Whether the agent's voice comes back from a caller's microphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoPath {
    /// Too little was played so far.
    Unknown,
    /// It does not.
    None,
    /// It does.
    Found {
        /// How much later.
        delay: Duration,
        /// How much softer, in dB.
        loss_db: u8,
    },
}

impl EchoPath {
    /// Its delay, and how much softer it is in dB, where it comes back.
    #[must_use]
    pub const fn found(self) -> Option<(Duration, u8)> {
        match self {
            Self::Found { delay, loss_db } => Some((delay, loss_db)),
            Self::Unknown | Self::None => None,
        }
    }
}

/// How far an utterance is. Amounts are in 48 kHz samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutReport {
    /// The utterance.
    pub utterance: u32,
    /// Accepted from the worker so far.
    pub queued: u64,
    /// Sent to the caller so far.
    pub sent: u64,
    /// What of it came, as well as can be told: less what is under way, and what the caller misses for good.
    pub received: u64,
    /// Played by the caller's device so far, as well as can be told.
    pub heard: u64,
    /// How that is known.
    pub basis: HeardBasis,
    /// What is happening to it.
    pub state: PlayoutState,
    /// Under-runs so far.
    pub underruns: u32,
    /// When its first frame left; `None` while none has.
    pub began: Option<Time>,
    /// What a frame takes from there to the caller's device: half the round trip.
    pub way: Duration,
    /// And to the caller's ear.
    pub to_the_ear: Duration,
}

/// How it is known what was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum HeardBasis {
    /// Reckoned from the round trip and what devices usually take.
    #[default]
    Estimate = 0,
    /// The caller's device reports what it plays.
    Device = 1,
}

/// What is happening to an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PlayoutState {
    /// Frames leave at their pace.
    Playing = 0,
    /// Paused with nothing thrown away.
    Held = 1,
    /// All of it was played.
    Ended = 2,
    /// Cut short.
    Flushed = 3,
    /// Nothing left to play and no end seen.
    Starved = 4,
}

/// What the edge's own ear for the caller's voice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceEvent {
    /// The caller begins to speak, or has stopped.
    Changed {
        /// Begins.
        onset: bool,
        /// Of the frame that it was noticed by, on the session's time line.
        timestamp: u64,
        /// That frame's level in -dBov.
        level: u8,
        /// Whether playout is held because of it.
        held: bool,
    },
    /// A hold because of the caller's voice is over.
    Settled {
        /// How it ended.
        outcome: HoldOutcome,
        /// How long it lasted.
        held: Duration,
    },
}

/// How a hold because of the caller's voice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOutcome {
    /// The worker flushed: it was voice.
    Confirmed,
    /// The worker said that it was none.
    Released,
    /// The worker said nothing in time.
    Expired,
}

/// What happens to a session, other than media.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A check nominated a path (first or new).
    PathSelected {
        /// The caller's address.
        remote: Remote,
    },
    /// Media goes on over another path than before.
    Moved {
        /// The caller's address.
        remote: Remote,
        /// How long no media came: silence that the caller's encoder left out included.
        gap: Duration,
    },
    /// DTLS is up; media may flow.
    Connected {
        /// For example `DTLS1.3 AEAD_AES_128_GCM`.
        security: String,
    },
    /// A data channel is open, in-band or negotiated.
    ChannelOpen {
        /// SCTP stream id.
        id: u16,
        /// Label; `antiphon` for a negotiated one.
        label: String,
    },
    /// A data-channel message.
    Data {
        /// SCTP stream id.
        id: u16,
        /// Label of the channel.
        label: String,
        /// Binary, or UTF-8 text.
        binary: bool,
        /// The message.
        payload: Vec<u8>,
    },
    /// The caller's SDK asks something of its room: a [`crate::room::Command`], not parsed yet.
    Room {
        /// The message.
        message: Vec<u8>,
    },
    /// The session is over; nothing follows.
    Closed {
        /// bye, dtls, consent, timeout (never connected), api, hangup, error.
        reason: &'static str,
    },
}
