//! The caller's packets become frames on one time line: gaps are announced and asked for at once, repaired frames follow
//! marked, silences are no loss.
//!
//! There is no playout deadline here: a frame is handed on the moment it arrives. Packets come opened and never twice (SRTP's replay
//! window sees to that), with the 48-bit index of their source; an offset for each source makes one sequence of all.
//!
//! NACK need not wait for redundancy: what the packet behind a gap does not bring along, no later one will, since its own
//! redundancy reaches back less far.

mod clock;
mod emit;
mod holes;
mod patience;
mod recent;
mod source;
mod telling;
#[cfg(test)]
mod tests;

use std::time::Duration;

use clock::Clock;
use emit::{brings_nothing, lost};
use holes::Holes;
pub(crate) use holes::MAX_ASKED;
use patience::Patience;
use recent::Recent;
use source::Source;

use crate::opus;
use crate::output::Output;
use crate::red::{self, Block};
use crate::rtp::Header;
use crate::sdp::Audio;
use crate::srtp::{Refusal, Window};
use crate::stats::Counters;
use crate::time::Time;

/// Packets of a replaced source are stale for this long; after it the source may come back.
const STALE: Duration = Duration::from_secs(1);
/// Most frames that one packet's redundancy fills.
const MAX_FILLS: usize = red::MAX_REDUNDANT;
/// Before the first packet is known to be shorter or longer.
const USUAL_DURATION: u32 = 960;
/// How often quality is told, while media flows.
const QUALITY: Duration = Duration::from_secs(1);
/// The first time, so that the round trip is known early.
const FIRST_QUALITY: Duration = Duration::from_millis(250);
/// RFC 4733 2.3: event, flags and volume, duration.
const EVENT_LENGTH: usize = 4;

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

