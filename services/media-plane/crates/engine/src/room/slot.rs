//! A receive slot: one RTP stream of ours that carries now this member's voice, now that one's.
//!
//! Its sequence numbers and timestamps go on across a change of source: the first packet of another source follows the last of the
//! one before, by as much media time as passed, with the marker set. While the source stays, its own numbers are kept but for an
//! offset: what is missing of it stays missing, and what it repairs late goes to its own place.

use crate::egress::{Cache, History, Redundancy};
use crate::opus;
use crate::sdp::SlotLine;
use crate::time::Time;

/// Most receive slots of a session.
pub const MAX_SLOTS: usize = 8;
/// How far back a repaired frame is still forwarded: the SRTP sender seals nothing that is older, and no jitter buffer waits so long.
const LATE: u64 = 32;
/// A longer jump is a source that was not forwarded meanwhile: its numbers are placed anew.
const JUMP: u64 = 128;
/// A longer step on a source's time line is no silence of a call.
const JUMP_SAMPLES: u64 = 60 * 48_000;
const USUAL_DURATION: u32 = 960;

/// A frame of another member, for a slot.
#[derive(Clone, Copy, Debug)]
pub struct Forwarded<'a> {
    /// Who speaks: a number that tells members apart.
    pub source: u32,
    /// On the source's own line: unwrapped sequence number.
    pub sequence: u64,
    /// On the source's own line: unwrapped timestamp at 48 kHz.
    pub timestamp: u64,
    /// Duration in 48 kHz samples.
    pub duration: u32,
    /// RFC 6464: 0 when absent, else `0x100 | voice << 7 | level` in -dBov.
    pub level: u16,
    /// Starts a talk spurt.
    pub marker: bool,
    /// The Opus packet.
    pub payload: &'a [u8],
}

/// How loud a frame is, in dBov, and whether its sender takes it for voice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loudness {
    /// -127 to 0.
    pub level_dbov: f32,
    /// What its sender says; `None` where it does not say.
    pub voice: Option<bool>,
}

impl Loudness {
    /// What the caller says (RFC 6464), else a guess by the packet's size: an encoder spends few bytes on silence.
    #[must_use]
    pub fn of(level: u16, duration: u32, payload: &[u8]) -> Self {
        if level & 0x100 != 0 {
            return Self {
                level_dbov: -f32::from(level & 0x7f),
                voice: Some(level & 0x80 != 0),
            };
        }
        if opus::is_dtx(payload) || duration == 0 {
            return Self {
                level_dbov: -127.0,
                voice: None,
            };
        }
        #[expect(clippy::cast_precision_loss, reason = "packets are small")]
        let bytes_in_20_ms = payload.len() as f32 * 960.0 / duration as f32;
        Self {
            level_dbov: -60.0 + bytes_in_20_ms.min(80.0) / 2.0,
            voice: None,
        }
    }
}

/// Where a frame goes in its slot's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) sequence: u16,
    /// Unwrapped, of a packet that is ahead of all before it.
    pub(crate) newest: Option<u64>,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Another source than before.
    pub(crate) switched: bool,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    source: u32,
    /// What stands before it in the slot is another's.
    first: u64,
    highest: u64,
    timestamp: u64,
    /// Ours less the source's.
    sequence_offset: u64,
    timestamp_offset: u64,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) ssrc: u32,
    pub(crate) line: SlotLine,
    /// Ours, unwrapped: of the newest packet.
    sequence: u64,
    timestamp: u64,
    duration: u32,
    sent_at: Option<Time>,
    anchor: Option<Anchor>,
    /// What was sent, for NACKs.
    pub(crate) cache: Cache,
    /// The last frames of the source, and how many of them go with the next.
    pub(crate) history: History,
    pub(crate) redundancy: Redundancy,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

