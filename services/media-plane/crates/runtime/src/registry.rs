//! Which sessions an edge has, by id, and which epochs it has seen. Touched when a session opens or ends, never by packets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::epochs::Epochs;
use crate::slot::{MOST_SESSIONS, Places, Slot};

/// Ended sessions whose epoch is remembered, so that an old owner is refused.
const REMEMBERED: usize = 16_384;

/// A live session as the control side sees it.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) slot: Slot,
    pub(crate) epoch: u64,
    pub(crate) link: u32,
}

/// Why no place was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// A newer epoch was seen, or the same is live.
    Stale(u64),
    /// All places are taken.
    Full,
}

#[derive(Debug)]
pub(crate) struct Registry {
    book: Mutex<Book>,
    epochs: Epochs,
}

#[derive(Debug)]
struct Book {
    live: HashMap<Arc<str>, Live>,
    places: Vec<Places>,
    capacity: usize,
    used: usize,
    ended: HashMap<Arc<str>, u64>,
    order: VecDeque<Arc<str>>,
}

impl Registry {
    pub(crate) fn new(shards: usize, capacity: usize) -> Self {
        let numbers = 0..u8::try_from(shards).unwrap_or(u8::MAX);
        // A session that ends keeps its place for a moment, so shards have a few more than they need.
        let most = capacity.saturating_mul(2).min(MOST_SESSIONS);
        let book = Book {
            live: HashMap::new(),
            places: numbers.map(|shard| Places::new(shard, most)).collect(),
            capacity,
            used: 0,
            ended: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            book: Mutex::new(book),
            epochs: Epochs::new(shards, most),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place at the shard with the fewest sessions. A live session of an older epoch is returned, to be closed.
    pub(crate) fn admit(&self, id: &Arc<str>, epoch: u64, link: u32) -> Result<(Slot, Option<Live>), NoPlace> {
        let mut book = self.book();
        let live = book.live.get(id).cloned();
        match (&live, book.ended.get(id)) {
            (Some(live), _) if live.epoch >= epoch => return Err(NoPlace::Stale(live.epoch)),
            (None, Some(seen)) if *seen > epoch => return Err(NoPlace::Stale(*seen)),
            _ => {}
        }
        if book.used >= book.capacity {
            return Err(NoPlace::Full);
        }
        let places = book
            .places
            .iter_mut()
            .min_by_key(|places| places.used())
            .ok_or(NoPlace::Full)?;
        let slot = places.take().ok_or(NoPlace::Full)?;
        book.used += 1;
        book.live.insert(id.clone(), Live { slot, epoch, link });
        self.epochs.set(slot, epoch);
        Ok((slot, live))
    }

    /// A place that was taken for nothing: nothing of it is remembered.
    pub(crate) fn withdraw(&self, id: &Arc<str>, slot: Slot) {
        self.epochs.clear(slot);
        self.book().release(id, slot);
    }

    /// A session is over.
    pub(crate) fn ended(&self, id: &Arc<str>, slot: Slot, epoch: u64) {
        self.epochs.clear(slot);
        let mut book = self.book();
        book.release(id, slot);
        let previous = book.ended.insert(id.clone(), epoch);
        match previous {
            Some(previous) if previous > epoch => {
                book.ended.insert(id.clone(), previous);
            }
            Some(_) => {}
            None => book.order.push_back(id.clone()),
        }
        if book.order.len() > REMEMBERED
            && let Some(forgotten) = book.order.pop_front()
        {
            book.ended.remove(&forgotten);
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Live> {
        self.book().live.get(id).cloned()
    }

    /// The newest epoch known of a session that is not live.
    pub(crate) fn last_epoch(&self, id: &str) -> Option<u64> {
        self.book().ended.get(id).copied()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.book().live.keys().map(ToString::to_string).collect()
    }

    /// Whether a session lives in this slot at this epoch. Takes no lock.
    pub(crate) fn lives(&self, slot: Slot, epoch: u64) -> bool {
        self.epochs.lives(slot, epoch)
    }

    /// Another link carries the session in this slot.
    pub(crate) fn carried_by(&self, id: &str, slot: Slot, link: u32) {
        if let Some(live) = self.book().live.get_mut(id).filter(|live| live.slot == slot) {
            live.link = link;
        }
    }

    pub(crate) fn on_link(&self, link: u32) -> usize {
        self.book().live.values().filter(|live| live.link == link).count()
    }
}

impl Book {
    fn release(&mut self, id: &Arc<str>, slot: Slot) {
        self.places[slot.shard()].give_back(slot);
        self.used -= 1;
        if self.live.get(id).is_some_and(|live| live.slot == slot) {
            self.live.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_refused_while_the_session_lives_and_after() {
        let registry = Registry::new(1, 4);
        let id: Arc<str> = "s".into();
        let (slot, _) = registry.admit(&id, 5, 1).expect("room");
        assert_eq!(registry.admit(&id, 5, 1).err(), Some(NoPlace::Stale(5)));
        let (newer, old) = registry.admit(&id, 6, 1).expect("a newer owner");
        assert_eq!(old.map(|live| live.slot), Some(slot));
        registry.ended(&id, slot, 5);
        assert_eq!(
            registry.find("s").map(|live| live.slot),
            Some(newer),
            "the newer one stays"
        );
        registry.ended(&id, newer, 6);
        assert_eq!(registry.admit(&id, 5, 1).err(), Some(NoPlace::Stale(6)));
    }

    #[test]
    fn sessions_spread_over_shards_up_to_the_capacity() {
        let registry = Registry::new(2, 4);
        let ids: Vec<Arc<str>> = (0..5).map(|number| number.to_string().into()).collect();
        let shards: Vec<_> = ids[..4]
            .iter()
            .map(|id| registry.admit(id, 1, 7).expect("room").0.shard())
            .collect();
        assert_eq!(shards.iter().filter(|shard| **shard == 0).count(), 2);
        assert_eq!(registry.admit(&ids[4], 1, 7).err(), Some(NoPlace::Full));
        assert_eq!((registry.on_link(7), registry.on_link(8)), (4, 0));
        registry.withdraw(&ids[0], registry.find("0").expect("live").slot);
        assert!(registry.admit(&ids[4], 1, 7).is_ok());
    }
}
