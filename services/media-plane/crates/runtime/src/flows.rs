//! Which session a caller's address belongs to. An address gets here only with a valid MESSAGE-INTEGRITY, so strangers
//! cannot fill the table; it is bounded all the same, and what is not used is forgotten.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

use antiphon_engine::Time;
use rustc_hash::FxHashMap;

use crate::slot::Slot;

/// A flow whose session lives on another shard, or is gone, is forgotten after so long without a packet.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Flow {
    slot: Slot,
    seen: Time,
}

/// The flows of one shard's socket.
#[derive(Debug)]
pub(crate) struct Flows {
    table: FxHashMap<SocketAddr, Flow>,
    most: usize,
}

impl Flows {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            table: FxHashMap::default(),
            most,
        }
    }

    /// The session of an address.
    #[inline]
    pub(crate) fn find(&mut self, from: SocketAddr, now: Time) -> Option<Slot> {
        let flow = self.table.get_mut(&from)?;
        flow.seen = now;
        Some(flow.slot)
    }

    /// Learns an address. Returns false when the table is full.
    pub(crate) fn learn(&mut self, from: SocketAddr, slot: Slot, now: Time) -> bool {
        let full = self.table.len() >= self.most;
        match self.table.entry(from) {
            Entry::Occupied(mut known) => {
                known.insert(Flow { slot, seen: now });
            }
            Entry::Vacant(_) if full => return false,
            Entry::Vacant(vacant) => {
                vacant.insert(Flow { slot, seen: now });
            }
        }
        true
    }

    /// Forgets an address if it is still this session's.
    pub(crate) fn forget(&mut self, from: SocketAddr, slot: Slot) {
        if let Entry::Occupied(known) = self.table.entry(from)
            && known.get().slot == slot
        {
            known.remove();
        }
    }

    /// Forgets what was not used for a minute.
    pub(crate) fn purge(&mut self, now: Time) {
        self.table.retain(|_, flow| now.since(flow.seen) < IDLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_idle() {
        let mut flows = Flows::new(2);
        assert!(flows.learn(address(1), Slot(1), Time(0)));
        assert!(flows.learn(address(2), Slot(2), Time(0)));
        assert!(!flows.learn(address(3), Slot(3), Time(0)));
        assert!(
            flows.learn(address(2), Slot(4), Time(0)),
            "a known address may change its session"
        );
        assert_eq!(flows.find(address(1), Time(50_000_000)), Some(Slot(1)));
        flows.purge(Time(70_000_000));
        assert_eq!(flows.find(address(2), Time(70_000_000)), None);
        assert_eq!(flows.find(address(1), Time(70_000_000)), Some(Slot(1)));
    }

    #[test]
    fn a_session_forgets_only_its_own() {
        let mut flows = Flows::new(8);
        flows.learn(address(1), Slot(2), Time(0));
        flows.forget(address(1), Slot(1));
        assert_eq!(flows.find(address(1), Time(0)), Some(Slot(2)));
        flows.forget(address(1), Slot(2));
        assert_eq!(flows.find(address(1), Time(0)), None);
    }
}