impl Slot {
    pub(crate) fn new(ssrc: u32, line: SlotLine, first_sequence: u16) -> Self {
        Self {
            ssrc,
            // RFC 3711 3.3.1: below 2^15, lest the first packets' loss hide a roll-over.
            sequence: u64::from(first_sequence & 0x7fff),
            timestamp: u64::from(ssrc) << 8,
            duration: USUAL_DURATION,
            sent_at: None,
            anchor: None,
            cache: Cache::new(),
            history: History::default(),
            // Where the caller knows no RED, nothing goes twice unasked: voices of a room are many.
            redundancy: Redundancy::new(true),
            line,
            packets: 0,
            octets: 0,
        }
    }

    /// Finds a frame's place; `None` when it comes too late for one.
    pub(crate) fn place(&mut self, now: Time, frame: &Forwarded<'_>) -> Option<Placement> {
        let Some(anchor) = self.anchor.filter(|anchor| anchor.continues(frame)) else {
            return Some(self.begin(now, frame));
        };
        let sequence = frame.sequence.wrapping_add(anchor.sequence_offset);
        let timestamp = frame.timestamp.wrapping_add(anchor.timestamp_offset);
        if frame.sequence <= anchor.highest {
            let in_reach = frame.sequence >= anchor.first && anchor.highest - frame.sequence < LATE;
            let late = placement(sequence, timestamp, frame.marker, false);
            return in_reach.then_some(Placement { newest: None, ..late });
        }
        self.anchor = Some(Anchor {
            highest: frame.sequence,
            timestamp: frame.timestamp,
            ..anchor
        });
        self.advance(now, sequence, timestamp, frame.duration);
        Some(placement(sequence, timestamp, frame.marker, false))
    }

    /// The first packet of a source.
    fn begin(&mut self, now: Time, frame: &Forwarded<'_>) -> Placement {
        let elapsed = self.sent_at.map_or(0, |at| now.samples_since(at));
        let timestamp = self.timestamp + elapsed.max(u64::from(self.duration));
        let sequence = self.sequence + 1;
        let switched = self.anchor.is_none_or(|anchor| anchor.source != frame.source);
        self.anchor = Some(Anchor {
            source: frame.source,
            first: frame.sequence,
            highest: frame.sequence,
            timestamp: frame.timestamp,
            sequence_offset: sequence.wrapping_sub(frame.sequence),
            timestamp_offset: timestamp.wrapping_sub(frame.timestamp),
        });
        self.advance(now, sequence, timestamp, frame.duration);
        placement(sequence, timestamp, true, switched)
    }

    fn advance(&mut self, now: Time, sequence: u64, timestamp: u64, duration: u32) {
        self.sequence = sequence;
        self.timestamp = timestamp;
        self.duration = duration.max(1);
        self.sent_at = Some(now);
    }

    /// Earlier frames that the next packet may carry.
    pub(crate) fn carried(&self) -> usize {
        self.line.red.map_or(0, |_| self.redundancy.carried())
    }

    /// Gives memory back that is not used: to be called now and then.
    pub(crate) fn rest(&mut self, now: Time) {
        self.cache.rest(now);
        if self.redundancy.level() == 0 {
            self.history.rest();
        }
    }

    /// Unwraps a sequence number that the caller names.
    pub(crate) fn sequence_of(&self, low: u16) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the wire's 16 bits")]
        let behind = (self.sequence as u16).wrapping_sub(low);
        self.sequence.wrapping_sub(u64::from(behind))
    }

    /// The RTP timestamp of a moment, for sender reports.
    pub(crate) fn timestamp_at(&self, now: Time) -> u32 {
        wrap(self.timestamp + self.sent_at.map_or(0, |at| now.samples_since(at)))
    }
}

impl Anchor {
    fn continues(&self, frame: &Forwarded<'_>) -> bool {
        self.source == frame.source
            && frame.sequence.abs_diff(self.highest) < JUMP
            && frame.timestamp.abs_diff(self.timestamp) < JUMP_SAMPLES
            && (frame.sequence > self.highest) == (frame.timestamp > self.timestamp)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "RTP's numbers wrap")]
fn placement(sequence: u64, timestamp: u64, marker: bool, switched: bool) -> Placement {
    Placement {
        sequence: sequence as u16,
        newest: Some(sequence),
        timestamp: wrap(timestamp),
        marker,
        switched,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
fn wrap(samples: u64) -> u32 {
    samples as u32
}
