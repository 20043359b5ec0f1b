//! The detector on traces of levels and signal types: noise, keys, and the agent's own voice coming back are no voice; a minute of each.

use std::collections::VecDeque;

use antiphon_engine::Time;
use antiphon_engine::opus::SignalType;
use antiphon_engine::voice::{Change, Detector, Heard, SILENT};
use antiphon_netsim::{Random, Seed};

const FRAME_US: u64 = 20_000;
const MINUTE: usize = 3_000;
/// Frames after which the worker has said what it thinks.
const VERDICT: usize = 15;

/// What of speech a frame is: syllables of some frames and pauses between them, in -dBov.
struct Speech {
    random: Random,
    loudness: u8,
    syllable: u64,
    pause: u64,
}

impl Speech {
    fn new(seed: u64, loudness: u8) -> Self {
        Self {
            random: Random::new(seed),
            loudness,
            syllable: 0,
            pause: 0,
        }
    }

    fn next(&mut self) -> u8 {
        if self.syllable == 0 && self.pause == 0 {
            self.syllable = 5 + self.random.below(12);
            self.pause = if self.random.below(6) == 0 {
                15 + self.random.below(20)
            } else {
                1 + self.random.below(4)
            };
        }
        if self.syllable > 0 {
            self.syllable -= 1;
            self.loudness + u8::try_from(self.random.below(12)).expect("small")
        } else {
            self.pause -= 1;
            (self.loudness + 40).min(SILENT)
        }
    }
}

/// Two sounds at once.
fn mixed(one: u8, other: u8) -> u8 {
    let power = |level: u8| 10_f64.powf(-f64::from(level) / 10.0);
    (-10.0 * (power(one) + power(other)).log10()).round().clamp(0.0, 127.0) as u8
}

/// Feeds a trace of (played, heard) levels to a detector whose every onset is a mistake. Returns the onsets.
fn mistakes(detector: &mut Detector, trace: impl Iterator<Item = (u8, u8)>) -> Vec<usize> {
    mistakes_of(detector, trace.map(|(played, heard)| (played, heard, None)))
}

/// The same with what the encoder took the frames for.
fn mistakes_of(detector: &mut Detector, trace: impl Iterator<Item = (u8, u8, Option<SignalType>)>) -> Vec<usize> {
    let mut onsets: Vec<usize> = Vec::new();
    for (at, (played, heard, signal)) in trace.enumerate() {
        let now = Time(1_000_000_000 + at as u64 * FRAME_US);
        detector.played(now, 960, played);
        let heard = Heard {
            at: Time(now.0 + FRAME_US),
            timestamp: at as u64 * 960,
            duration: 960,
            level: heard,
            signal,
        };
        if detector.hear(&heard) == Some(Change::Onset) {
            onsets.push(at);
        }
        if onsets.last().is_some_and(|onset| onset + VERDICT == at) {
            detector.mistaken();
        }
    }
    onsets
}

#[test]
fn the_agent_s_own_echo_stops_it_once_a_minute_at_most() {
    let seed = Seed::or(21);
    for (delay, loss) in [(3, 10), (5, 15), (10, 20), (15, 30), (8, 40)] {
        let mut agent = Speech::new(seed.value() + delay as u64, 18);
        let mut room: VecDeque<u8> = std::iter::repeat_n(SILENT, delay).collect();
        let mut random = Random::new(seed.value());
        let trace = std::iter::repeat_with(|| {
            let played = agent.next();
            room.push_back(played);
            let echo = (room.pop_front().expect("delayed") + loss).min(SILENT);
            let noise = 62 + u8::try_from(random.below(6)).expect("small");
            (played, mixed(echo, noise))
        });
        let mut detector = Detector::new();
        let onsets = mistakes(&mut detector, trace.take(MINUTE));
        assert!(onsets.len() <= 1, "{delay} frames, {loss} dB: {onsets:?}, {seed:?}");
        let (path, measured) = detector.echo_path().found().expect("an echo was heard");
        let path = path.as_millis().abs_diff(delay as u128 * 20 + 20);
        assert!(path <= 40, "{delay} frames: {:?}, {seed:?}", detector.echo_path());
        assert!(measured.abs_diff(loss) < 6, "{loss} dB: {measured}, {seed:?}");
    }
}

#[test]
fn a_voice_over_the_echo_is_heard() {
    let seed = Seed::or(22);
    let mut agent = Speech::new(seed.value(), 18);
    let mut room: VecDeque<u8> = std::iter::repeat_n(SILENT, 10).collect();
    let mut echo = || {
        let played = agent.next();
        room.push_back(played);
        (played, mixed((room.pop_front().expect("delayed") + 25).min(SILENT), 65))
    };
    let quiet: Vec<_> = std::iter::repeat_with(&mut echo).take(MINUTE).collect();
    let spoken = std::iter::repeat_with(&mut echo)
        .take(10)
        .map(|(played, heard)| (played, mixed(heard, 20)));
    let trace: Vec<_> = quiet.into_iter().chain(spoken).collect();
    let onsets = mistakes(&mut Detector::new(), trace.into_iter());
    assert!(
        onsets.iter().any(|onset| (MINUTE..MINUTE + 3).contains(onset)),
        "{onsets:?}, {seed:?}"
    );
}

