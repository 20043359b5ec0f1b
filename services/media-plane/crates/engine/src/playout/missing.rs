//! Packets that the caller asked for again: until the answer reaches it they have not come, and without an answer they never will.

use std::collections::VecDeque;

use crate::time::Time;

/// Most that are remembered; the oldest are settled as they stand.
const MOST: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Asked {
    sequence: u64,
    utterance: u32,
    samples: u32,
    /// When the answer is there; never, where there is none.
    comes: Time,
}

#[derive(Debug, Default)]
pub(super) struct Missing(VecDeque<Asked>);

impl Missing {
    /// The caller asks for a packet of an utterance. Returns what is settled by that: an utterance, and samples that it misses for good.
    pub(super) fn ask(&mut self, sequence: u64, utterance: u32, samples: u32, comes: Time) -> Option<(u32, u64)> {
        if let Some(known) = self.0.iter_mut().find(|asked| asked.sequence == sequence) {
            known.comes = comes;
            return None;
        }
        let settled = if self.0.len() == MOST { self.0.pop_front() } else { None };
        self.0.push_back(Asked {
            sequence,
            utterance,
            samples,
            comes,
        });
        settled
            .filter(|asked| asked.comes == Time::NEVER)
            .map(|asked| (asked.utterance, u64::from(asked.samples)))
    }

    /// Samples of an utterance that were asked for and are not there: up to a sequence number, and behind it.
    pub(super) fn of(&self, utterance: u32, now: Time, sequence: u64) -> (u64, u64) {
        let absent = |asked: &&Asked| asked.utterance == utterance && asked.comes > now;
        self.0.iter().filter(absent).fold((0, 0), |(before, behind), asked| {
            let samples = u64::from(asked.samples);
            match asked.sequence <= sequence {
                true => (before + samples, behind),
                false => (before, behind + samples),
            }
        })
    }

    /// Whether the caller asked for this packet before.
    pub(super) fn knows(&self, sequence: u64) -> bool {
        self.0.iter().any(|asked| asked.sequence == sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_is_missing_until_it_comes_and_what_is_not_for_good() {
        let mut missing = Missing::default();
        missing.ask(7, 1, 960, Time(100));
        missing.ask(8, 1, 960, Time::NEVER);
        missing.ask(9, 2, 960, Time(50));
        let of = |missing: &Missing, now| (missing.of(1, Time(now), 7), missing.of(2, Time(now), 7));
        assert_eq!(of(&missing, 10), ((960, 960), (0, 960)));
        assert_eq!(of(&missing, 100), ((0, 960), (0, 0)));
        missing.ask(7, 1, 960, Time(200));
        assert_eq!(of(&missing, 150), ((960, 960), (0, 0)), "the answer was lost, too");
    }

    #[test]
    fn it_is_bounded_and_forgets_no_loss() {
        let mut missing = Missing::default();
        let settled = (0..1_000).filter_map(|sequence| {
            let comes = if sequence % 2 == 0 { Time::NEVER } else { Time(1) };
            missing.ask(sequence, 1, 960, comes)
        });
        let samples: u64 = settled.map(|(_, samples)| samples).sum();
        assert_eq!(missing.0.len(), MOST);
        assert_eq!(samples + missing.of(1, Time(2), 1_000).0, 500 * 960);
    }
}
