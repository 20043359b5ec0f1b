//! The shard's table of sessions: driving one, keeping its deadline, and seeing it off.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use antiphon_engine::{Event, Remote, Session, Time};
use antiphon_link::proto::control_request::Message;
use antiphon_link::proto::{DataMessage, SessionClosed, SessionConnected};

use super::rooms::CHANNEL;
use super::run::Shard;
use super::voice::Voice;
use crate::events::EdgeEvent;
use crate::rooms::{LOST_LINK, NO_LINK, is_bye};
use crate::session::{Seat, Service};
use crate::slot::Slot;
use crate::steering::Owner;

impl Shard {
    pub(super) fn seat(&mut self, slot: Slot) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(slot.index())?.as_deref_mut()?;
        (seat.tenant.slot == slot).then_some(seat)
    }

    /// Reads ahead what a session's next packet needs.
    #[inline]
    pub(super) fn warm(&self, slot: Slot) {
        let here = slot.shard() == self.index;
        if let Some(Some(seat)) = self.seats.get(slot.index()).filter(|_| here) {
            seat.session.warm();
        }
    }

    pub(super) fn sit_down(&mut self, seat: Seat) {
        let index = seat.tenant.slot.index();
        if self.seats.len() <= index {
            self.seats.resize_with(index + 1, || None);
        }
        self.seats[index] = Some(Box::new(seat));
        self.reschedule(index);
    }

    /// Lets a session do something and carries out what it says. None when it is gone.
    #[inline]
    pub(super) fn drive<R>(
        &mut self,
        slot: Slot,
        now: Time,
        act: impl FnOnce(&mut Session, &mut Voice<'_>) -> R,
    ) -> Option<R> {
        let seat = self.seats.get_mut(slot.index())?.as_deref_mut()?;
        if seat.tenant.slot != slot {
            return None;
        }
        let (link, place) = (seat.tenant.link, seat.place.as_ref());
        let mut voice = self.mouth.voice(slot.0, link, now, place, &mut seat.kept);
        let acted = catch_unwind(AssertUnwindSafe(|| act(&mut seat.session, &mut voice)));
        let Ok(result) = acted else {
            self.give_up(slot);
            return None;
        };
        self.reschedule(slot.index());
        // First what is this session's: passing its voice on lets others speak.
        if !self.mouth.said.is_empty() {
            self.hear(slot, now);
        }
        if !self.mouth.heard.is_empty() {
            self.share(slot, now);
        }
        Some(result)
    }

    /// A fault in one session is the end of that one, not of its neighbours.
    #[cold]
    fn give_up(&mut self, slot: Slot) {
        self.mouth.said.clear();
        self.mouth.heard.clear();
        self.mouth.counters.session_faults.add(1);
        self.see_off(slot, "error");
    }

    /// A deadline that moved back keeps its timer: when it fires, it is set anew.
    #[inline]
    fn reschedule(&mut self, index: usize) {
        let Some(seat) = self.seats[index].as_deref_mut() else {
            return;
        };
        let deadline = seat.session.deadline();
        if deadline < seat.scheduled {
            seat.scheduled = deadline;
            self.wheel.insert(deadline, index as u32);
        }
    }

    /// Drives the sessions whose time has come.
    pub(super) fn fire(&mut self, now: Time) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for timer in due.drain(..) {
            let Some(seat) = self.seats.get_mut(timer.index as usize).and_then(Option::as_deref_mut) else {
                continue;
            };
            if seat.scheduled != timer.deadline {
                continue; // an earlier one replaced it
            }
            seat.scheduled = Time::NEVER;
            let slot = seat.tenant.slot;
            if seat.session.deadline() <= now {
                self.drive(slot, now, |session, voice| session.handle_timeout(now, voice));
            } else {
                self.reschedule(timer.index as usize);
            }
        }
        self.due = due;
    }

    fn hear(&mut self, slot: Slot, now: Time) {
        let mut said = std::mem::take(&mut self.mouth.said);
        for event in said.drain(..) {
            match event {
                Event::Connected { security } => self.connected(slot, security),
                Event::Data {
                    label, binary, payload, ..
                } => self.pass_on(slot, label, binary, payload, now),
                Event::Room { message } => self.obey(slot, &message, now),
                Event::Moved { remote, gap } => self.moved(slot, remote, gap),
                Event::Closed { reason } => self.see_off(slot, reason),
                Event::PathSelected { .. } | Event::ChannelOpen { .. } => {}
            }
        }
        self.mouth.said = said; // keeps its memory
    }

    fn connected(&mut self, slot: Slot, security: String) {
        let Some(seat) = self.seat(slot) else { return };
        let snapshot = seat.snapshot();
        let link = seat.tenant.link;
        let event = EdgeEvent::SessionConnected {
            session: seat.tenant.id.to_string(),
            epoch: seat.tenant.epoch,
            setup_us: snapshot.setup_us.clone(),
            security,
            remote: snapshot.remote.map(|remote| remote.to_string()).unwrap_or_default(),
        };
        let setup_us = snapshot
            .setup_us
            .into_iter()
            .map(|(name, us)| (name.into(), us))
            .collect();
        self.tell(
            link,
            Message::Connected(SessionConnected {
                session: slot.0,
                setup_us,
            }),
        );
        self.announce(event);
        self.join_room(slot);
    }

    fn moved(&mut self, slot: Slot, remote: Remote, gap: Duration) {
        let Some(seat) = self.seat(slot) else { return };
        let event = EdgeEvent::SessionMoved {
            session: seat.tenant.id.to_string(),
            epoch: seat.tenant.epoch,
            remote: remote.to_string(),
            gap_us: u64::try_from(gap.as_micros()).unwrap_or(u64::MAX),
        };
        self.announce(event);
    }

    fn pass_on(&mut self, slot: Slot, label: String, binary: bool, payload: Vec<u8>, now: Time) {
        let Some(link) = self.seat(slot).map(|seat| seat.tenant.link) else {
            return;
        };
        if matches!(link, NO_LINK | LOST_LINK) && !binary && label == CHANNEL && is_bye(&payload) {
            self.drive(slot, now, |session, voice| session.close(now, "bye", false, voice));
            return;
        }
        let data = DataMessage {
            session: slot.0,
            label,
            binary,
            payload: payload.into(),
        };
        if !self.tell(link, Message::Data(data)) {
            self.mouth.counters.drop_data_to_worker.add(1);
        }
    }

    pub(super) fn see_off(&mut self, slot: Slot, reason: &'static str) {
        if self.seat(slot).is_none() {
            return;
        }
        let Some(mut seat) = self.seats[slot.index()].take() else {
            return;
        };
        seat.kept.clear(&mut self.mouth.chunks);
        if let Service::Asked { link, .. } = seat.service {
            self.leave(link, slot, reason);
        }
        self.flows.forget_session(slot);
        self.mouth.ways.connections.forget_session(Owner::Here(slot));
        if let Some(place) = seat.place {
            self.leave_room(slot, place);
        }
        if let Some(membership) = &seat.tenant.room {
            self.surroundings.rooms.leave(membership);
        }
        self.tell(
            seat.tenant.link,
            Message::Closed(SessionClosed {
                session: slot.0,
                reason: reason.into(),
            }),
        );
        self.surroundings
            .registry
            .ended(&seat.tenant.id, slot, seat.tenant.epoch);
        let snapshot = seat.snapshot();
        self.announce(EdgeEvent::SessionClosed {
            session: seat.tenant.id.to_string(),
            epoch: seat.tenant.epoch,
            reason,
            setup_us: snapshot.setup_us,
            quality: snapshot.quality,
        });
    }

    /// Says something to a worker. Returns false when it was not taken.
    pub(super) fn tell(&mut self, link: u32, message: Message) -> bool {
        self.mouth
            .uplinks
            .get_mut(link)
            .is_some_and(|uplink| uplink.control.push(message).is_ok())
    }

    pub(super) fn announce(&self, event: EdgeEvent) {
        if !self.surroundings.events.push(event) {
            self.mouth.counters.drop_events.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_engine::room::MUTE;
    use std::net::UdpSocket;
    use std::sync::Arc;

    use antiphon_caller::call::{Call, CallConfig};
    use antiphon_caller::clock::Clock;
    use antiphon_engine::{IngestFrame, OpenSession, Output as _};
    use str0m::crypto::dtls::DtlsVersion;

    use super::*;
    use crate::session::Tenant;
    use crate::shard::{Sockets, Surroundings};

    const NOW: Time = Time(1_000_000);

    fn shard() -> Shard {
        let surroundings = Surroundings::alone();
        let sockets = Sockets {
            media: vec![UdpSocket::bind("127.0.0.1:0").expect("a free port")],
            listening: None,
            steering: None,
        };
        Shard::new(surroundings, sockets, 4)
    }

    fn sit_down(shard: &mut Shard, id: &str) -> Slot {
        sit_down_in(shard, id, None)
    }

    fn sit_down_in(shard: &mut Shard, id: &str, room: Option<&str>) -> Slot {
        let id: Arc<str> = id.into();
        let room = room.map(|name| shard.surroundings.rooms.join(name).expect("a place"));
        let (slot, _) = shard.surroundings.registry.admit(&id, 1, 0).expect("room");
        let caller = CallConfig::new([127, 0, 0, 1].into(), 160, true, DtlsVersion::Auto).expect("a configuration");
        let (_call, offer) = Call::offer(&caller, 0, Clock::start()).expect("an offer");
        let open = OpenSession {
            offer: &offer,
            slot: slot.0,
            epoch: 1,
            data_channel: None,
            room: false,
        };
        let (session, _) = Session::accept(&shard.surroundings.config, &open, NOW).expect("an answer");
        let tenant = Tenant {
            slot,
            id,
            epoch: 1,
            link: 0,
            incarnation: 0,
            room,
            answer_us: 0,
        };
        shard.sit_down(Seat::new(tenant, Box::new(session)));
        shard.join_room(slot);
        shard.tend_rooms(NOW);
        slot
    }

    #[test]
    fn a_fault_in_one_session_ends_that_session_only() {
        let mut shard = shard();
        let faulty = sit_down(&mut shard, "faulty");
        let healthy = sit_down(&mut shard, "healthy");

        let result = shard.drive(faulty, NOW, |_, _| -> u32 { panic!("a fault, made for this test") });

        assert_eq!(result, None);
        assert!(shard.seat(faulty).is_none() && shard.seat(healthy).is_some());
        assert_eq!(shard.mouth.counters.session_faults.get(), 1);
        assert!(matches!(
            &shard.surroundings.events.take()[..],
            [EdgeEvent::SessionClosed { session, reason: "error", .. }] if session == "faulty"
        ));
        assert_eq!(shard.surroundings.registry.ids(), ["healthy"]);
    }

    #[test]
    fn a_caller_whose_checks_begin_nothing_leaves_the_others_their_handshakes() {
        let mut shard = shard();
        let hostile = sit_down(&mut shard, "hostile");
        let other = sit_down(&mut shard, "other");
        let from = std::net::SocketAddr::from(([192, 0, 2, 1], 4000)).into();

        for _ in 0..10_000 {
            shard.deliver(hostile, NOW, from, &mut [0; 20]); // as a check with a wrong user name, it begins nothing
            shard.shake_hands();
        }
        shard.deliver(other, NOW, from, &mut [0; 20]);

        assert_eq!(shard.mouth.counters.drop_handshake_rate.get(), 0);
        assert_eq!(shard.seat(other).map(|seat| seat.waiting), Some(1));
    }

    #[test]
    fn what_a_session_says_beside_its_voice_is_told_of_it_and_of_no_listener() {
        let mut shard = shard();
        let speaker = sit_down_in(&mut shard, "speaker", Some("kitchen"));
        sit_down_in(&mut shard, "listener", Some("kitchen"));

        shard.drive(speaker, NOW, |_, voice| {
            voice.event(Event::Moved {
                remote: std::net::SocketAddr::from(([192, 0, 2, 1], 4000)).into(),
                gap: Duration::ZERO,
            });
            voice.frame(IngestFrame {
                sequence: 1,
                timestamp: 960,
                duration: 960,
                level: 0,
                marker: true,
                repaired: false,
                redundant: false,
                telephone_event: false,
                fec: false,
                payload: &[0x48, 1],
            });
        });

        assert_eq!(
            shard.mouth.counters.drop_room_refused.get(),
            1,
            "the listener was driven"
        );
        assert!(matches!(
            &shard.surroundings.events.take()[..],
            [EdgeEvent::SessionMoved { session, .. }] if session == "speaker"
        ));
    }

    #[test]
    fn a_member_that_mutes_itself_without_end_keeps_its_room_busy_with_a_few_of_its_wishes() {
        let mut shard = shard();
        let restless = sit_down_in(&mut shard, "restless", Some("kitchen"));
        sit_down_in(&mut shard, "listener", Some("kitchen"));
        let before = shard.mouth.counters.room_stages.get();

        for wish in 0..200_u8 {
            shard.obey(restless, &[MUTE, wish % 2], NOW);
            shard.tend_rooms(NOW);
        }

        assert!(shard.mouth.counters.room_stages.get() - before <= 20);
        assert_eq!(shard.mouth.counters.drop_room_command.get(), 180);
        let later = NOW + Duration::from_secs(1);
        shard.obey(restless, &[MUTE, 1], later);
        shard.tend_rooms(later);
        assert_eq!(
            shard.mouth.counters.drop_room_command.get(),
            180,
            "a second later it is heard again"
        );
    }

    #[test]
    fn a_room_whose_members_leave_at_once_leaves_nothing_behind() {
        let mut shard = shard();
        let members = ["one", "other"].map(|id| sit_down_in(&mut shard, id, Some("kitchen")));
        assert_eq!(shard.rooms.here(), 1);

        for slot in members {
            shard.see_off(slot, "worker");
        }

        // A home on another shard that hears of both at once has nobody here to tell.
        assert_eq!(shard.rooms.here(), 0);
    }

    #[test]
    fn a_handle_of_the_tenant_before_reaches_nobody() {
        let mut shard = shard();
        let before = sit_down(&mut shard, "before");
        shard.see_off(before, "api");
        while sit_down(&mut shard, "after").index() != before.index() {
            let slot = shard.sessions_where(|_| true)[0];
            shard.see_off(slot, "api");
        }
        assert_eq!(shard.drive(before, NOW, |_, _| ()), None);
    }
}