#[test]
fn keys_are_no_voice_more_than_once_a_minute() {
    let seed = Seed::or(23);
    let mut random = Random::new(seed.value());
    let mut rings = 0;
    let trace = std::iter::repeat_with(|| {
        let level = match (rings, random.below(9)) {
            (0, 0) => {
                rings = 2;
                26 + random.below(10)
            }
            (0, _) => 58 + random.below(6),
            _ => {
                rings -= 1;
                48 + random.below(8) - 5 * rings
            }
        };
        (SILENT, u8::try_from(level).expect("small"))
    });
    let onsets = mistakes(&mut Detector::new(), trace.take(MINUTE));
    assert!(onsets.len() <= 1, "{onsets:?}, {seed:?}");
}

/// Typing as loud as speech: between the keys the encoder believes in a pitch now and then.
fn typing(random: &mut Random) -> impl Iterator<Item = (u8, u8, Option<SignalType>)> {
    let mut rings = 0_u32;
    std::iter::repeat_with(move || {
        rings = if rings == 0 && random.below(9) == 0 { 3 } else { rings };
        let (level, signal) = match (rings, random.below(100)) {
            (0, 0) => (56, SignalType::Voiced),
            (0, _) => (58 + random.below(6), SignalType::Inactive),
            _ => (24 + random.below(12), SignalType::Unvoiced),
        };
        rings = rings.saturating_sub(1);
        (SILENT, u8::try_from(level).expect("small"), Some(signal))
    })
}

#[test]
fn a_voice_softer_than_the_keys_is_heard_by_its_pitch() {
    let seed = Seed::or(25);
    let mut random = Random::new(seed.value());
    let keys: Vec<_> = typing(&mut random).take(2 * MINUTE).collect();
    // It sets in with a consonant.
    let consonant = (SILENT, 44, Some(SignalType::Unvoiced));
    let vowels = [40, 38, 38, 37].map(|level| (SILENT, level, Some(SignalType::Voiced)));
    let trace: Vec<_> = keys.into_iter().chain([consonant]).chain(vowels).collect();
    let onsets = mistakes_of(&mut Detector::new(), trace.iter().copied());
    let begin = 2 * MINUTE;
    assert!((1..=3).contains(&onsets.len()), "{onsets:?}, {seed:?}");
    assert!(
        onsets.last().is_some_and(|onset| (begin..begin + 3).contains(onset)),
        "{onsets:?}, {seed:?}"
    );
    // By their levels alone they are no voice.
    let levels = trace.into_iter().map(|(played, heard, _)| (played, heard));
    let onsets = mistakes(&mut Detector::new(), levels);
    assert!(onsets.iter().all(|onset| *onset < begin), "{onsets:?}, {seed:?}");
}

#[test]
fn voices_in_the_background_are_no_voice_more_than_once_a_minute() {
    let seed = Seed::or(26);
    let mut talk: Vec<_> = (0..3).map(|voice| Speech::new(seed.value() + voice, 44)).collect();
    let trace = std::iter::repeat_with(|| {
        let heard = talk.iter_mut().map(Speech::next).fold(60, mixed);
        let signal = if heard < 55 {
            SignalType::Voiced
        } else {
            SignalType::Inactive
        };
        (SILENT, heard, Some(signal))
    });
    let onsets = mistakes_of(&mut Detector::new(), trace.take(3 * MINUTE));
    assert!(onsets.len() <= 3, "{onsets:?}, {seed:?}");
}

#[test]
fn noise_that_sets_in_is_learnt_from_one_mistake() {
    let seed = Seed::or(24);
    let mut random = Random::new(seed.value());
    let trace = (0..MINUTE).map(|at| {
        let level = if at < 500 { 68 } else { 34 };
        (SILENT, level + u8::try_from(random.below(6)).expect("small"))
    });
    let onsets = mistakes(&mut Detector::new(), trace);
    assert_eq!(onsets.len(), 1, "{seed:?}");
}

#[test]
fn a_voice_is_over_when_its_encoder_sends_nothing_more() {
    let mut detector = Detector::new();
    let mut hear = |frame: u64, level| {
        detector.hear(&Heard {
            at: Time(1_000_000_000 + frame * FRAME_US),
            timestamp: frame * 960,
            duration: 960,
            level,
            signal: None,
        })
    };
    let changes: Vec<_> = (0..130)
        .filter_map(|frame| hear(frame, if frame < 100 { 70 } else { 20 }))
        .collect();
    assert_eq!(changes, [Change::Onset]);
    // A pause of 60 ms is of it; of 400 ms, with DTX, is not.
    assert_eq!(hear(133, 20), None);
    assert_eq!(hear(155, 60), Some(Change::Offset));
    assert_eq!(hear(176, 20), None);
    assert_eq!(hear(177, 20), Some(Change::Onset));
}

#[test]
fn what_is_missing_late_or_of_another_length_is_no_voice() {
    let mut detector = Detector::new();
    let mut timestamp = 0;
    for at in 0..500_u64 {
        let duration = [120, 480, 960, 2_880][at as usize % 4];
        let heard = Heard {
            at: Time(1_000_000_000 + timestamp * 1_000 / 48),
            timestamp,
            duration,
            level: 70,
            signal: None,
        };
        assert_eq!(detector.hear(&heard), None);
        // An old frame again, as loud as can be.
        let old = Heard { level: 0, ..heard };
        assert_eq!(detector.hear(&old), None);
        timestamp += u64::from(duration) + if at % 50 == 0 { 19_200 } else { 0 };
    }
}
