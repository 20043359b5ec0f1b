//! What was heard and was no voice, and what was mistaken for it: voice has to stand out of both.

use super::Dbov;
use super::envelope::Histogram;

/// How far voice stands out, in dB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    /// Of this share of what was no voice, of 256, voice need not stand out.
    pub(super) rare: u32,
    /// Of the rest of it,
    pub(super) noise: Dbov,
    /// and of the agent's own voice on its way back.
    pub(super) echo: Dbov,
}

/// Voice is this much louder than what was mistaken for it was, for 90 s.
const ABOVE_MISTAKE: Dbov = 2.0;
const CAUTIOUS_BINS: u32 = 4_500;

/// One memory of what was no voice.
#[derive(Clone, Debug)]
pub(super) struct Known {
    margins: Margins,
    noise: Histogram,
    mistaken: Dbov,
    cautious: u32,
}

impl Known {
    pub(super) const fn new(margins: Margins) -> Self {
        Self {
            margins,
            noise: Histogram::new(margins.rare),
            mistaken: -127.0,
            cautious: 0,
        }
    }

    /// The level that voice has to reach beside an echo of up to `echo`.
    pub(super) fn threshold(&self, echo: Dbov) -> Dbov {
        let mistaken = if self.cautious > 0 {
            self.mistaken + ABOVE_MISTAKE
        } else {
            -127.0
        };
        let noise = self.noise.loud() + self.margins.noise;
        noise.max(echo + self.margins.echo).max(mistaken)
    }

    pub(super) fn noise(&self) -> &Histogram {
        &self.noise
    }

    pub(super) fn learn(&mut self, level: Dbov) {
        self.noise.learn(level);
    }

    /// What was learnt was something else.
    pub(super) fn forget_noise(&mut self) {
        self.noise = Histogram::new(self.margins.rare);
    }

    /// What was as loud as this was no voice.
    pub(super) fn mistake(&mut self, peak: Dbov) {
        self.mistaken = if self.cautious > 0 {
            self.mistaken.max(peak)
        } else {
            peak
        };
        self.cautious = CAUTIOUS_BINS;
    }

    /// A bin passed.
    pub(super) fn pass(&mut self) {
        self.cautious = self.cautious.saturating_sub(1);
    }
}
