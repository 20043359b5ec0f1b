//! What other threads ask of a shard: sessions to open and close, questions, links, and datagrams that landed elsewhere.

use antiphon_engine::{Session, Time};

use super::run::Shard;
use super::voice::Voice;
use crate::mailbox::Mail;
use crate::rooms::NO_LINK;
use crate::session::{Seat, Tenant};

/// Messages carried out before packets get their turn again.
const BUDGET: usize = 256;

/// What came of a look into the mailbox.
pub(super) enum Taken {
    /// So many frames, commands and datagrams.
    Packets(usize),
    /// The plane is closing.
    Stop,
}

impl Shard {
    pub(super) fn take_mail(&mut self, now: Time) -> Taken {
        let mut packets = 0;
        for _ in 0..BUDGET {
            let Some(mail) = self.surroundings.mailbox().next_mail() else {
                break;
            };
            match mail {
                Mail::Media { link, message } => packets += self.take_media(link, &message, now),
                Mail::Adopt(moving) => packets += self.adopt(*moving, now),
                Mail::Stop => return Taken::Stop,
                other => self.carry_out(other, now),
            }
        }
        for _ in 0..BUDGET {
            let Some(handed) = self.surroundings.mailbox().next_handed() else {
                break;
            };
            packets += 1;
            self.take_handed(handed, now);
        }
        packets += self.take_parcels(now);
        Taken::Packets(packets)
    }

    fn carry_out(&mut self, mail: Mail, now: Time) {
        match mail {
            Mail::Open(tenant, session) => self.open(*tenant, session, now),
            Mail::AskToMove { slot } => self.ask_to_move(slot, now),
            Mail::Close { slot, reason } => self.dismiss(slot, reason, now),
            Mail::HangUp {
                slot,
                link,
                reason,
                after_playout,
            } => match self.is_served_by(slot, link) {
                true if after_playout => self.hang_up_soon(slot, now),
                true => {
                    self.drive(slot, now, |session, voice| session.close(now, reason, false, voice));
                }
                false => {} // gone already
            },
            Mail::RestartIce { slot, sdpfrag, reply } => {
                let fragment = self.drive(slot, now, |session, _| session.restart_ice(now, &sdpfrag));
                let _gone = reply.send(fragment); // whoever asked may have given up
            }
            Mail::Snapshot { slot, reply } => {
                let snapshot = self.seat(slot).map(|seat| seat.snapshot());
                let _gone = reply.send(snapshot); // whoever asked may have given up
            }
            Mail::Data {
                slot,
                link,
                label,
                binary,
                payload,
            } => {
                let send = |session: &mut Session, voice: &mut Voice<'_>| {
                    session.send_data(now, &label, binary, &payload, voice)
                };
                if !self.is_served_by(slot, link) || self.drive(slot, now, send) != Some(true) {
                    self.mouth.counters.drop_data_to_caller.add(1);
                }
            }
            Mail::Policy {
                slot,
                link,
                hold_on_voice,
            } => {
                if self.is_served_by(slot, link) {
                    self.drive(slot, now, |session, voice| {
                        session.set_policy(now, hold_on_voice, voice)
                    });
                }
            }
            Mail::TakeOver {
                slot,
                link,
                incarnation,
                opened,
            } => self.ask(slot, link, incarnation, *opened, now),
            Mail::Answered { slot, link, accepted } => self.answered(slot, link, accepted, now),
            Mail::LinkUp { link, incarnation, up } => self.mouth.uplinks.up(link, incarnation, up),
            Mail::LinkDown { link } => self.lose_link(link, now),
            Mail::Pace { link, gather_us } => self.mouth.uplinks.pace(link, gather_us),
            Mail::Members(members) => self.mouth.ways.relay.set_members(members),
            Mail::Room(mail) => self.take_room_mail(mail, now),
            Mail::Media { .. } | Mail::Adopt(_) | Mail::Stop => {} // taken above
        }
    }

    fn open(&mut self, tenant: Tenant, session: Box<Session>, now: Time) {
        let (slot, incarnation) = (tenant.slot, tenant.incarnation);
        let link_stands = tenant.link == NO_LINK
            || self
                .mouth
                .uplinks
                .get_mut(tenant.link)
                .is_some_and(|uplink| uplink.incarnation == incarnation);
        self.sit_down(Seat::new(tenant, session));
        if !link_stands {
            self.drive(slot, now, |session, voice| session.close(now, "worker", false, voice));
        }
    }
}
