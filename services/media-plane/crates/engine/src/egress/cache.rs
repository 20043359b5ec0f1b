//! Sealed packets of the last moments, to be sent again as they were: a header is never sealed twice at one SRTP index (RFC 3711
//! 9.1), so what the caller misses (RFC 4585 6.2.1) is answered with the same bytes.
//!
//! The memory is borrowed with a talk spurt's first packet and given back once nothing was said for a while.

use std::ops::Range;
use std::time::Duration;

use crate::time::Time;

/// About a second of speech as an agent's encoder makes it, half a second where redundancy doubles it.
const BYTES: usize = 8 * 1024;
const PACKETS: usize = 64;
/// Given back after so much silence.
const KEEP: Duration = Duration::from_secs(2);
/// Where the round trip is not known yet.
const USUAL_ROUND_TRIP: Duration = Duration::from_millis(50);
/// A caller that asks twice within this asked before it could know better.
const SHORTEST: Duration = Duration::from_millis(10);
/// Packets that may be sent again in a row; each packet that leaves allows one more.
const MOST_CREDIT: u8 = 64;

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not there: too old, or never sent.
    TooOld,
    /// It was sent again less than a round trip ago, or too much was.
    TooOften,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    start: u32,
    size: u32,
    /// When it was sent again; [`Time::NEVER`] when it was not. Entries are small: each packet touches two.
    again: Time,
}

impl Entry {
    fn bytes(&self) -> Range<usize> {
        self.start as usize..(self.start + self.size) as usize
    }

    fn meets(&self, start: usize, end: usize) -> bool {
        let own = self.bytes();
        own.start < end && start < own.end
    }
}

#[derive(Debug)]
struct Ring {
    bytes: [u8; BYTES],
    entries: [Entry; PACKETS],
    /// Sequence numbers of what is there: `first..next`, without a gap.
    first: u64,
    next: u64,
    /// Where the next packet goes.
    head: usize,
}

#[derive(Debug)]
pub(crate) struct Cache {
    ring: Option<Box<Ring>>,
    spoken: Time,
    credit: u8,
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Self {
            ring: None,
            spoken: Time(0),
            credit: 0,
        }
    }

    /// Reads ahead, of what stands in other places than the session's own: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        self.ring.as_deref().map_or(0, |ring| {
            let entry = &ring.entries[slot(ring.next)];
            u64::from(entry.start) ^ u64::from(ring.bytes[ring.head % BYTES])
        })
    }

    /// Keeps a sealed packet. Only speech is worth memory; what fills a pause is kept while there is some.
    pub(crate) fn push(&mut self, now: Time, sequence: u64, packet: &[u8], speech: bool) {
        self.credit = (self.credit + 1).min(MOST_CREDIT);
        if speech {
            self.spoken = now;
            self.ring.get_or_insert_with(|| Box::new(Ring::new(sequence)));
        }
        if let Some(ring) = &mut self.ring {
            ring.push(sequence, packet);
        }
    }

    /// What to send again for a packet that the caller misses.
    pub(crate) fn answer(&mut self, now: Time, sequence: u64, round_trip: Option<Duration>) -> Result<&[u8], Refusal> {
        let ring = self.ring.as_deref_mut().ok_or(Refusal::TooOld)?;
        if !(ring.first..ring.next).contains(&sequence) {
            return Err(Refusal::TooOld);
        }
        let entry = &mut ring.entries[slot(sequence)];
        let pause = round_trip.unwrap_or(USUAL_ROUND_TRIP).max(SHORTEST);
        if self.credit == 0 || (entry.again != Time::NEVER && now.since(entry.again) < pause) {
            return Err(Refusal::TooOften);
        }
        self.credit -= 1;
        entry.again = now;
        Ok(&ring.bytes[entry.bytes()])
    }

    /// A packet that is sent again unasked.
    pub(crate) fn again(&self, sequence: u64) -> Option<&[u8]> {
        let ring = self.ring.as_deref()?;
        let kept = (ring.first..ring.next).contains(&sequence);
        kept.then(|| &ring.bytes[ring.entries[slot(sequence)].bytes()])
    }

    /// Gives the memory back where nothing was said for a while.
    pub(crate) fn rest(&mut self, now: Time) {
        if now.since(self.spoken) > KEEP {
            self.ring = None;
        }
    }
}

impl Ring {
    fn new(first: u64) -> Self {
        Self {
            bytes: [0; BYTES],
            entries: [Entry::default(); PACKETS],
            first,
            next: first,
            head: 0,
        }
    }

    fn push(&mut self, sequence: u64, packet: &[u8]) {
        if sequence != self.next {
            (self.first, self.next) = (sequence, sequence);
        }
        if self.head + packet.len() > BYTES {
            // What lies behind the head is of the round before: the oldest.
            self.drop_while(|oldest, head| oldest.bytes().start >= head);
            self.head = 0;
        }
        let (start, end) = (self.head, self.head + packet.len());
        self.drop_while(|oldest, _| oldest.meets(start, end));
        if self.next - self.first == PACKETS as u64 {
            self.first += 1;
        }
        self.bytes[start..end].copy_from_slice(packet);
        #[expect(clippy::cast_possible_truncation, reason = "the ring is far smaller")]
        let entry = Entry {
            start: start as u32,
            size: packet.len() as u32,
            again: Time::NEVER,
        };
        self.entries[slot(sequence)] = entry;
        self.next += 1;
        self.head = end;
    }

