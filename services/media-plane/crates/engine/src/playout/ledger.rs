//! What of each utterance is under way to the caller's ear: runs of frames with their places on the media clock and in the sequence.
//!
//! An utterance's own figures say what was sent; what of it has not come, and what is not heard yet, is told from here. Timestamps
//! follow the wall clock, so one number, the timestamp that the device plays now, says it for all.

use std::collections::VecDeque;

/// Most runs that are remembered: one for each stretch without a pause.
const MAX_RUNS: usize = 64;
/// Runs are remembered so long after they were heard, in samples: a NACK may still name them.
const REMEMBERED: u64 = 48_000;

/// Frames of one duration, sent one behind the other.
#[derive(Clone, Copy, Debug)]
struct Run {
    utterance: u32,
    /// Of the first frame.
    sequence: u64,
    timestamp: u64,
    /// Samples of each frame.
    duration: u32,
    frames: u32,
}

impl Run {
    fn length(&self) -> u64 {
        u64::from(self.duration) * u64::from(self.frames)
    }

    fn end(&self) -> u64 {
        self.timestamp + self.length()
    }

    /// Samples that are not played at `timestamp`.
    fn unplayed(&self, timestamp: u64) -> u64 {
        self.end().saturating_sub(timestamp).min(self.length())
    }

    /// Samples of frames that begin behind `timestamp`.
    fn behind(&self, timestamp: u64) -> u64 {
        let duration = u64::from(self.duration);
        let begun = timestamp
            .checked_sub(self.timestamp)
            .map_or(0, |since| since / duration + 1);
        self.length() - begun.saturating_mul(duration).min(self.length())
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    before: VecDeque<Run>,
    /// The one that grows with each frame: nothing else is looked at then.
    last: Option<Run>,
}

impl Ledger {
    /// A frame left.
    pub(super) fn push(&mut self, utterance: u32, sequence: u64, timestamp: u64, duration: u32) {
        if let Some(last) = &mut self.last
            && last.utterance == utterance
            && last.duration == duration
            && last.sequence + u64::from(last.frames) == sequence
            && last.end() == timestamp
        {
            last.frames += 1;
            return;
        }
        let run = Run {
            utterance,
            sequence,
            timestamp,
            duration,
            frames: 1,
        };
        if let Some(before) = self.last.replace(run) {
            if self.before.len() + 1 == MAX_RUNS {
                self.before.pop_front();
            }
            self.before.push_back(before);
        }
    }

    /// Samples of an utterance that left and are not heard when the device plays `timestamp`.
    pub(super) fn unplayed(&self, utterance: u32, timestamp: u64) -> u64 {
        self.of(utterance).map(|run| run.unplayed(timestamp)).sum()
    }

    /// Samples of an utterance in frames that left behind `timestamp`.
    pub(super) fn under_way(&self, utterance: u32, timestamp: u64) -> u64 {
        self.of(utterance).map(|run| run.behind(timestamp)).sum()
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(super) fn warm(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.sequence)
    }

    /// All of them, in order.
    fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.before.iter().chain(&self.last)
    }

    fn of(&self, utterance: u32) -> impl Iterator<Item = &Run> {
        self.runs().filter(move |run| run.utterance == utterance)
    }

    /// The utterance and the samples of a packet, where it was speech and is remembered.
    pub(super) fn frame(&self, sequence: u64) -> Option<(u32, u32)> {
        self.runs()
            .find(|run| (run.sequence..run.sequence + u64::from(run.frames)).contains(&sequence))
            .map(|run| (run.utterance, run.duration))
    }

    /// Where the last speech that left by then begins.
    pub(super) fn reached(&self, sequence: u64) -> Option<u64> {
        let run = self.runs().rfind(|run| run.sequence <= sequence)?;
        let at = (sequence - run.sequence).min(u64::from(run.frames) - 1);
        Some(run.timestamp + at * u64::from(run.duration))
    }

    /// Whether the frame that left last is of this utterance.
    pub(super) fn ends_with(&self, utterance: u32) -> bool {
        self.last.is_some_and(|last| last.utterance == utterance)
    }

    /// The frame that left last will leave again.
    pub(super) fn take_back(&mut self) {
        if let Some(last) = &mut self.last {
            last.frames -= 1;
            if last.frames == 0 {
                self.last = self.before.pop_back();
            }
        }
    }

    /// The device plays `timestamp`: what was heard long before is forgotten.
    pub(super) fn forget(&mut self, timestamp: u64) {
        let long_heard = |run: &Run| run.end() + REMEMBERED < timestamp;
        while self.before.front().is_some_and(long_heard) {
            self.before.pop_front();
        }
        if self.before.is_empty() {
            self.last.take_if(|last| long_heard(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stretches of one utterance with a pause of 100 ms between, then another utterance.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for number in 0..10 {
            ledger.push(1, 100 + number, 48_000 + number * 960, 960);
        }
        for number in 0..5 {
            ledger.push(1, 110 + number, 62_400 + number * 960, 960);
        }
        for number in 0..2 {
            ledger.push(2, 118 + number, 67_200 + number * 2_880, 2_880);
        }
        ledger
    }

    #[test]
    fn what_is_not_heard_yet_stands_still_in_a_pause() {
        let ledger = ledger();
        assert_eq!(ledger.runs().count(), 3);
        let unplayed = |timestamp| (ledger.unplayed(1, timestamp), ledger.unplayed(2, timestamp));
        assert_eq!(unplayed(0), (15 * 960, 5_760));
        assert_eq!(unplayed(48_480), (15 * 960 - 480, 5_760));
        assert_eq!(unplayed(57_600), (5 * 960, 5_760));
        assert_eq!(unplayed(62_400), (5 * 960, 5_760));
        assert_eq!(unplayed(67_200), (0, 5_760));
        assert_eq!(unplayed(100_000), (0, 0));
    }

    #[test]
    fn frames_are_under_way_as_a_whole() {
        let ledger = ledger();
        assert_eq!(ledger.under_way(2, 67_199), 5_760);
        assert_eq!(ledger.under_way(2, 67_200), 2_880);
        assert_eq!(ledger.under_way(2, 70_079), 2_880);
        assert_eq!(ledger.under_way(2, 70_080), 0);
    }

    #[test]
    fn a_packet_is_known_by_its_sequence_number() {
        let ledger = ledger();
        assert_eq!(ledger.frame(109), Some((1, 960)));
        assert_eq!(ledger.frame(119), Some((2, 2_880)));
        assert_eq!(ledger.frame(116), None, "silence");
        assert_eq!(ledger.reached(103), Some(50_880));
        assert_eq!(ledger.reached(116), Some(66_240), "the last speech before it");
        assert_eq!(ledger.reached(99), None);
    }

    #[test]
    fn what_is_taken_back_is_not_under_way() {
        let mut ledger = ledger();
        ledger.take_back();
        assert_eq!(ledger.unplayed(2, 0), 2_880);
        ledger.take_back();
        assert_eq!((ledger.unplayed(2, 0), ledger.unplayed(1, 0)), (0, 15 * 960));
    }

    #[test]
    fn it_is_bounded_and_forgets_what_was_heard() {
        let mut ledger = Ledger::default();
        for number in 0..1_000_u64 {
            ledger.push(1, number, number * 2_000, 960);
        }
        assert_eq!(ledger.runs().count(), MAX_RUNS);
        ledger.forget(2_000_000 + 2 * REMEMBERED);
        assert_eq!(ledger.runs().count(), 0);
    }
}
