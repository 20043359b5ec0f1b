//! The caller's packets become frames on one time line: gaps are announced at once, repaired frames follow marked, silences are no loss.
//!
//! There is no playout deadline here: a frame is handed on the moment it arrives. Packets come opened and never twice (SRTP's replay
//! window sees to that), with the 48-bit index of their source; an offset for each source makes one sequence of all.

use std::collections::VecDeque;
use std::time::Duration;

use crate::opus;
use crate::output::{Gap, GapState, IngestFrame, Output};
use crate::red;
use crate::rtcp::ReportBlock;
use crate::rtp::{Header, audio_level};
use crate::sdp::Audio;
use crate::stats::Counters;
use crate::time::Time;

/// A missing packet is given up after this.
const GIVE_UP: Duration = Duration::from_millis(250);
/// Most runs of missing packets that are waited for; the oldest makes room.
const MAX_HOLES: usize = 32;
/// RFC 3550 A.1 MAX_DROPOUT: a longer jump is a source that began anew.
const MAX_DROPOUT: u64 = 3_000;
/// A packet from before the first one that came is taken if it is this close.
const MAX_EARLIER: u64 = 64;
/// Packets of a replaced source are stale for this long; after it the source may come back.
const STALE: Duration = Duration::from_secs(1);
/// Frames that redundancy filled are remembered, so that the packet itself is not handed on when it comes late.
const FILLED: usize = 16;

/// An opened packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) header: &'a Header,
    pub(crate) index: u64,
    pub(crate) packet: &'a [u8],
    pub(crate) payload: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    first: u64,
    count: u64,
    since: Time,
}

/// What RFC 3550 A.1, A.3 and A.8 keep of a source.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Session sequence number less index.
    offset: u64,
    base: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    transit: u32,
    jitter: f64,
    /// Of the highest packet: RTP timestamp, and its place on the session's time line.
    rtp_timestamp: u32,
    timestamp: u64,
    duration: u32,
    arrived: Time,
}

