//! A shard and its rooms: members come and go, frames of members go to those who hear them, and the rooms whose home this is
//! are kept.

use std::sync::Arc;
use std::time::Duration;

use antiphon_engine::Time;
use antiphon_engine::rate::{Allowance, Rate};
use antiphon_engine::room::{Command, Forwarded, Loudness};
use antiphon_link::proto::control_request::Message;
use antiphon_link::proto::{RoomMember, RoomState};
use rustc_hash::FxHashMap;

use super::outgoing::Outgoing;
use super::run::Shard;
use crate::rooms::{
    Home, Joining, LOST_LINK, Local, MemberChange, Meter, NO_LINK, Parcel, Place, RoomMail, Stage, members_notice,
    speakers_notice,
};
use crate::slot::Slot;

/// Parcels taken before packets get their turn again.
const BUDGET: usize = 512;
/// How soon a message to a full mailbox is tried again.
const PATIENCE: Duration = Duration::from_millis(1);
/// What one caller may ask for: each wish has the room decide anew who hears whom, and tell all its members.
const WISHES: Rate = Rate::new(10, 20);
/// Label of the channel that members are told on.
pub(super) const CHANNEL: &str = "antiphon";

/// What a shard keeps of rooms.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    home: Home,
    here: FxHashMap<u32, Local>,
    outgoing: Outgoing,
}

impl Rooms {
    /// Rooms that have members at this shard.
    #[cfg(test)]
    pub(super) fn here(&self) -> usize {
        self.here.len()
    }
}

impl Shard {
    /// A session is connected: it joins its room.
    pub(super) fn join_room(&mut self, slot: Slot) {
        let shards = self.surroundings.mailboxes.len();
        let Some(seat) = self.seat(slot) else { return };
        let Some(membership) = seat.tenant.room.clone() else {
            return;
        };
        let home = membership.home(shards);
        seat.place = Some(Place {
            room: membership.room,
            home,
            towards: 0,
            muted: false,
            meter: Meter::default(),
            wishes: Allowance::default(),
        });
        let joining = Joining {
            slot,
            id: seat.tenant.id.clone(),
            link: seat.tenant.link,
            voices: seat.session.voices(),
            membership,
        };
        self.rooms.outgoing.push(home, RoomMail::Join(Box::new(joining)));
    }

    /// A member has another worker, or lost its own: its room's home tells whoever serves members how the room stands.
    pub(super) fn tell_home_who_serves(&mut self, slot: Slot) {
        let Some(seat) = self.seat(slot) else { return };
        if let Some(place) = seat.place {
            let link = seat.tenant.link;
            let room = place.room;
            self.rooms
                .outgoing
                .push(place.home, RoomMail::Served { room, slot, link });
        }
    }

    /// A session ended.
    pub(super) fn leave_room(&mut self, slot: Slot, place: Place) {
        let leave = RoomMail::Leave { room: place.room, slot };
        self.rooms.outgoing.push(place.home, leave);
        // The home says nothing more to a shard without members, and some that the stage lists may have left, too.
        let Some(here) = self.rooms.here.remove(&place.room) else {
            return;
        };
        let index = self.index;
        let mut slots = here.stage.cards.iter().map(|card| card.slot);
        if slots.any(|other| other.shard() == index && other != slot && self.seat(other).is_some()) {
            self.rooms.here.insert(place.room, here);
        }
    }

    /// Passes on what a member just said: to sessions of this shard at once, to each other shard that hears it once.
    pub(super) fn share(&mut self, slot: Slot, now: Time) {
        let mut heard = std::mem::take(&mut self.mouth.heard);
        if let Some(place) = self.seat(slot).and_then(|seat| seat.place) {
            for frame in heard.frames() {
                self.mouth.counters.room_frames.add(1);
                self.tell_level(slot, place, &frame, now);
                if place.muted {
                    self.mouth.counters.drop_room_muted.add(1);
                } else {
                    self.send_round(place, &frame, now);
                }
            }
        }
        heard.clear();
        self.mouth.heard = heard; // keeps its memory
    }

    fn tell_level(&mut self, slot: Slot, place: Place, frame: &Forwarded<'_>, now: Time) {
        let loudness = Loudness::of(frame.level, frame.duration, frame.payload);
        let Some(place_now) = self.seat(slot).and_then(|seat| seat.place.as_mut()) else {
            return;
        };
        let Some(loudness) = place_now.meter.note(now, loudness) else {
            return;
        };
        if place.home == self.index {
            self.rooms.home.hear(place.room, slot, loudness, now);
        } else if !self.surroundings.mailboxes[place.home].leave_level(place.room, slot, loudness) {
            self.mouth.counters.drop_room_ring_full.add(1);
        }
    }

