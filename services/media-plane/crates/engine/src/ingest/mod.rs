//! The caller's packets become frames on one time line: gaps are announced at once, repaired frames follow marked, silences are no loss.
//!
//! There is no playout deadline here: a frame is handed on the moment it arrives. Packets come opened and never twice (SRTP's replay
//! window sees to that), with the 48-bit index of their source; an offset for each source makes one sequence of all.

mod holes;
mod source;
#[cfg(test)]
mod tests;

use std::time::Duration;

use holes::Holes;
use source::{Placed, Source};

use crate::opus;
use crate::output::{IngestFrame, Output};
use crate::red::{self, Block};
use crate::rtcp::ReportBlock;
use crate::rtp::{Header, audio_level};
use crate::sdp::Audio;
use crate::stats::Counters;
use crate::time::Time;

/// Packets of a replaced source are stale for this long; after it the source may come back.
const STALE: Duration = Duration::from_secs(1);
/// Frames that redundancy filled are remembered, so that the packet itself is not handed on when it comes late.
const FILLED: usize = 16;
/// Most frames that one packet's redundancy fills.
const MAX_FILLS: usize = red::MAX_REDUNDANT;

/// An opened packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) header: &'a Header,
    pub(crate) index: u64,
    pub(crate) packet: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Ahead of all.
    Newest,
    /// Missing until now.
    Repairs,
    /// Its frame was handed on already, out of a later packet's redundancy.
    Known,
}

/// What a payload type says that a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Opus,
    Red,
    TelephoneEvent,
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Ingest {
    opus: u8,
    red: Option<u8>,
    telephone_event: Option<u8>,
    level_extension: Option<u8>,
    source: Option<Source>,
    replaced: Option<(u32, Time)>,
    lost_before: u64,
    holes: Holes,
    filled: [u64; FILLED],
    filled_at: usize,
}

impl Ingest {
    pub(crate) fn new(audio: &Audio) -> Self {
        Self {
            opus: audio.opus.payload_type,
            red: audio.opus.red,
            telephone_event: audio.opus.telephone_event,
            level_extension: audio.level_extension,
            source: None,
            replaced: None,
            lost_before: 0,
            holes: Holes::default(),
            filled: [0; FILLED],
            filled_at: 0,
        }
    }

    /// Takes a packet. Returns whether it is the newest of its source.
    pub(crate) fn receive(
        &mut self,
        now: Time,
        arrival: &Arrival<'_>,
        counters: &mut Counters,
        out: &mut impl Output,
    ) -> bool {
        let Some(placed) = self.place(now, arrival, counters) else {
            return false;
        };
        match self.content(arrival.header.payload_type) {
            Content::Opus => {
                let standing = self.settle(now, &placed, &[], counters, out);
                self.emit(arrival, arrival.payload, &placed, standing, counters, out);
            }
            Content::Red => self.receive_red(now, arrival, &placed, counters, out),
            // They share the sequence with audio's packets, so their places are no gaps; what they say is not audio.
            Content::TelephoneEvent => {
                counters.telephone_events += 1;
                self.settle(now, &placed, &[], counters, out);
            }
            Content::Unknown => {
                counters.unknown_payload += 1;
                self.settle(now, &placed, &[], counters, out);
            }
        }
        placed.advance.is_some()
    }

    fn content(&self, payload_type: u8) -> Content {
        if payload_type == self.opus {
            Content::Opus
        } else if Some(payload_type) == self.red {
            Content::Red
        } else if Some(payload_type) == self.telephone_event {
            Content::TelephoneEvent
        } else {
            Content::Unknown
        }
    }

    /// Finds the packet's source and its place in the session.
    fn place(&mut self, now: Time, arrival: &Arrival<'_>, counters: &mut Counters) -> Option<Placed> {
        let Some(current) = &mut self.source else {
            let (source, placed) = Source::first(now, arrival);
            self.source = Some(source);
            return Some(placed);
        };
        if current.continues(arrival) {
            return current.account(now, arrival, counters);
        }
        let ssrc = arrival.header.ssrc;
        if self
            .replaced
            .is_some_and(|(old, since)| old == ssrc && now.since(since) < STALE)
        {
            counters.stale_source += 1;
            return None;
        }
        counters.source_changes += 1;
        self.lost_before += current.lost();
        self.replaced = (current.ssrc != ssrc).then_some((current.ssrc, now));
        let (source, placed) = current.next(now, arrival);
        self.source = Some(source);
        Some(placed)
    }

