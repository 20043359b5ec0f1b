//! A session's handle: which shard, which place in its table, and which tenant of that place.

/// `shard u8 | generation u8 | index u16`. The generation tells a new tenant from packets meant for the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(pub(crate) u32);

/// Places in a shard's table.
pub(crate) const MOST_SESSIONS: usize = 1 << 16;

impl Slot {
    pub(crate) const fn new(shard: u8, generation: u8, index: u16) -> Self {
        Self((shard as u32) << 24 | (generation as u32) << 16 | index as u32)
    }

    pub(crate) const fn shard(self) -> usize {
        (self.0 >> 24) as usize
    }

    pub(crate) const fn generation(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub(crate) const fn index(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// Gives out the places of one shard, the longest unused first.
#[derive(Debug)]
pub(crate) struct Places {
    shard: u8,
    generations: Vec<u8>,
    free: std::collections::VecDeque<u16>,
    most: usize,
}

impl Places {
    pub(crate) fn new(shard: u8, most: usize) -> Self {
        Self {
            shard,
            generations: Vec::new(),
            free: std::collections::VecDeque::new(),
            most: most.min(MOST_SESSIONS),
        }
    }

    pub(crate) fn take(&mut self) -> Option<Slot> {
        if self.generations.len() < self.most
            && let Ok(index) = u16::try_from(self.generations.len())
        {
            self.generations.push(0);
            return Some(Slot::new(self.shard, 0, index));
        }
        let index = self.free.pop_front()?;
        Some(Slot::new(self.shard, self.generations[usize::from(index)], index))
    }

    pub(crate) fn give_back(&mut self, slot: Slot) {
        let generation = &mut self.generations[slot.index()];
        *generation = generation.wrapping_add(1);
        self.free.push_back((slot.0 & 0xffff) as u16);
    }

    pub(crate) fn used(&self) -> usize {
        self.generations.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_taken_again_has_another_handle() {
        let mut places = Places::new(3, 2);
        let first = places.take().expect("free");
        let second = places.take().expect("free");
        assert!(places.take().is_none());
        places.give_back(first);
        let third = places.take().expect("free again");
        assert_eq!((third.shard(), third.index()), (3, first.index()));
        assert_ne!(third, first);
        assert_ne!(third, second);
        assert_eq!(places.used(), 2);
    }
}
