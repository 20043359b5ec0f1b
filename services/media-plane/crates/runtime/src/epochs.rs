//! Which session lives in which slot, and at which epoch: read by any shard without a lock, so that a check with an old
//! ufrag is refused where it lands, before it is verified.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::slot::Slot;

/// Marks a slot as taken, above the 8 bits of generation and the 48 of the epoch that a ufrag carries.
const TAKEN: u64 = 1 << 63;
const EPOCH: u64 = (1 << 48) - 1;

/// One number for each place of each shard.
#[derive(Debug)]
pub(crate) struct Epochs {
    places: Box<[AtomicU64]>,
    each: usize,
}

impl Epochs {
    /// For so many places in each of so many shards.
    pub(crate) fn new(shards: usize, each: usize) -> Self {
        Self {
            places: (0..shards * each).map(|_| AtomicU64::new(0)).collect(),
            each,
        }
    }

    fn place(&self, slot: Slot) -> Option<&AtomicU64> {
        (slot.index() < self.each).then(|| self.places.get(slot.shard() * self.each + slot.index()))?
    }

    pub(crate) fn set(&self, slot: Slot, epoch: u64) {
        if let Some(place) = self.place(slot) {
            place.store(mark(slot, epoch), Ordering::Release);
        }
    }

    pub(crate) fn clear(&self, slot: Slot) {
        if let Some(place) = self.place(slot) {
            place.store(0, Ordering::Release);
        }
    }

    pub(crate) fn lives(&self, slot: Slot, epoch: u64) -> bool {
        self.place(slot)
            .is_some_and(|place| place.load(Ordering::Acquire) == mark(slot, epoch))
    }
}

fn mark(slot: Slot, epoch: u64) -> u64 {
    TAKEN | u64::from(slot.generation()) << 48 | epoch & EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_tenant_at_its_epoch_lives() {
        let epochs = Epochs::new(2, 4);
        let slot = Slot::new(1, 3, 2);
        assert!(!epochs.lives(slot, 5));
        epochs.set(slot, 5);
        assert!(epochs.lives(slot, 5));
        assert!(!epochs.lives(slot, 4), "an epoch of before");
        assert!(!epochs.lives(Slot::new(1, 2, 2), 5), "the tenant before");
        assert!(!epochs.lives(Slot::new(0, 3, 2), 5), "another shard");
        for beyond in [Slot::new(1, 3, 4), Slot::new(9, 3, 2), Slot(u32::MAX)] {
            epochs.set(beyond, 5);
            assert!(!epochs.lives(beyond, 5));
        }
        epochs.clear(slot);
        assert!(!epochs.lives(slot, 5));
    }
}