    /// The k-th redundant block before the primary is the k-th packet before this one. What of them is missing is filled
    /// before the rest becomes a gap.
    fn receive_red(
        &mut self,
        now: Time,
        arrival: &Arrival<'_>,
        placed: &Placed,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        let Ok(blocks) = red::blocks(arrival.payload) else {
            counters.malformed += 1;
            self.settle(now, placed, &[], counters, out);
            return;
        };
        let redundant = blocks.clone().filter(|block| !block.primary).count() as u64;
        let sequence_of = |at: usize| placed.sequence.wrapping_sub(redundant - at as u64);
        let mut fills = [0; MAX_FILLS];
        let mut count = 0;
        for (at, block) in blocks.clone().enumerate().filter(|(_, block)| !block.primary) {
            let sequence = sequence_of(at);
            if self.is_usable(&block) && self.is_missing(sequence, placed) && count < MAX_FILLS {
                fills[count] = sequence;
                count += 1;
            } else {
                counters.redundant += 1;
            }
        }
        let fills = &fills[..count];
        let standing = self.settle(now, placed, fills, counters, out);
        for (at, block) in blocks.enumerate() {
            if block.primary && block.payload_type == self.opus {
                self.emit(arrival, block.payload, placed, standing, counters, out);
            } else if block.primary {
                counters.unknown_payload += 1;
            } else if fills.contains(&sequence_of(at)) {
                self.emit_redundant(&block, sequence_of(at), placed, counters, out);
            }
        }
    }

    fn is_usable(&self, block: &Block<'_>) -> bool {
        block.payload_type == self.opus && block.timestamp_offset > 0 && opus::duration(block.payload).is_some()
    }

    fn is_missing(&self, sequence: u64, placed: &Placed) -> bool {
        let skipped = placed.advance.map_or(0, |advance| advance - 1);
        let opens = placed.sequence - skipped <= sequence && sequence < placed.sequence;
        opens || self.holes.contains(sequence)
    }

    /// Hands on a frame out of a later packet. It repairs a gap that was announced, not one that it keeps from opening.
    fn emit_redundant(
        &mut self,
        block: &Block<'_>,
        sequence: u64,
        placed: &Placed,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        let repaired = self.holes.fill(sequence, out);
        self.filled[self.filled_at] = sequence;
        self.filled_at = (self.filled_at + 1) % FILLED;
        counters.repaired += 1;
        counters.frames_in += 1;
        out.frame(IngestFrame {
            sequence,
            timestamp: placed.timestamp.saturating_sub(u64::from(block.timestamp_offset)),
            duration: opus::duration(block.payload).unwrap_or(0),
            level: 0,
            marker: false,
            repaired,
            redundant: true,
            payload: block.payload,
        });
    }

    fn emit(
        &mut self,
        arrival: &Arrival<'_>,
        payload: &[u8],
        placed: &Placed,
        standing: Standing,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        if standing == Standing::Known {
            counters.redundant += 1;
            return;
        }
        let Some(duration) = opus::duration(payload) else {
            counters.malformed += 1;
            return;
        };
        if let Some(source) = self.source.as_mut().filter(|_| standing == Standing::Newest) {
            source.duration = duration;
        }
        counters.frames_in += 1;
        out.frame(IngestFrame {
            sequence: placed.sequence,
            timestamp: placed.timestamp,
            duration,
            level: self.level(arrival),
            marker: arrival.header.marker,
            repaired: standing == Standing::Repairs,
            redundant: false,
            payload,
        });
    }

    fn level(&self, arrival: &Arrival<'_>) -> u16 {
        let Some(wanted) = self.level_extension else { return 0 };
        arrival
            .header
            .extensions(arrival.packet)
            .find(|(id, _)| *id == wanted)
            .map_or(0, |(_, element)| audio_level(element))
    }

    /// Opens the gap before a newer packet, less what `fills` it, or closes the gap that an older one fills.
    fn settle(
        &mut self,
        now: Time,
        placed: &Placed,
        fills: &[u64],
        counters: &mut Counters,
        out: &mut impl Output,
    ) -> Standing {
        let Some(advance) = placed.advance else {
            return self.close(placed.sequence, counters, out);
        };
        let mut first = placed.sequence - (advance - 1);
        while first < placed.sequence {
            let filled = fills.iter().copied().filter(|sequence| *sequence >= first);
            let end = filled.min().unwrap_or(placed.sequence);
            if end > first {
                self.holes.open(now, first, end - first, out);
            }
            first = end + 1;
        }
        Standing::Newest
    }

    fn close(&mut self, sequence: u64, counters: &mut Counters, out: &mut impl Output) -> Standing {
        if self.filled.contains(&sequence) {
            counters.reordered += 1;
            return Standing::Known;
        }
        if self.holes.fill(sequence, out) {
            counters.reordered += 1;
        } else {
            counters.late += 1;
        }
        Standing::Repairs
    }

    /// Gives up what was missing too long.
    pub(crate) fn expire(&mut self, now: Time, out: &mut impl Output) {
        self.holes.expire(now, out);
    }

    pub(crate) fn deadline(&self) -> Time {
        self.holes.deadline()
    }

    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost_before + self.source.map_or(0, |source| source.lost())
    }

    pub(crate) fn jitter_ms(&self) -> f64 {
        self.source.map_or(0.0, |source| source.jitter_ms())
    }

    /// The report block for an SR or RR. Loss is told before repair, else the caller's Opus would stop its FEC.
    pub(crate) fn report(&mut self) -> Option<ReportBlock> {
        self.source.as_mut().map(Source::report)
    }
}
