//! Datagrams of callers: whose they are, and how they get there.

use antiphon_engine::{Remote, SessionState, Time};

use super::run::Shard;
use crate::gate::Refused;
use crate::mailbox::{Errand, Handed};
use crate::session::Seat;
use crate::slot::Slot;
use crate::steering::{Owner, Steer, Whereabouts, names_another, steer};

impl Whereabouts for Shard {
    fn lives(&self, slot: Slot, epoch: u64) -> bool {
        self.surroundings.registry.lives(slot, epoch)
    }

    fn is_member(&self, edge: u32) -> bool {
        self.mouth.ways.relay.is_member(edge)
    }
}

/// RFC 7983: what is no STUN does not begin so.
fn may_be_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}

impl Shard {
    #[inline]
    pub(super) fn take_datagram(&mut self, from: Remote, datagram: &mut [u8], now: Time) {
        let is_check = may_be_stun(datagram);
        if let Some(slot) = self.flows.find(from, now) {
            if is_check && names_another(&self.surroundings.config, datagram, Owner::Here(slot)) {
                self.introduce(from, datagram, now);
            } else {
                self.forward(slot, from, datagram, now);
            }
            return;
        }
        self.take_from_stranger(is_check, from, datagram, now);
    }

    /// A datagram from an address that none of this edge's sessions has.
    #[cold]
    fn take_from_stranger(&mut self, is_check: bool, from: Remote, datagram: &mut [u8], now: Time) {
        match self.mouth.ways.relay.flows.find(from, now) {
            Some(Owner::Elsewhere(edge, slot))
                if !is_check || !names_another(&self.surroundings.config, datagram, Owner::Elsewhere(edge, slot)) =>
            {
                let (ways, counters) = (&mut self.mouth.ways, &self.mouth.counters);
                ways.relay.inward(edge, slot, from, datagram, counters);
            }
            _ if is_check => self.introduce(from, datagram, now),
            _ => self.mouth.counters.drop_unknown_flow.add(1),
        }
    }

    /// A STUN request from an address that is not known, or for another session than known.
    fn introduce(&mut self, from: Remote, datagram: &mut [u8], now: Time) {
        match self.owner_of(from, datagram, now) {
            None => {}
            Some(Owner::Here(slot)) => {
                if !self.learn(from, slot, now) {
                    self.mouth.counters.drop_flows_full.add(1);
                }
                self.forward(slot, from, datagram, now);
            }
            Some(owner @ Owner::Elsewhere(edge, slot)) => {
                let (ways, counters) = (&mut self.mouth.ways, &self.mouth.counters);
                if !ways.relay.flows.learn(from, owner, now, None) {
                    counters.drop_flows_full.add(1);
                }
                ways.relay.inward(edge, slot, from, datagram, counters);
            }
        }
    }

    /// Who owns the sender of a check that is authentic; what is not is counted.
    pub(super) fn owner_of(&mut self, from: Remote, datagram: &[u8], now: Time) -> Option<Owner> {
        let counters = &self.mouth.counters;
        match self.gate.check(from.address.ip(), now) {
            Ok(()) => {}
            Err(Refused::Source) => {
                counters.drop_source_rate.add(1);
                return None;
            }
            Err(Refused::Shard) => {
                counters.drop_stranger_rate.add(1);
                return None;
            }
        }
        match steer(&self.surroundings.config, datagram, self) {
            Steer::Owner(owner) => return Some(owner),
            Steer::BadUfrag => counters.drop_bad_ufrag.add(1),
            Steer::Stale => counters.drop_stale_ufrag.add(1),
            Steer::UnknownEdge => counters.drop_other_edge.add(1),
            Steer::BadIntegrity => counters.drop_bad_integrity.add(1),
        }
        self.gate.blame(from.address.ip(), now);
        None
    }

    fn learn(&mut self, from: Remote, slot: Slot, now: Time) -> bool {
        let mut media_goes_to = None;
        if slot.shard() == self.index {
            let Some(seat) = self.seat(slot) else { return true }; // counted where it is delivered
            media_goes_to = seat.session.remote();
        }
        self.flows.learn(from, slot, now, media_goes_to)
    }

    #[inline]
    pub(super) fn forward(&mut self, slot: Slot, from: Remote, datagram: &mut [u8], now: Time) {
        if slot.shard() == self.index {
            self.deliver(slot, now, from, datagram);
        } else {
            self.run_or_hand(slot.shard(), Errand::Deliver(slot), from, datagram, now);
        }
    }

    /// Does it here, or leaves it to the shard whose business it is.
    pub(super) fn run_or_hand(&mut self, shard: usize, errand: Errand, remote: Remote, datagram: &mut [u8], now: Time) {
        if shard == self.index {
            self.run_errand(errand, remote, datagram, now);
            return;
        }
        let counters = &self.mouth.counters;
        let Some(other) = self.surroundings.mailboxes.get(shard) else {
            counters.drop_no_session.add(1);
            return;
        };
        if other.hand(errand, remote, datagram) {
            counters.handed_over.add(1);
        } else {
            counters.drop_ring_full.add(1);
        }
    }

    fn run_errand(&mut self, errand: Errand, remote: Remote, datagram: &mut [u8], now: Time) {
        match errand {
            Errand::Deliver(slot) => self.deliver(slot, now, remote, datagram),
            Errand::SendFor(owner) => self.send_for(owner, remote, datagram, now),
        }
    }

    /// Deals with a datagram that landed on another shard.
    pub(super) fn take_handed(&mut self, mut handed: Handed, now: Time) {
        self.run_errand(handed.errand, handed.remote, &mut handed.datagram, now);
        self.surroundings.mailbox().take_back(handed.datagram);
    }

    #[inline]
    pub(super) fn deliver(&mut self, slot: Slot, now: Time, from: Remote, datagram: &mut [u8]) {
        if may_be_stun(datagram) && !self.may_begin(slot, now) {
            self.mouth.counters.drop_handshake_rate.add(1);
            return;
        }
        if self.may_wait(slot, from, datagram) {
            return;
        }
        if self
            .drive(slot, now, |session, voice| session.receive(now, from, datagram, voice))
            .is_none()
        {
            self.mouth.counters.drop_no_session.add(1);
        }
    }

    /// A session's first check begins its handshake: so many may begin in a second, and the others are asked for again
    /// by their callers' next checks. A session is counted once, however often its caller checks before an answer.
    fn may_begin(&mut self, slot: Slot, now: Time) -> bool {
        let waits = |seat: &mut Seat| !seat.may_begin && seat.session.state() == SessionState::New;
        if !self.seat(slot).is_some_and(waits) {
            return true;
        }
        let allowed = self.gate.handshake(now);
        if let Some(seat) = self.seat(slot) {
            seat.may_begin = allowed;
        }
        allowed
    }
}
