//! Whether the caller speaks, by nothing but the levels that their device sends (RFC 6464): within 60 ms, and not because of noise or echo.
//!
//! What counts is the level that two 20 ms bins in a row hold, since a key or a door is over sooner. It is voice when it stands out of
//! all that was not voice in the last minute: the floor, the loudest noise, and the agent's own voice on its way back. What comes
//! within 300 ms before voice is not learnt as noise. Somebody who knows better (the worker's model) may say afterwards that it was none.

mod echo;
mod envelope;

use std::time::Duration;

use echo::Echo;
use envelope::{Floor, Histogram};

use crate::time::Time;

/// A level in dB below or above overload; digital silence is -127.
type Dbov = f32;

/// Digital silence, in -dBov.
pub const SILENT: u8 = 127;
const BIN: Duration = Duration::from_millis(20);
/// Samples of a bin at 48 kHz.
const BIN_SAMPLES: u32 = 960;
/// Voice stands this far out of the floor,
const ABOVE_FLOOR: Dbov = 10.0;
/// out of the loudest noise,
const ABOVE_NOISE: Dbov = 7.0;
/// out of the agent's own voice on its way back,
const ABOVE_ECHO: Dbov = 7.0;
/// and this much farther for a minute after a mistake.
const CAUTION: Dbov = 4.0;
const CAUTIOUS_BINS: u32 = 3_000;
/// Meanwhile it has to be louder than the mistake was, too.
const ABOVE_MISTAKE: Dbov = 1.0;
/// Three bins in a row may be this much softer than two.
const THIRD: Dbov = 2.5;
/// Nothing below this is voice.
const FAINTEST: Dbov = -55.0;
/// Voice is over when it stayed this far below what began it, or down in the noise, for so many bins.
const HYSTERESIS: Dbov = 6.0;
const FLOOR_HYSTERESIS: Dbov = 2.0;
const HANGOVER_BINS: u32 = 15;
/// Bins after voice that may be its end still, and are nobody's.
const GUARD: u32 = 15;
/// What was heard becomes noise once it is this many bins old.
const RECENT: usize = 15;
const NOTHING: (Dbov, Dbov) = (Dbov::NEG_INFINITY, Dbov::NEG_INFINITY);
/// Bins after which the floor and the noise are known.
const SETTLED: u32 = 25;

/// A frame's level, and when it was heard.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When it came, on the edge's clock.
    pub at: Time,
    /// Timestamp of the frame at 48 kHz on the session's time line.
    pub timestamp: u64,
    /// Duration in 48 kHz samples.
    pub duration: u32,
    /// In -dBov: 0 is overload, 127 digital silence.
    pub level: u8,
}

/// What changed with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The caller begins to speak.
    Onset,
    /// The caller has stopped.
    Offset,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Quiet,
    /// Louder than `end` until `quiet` bins were not.
    Voice {
        end: Dbov,
        quiet: u32,
    },
}

