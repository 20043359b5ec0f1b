//! How much strangers may cost: allowances, looked at before anything is computed for an address that has not proven
//! itself. All strangers together have one. A source has one for its checks that fail, which counts only while strangers press:
//! anybody can forge a source, so that what fails in its name keeps its callers out where there is not work enough for all, and
//! never before. Live calls' packets never come by here.

use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use antiphon_engine::Time;
use antiphon_engine::rate::{Allowance, Rate};
use rustc_hash::FxHashMap;

/// Sources that are told apart; the others share one.
const MOST_SOURCES: usize = 4_096;

/// A full table is looked through for what can be forgotten so often: looking costs more than a check.
const PURGE_EVERY: Duration = Duration::from_millis(100);

/// Checks of one source that may fail while strangers press: callers of an edge that was restarted check on for half a minute.
const SOURCE_FAILURES: Rate = Rate::new(100, 1_000);
/// Checks of strangers that a shard works on: some 3 us each, so that a flood costs it a few percent.
const SHARD_CHECKS: Rate = Rate::new(20_000, SHARD_CHECKS_AT_ONCE);
const SHARD_CHECKS_AT_ONCE: u32 = 2_000;
/// With fewer of them left, strangers press: the rest is for sources that did not fail too often.
const PRESSED_BELOW: u32 = SHARD_CHECKS_AT_ONCE / 2;
/// Handshakes that a shard begins. A caller that is held off checks again within a tenth of a second.
const SHARD_HANDSHAKES: Rate = Rate::new(500, SHARD_HANDSHAKES_AT_ONCE);
const SHARD_HANDSHAKES_AT_ONCE: u32 = 250;
/// Probes of one source: many callers may stand behind one address, and measure a few times each in ten minutes. It also bounds
/// what somebody whose address is forged is sent.
const SOURCE_PROBES: Rate = Rate::new(20, SOURCE_PROBES_AT_ONCE);
const SOURCE_PROBES_AT_ONCE: u32 = 60;
/// Probes that a shard answers, some 1 us each.
const SHARD_PROBES: Rate = Rate::new(2_000, SHARD_PROBES_AT_ONCE);
const SHARD_PROBES_AT_ONCE: u32 = 500;

/// An allowance for each of so many sources.
#[derive(Debug)]
struct Sources {
    rate: Rate,
    known: FxHashMap<u64, Allowance>,
    others: Allowance,
    purged: Time,
}

impl Sources {
    fn new(rate: Rate, now: Time) -> Self {
        Self {
            rate,
            known: FxHashMap::default(),
            others: Allowance::default(),
            purged: now,
        }
    }

    /// Whether this one may do it once more.
    fn allow(&self, from: IpAddr, now: Time) -> bool {
        let is_full = self.known.len() >= MOST_SOURCES;
        match self.known.get(&source(from)) {
            Some(allowance) => allowance.allows(now, self.rate),
            None => !is_full || self.others.allows(now, self.rate),
        }
    }

    /// This one did it, if it was allowed to.
    fn note(&mut self, from: IpAddr, now: Time) {
        if self.known.len() >= MOST_SOURCES && now.since(self.purged) >= PURGE_EVERY {
            self.purge(now);
        }
        let is_full = self.known.len() >= MOST_SOURCES;
        let allowance = match self.known.entry(source(from)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => &mut self.others,
            Entry::Vacant(new) => new.insert(Allowance::default()),
        };
        allowance.try_take(now, self.rate);
    }

    /// Forgets sources that are as new.
    fn purge(&mut self, now: Time) {
        self.purged = now;
        self.known.retain(|_, allowance| !allowance.is_paid(now));
    }
}

