//! What a caller's silence sounds like: its floor by minimum statistics, and how loud it gets, as a histogram that forgets.

use super::Dbov;

/// The level that the caller's silence falls back to. It goes down at once, and up within 2.4 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    minima: [i8; Self::PARTS],
    at: usize,
    bins: u32,
}

impl Floor {
    /// Of 300 ms: together they hold the pauses of running speech.
    const PARTS: usize = 8;
    const BINS: u32 = 15;

    pub(super) const fn new() -> Self {
        Self {
            minima: [0; Self::PARTS],
            at: 0,
            bins: 0,
        }
    }

    pub(super) fn hear(&mut self, level: Dbov) {
        let level = quantised(level);
        self.minima[self.at] = self.minima[self.at].min(level);
        self.bins += 1;
        if self.bins == Self::BINS {
            self.bins = 0;
            self.at = (self.at + 1) % Self::PARTS;
            self.minima[self.at] = level;
        }
    }

    pub(super) fn level(&self) -> Dbov {
        Dbov::from(self.minima.iter().copied().min().unwrap_or(0))
    }
}

/// How often which level was heard, in steps of 1.5 dB. What is old counts less: it is halved every 20 s.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: [u16; Self::STEPS],
    since_halved: u16,
    since_asked: u16,
    louder: u32,
    loud: Dbov,
    median: Dbov,
}

impl Histogram {
    const STEPS: usize = 68;
    const STEP: Dbov = 1.5;
    const LOWEST: Dbov = -96.0;
    const HALVED_AFTER: u16 = 1_000;
    const ASKED_AFTER: u16 = 8;

    /// `louder` of 256 parts of what is heard exceed [`Self::loud`].
    pub(super) const fn new(louder: u32) -> Self {
        Self {
            counts: [0; Self::STEPS],
            since_halved: 0,
            since_asked: 0,
            louder,
            loud: Self::LOWEST,
            median: Self::LOWEST,
        }
    }

    pub(super) fn learn(&mut self, level: Dbov) {
        let step = ((level - Self::LOWEST) / Self::STEP).clamp(0.0, (Self::STEPS - 1) as f32);
        self.counts[step as usize] += 1;
        self.since_halved += 1;
        self.since_asked += 1;
        if self.since_halved == Self::HALVED_AFTER {
            self.since_halved = 0;
            for count in &mut self.counts {
                *count /= 2;
            }
        }
        if self.since_asked >= Self::ASKED_AFTER {
            self.since_asked = 0;
            self.ask();
        }
    }

    /// The level that is seldom exceeded.
    pub(super) fn loud(&self) -> Dbov {
        self.loud
    }

    /// The level that half of it exceeds.
    pub(super) fn median(&self) -> Dbov {
        self.median
    }

    fn ask(&mut self) {
        let all: u32 = self.counts.iter().map(|count| u32::from(*count)).sum();
        let mut louder = 0;
        self.loud = Self::LOWEST;
        self.median = Self::LOWEST;
        for (step, count) in self.counts.iter().enumerate().rev() {
            louder += u32::from(*count);
            let level = Self::LOWEST + Self::STEP * (step + 1) as f32;
            if louder * 256 > all * self.louder {
                self.loud = self.loud.max(level);
            }
            if louder * 2 > all {
                self.median = level;
                return;
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
fn quantised(level: Dbov) -> i8 {
    level.clamp(-127.0, 127.0).round() as i8
}
