//! A timer wheel with two turns: 256 buckets of a millisecond and 256 of 256 ms. Cancelling is left to whoever fires: he
//! looks whether the deadline still stands. Bit sets of occupied buckets find the next deadline in a few words.

use antiphon_engine::Time;

const BUCKETS: u64 = 256;
const TICK_US: u64 = 1_000;
/// Timers that a bucket has room for from the start.
const USUAL: usize = 8;

/// A deadline, and the place in the shard's table of the session that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) deadline: Time,
    pub(crate) index: u32,
}

#[derive(Debug)]
struct Turn {
    buckets: Vec<Vec<Timer>>,
    occupied: [u64; 4],
}

impl Turn {
    fn new() -> Self {
        Self {
            buckets: std::iter::repeat_with(|| Vec::with_capacity(USUAL))
                .take(BUCKETS as usize)
                .collect(),
            occupied: [0; 4],
        }
    }

    fn insert(&mut self, tick: u64, timer: Timer) {
        let at = (tick % BUCKETS) as usize;
        self.buckets[at].push(timer);
        self.occupied[at / 64] |= 1 << (at % 64);
    }

    fn is_occupied(&self, tick: u64) -> bool {
        let at = (tick % BUCKETS) as usize;
        self.occupied[at / 64] & 1 << (at % 64) != 0
    }

    /// The bucket's entries are moved to `into`; both keep their memory.
    fn drain(&mut self, tick: u64, into: &mut Vec<Timer>) {
        let at = (tick % BUCKETS) as usize;
        into.append(&mut self.buckets[at]);
        self.occupied[at / 64] &= !(1 << (at % 64));
    }

    /// The first occupied tick from `from` on, within one turn.
    fn next(&self, from: u64) -> Option<u64> {
        if self.occupied == [0; 4] {
            return None;
        }
        let mut tick = from;
        let end = from + BUCKETS;
        while tick < end {
            let at = (tick % BUCKETS) as usize;
            let word = self.occupied[at / 64] >> (at % 64);
            if word != 0 {
                let found = tick + u64::from(word.trailing_zeros());
                return (found < end).then_some(found);
            }
            tick += 64 - (at % 64) as u64;
        }
        None
    }
}

/// Deadlines of a shard's sessions.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// First tick that has not fired.
    tick: u64,
    fine: Turn,
    coarse: Turn,
    cascade: Vec<Timer>,
}

impl Wheel {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            tick: now.as_micros() / TICK_US,
            fine: Turn::new(),
            coarse: Turn::new(),
            cascade: Vec::with_capacity(64),
        }
    }

    /// Fires `index` at `deadline` or up to a millisecond later.
    pub(crate) fn insert(&mut self, deadline: Time, index: u32) {
        let timer = Timer { deadline, index };
        let tick = deadline.as_micros().div_ceil(TICK_US).max(self.tick);
        if tick - self.tick < BUCKETS {
            self.fine.insert(tick, timer);
        } else {
            // Beyond the coarse turn (a minute) it waits in the last bucket and is sorted in anew from there.
            let turn = (tick / BUCKETS).min(self.tick / BUCKETS + BUCKETS - 1);
            self.coarse.insert(turn, timer);
        }
    }

    /// Moves on to `now` and appends what is due to `due`.
    pub(crate) fn advance(&mut self, now: Time, due: &mut Vec<Timer>) {
        let end = now.as_micros() / TICK_US;
        while self.tick <= end {
            let turn = self.tick / BUCKETS;
            if self.tick.is_multiple_of(BUCKETS) && self.coarse.is_occupied(turn) {
                let mut cascade = std::mem::take(&mut self.cascade);
                self.coarse.drain(turn, &mut cascade);
                for timer in cascade.drain(..) {
                    self.insert(timer.deadline, timer.index);
                }
                self.cascade = cascade;
            }
            self.fine.drain(self.tick, due);
            self.tick += 1;
            self.tick = self.next_tick().unwrap_or(end + 1).min(end + 1).max(self.tick);
        }
    }

    /// When [`Wheel::advance`] has something to do next.
    pub(crate) fn next(&self) -> Option<Time> {
        self.next_tick().map(|tick| Time(tick * TICK_US))
    }

    /// Timers that are set, or were and have not fired yet.
    pub(crate) fn len(&self) -> usize {
        let timers = |turn: &Turn| turn.buckets.iter().map(Vec::len).sum::<usize>();
        timers(&self.fine) + timers(&self.coarse)
    }

    fn next_tick(&self) -> Option<u64> {
        let fine = self.fine.next(self.tick);
        let coarse = self.coarse.next(self.tick.div_ceil(BUCKETS)).map(|turn| turn * BUCKETS);
        match (fine, coarse) {
            (Some(fine), Some(coarse)) => Some(fine.min(coarse)),
            (fine, coarse) => fine.or(coarse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    fn fired(wheel: &mut Wheel, ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(at(ms), &mut due);
        due.iter().map(|timer| timer.index).collect()
    }

    #[test]
    fn near_deadlines_fire_in_their_millisecond() {
        let mut wheel = Wheel::new(at(1_000_000));
        wheel.insert(at(1_000_020), 1);
        wheel.insert(Time(1_000_020_001), 2);
        assert_eq!(wheel.next(), Some(at(1_000_020)));
        assert!(fired(&mut wheel, 1_000_019).is_empty());
        assert_eq!(fired(&mut wheel, 1_000_020), [1]);
        assert_eq!(fired(&mut wheel, 1_000_021), [2]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn far_deadlines_fire_in_their_millisecond_too() {
        let start = 777_777;
        let mut wheel = Wheel::new(at(start));
        let far = [256, 300, 511, 512, 5_000, 30_000, 65_535, 65_536, 200_000];
        for (ms, index) in far.into_iter().zip(0..) {
            wheel.insert(at(start + ms), index);
        }
        for (ms, index) in far.into_iter().zip(0..) {
            assert!(fired(&mut wheel, start + ms - 1).is_empty(), "{ms} ms");
            assert_eq!(fired(&mut wheel, start + ms), [index], "{ms} ms");
        }
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn the_past_fires_at_once() {
        let mut wheel = Wheel::new(at(500));
        wheel.insert(at(10), 9);
        assert_eq!(fired(&mut wheel, 500), [9]);
        wheel.insert(at(10), 8);
        assert_eq!(fired(&mut wheel, 501), [8]);
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let mut wheel = Wheel::new(at(0));
        for ms in 0..2_000 {
            wheel.insert(at(ms), u32::try_from(ms).expect("few"));
        }
        let mut due = fired(&mut wheel, 100_000);
        due.sort_unstable();
        assert_eq!(due, (0..2_000).collect::<Vec<_>>());
    }
}
