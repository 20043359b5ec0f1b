//! Runs of missing packets: announced at once, filled one by one, given up after a while.

use std::collections::VecDeque;
use std::time::Duration;

use crate::output::{Gap, GapState, Output};
use crate::time::Time;

/// A missing packet is given up after this.
const GIVE_UP: Duration = Duration::from_millis(250);
/// Most runs of missing packets that are waited for; the oldest makes room.
const MAX_HOLES: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Hole {
    first: u64,
    count: u64,
    since: Time,
}

impl Hole {
    fn contains(&self, sequence: u64) -> bool {
        self.first <= sequence && sequence < self.first + self.count
    }

    fn gap(&self, state: GapState) -> Gap {
        Gap {
            first: self.first,
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            state,
        }
    }
}

/// What is missing and may still come, oldest first.
#[derive(Debug, Default)]
pub(super) struct Holes(VecDeque<Hole>);

impl Holes {
    /// Announces a run.
    pub(super) fn open(&mut self, now: Time, first: u64, count: u64, out: &mut impl Output) {
        while self.0.len() >= MAX_HOLES
            && let Some(oldest) = self.0.pop_front()
        {
            out.gap(oldest.gap(GapState::Lost));
        }
        let hole = Hole {
            first,
            count,
            since: now,
        };
        out.gap(hole.gap(GapState::Announced));
        self.0.push_back(hole);
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.0.iter().any(|hole| hole.contains(sequence))
    }

    /// Takes a packet out of its run. Returns whether it was in one.
    pub(super) fn fill(&mut self, sequence: u64, out: &mut impl Output) -> bool {
        let Some(at) = self.0.iter().position(|hole| hole.contains(sequence)) else {
            return false;
        };
        let hole = self.0[at];
        let before = sequence - hole.first;
        let rest = Hole {
            first: sequence + 1,
            count: hole.count - before - 1,
            since: hole.since,
        };
        match (before, rest.count) {
            (0, 0) => drop(self.0.remove(at)),
            (0, _) => self.0[at] = rest,
            (_, 0) => self.0[at].count = before,
            (..) => {
                self.0[at].count = before;
                if self.0.len() < MAX_HOLES {
                    self.0.insert(at + 1, rest);
                } else {
                    out.gap(rest.gap(GapState::Lost));
                }
            }
        }
        true
    }

    /// Gives up what was missing too long.
    pub(super) fn expire(&mut self, now: Time, out: &mut impl Output) {
        while self.deadline() <= now
            && let Some(hole) = self.0.pop_front()
        {
            out.gap(hole.gap(GapState::Lost));
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.0.front().map_or(Time::NEVER, |hole| hole.since + GIVE_UP)
    }
}