/// Listens to one caller's levels.
#[derive(Clone, Debug)]
pub struct Detector {
    state: State,
    floor: Floor,
    noise: Histogram,
    echo: Echo,
    /// Sustained levels of the last bins and what was played for them: not yet noise.
    recent: [(Dbov, Dbov); RECENT],
    recent_at: usize,
    /// The bin in the making: power times samples, and samples.
    power: f32,
    samples: u32,
    before: [Dbov; 2],
    next: u64,
    /// Smallest difference of arrival and timestamp, in microseconds.
    offset: i64,
    bins: u32,
    cautious: u32,
    /// What stood out most since the last onset, and what was played for it.
    peak: Dbov,
    mistaken: Dbov,
    guard: u32,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Quiet,
            floor: Floor::new(),
            noise: Histogram::new(),
            echo: Echo::new(),
            recent: [NOTHING; RECENT],
            recent_at: 0,
            power: 0.0,
            samples: 0,
            before: [-127.0; 2],
            next: 0,
            offset: i64::MAX,
            bins: 0,
            cautious: 0,
            peak: -127.0,
            mistaken: -127.0,
            guard: 0,
        }
    }

    /// A frame of the agent leaves for the caller: its level in -dBov.
    pub fn played(&mut self, now: Time, duration: u32, level: u8) {
        self.echo.play(now, samples(duration), level);
    }

    /// A frame of the caller came. Older than the last one, it says nothing.
    pub fn hear(&mut self, heard: &Heard) -> Option<Change> {
        if heard.timestamp < self.next {
            return None;
        }
        if heard.timestamp > self.next {
            // Nothing is known of what is missing; a silence of DTX is none of it, and none is voice.
            (self.power, self.samples, self.before) = (0.0, 0, [-127.0; 2]);
        }
        self.next = heard.timestamp + u64::from(heard.duration);
        let at = self.moment(heard);
        let mut change = None;
        let mut rest = heard.duration;
        let power = power(heard.level);
        while rest > 0 {
            let part = rest.min(BIN_SAMPLES - self.samples);
            self.power += power * part as f32;
            self.samples += part;
            rest -= part;
            if self.samples == BIN_SAMPLES {
                let level = level(self.power / BIN_SAMPLES as f32);
                (self.power, self.samples) = (0.0, 0);
                change = self.bin(at, level).or(change);
            }
        }
        change
    }

    /// It was no voice: what was heard since the last onset is noise, or echo.
    pub fn mistaken(&mut self) {
        let before = if self.cautious > 0 { self.mistaken } else { self.peak };
        self.mistaken = before.max(self.peak);
        self.cautious = CAUTIOUS_BINS;
        self.state = State::Quiet;
        for kept in std::mem::replace(&mut self.recent, [NOTHING; RECENT]) {
            self.attribute(kept);
        }
    }

    /// Whether the caller speaks.
    #[must_use]
    pub fn is_voice(&self) -> bool {
        self.state != State::Quiet
    }

    /// The measured echo path and its loss in dB.
    #[must_use]
    pub fn echo_path(&self) -> Option<(Duration, f32)> {
        self.echo.path()
    }

    /// The floor and the loudest noise, in dBov.
    #[must_use]
    pub fn noise(&self) -> (f32, f32) {
        (self.floor.level(), self.noise.loud())
    }

    /// When the frame would have come without jitter: arrival minima, which a drifting clock may slowly raise.
    fn moment(&mut self, heard: &Heard) -> Time {
        let media = i64::try_from(heard.timestamp * 1_000 / 48).unwrap_or(0);
        let arrived = i64::try_from(heard.at.as_micros()).unwrap_or(0);
        self.offset = self.offset.saturating_add(20).min(arrived - media);
        Time(u64::try_from(media + self.offset).unwrap_or(0))
    }

    fn bin(&mut self, at: Time, level: Dbov) -> Option<Change> {
        let [second, third] = self.before;
        let sustained = level.min(second);
        self.before = [level, second];
        self.bins = self.bins.saturating_add(1);
        self.cautious = self.cautious.saturating_sub(1);
        self.floor.hear(level);
        let returning = self.echo.returning(at);
        match self.state {
            State::Quiet => {
                let threshold = self.threshold(returning);
                if self.echo.compare(at, level) {
                    self.noise = Histogram::new();
                }
                let evidence = sustained.max(sustained.min(third) + THIRD);
                if evidence >= threshold && self.bins > SETTLED {
                    self.state = State::Voice {
                        end: threshold - HYSTERESIS,
                        quiet: 0,
                    };
                    self.recent = [NOTHING; RECENT];
                    self.peak = evidence;
                    return Some(Change::Onset);
                }
                self.learn(sustained, returning);
                None
            }
            State::Voice { end, quiet } => {
                self.peak = self.peak.max(sustained);
                self.remember(sustained, returning);
                let end = end
                    .max(self.floor.level() + ABOVE_FLOOR - FLOOR_HYSTERESIS)
                    .max(self.noise.loud());
                let quiet = if level < end { quiet + 1 } else { 0 };
                let over = quiet >= HANGOVER_BINS;
                if over {
                    self.guard = GUARD;
                    self.recent = [NOTHING; RECENT];
                }
                self.state = if over {
                    State::Quiet
                } else {
                    State::Voice { end, quiet }
                };
                over.then_some(Change::Offset)
            }
        }
    }

    fn threshold(&self, returning: Dbov) -> Dbov {
        let caution = CAUTION * self.cautious as f32 / CAUTIOUS_BINS as f32;
        let mistaken = if self.cautious > 0 {
            self.mistaken + ABOVE_MISTAKE
        } else {
            FAINTEST
        };
        let noise = self.noise.loud() + ABOVE_NOISE + caution;
        let echo = self.echo.expected(returning) + ABOVE_ECHO + caution;
        (self.floor.level() + ABOVE_FLOOR)
            .max(noise)
            .max(echo)
            .max(FAINTEST)
            .max(mistaken)
    }

    /// What is old enough becomes noise, or echo.
    fn learn(&mut self, sustained: Dbov, returning: Dbov) {
        let old = self.remember(sustained, returning);
        if self.guard > 0 {
            self.guard -= 1;
        } else {
            self.attribute(old);
        }
    }

    /// Keeps what is heard until it is known what it was. Returns what was kept longest.
    fn remember(&mut self, sustained: Dbov, returning: Dbov) -> (Dbov, Dbov) {
        let old = std::mem::replace(&mut self.recent[self.recent_at], (sustained, returning));
        self.recent_at = (self.recent_at + 1) % RECENT;
        old
    }

    fn attribute(&mut self, (sustained, returning): (Dbov, Dbov)) {
        if sustained.is_finite() && !self.echo.learn(sustained, returning, sustained <= self.noise.loud()) {
            self.noise.learn(sustained);
        }
    }
}

fn power(level: u8) -> f32 {
    if level >= SILENT {
        0.0
    } else {
        10_f32.powf(-f32::from(level) / 10.0)
    }
}

fn level(power: f32) -> Dbov {
    if power > 0.0 {
        (10.0 * power.log10()).max(-127.0)
    } else {
        -127.0
    }
}

fn samples(count: u32) -> Duration {
    Duration::from_micros(u64::from(count) * 1_000 / 48)
}
