//! Which rooms an edge has, by name. Touched when a session opens or ends, never by packets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{MOST_MEMBERS, Membership};

#[derive(Debug, Default)]
pub(crate) struct RoomBook(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    rooms: HashMap<Arc<str>, Entry>,
    next: u32,
}

#[derive(Debug)]
struct Entry {
    room: u32,
    members: usize,
}

impl RoomBook {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in a room, which begins with its first member. `None` when it is full.
    pub(crate) fn join(&self, name: &str) -> Option<Membership> {
        let mut names = self.names();
        let known = names.rooms.get_key_value(name).map(|(name, _)| name.clone());
        if let Some(name) = known {
            let entry = names.rooms.get_mut(&name)?;
            if entry.members >= MOST_MEMBERS {
                return None;
            }
            entry.members += 1;
            return Some(Membership { room: entry.room, name });
        }
        let room = names.next;
        names.next = names.next.wrapping_add(1);
        let name: Arc<str> = name.into();
        names.rooms.insert(name.clone(), Entry { room, members: 1 });
        Some(Membership { room, name })
    }

    /// Gives a place back. The room ends with its last.
    pub(crate) fn leave(&self, membership: &Membership) {
        let mut names = self.names();
        let Some(entry) = names.rooms.get_mut(&membership.name) else {
            return;
        };
        if entry.room != membership.room {
            return;
        }
        entry.members -= 1;
        if entry.members == 0 {
            names.rooms.remove(&membership.name);
        }
    }

    /// All rooms, in order of their names.
    pub(crate) fn rooms(&self) -> Vec<Membership> {
        let membership = |(name, entry): (&Arc<str>, &Entry)| Membership {
            room: entry.room,
            name: name.clone(),
        };
        let mut rooms: Vec<_> = self.names().rooms.iter().map(membership).collect();
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_lives_from_its_first_member_to_its_last() {
        let book = RoomBook::default();
        let first = book.join("kitchen").expect("room");
        let second = book.join("kitchen").expect("room");
        assert_eq!(first.room, second.room);
        assert_ne!(book.join("hall").expect("room").room, first.room);
        book.leave(&first);
        assert_eq!(book.rooms().len(), 2);
        book.leave(&second);
        assert_eq!(book.rooms().len(), 1);
        let again = book.join("kitchen").expect("room");
        assert_ne!(again.room, first.room, "another life");
        book.leave(&first);
        assert_eq!(book.rooms().len(), 2, "who left long ago takes nobody's place");
    }

    #[test]
    fn a_room_is_bounded() {
        let book = RoomBook::default();
        assert_eq!((0..100).filter(|_| book.join("full").is_some()).count(), MOST_MEMBERS);
    }
}
