//! Runs of missing packets: announced at once, asked for until they come, filled one by one, given up after a while.

use std::collections::VecDeque;

use super::patience::{Patience, Wait};
use crate::output::{Gap, GapState, Output};
use crate::time::Time;

/// Most runs of missing packets that are waited for; the oldest makes room.
const MAX_HOLES: usize = 128;
/// Most packets of a run that are waited for, the newest: 5 s of 20 ms, more than any sender keeps.
const MAX_RUN: u64 = 256;
/// Most packets asked for at once.
pub(crate) const MAX_ASKED: usize = 256;
/// Most items (RFC 4585 6.2.1: a packet and a bit mask of 16 behind it) of one NACK.
const MAX_ITEMS: usize = 40;

/// Neighbours that were missed at once.
#[derive(Clone, Copy, Debug)]
struct Hole {
    first: u64,
    count: u64,
    wait: Wait,
    ask_at: Time,
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
pub(super) struct Holes {
    runs: VecDeque<Hole>,
    /// Packets that were given up.
    pub(super) given_up: u64,
}

impl Holes {
    /// Announces a run.
    pub(super) fn open(&mut self, now: Time, first: u64, count: u64, patience: &Patience, out: &mut impl Output) {
        while self.runs.len() >= MAX_HOLES {
            self.give_up_oldest(out);
        }
        let hopeless = count.saturating_sub(MAX_RUN);
        let wait = Wait {
            since: now,
            asked: None,
            asks: 0,
        };
        let ask_at = if patience.may_ask() {
            now + patience.grace()
        } else {
            Time::NEVER
        };
        let hole = Hole {
            first,
            count,
            wait,
            ask_at,
        };
        out.gap(hole.gap(GapState::Announced));
        if hopeless > 0 {
            let lost = Hole {
                count: hopeless,
                ..hole
            };
            self.given_up += hopeless;
            out.gap(lost.gap(GapState::Lost));
        }
        self.runs.push_back(Hole {
            first: first + hopeless,
            count: count - hopeless,
            ..hole
        });
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.runs.iter().any(|hole| hole.contains(sequence))
    }

    /// Takes a packet out of its run. Returns what it had been through, if it was in one.
    pub(super) fn fill(&mut self, sequence: u64, out: &mut impl Output) -> Option<Wait> {
        let at = self.runs.iter().position(|hole| hole.contains(sequence))?;
        let hole = self.runs[at];
        let before = sequence - hole.first;
        let rest = Hole {
            first: sequence + 1,
            count: hole.count - before - 1,
            ..hole
        };
        match (before, rest.count) {
            (0, 0) => drop(self.runs.remove(at)),
            (0, _) => self.runs[at] = rest,
            (_, 0) => self.runs[at].count = before,
            (..) => {
                self.runs[at].count = before;
                if self.runs.len() < MAX_HOLES {
                    self.runs.insert(at + 1, rest);
                } else {
                    self.given_up += rest.count;
                    out.gap(rest.gap(GapState::Lost));
                }
            }
        }
        Some(hole.wait)
    }

    /// Gives up what was missing too long.
    pub(super) fn expire(&mut self, now: Time, patience: &mut Patience, out: &mut impl Output) {
        while self.expires(patience) <= now {
            if let Some(wait) = self.give_up_oldest(out) {
                patience.gave_up(&wait);
            }
        }
    }

    /// Gives up everything: its source is gone.
    pub(super) fn give_up(&mut self, out: &mut impl Output) {
        while !self.runs.is_empty() {
            self.give_up_oldest(out);
        }
    }

    fn give_up_oldest(&mut self, out: &mut impl Output) -> Option<Wait> {
        let hole = self.runs.pop_front()?;
        self.given_up += hole.count;
        out.gap(hole.gap(GapState::Lost));
        Some(hole.wait)
    }

    /// Writes the packets that are to be asked for now, in order, less `offset`. Returns how many; what found no room is due still.
    pub(super) fn ask(&mut self, now: Time, offset: u64, patience: &Patience, asked: &mut [u16; MAX_ASKED]) -> usize {
        let (mut count, mut items, mut item) = (0, 0, None::<u64>);
        for hole in self.runs.iter_mut().filter(|hole| hole.ask_at <= now) {
            let behind = item.map_or(u64::MAX, |first| hole.first - first);
            // Of a run, each item holds 17; the first may lie in the item before.
            let wanted = if behind <= 16 {
                hole.count.saturating_sub(17 - behind)
            } else {
                hole.count
            }
            .div_ceil(17);
            if count as u64 + hole.count > MAX_ASKED as u64 || items as u64 + wanted > MAX_ITEMS as u64 {
                break;
            }
            for sequence in hole.first..hole.first + hole.count {
                if item.is_none_or(|first| sequence - first > 16) {
                    item = Some(sequence);
                    items += 1;
                }
                #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are what packets carry")]
                let on_the_wire = sequence.wrapping_sub(offset) as u16;
                asked[count] = on_the_wire;
                count += 1;
            }
            let (first, _) = hole.wait.asked.unwrap_or((now, now));
            hole.wait.asked = Some((first, now));
            hole.wait.asks += 1;
            hole.ask_at = if hole.wait.asks < patience.max_asks() {
                now + patience.interval()
            } else {
                Time::NEVER
            };
        }
        count
    }

    fn expires(&self, patience: &Patience) -> Time {
        self.runs
            .front()
            .map_or(Time::NEVER, |hole| hole.wait.since + patience.give_up())
    }

    /// When something is to be asked for or given up.
    pub(super) fn deadline(&self, patience: &Patience) -> Time {
        if self.runs.is_empty() {
            return Time::NEVER;
        }
        let asks = self.runs.iter().map(|hole| hole.ask_at).min();
        self.expires(patience).min(asks.unwrap_or(Time::NEVER))
    }
}
