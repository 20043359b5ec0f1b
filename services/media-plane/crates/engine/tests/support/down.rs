//! How much of an agent's speech is there when a jitter buffer of 60 ms plays it, with each mechanism off and on.

use std::time::Duration;

use antiphon_netsim::{LinkConfig, Loss};

use super::listener::{Listener, ListenerConfig};

/// Frames until the redundancy has found its level.
const SETTLES: u32 = 250;

/// What is done about loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// A caller that tells nothing of its losses.
    None,
    /// It only reports them: packets go again unasked.
    Repeat,
    Nack,
    Red,
    RedNack,
}

impl Mechanism {
    pub const ALL: [Self; 5] = [Self::None, Self::Repeat, Self::Nack, Self::Red, Self::RedNack];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Repeat => "repeat",
            Self::Nack => "nack",
            Self::Red => "red",
            Self::RedNack => "red+nack",
        }
    }
}

/// A network, and what is done about it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub loss: Loss,
    pub round_trip_ms: u64,
    pub jitter_ms: u64,
    /// Share of packets that later ones pass.
    pub reorder: f64,
    pub mechanism: Mechanism,
    /// Whether the caller's SDK reports; else libwebrtc's reports each 5 s are all there is.
    pub device: bool,
    pub frames: u32,
    pub seed: u64,
}

/// What came of it; shares are of frames.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// There when it was to be played.
    pub in_time: f64,
    /// The same, once the redundancy had found its level.
    pub settled: f64,
    /// Mean number of earlier frames in a packet.
    pub redundancy: f64,
    /// Packets that went again, for each frame, asked for or not.
    pub again: f64,
}

/// Gilbert–Elliott that loses this share of the packets, in bursts of so many on average.
pub fn bursts(share: f64, mean: f64) -> Loss {
    Loss::Bursts {
        begin: share / (1.0 - share) / mean,
        end: 1.0 / mean,
        loss: 1.0,
    }
}

/// As much loss, without bursts.
fn scattered(loss: Loss) -> Loss {
    match loss {
        Loss::Bursts { begin, end, loss } => Loss::Random(loss * begin / (begin + end)),
        other => other,
    }
}

pub fn run(scenario: &Scenario) -> Outcome {
    let way = LinkConfig {
        delay_us: scenario.round_trip_ms * 500,
        jitter_us: scenario.jitter_ms * 1_000,
        loss: scenario.loss,
        reorder: scenario.reorder,
        reorder_us: 30_000,
        ..LinkConfig::default()
    };
    // So little goes up that a burst, counted in packets, would last for seconds.
    let up = LinkConfig {
        loss: scattered(scenario.loss),
        ..way
    };
    let mut listener = Listener::connected(ListenerConfig {
        up,
        down: way,
        red: matches!(scenario.mechanism, Mechanism::Red | Mechanism::RedNack),
        nack: matches!(scenario.mechanism, Mechanism::Nack | Mechanism::RedNack),
        tells: scenario.mechanism != Mechanism::None,
        device: scenario.device,
        seed: scenario.seed,
        ..ListenerConfig::default()
    });
    let left = listener.now;
    listener.speak(1, scenario.frames);
    listener.run(Duration::from_secs(1));
    let counters = listener.session.stats().counters;
    let frames = f64::from(scenario.frames);
    Outcome {
        in_time: listener.in_time(0, scenario.frames, left),
        settled: listener.in_time(SETTLES, scenario.frames, left),
        redundancy: counters.redundant_out as f64 / frames,
        again: (counters.nacks_answered + counters.repeated_out) as f64 / frames,
    }
}
