//! Which session a caller's address belongs to. An address gets here only with a valid MESSAGE-INTEGRITY, so strangers
//! cannot fill the table. A caller has a few addresses only, so that no caller can either, whatever addresses it forges.

use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::Duration;

use antiphon_engine::{Remote, Time};
use rustc_hash::FxHashMap;

/// A flow whose session lives on another shard, or is gone, is forgotten after so long without a packet.
const IDLE: Duration = Duration::from_secs(60);

/// Addresses that one caller may have; the longest unused goes first.
pub(crate) const MOST_ADDRESSES: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Flow<O> {
    owner: O,
    /// Whom it was taken from: if that one is heard again, it was there all the time.
    before: Option<O>,
    seen: Time,
}

/// The flows of one shard's sockets, by owner: a session of this edge, or of another.
#[derive(Debug)]
pub(crate) struct Flows<O> {
    table: FxHashMap<Remote, Flow<O>>,
    addresses: FxHashMap<O, Vec<Remote>>,
    most: usize,
    /// Grows whenever an address is learned or forgotten.
    changes: u64,
}

impl<O: Copy + Eq + Hash> Flows<O> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            table: FxHashMap::default(),
            addresses: FxHashMap::default(),
            most,
            changes: 0,
        }
    }

    /// Another number than before where an address was learned or forgotten since: what was found before may not hold any more.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The session of an address.
    #[inline]
    pub(crate) fn find(&mut self, from: Remote, now: Time) -> Option<O> {
        let flow = self.table.get_mut(&from)?;
        flow.seen = now;
        Some(flow.owner)
    }

    /// Who would lose an address to `claimant`. None also where the claimant lost it to that one.
    pub(crate) fn loser(&self, from: Remote, claimant: O) -> Option<O> {
        let flow = self.table.get(&from)?;
        (flow.owner != claimant && flow.before != Some(claimant)).then_some(flow.owner)
    }

    /// Learns an address. Returns false when the table was full, and the longest unused address went for it: sessions that
    /// ended on other shards leave theirs behind. A caller's own room is never made of `spared`, where media goes to:
    /// somebody who repeats a recorded check from many addresses shall not push the caller out.
    pub(crate) fn learn(&mut self, from: Remote, owner: O, now: Time, spared: Option<Remote>) -> bool {
        let mut before = None;
        match self.table.get_mut(&from) {
            Some(known) if known.owner == owner => {
                known.seen = now;
                return true;
            }
            Some(known) => {
                before = (known.before != Some(owner)).then_some(known.owner);
                self.forget(from);
            }
            None => {}
        }
        self.make_room(owner, spared);
        let full = self.table.len() >= self.most;
        if full && let Some((longest_unused, _)) = self.table.iter().min_by_key(|(_, flow)| flow.seen) {
            self.forget(*longest_unused);
        }
        self.changes += 1;
        self.table.insert(
            from,
            Flow {
                owner,
                before,
                seen: now,
            },
        );
        self.addresses.entry(owner).or_default().push(from);
        !full
    }

    fn make_room(&mut self, owner: O, spared: Option<Remote>) {
        let Some(addresses) = self.addresses.get(&owner).filter(|known| known.len() >= MOST_ADDRESSES) else {
            return;
        };
        let longest_unused = addresses
            .iter()
            .filter(|address| Some(**address) != spared)
            .min_by_key(|address| self.table.get(address).map(|flow| flow.seen));
        if let Some(address) = longest_unused.copied() {
            self.forget(address);
        }
    }

    fn forget(&mut self, address: Remote) {
        if let Some(flow) = self.table.remove(&address) {
            self.changes += 1;
            strike(&mut self.addresses, flow.owner, address);
        }
    }

    /// Forgets all addresses of a session.
    pub(crate) fn forget_session(&mut self, owner: O) {
        for address in self.addresses.remove(&owner).into_iter().flatten() {
            self.changes += 1;
            self.table.remove(&address);
        }
    }

    /// Forgets what was not used for a minute.
    pub(crate) fn purge(&mut self, now: Time) {
        self.changes += 1;
        let addresses = &mut self.addresses;
        self.table.retain(|address, flow| {
            let used = now.since(flow.seen) < IDLE;
            if !used {
                strike(addresses, flow.owner, *address);
            }
            used
        });
    }

    /// Addresses that are known.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.addresses.is_empty()
    }
}

fn strike<O: Copy + Eq + Hash>(addresses: &mut FxHashMap<O, Vec<Remote>>, owner: O, address: Remote) {
    if let Entry::Occupied(mut known) = addresses.entry(owner) {
        known.get_mut().retain(|other| *other != address);
        if known.get().is_empty() {
            known.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Slot;

    fn address(port: u16) -> Remote {
        std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_idle() {
        let mut flows = Flows::new(2);
        assert!(flows.learn(address(1), Slot(1), Time(0), None));
        assert!(flows.learn(address(2), Slot(2), Time(0), None));
        assert!(
            flows.learn(address(2), Slot(4), Time(0), None),
            "a known address may change its session"
        );
        assert_eq!(flows.find(address(1), Time(1)), Some(Slot(1)));
        assert!(!flows.learn(address(3), Slot(3), Time(2), None));
        assert_eq!(flows.find(address(2), Time(2)), None, "the longest unused made room");
        assert_eq!(flows.find(address(3), Time(2)), Some(Slot(3)));
        assert_eq!(flows.find(address(1), Time(50_000_000)), Some(Slot(1)));
        flows.purge(Time(70_000_000));
        assert_eq!(flows.find(address(3), Time(70_000_000)), None);
        assert_eq!(flows.find(address(1), Time(70_000_000)), Some(Slot(1)));
        flows.purge(Time(200_000_000));
        assert!(flows.is_empty());
    }

    #[test]
    fn a_session_forgets_only_its_own() {
        let mut flows = Flows::new(8);
        flows.learn(address(1), Slot(1), Time(0), None);
        flows.learn(address(1), Slot(2), Time(0), None);
        flows.forget_session(Slot(1));
        assert_eq!(flows.find(address(1), Time(0)), Some(Slot(2)));
        flows.forget_session(Slot(2));
        assert!(flows.is_empty());
    }

    #[test]
    fn who_lost_an_address_gets_it_back_and_who_took_it_does_not() {
        let mut flows = Flows::new(8);
        flows.learn(address(1), Slot(1), Time(0), None);
        assert_eq!(flows.loser(address(1), Slot(1)), None, "its own");
        assert_eq!(flows.loser(address(1), Slot(2)), Some(Slot(1)));
        flows.learn(address(1), Slot(2), Time(0), None);
        assert_eq!(flows.loser(address(1), Slot(1)), None, "it was there before");
        flows.learn(address(1), Slot(1), Time(0), None);
        assert_eq!(flows.loser(address(1), Slot(2)), Some(Slot(1)));
    }

    #[test]
    fn a_caller_has_only_so_many_addresses() {
        let mut flows = Flows::new(64);
        for port in 1..=50 {
            assert!(flows.learn(address(port), Slot(1), Time(u64::from(port)), Some(address(1))));
        }
        let known: Vec<u16> = (1..=50)
            .filter(|port| flows.find(address(*port), Time(60)).is_some())
            .collect();
        assert_eq!(
            known,
            [1, 44, 45, 46, 47, 48, 49, 50],
            "the oldest went, but for the one spared"
        );
    }
}