impl Source {
    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    fn place(&self, rtp_timestamp: u32) -> u64 {
        let step = rtp_timestamp.wrapping_sub(self.rtp_timestamp).cast_signed();
        self.timestamp.saturating_add_signed(i64::from(step))
    }
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
    holes: VecDeque<Hole>,
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
            holes: VecDeque::new(),
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
        let header = arrival.header;
        let audio = header.payload_type == self.opus || Some(header.payload_type) == self.red;
        if !audio && Some(header.payload_type) != self.telephone_event {
            counters.unknown_payload += 1;
            return false;
        }
        let Some(sequence) = self.account(now, arrival, counters) else {
            return false;
        };
        let newest = sequence.advance.is_some();
        if !audio {
            // Its packets share the sequence with audio's, so their places are no gaps; what they say is not audio.
            counters.telephone_events += 1;
            self.settle(now, &sequence, &[], counters, out);
            return newest;
        }
        let level = self.level(arrival);
        if Some(header.payload_type) == self.red {
            self.receive_red(now, arrival, &sequence, level, counters, out);
        } else {
            let fresh = self.settle(now, &sequence, &[], counters, out);
            self.emit(arrival.payload, header.marker, &sequence, fresh, level, counters, out);
        }
        newest
    }

    fn level(&self, arrival: &Arrival<'_>) -> u16 {
        let Some(wanted) = self.level_extension else { return 0 };
        arrival
            .header
            .extensions(arrival.packet)
            .find(|(id, _)| *id == wanted)
            .map_or(0, |(_, element)| audio_level(element))
    }

    fn receive_red(
        &mut self,
        now: Time,
        arrival: &Arrival<'_>,
        placed: &Placed,
        level: u16,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        let Ok(blocks) = red::blocks(arrival.payload) else {
            counters.malformed += 1;
            self.settle(now, placed, &[], counters, out);
            return;
        };
        // The k-th redundant block before the primary is the k-th packet before this one.
        let redundant = blocks.clone().filter(|block| !block.primary).count() as u64;
        let mut fills = [0; red::MAX_REDUNDANT];
        let mut count = 0;
        for (place, block) in blocks.clone().filter(|block| !block.primary).enumerate() {
            let distance = redundant - place as u64;
            let usable = block.payload_type == self.opus && !block.payload.is_empty() && block.timestamp_offset > 0;
            let wanted = placed
                .sequence
                .checked_sub(distance)
                .filter(|s| usable && self.is_missing(*s, placed));
            match wanted {
                Some(sequence) if count < fills.len() => {
                    fills[count] = sequence;
                    count += 1;
                }
                _ => counters.redundant += 1,
            }
        }
        let announced = self.settle(now, placed, &fills[..count], counters, out);
        for (place, block) in blocks.enumerate() {
            if block.primary {
                if block.payload_type != self.opus {
                    counters.unknown_payload += 1;
                    continue;
                }
                self.emit(
                    block.payload,
                    arrival.header.marker,
                    placed,
                    announced,
                    level,
                    counters,
                    out,
                );
                continue;
            }
            let sequence = placed.sequence.wrapping_sub(redundant - place as u64);
            if !fills[..count].contains(&sequence) {
                continue;
            }
            let Some(duration) = opus::duration(block.payload) else {
                counters.malformed += 1;
                continue;
            };
            // A hole from before was announced; one that this packet would have opened was not.
            let repaired = self.fill(sequence, out);
            counters.repaired += 1;
            counters.frames_in += 1;
            self.filled[self.filled_at] = sequence;
            self.filled_at = (self.filled_at + 1) % FILLED;
            out.frame(IngestFrame {
                sequence,
                timestamp: placed.timestamp.saturating_sub(u64::from(block.timestamp_offset)),
                duration,
                level: 0,
                marker: false,
                repaired,
                redundant: true,
                payload: block.payload,
            });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place where a frame is made")]
    fn emit(
        &mut self,
        payload: &[u8],
        marker: bool,
        placed: &Placed,
        standing: Standing,
        level: u16,
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
        if let (Some(source), Some(_)) = (&mut self.source, placed.advance) {
            source.duration = duration;
        }
        counters.frames_in += 1;
        out.frame(IngestFrame {
            sequence: placed.sequence,
            timestamp: placed.timestamp,
            duration,
            level,
            marker,
            repaired: standing == Standing::Repairs,
            redundant: false,
            payload,
        });
    }

    /// RFC 3550 A.1, A.3 and A.8: finds the source and the packet's place in it.
    fn account(&mut self, now: Time, arrival: &Arrival<'_>, counters: &mut Counters) -> Option<Placed> {
        let header = arrival.header;
        let source = match &self.source {
            Some(source) if source.ssrc == header.ssrc && arrival.index <= source.highest + MAX_DROPOUT => source,
            _ => return self.begin(now, arrival, counters),
        };
        let (index, mut next) = (arrival.index, *source);
        if index < next.base {
            // The first packets came out of order. A later source has no room before its first.
            if next.base - index > MAX_EARLIER || counters.source_changes > 0 {
                counters.late += 1;
                return None;
            }
            next.base = index;
        }
        next.received += 1;
        let arrived = clock_48k(now);
        let transit = arrived.wrapping_sub(header.timestamp);
        let difference = f64::from(transit.wrapping_sub(next.transit).cast_signed().unsigned_abs());
        next.jitter += (difference - next.jitter) / 16.0;
        next.transit = transit;
        let timestamp = next.place(header.timestamp);
        let mut advance = None;
        if index > next.highest {
            advance = Some(index - next.highest);
            if index == next.highest + 1 && timestamp > next.timestamp + u64::from(next.duration) {
                counters.dtx += 1;
            }
            next.highest = index;
            next.rtp_timestamp = header.timestamp;
            next.timestamp = timestamp;
            next.arrived = now;
        }
        self.source = Some(next);
        Some(Placed {
            sequence: index.wrapping_add(next.offset),
            timestamp,
            advance,
        })
    }

    /// A first source, another one, or one that jumped: the session's numbers go on where they were.
    fn begin(&mut self, now: Time, arrival: &Arrival<'_>, counters: &mut Counters) -> Option<Placed> {
        let header = arrival.header;
        let (sequence, timestamp) = match &self.source {
            // Room for packets from before the first, and for a timestamp that goes back.
            None => (arrival.index + (1 << 16), u64::from(header.timestamp) + (1 << 32)),
            Some(old) => {
                let stale = self
                    .replaced
                    .is_some_and(|(ssrc, since)| ssrc == header.ssrc && now.since(since) < STALE);
                if stale {
                    counters.stale_source += 1;
                    return None;
                }
                let elapsed = samples(now.since(old.arrived)).max(u64::from(old.duration));
                counters.source_changes += 1;
                (old.highest.wrapping_add(old.offset) + 1, old.timestamp + elapsed)
            }
        };
        if let Some(old) = self.source.take() {
            self.lost_before += old.lost();
            self.replaced = (old.ssrc != header.ssrc).then_some((old.ssrc, now));
        }
        self.source = Some(Source {
            ssrc: header.ssrc,
            offset: sequence.wrapping_sub(arrival.index),
            base: arrival.index,
            highest: arrival.index,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: clock_48k(now).wrapping_sub(header.timestamp),
            jitter: 0.0,
            rtp_timestamp: header.timestamp,
            timestamp,
            duration: 960,
            arrived: now,
        });
        Some(Placed {
            sequence,
            timestamp,
            advance: Some(1),
        })
    }

    fn is_missing(&self, sequence: u64, placed: &Placed) -> bool {
        let opens = placed.advance.map_or(0, |advance| advance - 1);
        let skipped = sequence < placed.sequence && sequence >= placed.sequence - opens;
        skipped
            || self
                .holes
                .iter()
                .any(|hole| hole.first <= sequence && sequence < hole.first + hole.count)
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
            let end = fills
                .iter()
                .copied()
                .filter(|s| *s >= first)
                .min()
                .unwrap_or(placed.sequence);
            if end > first {
                self.open(now, first, end - first, out);
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
        if self.fill(sequence, out) {
            counters.reordered += 1;
        } else {
            counters.late += 1;
        }
        Standing::Repairs
    }

    fn open(&mut self, now: Time, first: u64, count: u64, out: &mut impl Output) {
        while self.holes.len() >= MAX_HOLES
            && let Some(oldest) = self.holes.pop_front()
        {
            out.gap(gap(&oldest, GapState::Lost));
        }
        let hole = Hole {
            first,
            count,
            since: now,
        };
        out.gap(gap(&hole, GapState::Announced));
        self.holes.push_back(hole);
    }

    /// Takes a sequence number out of its hole, if it is in one.
    fn fill(&mut self, sequence: u64, out: &mut impl Output) -> bool {
        let inside = |hole: &Hole| hole.first <= sequence && sequence < hole.first + hole.count;
        let Some(at) = self.holes.iter().position(inside) else {
            return false;
        };
        let hole = self.holes[at];
        let before = sequence - hole.first;
        let behind = hole.count - before - 1;
        let rest = Hole {
            first: sequence + 1,
            count: behind,
            since: hole.since,
        };
        match (before, behind) {
            (0, 0) => drop(self.holes.remove(at)),
            (0, _) => self.holes[at] = rest,
            (_, 0) => self.holes[at].count = before,
            (..) => {
                self.holes[at].count = before;
                if self.holes.len() < MAX_HOLES {
                    self.holes.insert(at + 1, rest);
                } else {
                    out.gap(gap(&rest, GapState::Lost));
                }
            }
        }
        true
    }

    /// Gives up what was missing too long.
    pub(crate) fn expire(&mut self, now: Time, out: &mut impl Output) {
        while let Some(hole) = self.holes.front().copied().filter(|hole| hole.since + GIVE_UP <= now) {
            self.holes.pop_front();
            out.gap(gap(&hole, GapState::Lost));
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        self.holes.front().map_or(Time::NEVER, |hole| hole.since + GIVE_UP)
    }

    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost_before + self.source.map_or(0, |source| source.lost())
    }

    pub(crate) fn jitter_ms(&self) -> f64 {
        self.source.map_or(0.0, |source| source.jitter / 48.0)
    }

    /// The report block for an SR or RR. Loss is told before repair, else the caller's Opus would stop its FEC.
    pub(crate) fn report(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let expected = source.expected() - source.expected_before;
        let received = source.received - source.received_before;
        source.expected_before = source.expected();
        source.received_before = source.received;
        let fraction = expected.saturating_sub(received) * 256 / expected.max(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "RFC 3550's fields are of these widths"
        )]
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: i32::try_from(source.lost()).unwrap_or(i32::MAX),
            highest_sequence: source.highest as u32,
            jitter: source.jitter as u32,
            last_sr: 0,
            delay_since_last_sr: 0,
        })
    }
}

/// A packet's place in the session. `advance` is how far it is ahead of the highest before it; `None` when it is behind.
#[derive(Clone, Copy, Debug)]
struct Placed {
    sequence: u64,
    timestamp: u64,
    advance: Option<u64>,
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

fn gap(hole: &Hole, state: GapState) -> Gap {
    Gap {
        first: hole.first,
        count: u32::try_from(hole.count).unwrap_or(u32::MAX),
        state,
    }
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros() * 48 / 1_000).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
fn clock_48k(now: Time) -> u32 {
    (u128::from(now.as_micros()) * 48 / 1_000) as u32
}
