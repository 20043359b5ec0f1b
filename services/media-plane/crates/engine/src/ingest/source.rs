//! What RFC 3550 keeps of one source (A.1, A.3, A.8), and where its packets stand in the session's sequence.

use super::Arrival;
use crate::rtcp::ReportBlock;
use crate::time::Time;

/// RFC 3550 A.1 `MAX_DROPOUT`: a longer jump is a source that began anew.
const MAX_DROPOUT: u64 = 3_000;
/// A packet from before the first one that came is taken if it is this close.
const MAX_EARLIER: u64 = 64;
/// Room for packets from before the session's first.
const ORIGIN: u64 = 1 << 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    /// Session sequence number less index.
    pub(super) offset: u64,
    base: u64,
    highest: u64,
    /// Packets that came without being asked for.
    received: u64,
    expected_before: u64,
    received_before: u64,
    transit: u32,
    jitter: f64,
    first: bool,
}

impl Source {
    /// The session's first source.
    pub(super) fn first(now: Time, arrival: &Arrival<'_>) -> Self {
        Self::begin(now, arrival, arrival.index + ORIGIN, true)
    }

    /// A source that replaces this one: the session's sequence goes on where it was.
    pub(super) fn next(&self, now: Time, arrival: &Arrival<'_>) -> Self {
        Self::begin(now, arrival, self.highest_sequence() + 1, false)
    }

    fn begin(now: Time, arrival: &Arrival<'_>, sequence: u64, first: bool) -> Self {
        Self {
            ssrc: arrival.header.ssrc,
            offset: sequence.wrapping_sub(arrival.index),
            base: arrival.index,
            highest: arrival.index,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: clock_48k(now).wrapping_sub(arrival.header.timestamp),
            jitter: 0.0,
            first,
        }
    }

    pub(super) fn highest_sequence(&self) -> u64 {
        self.highest.wrapping_add(self.offset)
    }

    pub(super) fn sequence(&self, index: u64) -> u64 {
        index.wrapping_add(self.offset)
    }

    /// Whether a packet goes on with this source, rather than beginning another.
    pub(super) fn continues(&self, arrival: &Arrival<'_>) -> bool {
        self.ssrc == arrival.header.ssrc && arrival.index <= self.highest + MAX_DROPOUT
    }

    /// Whether there is room for a packet on the time line: a later source has none before its first.
    pub(super) fn takes(&mut self, index: u64) -> bool {
        if index < self.base {
            if self.base - index > MAX_EARLIER || !self.first {
                return false;
            }
            self.base = index;
        }
        true
    }

    /// Whether a packet is ahead of all.
    pub(super) fn is_ahead(&self, index: u64) -> bool {
        index > self.highest
    }

    /// Moves on to a packet, if it is ahead of all: by how much.
    pub(super) fn advance(&mut self, index: u64) -> Option<u64> {
        let advance = index.checked_sub(self.highest).filter(|advance| *advance > 0)?;
        self.highest = index;
        Some(advance)
    }

    /// A packet came by itself. A retransmission does not count, since loss is told as it was before repair.
    pub(super) fn count(&mut self) {
        self.received += 1;
    }

    /// RFC 3550 A.8, of packets that came in order.
    pub(super) fn note_transit(&mut self, now: Time, rtp_timestamp: u32) {
        let transit = clock_48k(now).wrapping_sub(rtp_timestamp);
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.jitter += (f64::from(difference) - self.jitter) / 16.0;
        self.transit = transit;
    }

    /// The source's clock leapt.
    pub(super) fn forget_transit(&mut self, now: Time, rtp_timestamp: u32) {
        self.transit = clock_48k(now).wrapping_sub(rtp_timestamp);
    }

    pub(super) fn expected(&self) -> u64 {
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

#[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
fn clock_48k(now: Time) -> u32 {
    now.samples() as u32
}
