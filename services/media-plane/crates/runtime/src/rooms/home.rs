//! The rooms whose home a shard is: who is in them, and who hears whom. It hears members' levels and wishes, and says a new
//! [`Stage`] where that changed something.

use std::sync::Arc;
use std::time::Duration;

use antiphon_engine::Time;
use antiphon_engine::room::{Loudness, MAX_NAMED, MAX_SLOTS, Order, OrderPolicy};
use rustc_hash::FxHashMap;

use super::{Card, Joining, MemberChange, Stage, Wants};
use crate::slot::Slot;

/// How often a room in which somebody speaks is looked at, whether or not frames come.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Member {
    slot: Slot,
    id: Arc<str>,
    link: u32,
    voices: usize,
    wants: Wants,
    hears: [Option<Slot>; MAX_SLOTS],
}

#[derive(Debug)]
struct Room {
    name: Arc<str>,
    members: Vec<Member>,
    order: Order<Slot>,
    stage: Option<Arc<Stage>>,
    changed: bool,
}

/// The rooms of one home.
#[derive(Debug, Default)]
pub(crate) struct Home {
    rooms: FxHashMap<u32, Room>,
    /// When time alone may change something.
    look_at: Option<Time>,
    changed: bool,
}

impl Home {
    pub(crate) fn join(&mut self, joining: Joining, now: Time) {
        let Joining {
            membership,
            slot,
            id,
            link,
            voices,
        } = joining;
        let room = self.rooms.entry(membership.room).or_insert_with(|| Room {
            name: membership.name,
            members: Vec::new(),
            order: Order::new(OrderPolicy::default()),
            stage: None,
            changed: false,
        });
        room.members.push(Member {
            slot,
            id,
            link,
            voices: voices.min(MAX_SLOTS),
            wants: Wants::All,
            hears: [None; MAX_SLOTS],
        });
        room.order.join(slot, now);
        room.changed = true;
        self.changed = true;
    }

    pub(crate) fn leave(&mut self, number: u32, slot: Slot) {
        let Some(room) = self.rooms.get_mut(&number) else {
            return;
        };
        room.members.retain(|member| member.slot != slot);
        room.order.leave(slot);
        if room.members.is_empty() {
            self.rooms.remove(&number);
        } else {
            room.changed = true;
            self.changed = true;
        }
    }

    pub(crate) fn change(&mut self, number: u32, slot: Slot, change: MemberChange) {
        let Some(room) = self.rooms.get_mut(&number) else {
            return;
        };
        let Some(member) = room.members.iter_mut().find(|member| member.slot == slot) else {
            return;
        };
        if let Some(hears) = change.hears {
            member.wants = hears.map_or(Wants::All, |ids| {
                Wants::Only(ids.into_iter().take(MAX_NAMED).map(Into::into).collect())
            });
        }
        if let Some(muted) = change.muted {
            room.order.mute(slot, muted);
        }
        room.changed = true;
        self.changed = true;
    }

    /// A member has another worker, or none for a while.
    pub(crate) fn serve(&mut self, number: u32, slot: Slot, link: u32) {
        let Some(room) = self.rooms.get_mut(&number) else {
            return;
        };
        if let Some(member) = room.members.iter_mut().find(|member| member.slot == slot) {
            member.link = link;
            room.changed = true;
            self.changed = true;
        }
    }

    /// A member was so loud.
    pub(crate) fn hear(&mut self, number: u32, slot: Slot, loudness: Loudness, now: Time) {
        let Some(room) = self.rooms.get_mut(&number) else {
            return;
        };
        if room.order.hear(slot, loudness.level_dbov, loudness.voice, now) {
            room.changed = true;
            self.changed = true;
        }
        if self.look_at.is_none() && room.order.is_restless() {
            self.look_at = Some(now + LOOK);
        }
    }

    /// Time passed. Returns when it wants to be asked again.
    pub(crate) fn settle(&mut self, now: Time) -> Time {
        let Some(look_at) = self.look_at else {
            return Time::NEVER;
        };
        if look_at > now {
            return look_at;
        }
        let mut restless = false;
        for room in self.rooms.values_mut() {
            let changed = room.order.settle(now);
            room.changed |= changed;
            self.changed |= changed;
            restless |= room.order.is_restless();
        }
        self.look_at = restless.then(|| now + LOOK);
        self.look_at.unwrap_or(Time::NEVER)
    }

    /// What changed since the last call: new stages, with those before them.
    pub(crate) fn changed(&mut self) -> Vec<(Arc<Stage>, Option<Arc<Stage>>)> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        let rooms = self.rooms.iter_mut().filter(|(_, room)| room.changed);
        rooms.filter_map(|(number, room)| room.restage(*number)).collect()
    }

    pub(crate) fn stage(&self, number: u32) -> Option<Arc<Stage>> {
        self.rooms.get(&number)?.stage.clone()
    }
}

