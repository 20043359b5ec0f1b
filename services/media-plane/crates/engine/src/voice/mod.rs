//! Whether the caller speaks, by the levels that their device sends (RFC 6464) and what its encoder took each frame for, without
//! decoding: within 60 ms, and not because of noise or echo.
//!
//! What counts is the level that two 20 ms bins in a row hold, since a key or a door is over sooner. It is voice when it stands out of
//! all that was not voice in the last minute: the floor, the loudest noise, and the agent's own voice on its way back. A frame that has
//! a pitch is voice when it stands out of all else that had one, and of the usual noise: keys and traffic, however loud, have none.
//! What comes within 300 ms before voice is not learnt as noise. Somebody who knows better (the worker's model) may say afterwards
//! that it was none.

mod echo;
mod envelope;
mod known;

use std::time::Duration;

use echo::Echo;
use envelope::Floor;
use known::{Known, Margins};

use crate::opus::SignalType;
use crate::output::EchoPath;
use crate::time::Time;

/// A level in dB below or above overload; digital silence is -127.
type Dbov = f32;

/// Digital silence, in -dBov.
pub const SILENT: u8 = 127;
const BIN: Duration = Duration::from_millis(20);
/// Samples of a bin at 48 kHz.
const BIN_SAMPLES: u32 = 960;
/// Voice stands this far out of the floor.
const ABOVE_FLOOR: Dbov = 10.0;
/// What has a pitch stands this far out of the usual noise.
const ABOVE_USUAL: Dbov = 10.0;
/// What is loud enough, whatever it is.
const LOUD: Margins = Margins {
    rare: 5,
    noise: 7.0,
    echo: 7.0,
};
/// What has a pitch.
const PITCHED: Margins = Margins {
    rare: 1,
    noise: 4.0,
    echo: 5.0,
};
/// What the encoder took for no voice, or for a noise, has to be this much louder.
const INACTIVE: Dbov = 3.0;
const UNVOICED: Dbov = 1.0;
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
const NOTHING: Sound = Sound {
    sustained: Dbov::NEG_INFINITY,
    returning: Dbov::NEG_INFINITY,
    signal: None,
};
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
    /// What the caller's encoder took it for, where its packet tells.
    pub signal: Option<SignalType>,
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

/// A bin as it is kept until it is known what it was.
#[derive(Clone, Copy, Debug)]
struct Sound {
    sustained: Dbov,
    /// What of the agent may be in it.
    returning: Dbov,
    signal: Option<SignalType>,
}

impl Sound {
    fn is_pitched(self) -> bool {
        self.signal == Some(SignalType::Voiced)
    }
}

