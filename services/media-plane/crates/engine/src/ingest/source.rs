//! What RFC 3550 keeps of one source (A.1, A.3, A.8), and its place on the session's time line.

use std::time::Duration;

use super::Arrival;
use crate::rtcp::ReportBlock;
use crate::stats::Counters;
use crate::time::Time;

/// RFC 3550 A.1 `MAX_DROPOUT`: a longer jump is a source that began anew.
const MAX_DROPOUT: u64 = 3_000;
/// A packet from before the first one that came is taken if it is this close.
const MAX_EARLIER: u64 = 64;
/// Before the first packet is known to be shorter or longer.
const USUAL_DURATION: u32 = 960;

/// A packet's place in the session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) sequence: u64,
    pub(super) timestamp: u64,
    /// How far it is ahead of the highest before it; `None` when it is behind.
    pub(super) advance: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    /// Session sequence number less index.
    offset: u64,
    base: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    transit: u32,
    jitter: f64,
    /// Of the highest packet: RTP timestamp, place on the session's time line, duration, arrival.
    rtp_timestamp: u32,
    timestamp: u64,
    pub(super) duration: u32,
    arrived: Time,
    first: bool,
}

impl Source {
    /// The session's first source.
    pub(super) fn first(now: Time, arrival: &Arrival<'_>) -> (Self, Placed) {
        // Room for packets from before the first, and for a timestamp that goes back.
        let (sequence, timestamp) = (
            arrival.index + (1 << 16),
            u64::from(arrival.header.timestamp) + (1 << 32),
        );
        Self::begin(now, arrival, sequence, timestamp, true)
    }

    /// A source that replaces this one: the session's numbers go on where they were.
    pub(super) fn next(&self, now: Time, arrival: &Arrival<'_>) -> (Self, Placed) {
        let elapsed = samples(now.since(self.arrived)).max(u64::from(self.duration));
        let sequence = self.highest.wrapping_add(self.offset) + 1;
        Self::begin(now, arrival, sequence, self.timestamp + elapsed, false)
    }

    fn begin(now: Time, arrival: &Arrival<'_>, sequence: u64, timestamp: u64, first: bool) -> (Self, Placed) {
        let source = Self {
            ssrc: arrival.header.ssrc,
            offset: sequence.wrapping_sub(arrival.index),
            base: arrival.index,
            highest: arrival.index,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: clock_48k(now).wrapping_sub(arrival.header.timestamp),
            jitter: 0.0,
            rtp_timestamp: arrival.header.timestamp,
            timestamp,
            duration: USUAL_DURATION,
            arrived: now,
            first,
        };
        let placed = Placed {
            sequence,
            timestamp,
            advance: Some(1),
        };
        (source, placed)
    }

    /// Whether a packet goes on with this source, rather than beginning another.
    pub(super) fn continues(&self, arrival: &Arrival<'_>) -> bool {
        self.ssrc == arrival.header.ssrc && arrival.index <= self.highest + MAX_DROPOUT
    }

    /// Accounts for a packet; `None` when there is no room for it on the time line.
    pub(super) fn account(&mut self, now: Time, arrival: &Arrival<'_>, counters: &mut Counters) -> Option<Placed> {
        let (index, rtp_timestamp) = (arrival.index, arrival.header.timestamp);
        if index < self.base {
            // The first packets came out of order. A later source has no room before its first.
            if self.base - index > MAX_EARLIER || !self.first {
                counters.late += 1;
                return None;
            }
            self.base = index;
        }
        self.received += 1;
        let transit = clock_48k(now).wrapping_sub(rtp_timestamp);
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.jitter += (f64::from(difference) - self.jitter) / 16.0;
        self.transit = transit;
        let step = rtp_timestamp.wrapping_sub(self.rtp_timestamp).cast_signed();
        let timestamp = self.timestamp.saturating_add_signed(i64::from(step));
        let advance = index.checked_sub(self.highest).filter(|advance| *advance > 0);
        if let Some(advance) = advance {
            if advance == 1 && timestamp > self.timestamp + u64::from(self.duration) {
                counters.dtx += 1;
            }
            self.highest = index;
            self.rtp_timestamp = rtp_timestamp;
            self.timestamp = timestamp;
            self.arrived = now;
        }
        Some(Placed {
            sequence: index.wrapping_add(self.offset),
            timestamp,
            advance,
        })
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    pub(super) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    pub(super) fn jitter_ms(&self) -> f64 {
        self.jitter / 48.0
    }

    /// The report block for an SR or RR, and the beginning of the next interval.
    pub(super) fn report(&mut self) -> ReportBlock {
        let expected = self.expected() - self.expected_before;
        let received = self.received - self.received_before;
        self.expected_before = self.expected();
        self.received_before = self.received;
        let fraction = expected.saturating_sub(received) * 256 / expected.max(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "RFC 3550's fields are of these widths"
        )]
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: i32::try_from(self.lost()).unwrap_or(i32::MAX),
            highest_sequence: self.highest as u32,
            jitter: self.jitter as u32,
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros() * 48 / 1_000).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
fn clock_48k(now: Time) -> u32 {
    (u128::from(now.as_micros()) * 48 / 1_000) as u32
}