/// The allowances of one shard.
#[derive(Debug)]
pub(crate) struct Gate {
    failures: Sources,
    checks: Allowance,
    handshakes: Allowance,
    probing: Sources,
    probes: Allowance,
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
            failures: Sources::new(SOURCE_FAILURES, now),
            checks: Allowance::default(),
            handshakes: Allowance::default(),
            probing: Sources::new(SOURCE_PROBES, now),
            probes: Allowance::default(),
        }
    }

    /// Whether a stranger's check is looked at.
    pub(crate) fn check(&mut self, from: IpAddr, now: Time) -> Result<(), Refused> {
        let pressed = !self.checks.holds(now, SHARD_CHECKS, PRESSED_BELOW);
        if pressed && !self.failures.allow(from, now) {
            return Err(Refused::Source);
        }
        if self.checks.try_take(now, SHARD_CHECKS) {
            Ok(())
        } else {
            Err(Refused::Shard)
        }
    }

    /// A check of that source failed.
    pub(crate) fn blame(&mut self, from: IpAddr, now: Time) {
        self.failures.note(from, now);
    }

    /// Whether a probe is answered. A source that has had its share takes nothing of the others'.
    pub(crate) fn probe(&mut self, from: IpAddr, now: Time) -> Result<(), Refused> {
        if !self.probing.allow(from, now) {
            return Err(Refused::Source);
        }
        if !self.probes.try_take(now, SHARD_PROBES) {
            return Err(Refused::Shard);
        }
        self.probing.note(from, now);
        Ok(())
    }

    /// Whether a handshake may begin.
    pub(crate) fn handshake(&mut self, now: Time) -> bool {
        self.handshakes.try_take(now, SHARD_HANDSHAKES)
    }

    /// Forgets sources that are as new.
    pub(crate) fn purge(&mut self, now: Time) {
        self.failures.purge(now);
        self.probing.purge(now);
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
        let half = (SHARD_CHECKS_AT_ONCE - PRESSED_BELOW + 1) as usize;
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
        assert_eq!(looked_at(&mut gate, 0..50_000, Time(0)), SHARD_CHECKS_AT_ONCE as usize);
        let later = looked_at(&mut gate, 100_000..200_000, after(10));
        assert_eq!(
            later, SHARD_CHECKS_AT_ONCE as usize,
            "what was not used is not saved up"
        );
        for second in 11..20 {
            looked_at(
                &mut gate,
                second * 100_000..(second + 1) * 100_000,
                after(u64::from(second)),
            );
            assert!(gate.failures.known.len() <= MOST_SOURCES, "memory is bounded");
        }
        gate.purge(after(1_000));
        assert!(gate.failures.known.is_empty());
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
        assert_eq!(at_once, SHARD_HANDSHAKES_AT_ONCE as usize);
        assert!(gate.handshake(Time(2_000)) && !gate.handshake(Time(2_000)));
    }

    #[test]
    fn a_source_that_probes_without_end_is_held_to_its_rate_and_leaves_others_theirs() {
        let mut gate = Gate::new(Time(0));
        let answered = (0..10_000).filter(|_| gate.probe(v4(1), Time(0)).is_ok()).count();
        assert_eq!(answered, SOURCE_PROBES_AT_ONCE as usize);
        assert_eq!(gate.probe(v4(1), Time(0)), Err(Refused::Source));
        assert_eq!(gate.probe(v4(2), Time(0)), Ok(()));
        assert_eq!(gate.probe(v4(1), after(1)), Ok(()), "a second later it may again");
    }

    #[test]
    fn probes_of_all_sources_are_held_to_the_shards_rate_and_leave_nothing_behind() {
        let mut gate = Gate::new(Time(0));
        let answered = (0..100_000)
            .filter(|number| gate.probe(v4(*number), Time(0)).is_ok())
            .count();
        assert_eq!(answered, SHARD_PROBES_AT_ONCE as usize);
        assert_eq!(gate.probe(v4(1_000_000), Time(0)), Err(Refused::Shard));
        assert!(gate.probing.known.len() <= answered);
        assert_eq!(gate.check(v4(1), Time(0)), Ok(()), "checks have their own");
        gate.purge(after(100));
        assert!(gate.probing.known.is_empty());
    }
}