/// Listens to one caller.
#[derive(Clone, Debug)]
pub struct Detector {
    state: State,
    floor: Floor,
    loud: Known,
    pitched: Known,
    echo: Echo,
    /// The last bins: not yet noise.
    recent: [Sound; RECENT],
    recent_at: usize,
    /// The bin in the making: power times samples, and samples.
    power: f32,
    samples: u32,
    before: [Dbov; 2],
    next: u64,
    /// Smallest difference of arrival and timestamp, in microseconds.
    offset: i64,
    bins: u32,
    /// What stood out most since the last onset, and whether that had a pitch.
    peak: Dbov,
    with_pitch: bool,
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
            loud: Known::new(LOUD),
            pitched: Known::new(PITCHED),
            echo: Echo::new(),
            recent: [NOTHING; RECENT],
            recent_at: 0,
            power: 0.0,
            samples: 0,
            before: [-127.0; 2],
            next: 0,
            offset: i64::MAX,
            bins: 0,
            peak: -127.0,
            with_pitch: false,
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
        let mut change = None;
        if heard.timestamp > self.next {
            // What is missing is lost, or a silence of DTX: it is no voice, and says nothing of noise.
            (self.power, self.samples, self.before) = (0.0, 0, [-127.0; 2]);
            change = self.miss((heard.timestamp - self.next) / u64::from(BIN_SAMPLES));
        }
        self.next = heard.timestamp + u64::from(heard.duration);
        let at = self.moment(heard);
        if self.samples == 0 && heard.duration == BIN_SAMPLES {
            return self.bin(at, -Dbov::from(heard.level), heard.signal).or(change);
        }
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
                change = self.bin(at, level, heard.signal).or(change);
            }
        }
        change
    }

    /// It was no voice: what was heard since the last onset is noise, or echo.
    pub fn mistaken(&mut self) {
        self.loud.mistake(self.peak);
        if self.with_pitch {
            self.pitched.mistake(self.peak);
        }
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

    /// What is known of the way of the agent's voice into the caller's microphone.
    #[must_use]
    pub fn echo_path(&self) -> EchoPath {
        self.echo.path()
    }

    /// The floor and the loudest noise, in dBov.
    #[must_use]
    pub fn noise(&self) -> (f32, f32) {
        (self.floor.level(), self.loud.noise().loud())
    }

    /// When the frame would have come without jitter: arrival minima, which a drifting clock may slowly raise.
    fn moment(&mut self, heard: &Heard) -> Time {
        let media = i64::try_from(heard.timestamp * 1_000 / 48).unwrap_or(0);
        let arrived = i64::try_from(heard.at.as_micros()).unwrap_or(0);
        self.offset = self.offset.saturating_add(20).min(arrived - media);
        Time(u64::try_from(media + self.offset).unwrap_or(0))
    }

    fn bin(&mut self, at: Time, level: Dbov, signal: Option<SignalType>) -> Option<Change> {
        let [second, third] = self.before;
        let returning = self.echo.returning(at);
        let sound = Sound {
            sustained: level.min(second),
            returning,
            signal,
        };
        self.before = [level, second];
        self.bins = self.bins.saturating_add(1);
        self.loud.pass();
        self.pitched.pass();
        self.floor.hear(level);
        match self.state {
            State::Quiet => {
                let longer = sound.sustained.min(third) + THIRD;
                let onset = self.onset(sound, sound.sustained.max(longer));
                if self.echo.compare(at, level) {
                    self.loud.forget_noise();
                    self.pitched.forget_noise();
                }
                if let Some((evidence, threshold)) = onset.filter(|_| self.bins > SETTLED) {
                    self.state = State::Voice {
                        end: threshold - HYSTERESIS,
                        quiet: 0,
                    };
                    self.recent = [NOTHING; RECENT];
                    self.peak = evidence;
                    self.with_pitch = sound.is_pitched();
                    return Some(Change::Onset);
                }
                self.learn(sound);
                None
            }
            State::Voice { end, quiet } => {
                self.peak = self.peak.max(sound.sustained);
                self.remember(sound);
                let end = end
                    .max(self.floor.level() + ABOVE_FLOOR - FLOOR_HYSTERESIS)
                    .max(self.loud.noise().loud())
                    .max(self.echo.expected(returning));
                self.quieten(end, if level < end { quiet + 1 } else { 0 })
            }
        }
    }

    /// So many bins did not come.
    fn miss(&mut self, bins: u64) -> Option<Change> {
        let State::Voice { end, quiet } = self.state else {
            return None;
        };
        let bins = u32::try_from(bins).unwrap_or(HANGOVER_BINS).min(HANGOVER_BINS);
        self.quieten(end, quiet + bins)
    }

    /// So many bins in a row were softer than voice is.
    fn quieten(&mut self, end: Dbov, quiet: u32) -> Option<Change> {
        self.state = State::Voice { end, quiet };
        if quiet < HANGOVER_BINS {
            return None;
        }
        self.state = State::Quiet;
        self.guard = GUARD;
        self.recent = [NOTHING; RECENT];
        Some(Change::Offset)
    }

    /// What makes a bin voice, and the threshold that it reached; `None` where it is none.
    fn onset(&self, sound: Sound, evidence: Dbov) -> Option<(Dbov, Dbov)> {
        let echo = self.echo.expected(sound.returning);
        let least = FAINTEST.max(self.floor.level() + ABOVE_FLOOR);
        let doubt = match sound.signal {
            Some(SignalType::Inactive) => INACTIVE,
            Some(SignalType::Unvoiced) => UNVOICED,
            Some(SignalType::Voiced) | None => 0.0,
        };
        let threshold = self.loud.threshold(echo).max(least);
        if evidence >= threshold + doubt {
            return Some((evidence, threshold));
        }
        let usual = self.loud.noise().median() + ABOVE_USUAL;
        let threshold = self.pitched.threshold(echo).max(least).max(usual);
        (sound.is_pitched() && sound.sustained >= threshold).then_some((sound.sustained, threshold))
    }

    /// What is old enough becomes noise, or echo.
    fn learn(&mut self, sound: Sound) {
        let old = self.remember(sound);
        if self.guard > 0 {
            self.guard -= 1;
        } else {
            self.attribute(old);
        }
    }

    /// Keeps what is heard until it is known what it was. Returns what was kept longest.
    fn remember(&mut self, sound: Sound) -> Sound {
        let old = std::mem::replace(&mut self.recent[self.recent_at], sound);
        self.recent_at = (self.recent_at + 1) % RECENT;
        old
    }

    fn attribute(&mut self, sound: Sound) {
        let Sound {
            sustained,
            returning,
            signal,
        } = sound;
        let explained = sustained <= self.loud.noise().loud();
        if !sustained.is_finite() || self.echo.learn(sustained, returning, explained) {
            return;
        }
        self.loud.learn(sustained);
        if signal.is_some() {
            self.pitched.learn(if sound.is_pitched() { sustained } else { -127.0 });
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