impl Room {
    fn restage(&mut self, number: u32) -> Option<(Arc<Stage>, Option<Arc<Stage>>)> {
        self.changed = false;
        let ids: Vec<(Slot, Arc<str>)> = self
            .members
            .iter()
            .map(|member| (member.slot, member.id.clone()))
            .collect();
        for member in &mut self.members {
            let wanted = |slot: Slot| {
                let id = ids.iter().find(|(known, _)| *known == slot);
                id.is_some_and(|(_, id)| member.wants.include(id))
            };
            let mut hears = [None; MAX_SLOTS];
            self.order
                .assign(member.slot, wanted, &member.hears, &mut hears[..member.voices]);
            member.hears = hears;
        }
        let cards: Vec<Card> = self.order.ranked().filter_map(|slot| self.card(slot)).collect();
        if self.stage.as_ref().is_some_and(|stage| stage.cards == cards) {
            return None;
        }
        let stage = Arc::new(Stage {
            room: number,
            name: self.name.clone(),
            cards,
        });
        let before = self.stage.replace(stage.clone());
        Some((stage, before))
    }

    fn card(&self, slot: Slot) -> Option<Card> {
        let member = self.members.iter().find(|member| member.slot == slot)?;
        let hear_it = self.members.iter().filter(|other| other.hears.contains(&Some(slot)));
        Some(Card {
            slot,
            id: member.id.clone(),
            link: member.link,
            muted: self.order.is_muted(slot),
            speaking: self.order.is_speaking(slot),
            wants: member.wants.clone(),
            hears: member.hears,
            towards: hear_it.fold(0, |shards, listener| shards | 1 << listener.slot.shard()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Membership;
    use super::*;

    const NOW: Time = Time(1_000_000);
    const VOICE: Loudness = Loudness {
        level_dbov: -20.0,
        voice: Some(true),
    };

    fn slot(shard: u8, index: u16) -> Slot {
        Slot::new(shard, 0, index)
    }

    fn home(members: &[(Slot, usize)]) -> Home {
        let mut home = Home::default();
        for (slot, voices) in members {
            let joining = Joining {
                membership: Membership {
                    room: 1,
                    name: "r".into(),
                },
                slot: *slot,
                id: format!("s{}", slot.0).into(),
                link: 0,
                voices: *voices,
            };
            home.join(joining, NOW);
        }
        home
    }

    fn last(home: &mut Home) -> Arc<Stage> {
        let mut changed = home.changed();
        changed.pop().expect("something changed").0
    }

    #[test]
    fn frames_go_only_to_shards_where_somebody_hears_them() {
        let (a, b, c) = (slot(0, 1), slot(1, 1), slot(2, 1));
        let mut home = home(&[(a, 1), (b, 1), (c, 0)]);
        let stage = last(&mut home);
        let towards = |slot| stage.card(slot).expect("a member").towards;
        assert_eq!((towards(a), towards(b), towards(c)), (0b010, 0b001, 0));
        assert_eq!(stage.shards(), 0b111);
    }

    #[test]
    fn a_voice_takes_the_only_slot_and_nothing_is_said_where_nothing_changed() {
        let (a, b, c) = (slot(0, 1), slot(0, 2), slot(0, 3));
        let mut home = home(&[(a, 1), (b, 1), (c, 1)]);
        last(&mut home);
        for ms in [0, 40, 80, 120] {
            home.hear(1, c, VOICE, NOW + Duration::from_millis(ms));
        }
        let stage = last(&mut home);
        assert_eq!(stage.card(a).expect("a member").hears[0], Some(c));
        assert!(stage.card(c).expect("a member").speaking);
        home.hear(1, c, VOICE, NOW + Duration::from_millis(160));
        assert!(home.changed().is_empty());
        assert!(home.settle(NOW + Duration::from_secs(2)) == Time::NEVER);
        assert!(!last(&mut home).card(c).expect("a member").speaking);
    }

    #[test]
    fn who_is_muted_or_not_wanted_is_not_forwarded() {
        let (a, b) = (slot(0, 1), slot(1, 2));
        let mut home = home(&[(a, 2), (b, 2)]);
        last(&mut home);
        let mute = MemberChange {
            muted: Some(true),
            hears: None,
        };
        home.change(1, a, mute);
        assert_eq!(last(&mut home).card(a).expect("a member").towards, 0);
        let hears = MemberChange {
            muted: Some(false),
            hears: None,
        };
        home.change(1, a, hears);
        assert_eq!(last(&mut home).card(a).expect("a member").towards, 0b10);
        let nobody = MemberChange {
            muted: None,
            hears: Some(Some(Vec::new())),
        };
        home.change(1, b, nobody);
        let stage = last(&mut home);
        assert_eq!(stage.card(a).expect("a member").towards, 0);
        assert_eq!(stage.view().members[0].hears.is_some(), stage.cards[0].slot == b);
    }

    #[test]
    fn a_room_ends_with_its_last_member() {
        let (a, b) = (slot(0, 1), slot(1, 2));
        let mut home = home(&[(a, 2), (b, 2)]);
        home.leave(1, a);
        assert_eq!(last(&mut home).cards.len(), 1);
        home.leave(1, b);
        assert!(home.stage(1).is_none() && home.changed().is_empty());
    }
}
