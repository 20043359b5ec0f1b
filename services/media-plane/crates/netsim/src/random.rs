//! Randomness that can be had again.

/// SplitMix64: small, seeded, good enough to lose packets by.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts a sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to less than 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// From 0 to less than `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.bits() % bound }
    }
}

/// A test's seed: a failing test prints it, and `NETSIM_SEED` replays it.
#[derive(Debug)]
pub struct Seed(u64);

impl Seed {
    /// The seed given by `NETSIM_SEED`, else this one.
    #[must_use]
    pub fn or(default: u64) -> Self {
        let given = std::env::var("NETSIM_SEED").ok().and_then(|text| text.parse().ok());
        Self(given.unwrap_or(default))
    }

    /// Its value.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.0
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the network's seed was {}: replay with NETSIM_SEED={}", self.0, self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| one.bits() == other.bits()));
    }

    #[test]
    fn chances_come_true_as_often_as_they_say() {
        let mut random = Random::new(1);
        let hits = (0..10_000).filter(|_| random.chance(0.2)).count();
        assert!((1_900..2_100).contains(&hits), "{hits}");
    }
}