/// A packet's place in the session.
#[derive(Clone, Copy, Debug)]
struct Placed {
    sequence: u64,
    timestamp: u64,
    /// How far it is ahead of the highest before it; `None` when it is behind.
    advance: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Ingest {
    opus: u8,
    red: Option<u8>,
    telephone_event: Option<u8>,
    level_extension: Option<u8>,
    source: Option<(Source, Clock)>,
    replaced: Option<(u32, Time)>,
    /// Of the sources before this one.
    lost_before: u64,
    expected_before: u64,
    /// Of the last frame, in 48 kHz samples.
    duration: u32,
    holes: Holes,
    patience: Patience,
    /// What was handed on, out of its own packet or a later one's redundancy.
    delivered: Window<17>,
    recent: Recent,
    tell_at: Time,
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
            expected_before: 0,
            duration: USUAL_DURATION,
            holes: Holes::default(),
            patience: Patience::new(audio.feedback),
            delivered: Window::new(),
            recent: Recent::default(),
            tell_at: Time::NEVER,
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
        let content = self.content(arrival.header.payload_type);
        let Some(placed) = self.place(now, arrival, content, counters, out) else {
            return false;
        };
        match content {
            Content::Opus => {
                let standing = self.settle(now, &placed, &[], counters, out);
                self.emit(arrival, arrival.payload, &placed, standing, counters, out);
            }
            Content::Red => self.receive_red(now, arrival, &placed, counters, out),
            Content::TelephoneEvent => {
                let standing = self.settle(now, &placed, &[], counters, out);
                Self::emit_event(arrival, &placed, standing, counters, out);
            }
            Content::Unknown => {
                counters.unknown_payload += 1;
                let standing = self.settle(now, &placed, &[], counters, out);
                brings_nothing(&placed, standing, out);
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
    fn place(
        &mut self,
        now: Time,
        arrival: &Arrival<'_>,
        content: Content,
        counters: &mut Counters,
        out: &mut impl Output,
    ) -> Option<Placed> {
        let rtp_timestamp = arrival.header.timestamp;
        let Some((source, clock)) = &mut self.source else {
            let source = Source::first(now, arrival);
            let clock = Clock::begin(now, source.highest_sequence(), rtp_timestamp);
            self.source = Some((source, clock));
            self.tell_at = now + FIRST_QUALITY;
            return Some(placed(&source, &clock, Some(1)));
        };
        if !source.continues(arrival) {
            return self.change_source(now, arrival, counters, out);
        }
        if !source.takes(arrival.index) {
            counters.late += 1;
            return None;
        }
        if source.is_ahead(arrival.index) && !clock.has_time(now, self.duration) {
            counters.ahead_of_time += 1;
            return None;
        }
        let sequence = source.sequence(arrival.index);
        let advance = source.advance(arrival.index);
        if let Some(ahead) = advance {
            source.count();
            // An event's packets all tell when it began; what is not known may count in another clock.
            if matches!(content, Content::Opus | Content::Red) {
                let before = clock.timestamp();
                let (timestamp, leapt) = clock.advance(now, sequence, rtp_timestamp, self.duration);
                if leapt {
                    counters.clock_leaps += 1;
                    source.forget_transit(now, rtp_timestamp);
                } else {
                    source.note_transit(now, rtp_timestamp);
                    counters.dtx += u64::from(ahead == 1 && timestamp > before + u64::from(self.duration));
                }
                return Some(placed(source, clock, advance));
            }
        }
        Some(Placed {
            sequence,
            timestamp: clock.place(now, sequence, rtp_timestamp, self.duration),
            advance,
        })
    }

    /// Another SSRC, or a jump of the sequence: the session's line goes on where it was.
    fn change_source(
        &mut self,
        now: Time,
        arrival: &Arrival<'_>,
        counters: &mut Counters,
        out: &mut impl Output,
    ) -> Option<Placed> {
        let (source, clock) = self.source.as_mut()?;
        let ssrc = arrival.header.ssrc;
        let is_stale = |(old, since): (u32, Time)| old == ssrc && now.since(since) < STALE;
        if self.replaced.is_some_and(is_stale) {
            counters.stale_source += 1;
            return None;
        }
        if !clock.has_time(now, self.duration) {
            counters.ahead_of_time += 1;
            return None;
        }
        counters.source_changes += 1;
        self.lost_before += source.lost();
        self.expected_before += source.expected();
        self.replaced = (source.ssrc != ssrc).then_some((source.ssrc, now));
        *source = source.next(now, arrival);
        clock.tie(now, source.highest_sequence(), arrival.header.timestamp, self.duration);
        self.holes.give_up(out);
        Some(placed(source, clock, Some(1)))
    }

    /// What the redundant blocks tell of missing packets is filled before the rest becomes a gap.
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
            let standing = self.settle(now, placed, &[], counters, out);
            brings_nothing(placed, standing, out);
            return;
        };
        if let Some(duration) = blocks
            .clone()
            .last()
            .and_then(|primary| opus::duration(primary.payload))
        {
            self.recent.note(placed.sequence, placed.timestamp, duration);
        }
        let redundant = blocks.clone().filter(|block| !block.primary).count();
        let mut fills = [0; MAX_FILLS];
        let mut count = 0;
        for (at, block) in blocks.clone().enumerate().filter(|(_, block)| !block.primary) {
            let sequence = self.sequence_of(&block, placed, (redundant - at) as u64);
            match sequence.filter(|sequence| !fills[..count].contains(sequence) && count < MAX_FILLS) {
                Some(sequence) if self.is_missing(sequence, placed) => {
                    fills[count] = sequence;
                    count += 1;
                }
                _ => counters.redundant += 1,
            }
        }
        let fills = &fills[..count];
        let standing = self.settle(now, placed, fills, counters, out);
        for (at, block) in blocks.enumerate() {
            if block.primary && block.payload_type == self.opus {
                self.emit(arrival, block.payload, placed, standing, counters, out);
            } else if block.primary {
                counters.unknown_payload += 1;
                brings_nothing(placed, standing, out);
            } else if let Some(sequence) = self
                .sequence_of(&block, placed, (redundant - at) as u64)
                .filter(|sequence| fills.contains(sequence) && self.delivered.check(*sequence).is_ok())
            {
                self.emit_redundant(&block, sequence, placed, counters, out);
            }
        }
    }

    /// Which packet a redundant block repeats; `None` when that one came, or it is of no use.
    fn sequence_of(&self, block: &Block<'_>, placed: &Placed, distance: u64) -> Option<u64> {
        if block.payload_type != self.opus || block.timestamp_offset == 0 {
            return None;
        }
        let duration = opus::duration(block.payload)?;
        let timestamp = placed.timestamp.checked_sub(u64::from(block.timestamp_offset))?;
        self.recent.sequence_of(placed.sequence, timestamp, duration, distance)
    }

    fn is_missing(&self, sequence: u64, placed: &Placed) -> bool {
        let skipped = placed.advance.map_or(0, |advance| advance - 1);
        let opens = placed.sequence - skipped <= sequence && sequence < placed.sequence;
        opens || self.holes.contains(sequence)
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
            return self.close(now, placed.sequence, counters, out);
        };
        let mut first = placed.sequence - (advance - 1);
        while first < placed.sequence {
            let filled = fills.iter().copied().filter(|sequence| *sequence >= first);
            let end = filled.min().unwrap_or(placed.sequence);
            if end > first {
                self.holes.open(now, first, end - first, &self.patience, out);
            }
            first = end + 1;
        }
        self.delivered.accept(placed.sequence);
        Standing::Newest
    }

