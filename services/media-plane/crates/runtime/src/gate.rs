//! How much strangers may cost: token buckets, looked at before anything is computed for an address that has not proven
//! itself. All strangers together have one. A source has one for its checks that fail, which counts only while strangers press:
//! anybody can forge a source, so that what fails in its name keeps its callers out where there is not work enough for all, and
//! never before. Live calls' packets never come by here.

use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use antiphon_engine::Time;
use rustc_hash::FxHashMap;

/// Sources of failed checks that are told apart; the others share one bucket.
const MOST_SOURCES: usize = 4_096;

/// A full table is looked through for what can be forgotten so often: looking costs more than a check.
const PURGE_EVERY: Duration = Duration::from_millis(100);

/// A rate, and how much may come at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// Checks of one source that may fail while strangers press: callers of an edge that was restarted check on for half a minute.
const SOURCE_FAILURES: Rate = Rate {
    per_second: 100,
    burst: 1_000,
};
/// Checks of strangers that a shard works on: some 3 us each, so that a flood costs it a few percent.
const SHARD_CHECKS: Rate = Rate {
    per_second: 20_000,
    burst: 2_000,
};
/// With fewer of them left, strangers press: the rest is for sources that did not fail too often.
const PRESSED_BELOW: u32 = SHARD_CHECKS.burst / 2;
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

    /// Whether there is a token.
    fn has(&mut self, rate: Rate, now: Time) -> bool {
        self.holds(1, rate, now)
    }

    /// Whether there are so many tokens.
    fn holds(&mut self, tokens: u32, rate: Rate, now: Time) -> bool {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.credit_us = self.credit_us.saturating_add(passed).min(rate.brim_us());
        self.at = now;
        self.credit_us >= rate.token_us() * u64::from(tokens)
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) -> bool {
        let taken = self.has(rate, now);
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
            others: Bucket::full(SOURCE_FAILURES, now),
            checks: Bucket::full(SHARD_CHECKS, now),
            handshakes: Bucket::full(SHARD_HANDSHAKES, now),
            purged: now,
        }
    }

    /// Whether a stranger's check is looked at.
    pub(crate) fn check(&mut self, from: IpAddr, now: Time) -> Result<(), Refused> {
        let pressed = !self.checks.holds(PRESSED_BELOW, SHARD_CHECKS, now);
        if pressed && !self.may_fail(from, now) {
            return Err(Refused::Source);
        }
        if self.checks.take(SHARD_CHECKS, now) {
            Ok(())
        } else {
            Err(Refused::Shard)
        }
    }

    fn may_fail(&mut self, from: IpAddr, now: Time) -> bool {
        let is_full = self.sources.len() >= MOST_SOURCES;
        match self.sources.get_mut(&source(from)) {
            Some(bucket) => bucket.has(SOURCE_FAILURES, now),
            None => !is_full || self.others.has(SOURCE_FAILURES, now),
        }
    }

    /// A check of that source failed.
    pub(crate) fn blame(&mut self, from: IpAddr, now: Time) {
        if self.sources.len() >= MOST_SOURCES && now.since(self.purged) >= PURGE_EVERY {
            self.purge(now);
        }
        let is_full = self.sources.len() >= MOST_SOURCES;
        let bucket = match self.sources.entry(source(from)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => &mut self.others,
            Entry::Vacant(new) => new.insert(Bucket::full(SOURCE_FAILURES, now)),
        };
        bucket.take(SOURCE_FAILURES, now);
    }

    /// Whether a handshake may begin.
    pub(crate) fn handshake(&mut self, now: Time) -> bool {
        self.handshakes.take(SHARD_HANDSHAKES, now)
    }

    /// Forgets sources whose buckets are full again.
    pub(crate) fn purge(&mut self, now: Time) {
        self.purged = now;
        self.sources.retain(|_, bucket| {
            let missing = SOURCE_FAILURES.brim_us() - bucket.credit_us;
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

    /// How many of so many checks, all wrong, are looked at.
    fn looked_at(gate: &mut Gate, sources: impl Iterator<Item = u32>, now: Time) -> usize {
        let wrong = |source| {
            let looked_at = gate.check(v4(source), now).is_ok();
            if looked_at {
                gate.blame(v4(source), now);
            }
            looked_at
        };
        sources.map(wrong).filter(|looked_at| *looked_at).count()
    }

    #[test]
    fn a_source_that_guesses_leaves_others_half_of_what_is_looked_at() {
        let mut gate = Gate::new(Time(0));
        let one = || std::iter::repeat_n(1, 50_000);
        let half = (SHARD_CHECKS.burst - PRESSED_BELOW + 1) as usize;
        assert_eq!(looked_at(&mut gate, one(), Time(0)), half);
        assert_eq!(gate.check(v4(1), Time(0)), Err(Refused::Source));
        for _ in 1..PRESSED_BELOW {
            assert_eq!(gate.check(v4(2), Time(0)), Ok(()));
        }
        assert_eq!(gate.check(v4(2), Time(0)), Err(Refused::Shard));
    }

    #[test]
    fn checks_forged_in_a_callers_name_keep_it_out_only_where_strangers_press() {
        for (forged_each_ms, kept_out) in [(1_u64, false), (15, false), (40, true)] {
            let mut gate = Gate::new(Time(0));
            let mut refused = false;
            for millisecond in 0..5_000 {
                let now = Time(millisecond * 1_000);
                looked_at(&mut gate, std::iter::repeat_n(1, forged_each_ms as usize), now);
                refused |= gate.check(v4(1), now).is_err();
                assert_eq!(gate.check(v4(2), now), Ok(()), "{forged_each_ms} each millisecond");
            }
            assert_eq!(refused, kept_out, "{forged_each_ms} each millisecond");
        }
    }

    #[test]
    fn callers_who_know_their_passwords_may_come_by_the_thousand_from_one_address() {
        let mut gate = Gate::new(Time(0));
        let let_in = (0..10_000_u64).filter(|number| gate.check(v4(1), Time(number * 100)).is_ok());
        assert_eq!(let_in.count(), 10_000);
    }

    #[test]
    fn many_sources_together_are_held_to_the_shards_rate() {
        let mut gate = Gate::new(Time(0));
        assert_eq!(looked_at(&mut gate, 0..50_000, Time(0)), SHARD_CHECKS.burst as usize);
        let later = looked_at(&mut gate, 100_000..200_000, after(10));
        assert_eq!(later, SHARD_CHECKS.burst as usize, "what was not used is not saved up");
        for second in 11..20 {
            looked_at(
                &mut gate,
                second * 100_000..(second + 1) * 100_000,
                after(u64::from(second)),
            );
            assert!(gate.sources.len() <= MOST_SOURCES, "memory is bounded");
        }
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
