//! The shard's table of sessions: driving one, keeping its deadline, and seeing it off.

use antiphon_engine::{Event, Session, Time};
use antiphon_link::proto::control_request::Message;
use antiphon_link::proto::{DataMessage, SessionClosed, SessionConnected};

use super::run::Shard;
use super::voice::Voice;
use crate::events::EdgeEvent;
use crate::session::Seat;
use crate::slot::Slot;

impl Shard {
    pub(super) fn seat(&mut self, slot: Slot) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(slot.index())?.as_deref_mut()?;
        (seat.tenant.slot == slot).then_some(seat)
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
        let result = act(&mut seat.session, &mut self.mouth.voice(slot.0, seat.tenant.link, now));
        self.reschedule(slot.index());
        if !self.mouth.said.is_empty() {
            self.hear(slot);
        }
        Some(result)
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

    fn hear(&mut self, slot: Slot) {
        let mut said = std::mem::take(&mut self.mouth.said);
        for event in said.drain(..) {
            match event {
                Event::Connected { security } => self.connected(slot, security),
                Event::Data {
                    label, binary, payload, ..
                } => self.pass_on(slot, label, binary, payload),
                Event::Closed { reason } => self.see_off(slot, reason),
                Event::PathSelected { .. } | Event::ChannelOpen { .. } => {}
            }
        }
        self.mouth.said = said; // keeps its memory
    }

    fn connected(&mut self, slot: Slot, security: String) {
        let Some(seat) = self.seat(slot) else { return };
        seat.connected = true;
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
    }

    fn pass_on(&mut self, slot: Slot, label: String, binary: bool, payload: Vec<u8>) {
        let Some(link) = self.seat(slot).map(|seat| seat.tenant.link) else {
            return;
        };
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
        let Some(seat) = self.seats[slot.index()].take() else {
            return;
        };
        for address in seat.addresses() {
            self.flows.forget(*address, slot);
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
    fn tell(&mut self, link: u32, message: Message) -> bool {
        self.mouth
            .uplinks
            .get_mut(link)
            .is_some_and(|uplink| uplink.control.push(message).is_ok())
    }

    fn announce(&self, event: EdgeEvent) {
        if !self.surroundings.events.push(event) {
            self.mouth.counters.drop_events.add(1);
        }
    }
}