    fn drop_while(&mut self, goes: impl Fn(&Entry, usize) -> bool) {
        while self.first < self.next && goes(&self.entries[slot(self.first)], self.head) {
            self.first += 1;
        }
    }
}

fn slot(sequence: u64) -> usize {
    (sequence % PACKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);
    const ROUND_TRIP: Option<Duration> = Some(Duration::from_millis(40));

    fn packet(sequence: u64, size: usize) -> Vec<u8> {
        vec![sequence as u8; size]
    }

    fn filled(sizes: impl IntoIterator<Item = usize>) -> Cache {
        let mut cache = Cache::new();
        for (sequence, size) in (0..).zip(sizes) {
            cache.push(NOW, sequence, &packet(sequence, size), true);
        }
        cache
    }

    #[test]
    fn what_was_sent_comes_back_byte_for_byte() {
        let mut cache = filled([100; 50]);
        for sequence in 0..50 {
            let answer = cache.answer(NOW, sequence, ROUND_TRIP).expect("it is there");
            assert_eq!(answer, packet(sequence, 100));
        }
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut cache = filled([10; 100]);
        assert_eq!(cache.answer(NOW, 35, ROUND_TRIP), Err(Refusal::TooOld));
        assert!(cache.answer(NOW, 36, ROUND_TRIP).is_ok());
        let mut cache = filled([1_000; 20]);
        assert_eq!(cache.answer(NOW, 11, ROUND_TRIP), Err(Refusal::TooOld));
        for sequence in 12..20 {
            assert_eq!(
                cache.answer(NOW, sequence, ROUND_TRIP),
                Ok(&packet(sequence, 1_000)[..])
            );
        }
        assert_eq!(cache.answer(NOW, 20, ROUND_TRIP), Err(Refusal::TooOld), "not sent yet");
    }

    #[test]
    fn packets_of_any_size_never_overwrite_one_that_is_still_there() {
        let mut random = 1_u64;
        let mut size = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            1 + (random >> 40) as usize % 1_250
        };
        let mut cache = Cache::new();
        let mut sizes = Vec::new();
        for sequence in 0..2_000_u64 {
            sizes.push(size());
            cache.push(NOW, sequence, &packet(sequence, sizes[sequence as usize]), true);
            let ring = cache.ring.as_deref().expect("it is borrowed");
            assert!(ring.next - ring.first >= sequence.min(4), "{sequence}");
            for kept in ring.first..ring.next {
                let entry = &ring.entries[slot(kept)];
                let bytes = &ring.bytes[entry.bytes()];
                assert_eq!(bytes, packet(kept, sizes[kept as usize]), "{kept} of {sequence}");
            }
        }
    }

    #[test]
    fn one_packet_goes_again_once_in_a_round_trip() {
        let mut cache = filled([100; 5]);
        assert!(cache.answer(NOW, 2, ROUND_TRIP).is_ok());
        assert_eq!(
            cache.answer(NOW + Duration::from_millis(39), 2, ROUND_TRIP),
            Err(Refusal::TooOften)
        );
        assert!(cache.answer(NOW, 3, ROUND_TRIP).is_ok(), "another one may");
        assert!(cache.answer(NOW + Duration::from_millis(40), 2, ROUND_TRIP).is_ok());
    }

    #[test]
    fn no_more_goes_again_than_was_sent() {
        let mut cache = filled([100; 10]);
        let answers = |cache: &mut Cache, at: u64| {
            let now = NOW + Duration::from_secs(at);
            (0..10)
                .filter(|sequence| cache.answer(now, *sequence, ROUND_TRIP).is_ok())
                .count()
        };
        assert_eq!(answers(&mut cache, 1), 10);
        assert_eq!(answers(&mut cache, 2), 0);
        cache.push(NOW, 10, &packet(10, 100), true);
        assert_eq!(answers(&mut cache, 3), 1);
    }

    #[test]
    fn silence_gives_the_memory_back_and_borrows_none() {
        let mut cache = filled([100; 5]);
        cache.rest(NOW + KEEP);
        assert!(cache.ring.is_some());
        cache.push(NOW + KEEP, 5, &packet(5, 30), false);
        cache.rest(NOW + KEEP + Duration::from_millis(1));
        assert!(cache.ring.is_none());
        cache.push(NOW + KEEP * 2, 6, &packet(6, 30), false);
        assert!(cache.ring.is_none());
        cache.push(NOW + KEEP * 3, 7, &packet(7, 100), true);
        assert_eq!(cache.answer(NOW, 6, ROUND_TRIP), Err(Refusal::TooOld));
        assert!(cache.answer(NOW, 7, ROUND_TRIP).is_ok());
    }
}
