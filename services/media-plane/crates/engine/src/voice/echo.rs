//! The agent's own voice in the caller's microphone: what was played, how much later it comes back, and how much softer.

use std::time::Duration;

use super::envelope::Histogram;
use super::{BIN, Dbov, SILENT};
use crate::output::EchoPath;
use crate::time::Time;

/// Bins of what was played that are kept: 1.28 s.
const KEPT: usize = 64;
/// Longest echo path that is looked for, in bins: 600 ms, network and jitter buffer included.
const LAGS: usize = 31;
/// Below this nothing played is worth a gate.
const AUDIBLE: Dbov = -60.0;
/// From here on what comes back tells how much softer it is.
const TELLING: Dbov = -35.0;
/// A correlation of levels from which on a path is believed.
const BELIEVED: f32 = 0.6;
/// Bins that have to be compared before one is.
const COMPARED: u32 = 100;
/// Weight of a bin in the averages: about 3 s.
const WEIGHT: f32 = 1.0 / 150.0;
/// What a room takes from an echo in each bin.
const DECAY: Dbov = 3.0;
const TAIL: usize = 8;
/// Before an echo was ever measured it is taken to be this much softer than what was played.
const UNMEASURED: Dbov = -10.0;
/// Of 256 parts of what came back, so many are softer less.
const LOUDER: u32 = 5;
/// Bins that measure it.
const MEASURED: u32 = 25;

/// What was played, in bins of the edge's clock, and what is known of its way back.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    played: [u8; KEPT],
    /// Number of the newest bin.
    newest: u64,
    /// Averages of the levels heard and played, of their squares, and of their products for each lag.
    heard_mean: f32,
    heard_square: f32,
    played_mean: f32,
    played_square: f32,
    products: [f32; LAGS],
    compared: u32,
    lag: Option<usize>,
    /// What came back, less what was played.
    coupling: Histogram,
    measured: u32,
}

impl Echo {
    pub(super) const fn new() -> Self {
        Self {
            played: [SILENT; KEPT],
            newest: 0,
            heard_mean: 0.0,
            heard_square: 0.0,
            played_mean: 0.0,
            played_square: 0.0,
            products: [0.0; LAGS],
            compared: 0,
            lag: None,
            coupling: Histogram::new(LOUDER),
            measured: 0,
        }
    }

    /// A frame leaves for the caller. Level in -dBov.
    pub(super) fn play(&mut self, now: Time, duration: Duration, level: u8) {
        let first = number(now);
        let last = number(now + duration.saturating_sub(Duration::from_micros(1)));
        self.advance(last);
        for bin in first..=last {
            let place = &mut self.played[place(bin)];
            *place = (*place).min(level);
        }
    }

    fn advance(&mut self, bin: u64) {
        let from = self.newest.max(bin.saturating_sub(KEPT as u64));
        for new in from..bin {
            self.played[place(new + 1)] = SILENT;
        }
        self.newest = self.newest.max(bin);
    }

    /// What was played `lag` bins before `now`.
    fn played(&self, now: Time, lag: usize) -> Dbov {
        let bin = number(now).saturating_sub(lag as u64);
        let kept = bin <= self.newest && bin + (KEPT as u64) > self.newest;
        -Dbov::from(if kept { self.played[place(bin)] } else { SILENT })
    }

    /// The loudest of what was played that may be heard again now.
    pub(super) fn returning(&self, now: Time) -> Dbov {
        let quiet = -Dbov::from(SILENT);
        match self.lag {
            None => (0..LAGS).map(|lag| self.played(now, lag)).fold(quiet, Dbov::max),
            Some(lag) => {
                let direct = (lag.saturating_sub(2)..=lag + 1).map(|lag| self.played(now, lag));
                let mut loudest = direct.fold(quiet, Dbov::max);
                let mut decay = 0.0;
                for behind in 2..TAIL {
                    decay += DECAY;
                    loudest = loudest.max(self.played(now, lag + behind) - decay);
                }
                loudest
            }
        }
    }

    /// The level below which what is heard may be echo.
    pub(super) fn expected(&self, returning: Dbov) -> Dbov {
        let unrelated = self.lag.is_none() && self.compared >= COMPARED;
        if returning < AUDIBLE || unrelated {
            return -Dbov::from(SILENT);
        }
        let softer = if self.measured >= MEASURED {
            self.coupling.loud()
        } else {
            UNMEASURED
        };
        returning + softer
    }

    /// Learns from what was heard while nobody spoke. Returns whether it may have been echo, so that it says nothing of noise.
    pub(super) fn learn(&mut self, sustained: Dbov, returning: Dbov, explained: bool) -> bool {
        if returning < AUDIBLE {
            return false;
        }
        if returning >= TELLING {
            self.measured = self.measured.saturating_add(1);
            self.coupling.learn(if explained {
                -Dbov::from(SILENT)
            } else {
                sustained - returning
            });
        }
        self.lag.is_some()
    }

    /// Compares what is heard with what was played, at every lag. Returns whether an echo was found that was not known.
    pub(super) fn compare(&mut self, now: Time, level: Dbov) -> bool {
        let mut loudest = -Dbov::from(SILENT);
        let mut shifted = [0.0; LAGS];
        for (lag, place) in shifted.iter_mut().enumerate() {
            let played = self.played(now, lag);
            loudest = loudest.max(played);
            *place = played.max(-70.0) - self.played_mean;
        }
        if loudest < AUDIBLE {
            return false;
        }
        self.compared = self.compared.saturating_add(1);
        let weight = WEIGHT.max(1.0 / self.compared as f32);
        let heard = level.max(-80.0) - self.heard_mean;
        let played = shifted[LAGS / 2];
        self.heard_square += weight * (heard * heard - self.heard_square);
        self.played_square += weight * (played * played - self.played_square);
        for (product, played) in self.products.iter_mut().zip(shifted) {
            *product += weight * (heard * played - *product);
        }
        self.heard_mean += weight * heard;
        self.played_mean += weight * played;
        let found = self
            .find()
            .or(self.lag.filter(|lag| self.correlation(*lag) > BELIEVED / 2.0));
        let turned = found.is_some() != self.lag.is_some();
        if turned {
            self.coupling = Histogram::new(LOUDER);
            self.measured = 0;
        }
        self.lag = found;
        turned && found.is_some()
    }

    fn find(&self) -> Option<usize> {
        if self.compared < COMPARED {
            return None;
        }
        let best = (1..LAGS).max_by(|a, b| self.products[*a].total_cmp(&self.products[*b]))?;
        (self.correlation(best) > BELIEVED).then_some(best)
    }

    fn correlation(&self, lag: usize) -> f32 {
        let scale = (self.heard_square * self.played_square).sqrt();
        if scale > 1.0 { self.products[lag] / scale } else { 0.0 }
    }

    pub(super) fn path(&self) -> EchoPath {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        match self.lag {
            Some(lag) => EchoPath::Found {
                delay: BIN * lag as u32,
                loss_db: (-self.coupling.loud()).round().clamp(0.0, 250.0) as u8,
            },
            None if self.compared < COMPARED => EchoPath::Unknown,
            None => EchoPath::None,
        }
    }
}

fn number(now: Time) -> u64 {
    now.as_micros() / BIN.as_micros() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "less than KEPT")]
fn place(bin: u64) -> usize {
    (bin % KEPT as u64) as usize
}
