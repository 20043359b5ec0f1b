//! One direction of a path.

use std::collections::BTreeMap;

use crate::random::Random;

/// How packets get lost.
#[derive(Clone, Copy, Debug, Default)]
pub enum Loss {
    /// Not at all.
    #[default]
    None,
    /// Each for itself, with this probability.
    Random(f64),
    /// Gilbert–Elliott: in bursts. Probabilities for each packet.
    Bursts {
        /// Of going from the good state to the bad.
        begin: f64,
        /// Of going back.
        end: f64,
        /// Of loss in the bad state; there is none in the good.
        loss: f64,
    },
    /// All that is sent in outages: their lengths are evenly spread from 0, the time between them exponentially.
    Outages {
        /// Share of the time that is lost.
        share: f64,
        /// The longest.
        longest_us: u64,
    },
}

impl Loss {
    /// Gilbert–Elliott that loses this share of the packets, in bursts of this many on average.
    #[must_use]
    pub fn bursts(share: f64, mean: f64) -> Self {
        let end = 1.0 / mean;
        Self::Bursts {
            begin: end * share / (1.0 - share),
            end,
            loss: 1.0,
        }
    }
}

/// A direction's qualities. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkConfig {
    /// Of every packet.
    pub delay_us: u64,
    /// Added to it, evenly spread from 0. It does not reorder: a packet waits for those before it.
    pub jitter_us: u64,
    /// How packets get lost.
    pub loss: Loss,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is held back, so that later ones pass it.
    pub reorder: f64,
    /// How long such a packet is held back.
    pub reorder_us: u64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// It does not arrive.
    pub lost: bool,
    /// It arrives twice.
    pub duplicated: bool,
    /// Later ones pass it.
    pub held_back: bool,
}

/// What happened to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent into the link.
    pub sent: u64,
    /// Lost.
    pub lost: u64,
    /// Arrived a second time.
    pub duplicated: u64,
    /// Held back.
    pub held_back: u64,
}

/// One direction of a path, carrying `T`.
#[derive(Debug)]
pub struct Link<T> {
    config: LinkConfig,
    random: Random,
    bad: bool,
    /// The present outage, or the next one: from when until when.
    outage: (u64, u64),
    /// Outages come when they come, whatever is sent.
    weather: Random,
    latest: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), T>,
    counts: Counts,
}

impl<T: Clone> Link<T> {
    /// A link of these qualities.
    #[must_use]
    pub fn new(seed: u64, config: LinkConfig) -> Self {
        Self {
            config,
            random: Random::new(seed),
            bad: false,
            outage: (0, 0),
            weather: Random::new(!seed),
            latest: 0,
            order: 0,
            queue: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Changes its qualities for what is sent from now on.
    pub fn configure(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Sends a packet.
    pub fn send(&mut self, now_us: u64, packet: T) -> Fate {
        let mut fate = Fate::default();
        self.counts.sent += 1;
        if self.loses(now_us) {
            self.counts.lost += 1;
            fate.lost = true;
            return fate;
        }
        let jitter = self.random.below(self.config.jitter_us + 1);
        let mut at = (now_us + self.config.delay_us + jitter).max(self.latest);
        if self.random.chance(self.config.reorder) {
            self.counts.held_back += 1;
            fate.held_back = true;
            at += self.config.reorder_us;
        } else {
            self.latest = at;
        }
        if self.random.chance(self.config.duplicate) {
            self.counts.duplicated += 1;
            fate.duplicated = true;
            self.enqueue(at, packet.clone());
        }
        self.enqueue(at, packet);
        fate
    }

    fn enqueue(&mut self, at: u64, packet: T) {
        self.order += 1;
        self.queue.insert((at, self.order), packet);
    }

    fn loses(&mut self, now_us: u64) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::Random(loss) => self.random.chance(loss),
            Loss::Bursts { begin, end, loss } => {
                let turns = self.random.chance(if self.bad { end } else { begin });
                self.bad ^= turns;
                self.bad && self.random.chance(loss)
            }
            Loss::Outages { share, longest_us } => {
                while self.outage.1 <= now_us {
                    self.plan_outage(now_us, share, longest_us);
                }
                self.outage.0 <= now_us
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds of a simulation"
    )]
    fn plan_outage(&mut self, now_us: u64, share: f64, longest_us: u64) {
        let mean = longest_us as f64 / 2.0 * (1.0 - share) / share;
        let apart = -mean * (1.0 - self.weather.unit()).ln();
        let before = if self.outage.1 == 0 { now_us } else { self.outage.1 };
        let from = before + apart as u64;
        self.outage = (from, from + 1 + self.weather.below(longest_us));
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// A packet that has arrived by now.
    pub fn receive(&mut self, now_us: u64) -> Option<T> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= now_us).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, LinkConfig, Loss};

    fn through(config: LinkConfig, packets: u64) -> (Vec<(u64, u64)>, Link<u64>) {
        let mut link = Link::new(3, config);
        for number in 0..packets {
            link.send(number * 1_000, number);
        }
        let mut arrived = Vec::new();
        while let Some(at) = link.next_us() {
            while let Some(number) = link.receive(at) {
                arrived.push((at, number));
            }
        }
        (arrived, link)
    }

    #[test]
    fn a_perfect_link_only_delays() {
        let (arrived, _) = through(
            LinkConfig {
                delay_us: 500,
                ..LinkConfig::default()
            },
            3,
        );
        assert_eq!(arrived, [(500, 0), (1_500, 1), (2_500, 2)]);
    }

    #[test]
    fn jitter_keeps_the_order() {
        let (arrived, _) = through(
            LinkConfig {
                jitter_us: 50_000,
                ..LinkConfig::default()
            },
            500,
        );
        assert!(arrived.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }

    #[test]
    fn what_is_sent_arrives_or_is_counted() {
        let config = LinkConfig {
            loss: Loss::Random(0.1),
            duplicate: 0.05,
            reorder: 0.1,
            reorder_us: 3_500,
            ..LinkConfig::default()
        };
        let (arrived, link) = through(config, 1_000);
        let counts = link.counts();
        assert_eq!(arrived.len() as u64, 1_000 - counts.lost + counts.duplicated);
        assert!(arrived.windows(2).any(|pair| pair[0].1 > pair[1].1));
    }

    #[test]
    fn bursts_lose_neighbours() {
        let loss = Loss::Bursts {
            begin: 0.01,
            end: 0.3,
            loss: 1.0,
        };
        let (arrived, link) = through(
            LinkConfig {
                loss,
                ..LinkConfig::default()
            },
            10_000,
        );
        let runs = arrived.windows(2).filter(|pair| pair[1].1 > pair[0].1 + 1).count() as u64;
        assert!(
            link.counts().lost > 2 * runs,
            "{} lost in {runs} runs",
            link.counts().lost
        );
    }

    #[test]
    fn bursts_and_outages_lose_the_share_that_was_asked_for() {
        for share in [0.01, 0.05, 0.2] {
            let outages = Loss::Outages {
                share,
                longest_us: 10_000,
            };
            for loss in [Loss::bursts(share, 3.0), outages] {
                let config = LinkConfig {
                    loss,
                    ..LinkConfig::default()
                };
                let lost = through(config, 200_000).1.counts().lost as f64 / 200_000.0;
                assert!((lost - share).abs() < share / 10.0, "{lost} for {loss:?}");
            }
        }
    }
}
