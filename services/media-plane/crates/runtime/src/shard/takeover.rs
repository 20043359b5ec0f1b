//! A session whose worker is lost: it waits for another one, which is asked, told how the session stands, and sent the frames that were
//! kept. Which worker that is, is decided elsewhere; a session that nobody is named for in time ends.

use std::time::Duration;

use antiphon_engine::{SessionState, Time};
use antiphon_link::proto::control_request::Message;
use antiphon_link::proto::{SessionClosed, SessionConnected, SessionOpened, Takeover};

use super::run::Shard;
use crate::events::EdgeEvent;
use crate::kept::KEPT;
use crate::rooms::LOST_LINK;
use crate::session::Service;
use crate::slot::Slot;

/// How long a session waits for a worker to be named, and that one for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// `IngestGaps.state`
const LOST: u32 = 1;

impl Shard {
    /// A link is down.
    pub(super) fn lose_link(&mut self, link: u32, now: Time) {
        self.mouth.uplinks.down(link);
        let asked = |service| matches!(service, Service::Asked { link: asked, .. } if asked == link);
        for slot in self.sessions_where(|seat| seat.tenant.link == link || asked(seat.service)) {
            self.orphan(slot, "link", now);
        }
    }

    /// A session has lost its worker, or the one that was asked. Members of a room go on hearing each other meanwhile.
    fn orphan(&mut self, slot: Slot, reason: &'static str, now: Time) {
        let hangs_up = self.farewells.iter().any(|(_, leaving)| *leaving == slot);
        let Some(seat) = self.seat(slot) else { return };
        let first = seat.service == Service::Served;
        let until = now + PATIENCE;
        seat.tenant.link = LOST_LINK;
        seat.service = Service::Lost { until };
        let (id, epoch) = (seat.tenant.id.clone(), seat.tenant.epoch);
        let leaves = hangs_up || seat.session.is_closing();
        if first {
            seat.lost_at = now;
            self.drive(slot, now, |session, voice| session.lose_worker(now, voice));
        }
        self.surroundings.registry.carried_by(&id, slot, LOST_LINK);
        self.tell_home_who_serves(slot);
        self.orphans.push_back((until, slot));
        if !leaves {
            self.mouth.counters.sessions_orphaned.add(1);
            self.announce(EdgeEvent::SessionOrphaned {
                session: id.to_string(),
                epoch,
                reason,
            });
        }
    }

    /// Asks a worker to take a session over, if that has none.
    pub(super) fn ask(&mut self, slot: Slot, link: u32, incarnation: u32, mut opened: SessionOpened, now: Time) {
        let Some(seat) = self.seat(slot) else { return };
        if !matches!(seat.service, Service::Lost { .. }) {
            return;
        }
        seat.takeovers += 1;
        opened.room = seat
            .tenant
            .room
            .as_ref()
            .map_or_else(String::new, |room| room.name.to_string());
        let (utterance, generation) = seat.session.reached();
        opened.takeover = Some(Takeover {
            number: seat.takeovers,
            utterance,
            generation,
        });
        let until = now + PATIENCE;
        seat.service = Service::Asked {
            link,
            incarnation,
            until,
        };
        self.orphans.push_back((until, slot));
        let stands = self
            .mouth
            .uplinks
            .get_mut(link)
            .is_some_and(|uplink| uplink.incarnation == incarnation);
        if !stands || !self.tell(link, Message::Opened(opened)) {
            self.orphan(slot, "link", now);
        }
    }

    /// A worker says whether it has a session that was opened at it.
    pub(super) fn answered(&mut self, slot: Slot, link: u32, accepted: bool, now: Time) {
        let Some(seat) = self.seat(slot) else { return };
        match seat.service {
            Service::Asked { link: asked, .. } if asked == link && accepted => self.hand_over(slot, now),
            Service::Asked { link: asked, .. } if asked == link => self.orphan(slot, "refused", now),
            Service::Served if seat.tenant.link == link && !accepted => {
                self.drive(slot, now, |session, voice| session.close(now, "worker", false, voice));
            }
            _ => {} // late
        }
    }

    /// The worker that was asked has the session from now on.
    fn hand_over(&mut self, slot: Slot, now: Time) {
        let Some(seat) = self.seat(slot) else { return };
        let Service::Asked { link, incarnation, .. } = seat.service else {
            return;
        };
        seat.service = Service::Served;
        seat.tenant.link = link;
        seat.tenant.incarnation = incarnation;
        let (id, epoch, number) = (seat.tenant.id.clone(), seat.tenant.epoch, seat.takeovers);
        let gap = now.since(seat.lost_at);
        let snapshot = seat.snapshot();
        let is_connected = seat.session.state() == SessionState::Connected;
        self.surroundings.registry.carried_by(&id, slot, link);
        if is_connected {
            let steps = snapshot.setup_us.into_iter();
            let setup_us = steps.map(|(name, us)| (name.into(), us)).collect();
            self.tell(
                link,
                Message::Connected(SessionConnected {
                    session: slot.0,
                    setup_us,
                }),
            );
        }
        let frames = self.replay(slot, link);
        self.tell_home_who_serves(slot);
        self.mouth.counters.sessions_taken_over.add(1);
        self.mouth.counters.kept_replayed.add(frames);
        self.announce(EdgeEvent::SessionTaken {
            session: id.to_string(),
            epoch,
            number,
            gap_us: u64::try_from(gap.as_micros()).unwrap_or(u64::MAX),
            frames,
        });
    }

    /// Sends what was kept, with word of what is missing in it. It stays, for the case that this worker is lost, too.
    fn replay(&mut self, slot: Slot, link: u32) -> u64 {
        let Some(seat) = self.seats[slot.index()].as_deref_mut() else {
            return 0;
        };
        let Some(uplink) = self.mouth.uplinks.get_mut(link) else {
            return 0;
        };
        let mut came: Vec<u64> = seat.kept.frames(slot.0).map(|frame| frame.sequence).collect();
        came.sort_unstable();
        let batch = uplink.batch(slot.0);
        for pair in came.windows(2) {
            let missing = (pair[1] - pair[0]).saturating_sub(1);
            if missing > 0 {
                batch.push_gap(slot.0, pair[0] + 1, u32::try_from(missing).unwrap_or(u32::MAX), LOST);
            }
        }
        for mut frame in seat.kept.frames(slot.0) {
            frame.flags |= KEPT;
            batch.push_frame(&frame);
        }
        came.len() as u64
    }

    /// Lets go of the sessions that nobody took.
    pub(super) fn tend_orphans(&mut self, now: Time) {
        while let Some((due, slot)) = self.orphans.front().copied()
            && due <= now
        {
            self.orphans.pop_front();
            let Some(seat) = self.seat(slot) else { continue };
            match seat.service {
                // Whose agent had hung up, ends once what it said has been played.
                Service::Lost { until } if until == due && !seat.session.is_closing() => {
                    self.dismiss(slot, "worker", now)
                }
                Service::Asked { link, until, .. } if until == due => {
                    self.leave(link, slot, "moved");
                    self.orphan(slot, "silent", now);
                }
                _ => {} // it has one by now
            }
        }
    }

    /// Tells a worker that was asked that it is not any more.
    pub(super) fn leave(&mut self, link: u32, slot: Slot, reason: &str) {
        self.tell(
            link,
            Message::Closed(SessionClosed {
                session: slot.0,
                reason: reason.into(),
            }),
        );
    }
}
