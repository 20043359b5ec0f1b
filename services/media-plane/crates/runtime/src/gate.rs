//! How much strangers may cost: token buckets, one for each source and one for all, spent before anything is computed
//! for an address that has not proven itself. Live calls' packets never come by here.

use std::net::IpAddr;
use std::time::Duration;

use antiphon_engine::Time;
use rustc_hash::FxHashMap;

/// Sources that are told apart; the others share one bucket.
const MOST_SOURCES: usize = 4_096;

/// A full table is looked through for what can be forgotten so often: looking costs more than a check.
const PURGE_EVERY: Duration = Duration::from_millis(100);

/// A rate, and how much may come at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// Checks that one source may cost: an office of some hundred callers behind one address may come back all at once.
const SOURCE_CHECKS: Rate = Rate {
    per_second: 200,
    burst: 1_000,
};
/// Checks of strangers that a shard works on: some 3 us each, so that a flood costs it a few percent.
const SHARD_CHECKS: Rate = Rate {
    per_second: 20_000,
    burst: 2_000,
};
/// Handshakes that a shard begins. A caller that is held off checks again within a tenth of a second.
const SHARD_HANDSHAKES: Rate = Rate {
    per_second: 500,
    burst: 250,
};

/// Tokens that fill up with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// In microseconds' worth of refill.
    credit_us: u64,
    at: Time,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Time) -> Self {
        Self {
            credit_us: rate.brim_us(),
            at: now,
        }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) -> bool {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.credit_us = self.credit_us.saturating_add(passed).min(rate.brim_us());
        self.at = now;
        let taken = self.credit_us >= rate.token_us();
        if taken {
            self.credit_us -= rate.token_us();
        }
        taken
    }
}

impl Rate {
    const fn token_us(self) -> u64 {
        1_000_000 / self.per_second as u64
    }

    const fn brim_us(self) -> u64 {
        self.token_us() * self.burst as u64
    }
}

/// The buckets of one shard.
#[derive(Debug)]
pub(crate) struct Gate {
    sources: FxHashMap<u64, Bucket>,
    others: Bucket,
    checks: Bucket,
    handshakes: Bucket,
    purged: Time,
}

/// Why something is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its source has sent too much.
    Source,
    /// All strangers together have.
    Shard,
}

impl Gate {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            sources: FxHashMap::default(),
            others: Bucket::full(SOURCE_CHECKS, now),
            checks: Bucket::full(SHARD_CHECKS, now),
            handshakes: Bucket::full(SHARD_HANDSHAKES, now),
            purged: now,
        }
    }

    /// Whether a stranger's check is looked at.
    pub(crate) fn check(&mut self, from: IpAddr, now: Time) -> Result<(), Refused> {
        let source = source(from);
        if self.sources.len() >= MOST_SOURCES && now.since(self.purged) >= PURGE_EVERY {
            self.purge(now);
        }
        let bucket = if self.sources.len() < MOST_SOURCES || self.sources.contains_key(&source) {
            let full = || Bucket::full(SOURCE_CHECKS, now);
            self.sources.entry(source).or_insert_with(full)
        } else {
            &mut self.others
        };
        if !bucket.take(SOURCE_CHECKS, now) {
            return Err(Refused::Source);
        }
        if self.checks.take(SHARD_CHECKS, now) {
            Ok(())
        } else {
            Err(Refused::Shard)
        }
    }

    /// Whether a handshake may begin.
    pub(crate) fn handshake(&mut self, now: Time) -> bool {
        self.handshakes.take(SHARD_HANDSHAKES, now)
    }

    /// Forgets sources whose buckets are full again.
    pub(crate) fn purge(&mut self, now: Time) {
        self.purged = now;
        self.sources.retain(|_, bucket| {
            let missing = SOURCE_CHECKS.brim_us() - bucket.credit_us;
            now.since(bucket.at) < Duration::from_micros(missing)
        });
    }
}

/// Whom an address belongs to: IPv6 hosts have a /64 to choose addresses from.
pub(crate) fn source(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(ip) => 0xffff_ffff << 32 | u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn after(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    #[test]
    fn a_source_that_floods_is_held_to_its_rate_and_others_are_not() {
        let mut gate = Gate::new(Time(0));
        let at_once = (0..50_000).filter(|_| gate.check(v4(1), Time(0)).is_ok()).count();
        assert_eq!(at_once, SOURCE_CHECKS.burst as usize);
        assert_eq!(gate.check(v4(1), Time(0)), Err(Refused::Source));
        assert_eq!(gate.check(v4(2), Time(0)), Ok(()));
        let later = (0..50_000).filter(|_| gate.check(v4(1), after(1)).is_ok()).count();
        assert_eq!(later, SOURCE_CHECKS.per_second as usize);
    }

    #[test]
    fn many_sources_together_are_held_to_the_shards_rate() {
        let mut gate = Gate::new(Time(0));
        let at_once = (0..50_000)
            .filter(|number| gate.check(v4(*number), Time(0)).is_ok())
            .count();
        assert!(at_once <= SHARD_CHECKS.burst as usize);
        assert!(gate.sources.len() <= MOST_SOURCES, "memory is bounded");
        let later = (0..100_000)
            .filter(|number| gate.check(v4(100_000 + number), after(10)).is_ok())
            .count();
        assert!(
            later <= SHARD_CHECKS.burst as usize,
            "what was not used is not saved up"
        );
        gate.purge(after(1_000));
        assert!(gate.sources.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_host_are_one_source() {
        let [a, b, c] =
            ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"].map(|ip| source(ip.parse().expect("a literal")));
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_ne!(source(v4(1)), source("::1".parse().expect("a literal")));
        assert_eq!(
            source("::ffff:192.0.2.1".parse().expect("a literal")),
            source(v4(0xc000_0201))
        );
    }

    #[test]
    fn handshakes_begin_at_a_rate() {
        let mut gate = Gate::new(Time(0));
        let at_once = (0..10_000).filter(|_| gate.handshake(Time(0))).count();
        assert_eq!(at_once, SHARD_HANDSHAKES.burst as usize);
        assert!(gate.handshake(Time(2_000)) && !gate.handshake(Time(2_000)));
    }
}