    fn close(&mut self, now: Time, sequence: u64, counters: &mut Counters, out: &mut impl Output) -> Standing {
        let known = self.delivered.check(sequence);
        let waited = self.holes.fill(sequence, out);
        let asked_for = waited.is_some_and(|wait| self.patience.came(now, &wait));
        if let Some((source, _)) = self.source.as_mut().filter(|_| !asked_for) {
            source.count();
        }
        match known {
            Ok(()) => self.delivered.accept(sequence),
            Err(Refusal::Replayed) => {
                counters.reordered += 1;
                return Standing::Known;
            }
            // Nobody remembers whether it came out of redundancy.
            Err(Refusal::TooOld) => {
                counters.late += 1;
                if waited.is_some() {
                    out.gap(lost(sequence));
                }
                return Standing::Known;
            }
        }
        match waited {
            Some(_) if asked_for => counters.repaired_nack += 1,
            Some(_) => counters.reordered += 1,
            None => counters.late += 1,
        }
        Standing::Repairs
    }

    /// Gives up what was missing too long.
    pub(crate) fn expire(&mut self, now: Time, out: &mut impl Output) {
        self.holes.expire(now, &mut self.patience, out);
    }

    /// Writes the sequence numbers that a NACK shall ask for now. Returns the source's SSRC and how many there are.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        asked: &mut [u16; MAX_ASKED],
        counters: &mut Counters,
    ) -> Option<(u32, usize)> {
        let (source, _) = self.source.as_ref()?;
        self.patience.set_jitter(Duration::from_secs_f64(
            source.jitter_ms().clamp(0.0, 1_000.0) / 1_000.0,
        ));
        let count = self.holes.ask(now, source.offset, &self.patience, asked);
        counters.asked += count as u64;
        (count > 0).then_some((source.ssrc, count))
    }

    /// When [`Self::expire`] or [`Self::ask`] have something to do.
    pub(crate) fn deadline(&self) -> Time {
        self.holes.deadline(&self.patience)
    }

    /// RTCP told the round trip.
    pub(crate) fn set_round_trip(&mut self, round_trip: Duration) {
        self.patience.set_round_trip(round_trip);
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        let source = self
            .source
            .as_ref()
            .map_or(0, |(source, clock)| source.offset ^ clock.warm());
        source
            ^ self.delivered.warm()
            ^ self.tell_at.0
            ^ self.holes.given_up
            ^ u64::from(self.opus)
            ^ u64::from(self.duration)
    }

    /// A guess at the round trip, until it is measured.
    pub(crate) fn guess_round_trip(&mut self, round_trip: Duration) {
        self.patience.guess_round_trip(round_trip);
    }
}

/// Place of the newest packet.
fn placed(source: &Source, clock: &Clock, advance: Option<u64>) -> Placed {
    Placed {
        sequence: source.highest_sequence(),
        timestamp: clock.timestamp(),
        advance,
    }
}
