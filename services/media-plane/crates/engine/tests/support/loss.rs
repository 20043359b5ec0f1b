//! How much of a caller's speech reaches the worker over a bad network, and how late, with each means of repair off and on.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_engine::Time;
use antiphon_netsim::{LinkConfig, Loss};

use super::browser::{Browser, BrowserConfig};

/// Frames of a turn; silence of the same length follows.
const TURN: usize = 100;
/// A turn is over when the caller has said nothing for so long.
const SILENCE: Duration = Duration::from_millis(600);

/// A means of repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    None,
    Red,
    Nack,
    Both,
}

impl Repair {
    pub const ALL: [Self; 4] = [Self::None, Self::Red, Self::Nack, Self::Both];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Red => "red",
            Self::Nack => "nack",
            Self::Both => "red+nack",
        }
    }
}

/// A network and what is done about it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub loss: Loss,
    pub rtt_ms: u64,
    pub jitter_ms: u64,
    /// Share of packets that later ones pass, and by how much.
    pub reorder: f64,
    pub repair: Repair,
    pub frames: usize,
    pub seed: u64,
}

/// What came of it. Shares are of the frames sent; times are beyond the network's own delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// By themselves, by any means, and with what in-band FEC of the frame behind gives.
    pub at_once: f64,
    pub reached: f64,
    pub with_fec: f64,
    /// Of a turn's frames: before it was over by its silence, and within a round trip of its last frame.
    pub before_silence: f64,
    pub before_round_trip: f64,
    /// Of frames that were repaired.
    pub repaired_p50_ms: f64,
    pub repaired_p99_ms: f64,
    pub repaired_max_ms: f64,
    /// Packets sent again for each that was lost.
    pub again_per_loss: f64,
    /// Those that came twice for nothing, for each sent.
    pub needless: f64,
}

/// A 20 ms SILK packet that carries in-band FEC, with its number.
fn frame(number: usize) -> Vec<u8> {
    let mut packet = vec![0x48, 0x40];
    packet.extend_from_slice(&(number as u32).to_be_bytes());
    packet.resize(60, 0xa5);
    packet
}

fn number(payload: &[u8]) -> usize {
    u32::from_be_bytes([payload[2], payload[3], payload[4], payload[5]]) as usize
}

fn link(scenario: &Scenario) -> LinkConfig {
    LinkConfig {
        delay_us: scenario.rtt_ms * 500,
        jitter_us: scenario.jitter_ms * 1_000,
        loss: scenario.loss,
        duplicate: 0.0,
        reorder: scenario.reorder,
        reorder_us: 25_000,
    }
}

/// Runs a scenario in virtual time.
pub fn run(scenario: &Scenario) -> Outcome {
    let link = link(scenario);
    let clean = LinkConfig {
        loss: Loss::None,
        ..link
    };
    let mut browser = Browser::connected(BrowserConfig {
        up: clean,
        down: clean,
        red: usize::from(matches!(scenario.repair, Repair::Red | Repair::Both)),
        nack: matches!(scenario.repair, Repair::Nack | Repair::Both),
        seed: scenario.seed,
        ..BrowserConfig::default()
    });
    browser.say(&frame(0));
    browser.configure(link, link);
    (1..=scenario.frames).for_each(|number| browser.say(&frame(number)));
    // What was lost last shows when something comes behind it.
    browser.configure(clean, clean);
    (1..=10).for_each(|more| browser.say(&frame(scenario.frames + more)));
    browser.run_ms(4_000);
    judge(scenario, &browser)
}

fn judge(scenario: &Scenario, browser: &Browser) -> Outcome {
    let one_way = Duration::from_micros(scenario.rtt_ms * 500);
    let round_trip = Duration::from_millis(scenario.rtt_ms);
    let mut came: BTreeMap<usize, (Time, bool)> = BTreeMap::new();
    for heard in &browser.said.frames {
        let again = came.insert(number(&heard.payload), (heard.at, heard.fec));
        assert!(again.is_none(), "a frame was handed on twice");
    }
    let frames = 1..=scenario.frames;
    let count = scenario.frames as f64;
    let share = |of: usize| of as f64 / count;
    let at_once = frames.clone().filter(|number| !browser.sent[*number].1.lost).count();
    let reached = frames.clone().filter(|number| came.contains_key(number)).count();
    let by_fec = frames
        .clone()
        .filter(|number| !came.contains_key(number) && came.get(&(number + 1)).is_some_and(|(_, fec)| *fec));
    let mut late: Vec<f64> = frames
        .clone()
        .filter(|number| browser.sent[*number].1.lost)
        .filter_map(|number| {
            Some(
                came.get(&number)?
                    .0
                    .since(browser.sent[number].0 + one_way)
                    .as_secs_f64()
                    * 1_000.0,
            )
        })
        .collect();
    late.sort_by(f64::total_cmp);
    let within = |percent: usize| late.get((late.len() * percent / 100).min(late.len().saturating_sub(1)));
    let (mut in_turns, mut before_silence, mut before_round_trip) = (0, 0, 0);
    for number in frames.filter(|number| ((number - 1) / TURN).is_multiple_of(2)) {
        let last = ((number - 1) / TURN * TURN + TURN).min(scenario.frames);
        let heard_last = browser.sent[last].0 + one_way;
        in_turns += 1;
        if let Some((at, _)) = came.get(&number) {
            before_silence += usize::from(*at <= heard_last + SILENCE);
            before_round_trip += usize::from(*at <= heard_last + round_trip);
        }
    }
    let lost = scenario.frames - at_once;
    let counters = browser.session.stats().counters;
    Outcome {
        at_once: share(at_once),
        reached: share(reached),
        with_fec: share(reached + by_fec.count()),
        before_silence: f64::from(before_silence as u32) / f64::from(in_turns),
        before_round_trip: f64::from(before_round_trip as u32) / f64::from(in_turns),
        repaired_p50_ms: within(50).copied().unwrap_or(0.0),
        repaired_p99_ms: within(99).copied().unwrap_or(0.0),
        repaired_max_ms: late.last().copied().unwrap_or(0.0),
        again_per_loss: browser.retransmitted as f64 / lost.max(1) as f64,
        needless: counters.duplicates as f64 / count,
    }
}