    fn send_round(&mut self, place: Place, frame: &Forwarded<'_>, now: Time) {
        let mut towards = place.towards;
        while towards != 0 {
            let shard = towards.trailing_zeros() as usize;
            towards &= towards - 1;
            if shard == self.index {
                self.give(place.room, frame, now);
            } else if self.surroundings.mailboxes[shard].leave_frame(place.room, frame) {
                self.mouth.counters.room_crossings.add(1);
            } else {
                self.mouth.counters.drop_room_ring_full.add(1);
            }
        }
    }

    /// Gives a member's frame to those of this shard who hear it.
    fn give(&mut self, room: u32, frame: &Forwarded<'_>, now: Time) {
        let here = self.rooms.here.get_mut(&room);
        let listeners = here.map(|here| here.borrow_listeners(frame.source)).unwrap_or_default();
        if listeners.is_empty() {
            self.mouth.counters.drop_room_unheard.add(1);
        }
        for (listener, slot) in &listeners {
            let forward = |session: &mut antiphon_engine::Session, voice: &mut super::voice::Voice<'_>| {
                session.forward(now, *slot, frame, voice)
            };
            match self.drive(*listener, now, forward) {
                Some(true) => self.mouth.counters.room_forwarded.add(1),
                Some(false) => self.mouth.counters.drop_room_refused.add(1),
                None => self.mouth.counters.drop_room_unheard.add(1),
            }
        }
        if let Some(here) = self.rooms.here.get_mut(&room) {
            here.return_listeners(frame.source, listeners);
        }
    }

    /// Takes what other shards left. Returns how many frames there were.
    pub(super) fn take_parcels(&mut self, now: Time) -> usize {
        let mut frames = 0;
        for _ in 0..BUDGET {
            let Some(parcel) = self.surroundings.mailbox().parcels().next() else {
                break;
            };
            match parcel {
                Parcel::Level { room, slot, loudness } => self.rooms.home.hear(room, slot, loudness, now),
                Parcel::Frame { room, meta, payload } => {
                    frames += 1;
                    self.give(room, &meta.with(&payload), now);
                    self.surroundings.mailbox().parcels().take_back(payload);
                }
            }
        }
        frames
    }

    pub(super) fn take_room_mail(&mut self, mail: RoomMail, now: Time) {
        match mail {
            RoomMail::Join(joining) => self.rooms.home.join(*joining, now),
            RoomMail::Leave { room, slot } => self.rooms.home.leave(room, slot),
            RoomMail::Changed { room, slot, change } => self.rooms.home.change(room, slot, change),
            RoomMail::Served { room, slot, link } => self.rooms.home.serve(room, slot, link),
            RoomMail::Change {
                slot,
                link,
                change,
                reply,
            } => {
                let allowed = link.is_none_or(|link| self.is_served_by(slot, link));
                let done = allowed && self.change_member(slot, change);
                if let Some(reply) = reply {
                    let _gone = reply.send(done); // whoever asked may have given up
                }
            }
            RoomMail::Look { room, reply } => {
                let _gone = reply.send(self.rooms.home.stage(room)); // whoever asked may have given up
            }
            RoomMail::Stage(stage) => self.set_stage(stage, now),
        }
    }

    /// Hands a change of a member to its room's home. Returns false when the session is in no room.
    fn change_member(&mut self, slot: Slot, change: MemberChange) -> bool {
        let Some(place) = self.seat(slot).and_then(|seat| seat.place) else {
            return false;
        };
        let changed = RoomMail::Changed {
            room: place.room,
            slot,
            change,
        };
        self.rooms.outgoing.push(place.home, changed);
        true
    }

    /// What a caller asks over its data channel.
    pub(super) fn obey(&mut self, slot: Slot, message: &[u8], now: Time) {
        let change = match Command::parse(message) {
            Some(Command::Mute(muted)) => MemberChange {
                muted: Some(muted),
                hears: None,
            },
            Some(Command::HearAll) => MemberChange {
                muted: None,
                hears: Some(None),
            },
            Some(Command::HearOnly(named)) => MemberChange {
                muted: None,
                hears: Some(Some(named.map(str::to_owned).collect())),
            },
            None => MemberChange::default(),
        };
        let nothing = change.muted.is_none() && change.hears.is_none();
        let place = self.seat(slot).and_then(|seat| seat.place.as_mut());
        let allowed = place.is_some_and(|place| place.wishes.try_take(now, WISHES));
        if nothing || !allowed || !self.change_member(slot, change) {
            self.mouth.counters.drop_room_command.add(1);
        }
    }

    /// Takes over what the home decided.
    fn set_stage(&mut self, stage: Arc<Stage>, now: Time) {
        let index = self.index;
        let before = self.rooms.here.get(&stage.room).map(|here| here.stage.clone());
        let mut members = 0;
        for card in stage.cards.iter().filter(|card| card.slot.shard() == index) {
            let Some(place) = self.seat(card.slot).and_then(|seat| seat.place.as_mut()) else {
                continue;
            };
            place.towards = card.towards;
            place.muted = card.muted;
            members += 1;
        }
        if members == 0 {
            self.rooms.here.remove(&stage.room); // they left meanwhile
            return;
        }
        self.rooms.here.insert(stage.room, Local::new(stage.clone(), index));
        for card in stage.cards.iter().filter(|card| card.slot.shard() == index) {
            // Who was not there before has been told nothing.
            let before = before.as_deref().filter(|before| before.card(card.slot).is_some());
            self.notify(card.slot, &stage, before, now);
        }
    }

    fn notify(&mut self, slot: Slot, stage: &Stage, before: Option<&Stage>, now: Time) {
        let Some(seat) = self.seat(slot).filter(|seat| seat.session.takes_data()) else {
            return;
        };
        let session = &seat.session;
        let speakers = speakers_notice(stage, before, slot, |at| session.voice_mid(at));
        for text in members_notice(stage, before, slot).into_iter().chain(speakers) {
            let send = |session: &mut antiphon_engine::Session, voice: &mut super::voice::Voice<'_>| {
                session.send_data(now, CHANNEL, false, text.as_bytes(), voice)
            };
            if self.drive(slot, now, send) != Some(true) {
                self.mouth.counters.drop_data_to_caller.add(1);
            }
        }
    }

    /// Says what changed and posts what waits. Returns when to look again.
    pub(super) fn tend_rooms(&mut self, now: Time) -> Time {
        let look_again = self.rooms.home.settle(now);
        loop {
            for (stage, before) in self.rooms.home.changed() {
                self.publish(&stage, before.as_deref());
            }
            let Some(mail) = self.rooms.outgoing.next(self.index) else {
                break;
            };
            self.take_room_mail(mail, now);
        }
        if self.rooms.outgoing.post(&self.surroundings.mailboxes) {
            look_again
        } else {
            look_again.min(now + PATIENCE)
        }
    }

    fn publish(&mut self, stage: &Arc<Stage>, before: Option<&Stage>) {
        self.mouth.counters.room_stages.add(1);
        let shards = stage.shards();
        for shard in (0..self.surroundings.mailboxes.len()).filter(|shard| shards >> shard & 1 == 1) {
            self.rooms.outgoing.set_stage(shard, stage);
        }
        let told = |stage: &Stage| {
            let told = |card: &crate::rooms::Card| (card.slot.0, card.link, card.muted, card.speaking);
            let mut told: Vec<_> = stage.cards.iter().map(told).collect();
            told.sort_unstable();
            told
        };
        if before.is_none_or(|before| told(before) != told(stage)) {
            self.tell_workers(stage);
        }
    }

    /// Each worker that serves members hears who is there and who speaks.
    fn tell_workers(&mut self, stage: &Stage) {
        let mut links: Vec<u32> = stage.cards.iter().map(|card| card.link).collect();
        links.sort_unstable();
        links.dedup();
        for link in links.into_iter().filter(|link| !matches!(*link, NO_LINK | LOST_LINK)) {
            let member = |card: &crate::rooms::Card| RoomMember {
                id: card.id.to_string(),
                muted: card.muted,
                speaking: card.speaking,
            };
            let state = RoomState {
                room: stage.name.to_string(),
                members: stage.cards.iter().map(member).collect(),
            };
            if !self.tell(link, Message::Room(state)) {
                self.mouth.counters.drop_data_to_worker.add(1);
            }
        }
    }
}
