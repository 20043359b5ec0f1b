//! Datagrams of callers: whose they are, and how they get there.

use std::time::Duration;

use antiphon_engine::{Remote, SessionState, Time};

use super::run::Shard;
use crate::gate::Refused;
use crate::mailbox::{Claim, Errand, Handed};
use crate::session::Seat;
use crate::slot::Slot;
use crate::steering::{Owner, Steer, Whereabouts, names_another, steer};

/// A caller that was heard from an address within this time is there: browsers check every 2.5 s, and send more besides.
const PRESENT: Duration = Duration::from_secs(3);

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
        let owner = self.flows.find(from, now);
        self.take_datagram_of(owner, from, datagram, now);
    }

    /// As [`Shard::take_datagram`], where it is known whose the address is.
    #[inline]
    pub(super) fn take_datagram_of(&mut self, owner: Option<Slot>, from: Remote, datagram: &mut [u8], now: Time) {
        let is_check = may_be_stun(datagram);
        if let Some(slot) = owner {
            if is_check && names_another(&self.surroundings.config, datagram, Owner::Here(slot)) {
                self.introduce(from, datagram, now);
            } else if !is_check || !self.take_probe(from, datagram, now) {
                self.forward(slot, from, datagram, now);
            }
            return;
        }
        self.take_from_stranger(is_check, from, datagram, now);
    }

    /// A datagram from an address that none of this edge's sessions has.
    #[cold]
    fn take_from_stranger(&mut self, is_check: bool, from: Remote, datagram: &mut [u8], now: Time) {
        if is_check && self.take_probe(from, datagram, now) {
            return;
        }
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
            Some(Owner::Here(slot)) => match self.flows.loser(from, slot) {
                None => self.settle(slot, from, datagram, now),
                Some(holder) => {
                    let claim = Claim {
                        claimant: slot,
                        holder,
                        shard: self.index as u8,
                    };
                    self.run_or_hand(holder.shard(), Errand::Claim(claim), from, datagram, now);
                }
            },
            Some(owner @ Owner::Elsewhere(edge, slot)) => {
                let (ways, counters) = (&mut self.mouth.ways, &self.mouth.counters);
                if !ways.relay.flows.learn(from, owner, now, None) {
                    counters.drop_flows_full.add(1);
                }
                ways.relay.inward(edge, slot, from, datagram, counters);
            }
        }
    }

    /// From now on an address is a session's.
    fn settle(&mut self, slot: Slot, from: Remote, datagram: &mut [u8], now: Time) {
        if !self.learn(from, slot, now) {
            self.mouth.counters.drop_flows_full.add(1);
        }
        self.forward(slot, from, datagram, now);
    }

    /// Who has an address keeps it as long as it is heard there: anybody with a session can forge the address of another's
    /// caller.
    fn judge(&mut self, claim: Claim, from: Remote, datagram: &mut [u8], now: Time) {
        let heard = self.seat(claim.holder).and_then(|seat| seat.session.heard_from(from));
        if heard.is_some_and(|heard| now.since(heard) < PRESENT) {
            self.mouth.counters.drop_flow_taken.add(1);
            return;
        }
        self.run_or_hand(usize::from(claim.shard), Errand::Yield(claim), from, datagram, now);
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
            Errand::Claim(claim) => self.judge(claim, remote, datagram, now),
            // Meanwhile it may have become a third one's, whom the next check is judged by.
            Errand::Yield(claim)
                if self
                    .flows
                    .loser(remote, claim.claimant)
                    .is_some_and(|now| now != claim.holder) =>
            {
                self.mouth.counters.drop_flow_taken.add(1);
            }
            Errand::Yield(claim) => self.settle(claim.claimant, remote, datagram, now),
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

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::Arc;

    use antiphon_caller::call::{Call, CallConfig};
    use antiphon_caller::clock::Clock;
    use antiphon_engine::stun::{Check, Role};
    use antiphon_engine::{OpenSession, Session};
    use antiphon_link::monotonic_us;
    use str0m::crypto::dtls::DtlsVersion;

    use super::*;
    use crate::mailbox::Mailbox;
    use crate::session::Tenant;
    use crate::shard::{Sockets, Surroundings};

    /// Shards of one edge.
    struct Edge {
        shards: Vec<Shard>,
        transactions: u8,
        begin: Time,
    }

    /// A session with what its caller's checks carry.
    struct Caller {
        slot: Slot,
        username: String,
        password: Vec<u8>,
    }

    impl Edge {
        fn new(shards: usize) -> Self {
            let mailboxes: Arc<[Mailbox]> = (0..shards).map(|_| Mailbox::new().expect("a descriptor")).collect();
            let common = Surroundings {
                mailboxes,
                registry: Arc::new(crate::registry::Registry::new(shards, 8)),
                ..Surroundings::alone()
            };
            let shard = |index| {
                let surroundings = Surroundings {
                    index,
                    counters: Arc::default(),
                    ..common.clone()
                };
                let sockets = Sockets {
                    media: vec![UdpSocket::bind("127.0.0.1:0").expect("a free port")],
                    listening: None,
                    steering: None,
                };
                Shard::new(surroundings, sockets, 4)
            };
            Self {
                shards: (0..shards).map(shard).collect(),
                transactions: 0,
                begin: Time(monotonic_us()), // by which handshakes go
            }
        }

        fn open(&mut self, id: &str) -> Caller {
            let config = self.shards[0].surroundings.config.clone();
            let (slot, _) = self.shards[0]
                .surroundings
                .registry
                .admit(&id.into(), 1, 0)
                .expect("room");
            let caller = CallConfig::new([127, 0, 0, 1].into(), 160, true, DtlsVersion::Auto).expect("a configuration");
            let (_call, offer) = Call::offer(&caller, 0, Clock::start()).expect("an offer");
            let open = OpenSession {
                offer: &offer,
                slot: slot.0,
                epoch: 1,
                data_channel: None,
                room: false,
            };
            let (session, _) = Session::accept(&config, &open, self.begin).expect("an answer");
            let theirs = offer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
            let ufrag = session.ufrag().to_owned();
            let username = format!("{ufrag}:{}", theirs.expect("an offer has one"));
            let password = config.sealer.password(ufrag.as_bytes()).as_bytes().to_vec();
            let tenant = Tenant {
                slot,
                id: id.into(),
                epoch: 1,
                link: 0,
                incarnation: 0,
                room: None,
                answer_us: 0,
            };
            self.shards[slot.shard()].sit_down(Seat::new(tenant, Box::new(session)));
            Caller {
                slot,
                username,
                password,
            }
        }

        /// A check lands on a shard, and all shards do what comes of it.
        fn check(&mut self, landing: usize, caller: &Caller, from: Remote, passed: Duration) {
            let now = self.begin + passed;
            self.transactions += 1;
            let check = Check {
                transaction: [self.transactions; 12],
                username: caller.username.as_bytes(),
                password: &caller.password,
                priority: 1,
                use_candidate: false,
                role: Role::Controlling(1),
            };
            let mut buffer = [0; 256];
            let length = check.write(&mut buffer);
            self.shards[landing].take_datagram(from, &mut buffer[..length], now);
            for _ in 0..4 {
                for shard in &mut self.shards {
                    shard.take_mail(now);
                    shard.shake_hands();
                }
            }
        }

        /// Time goes back, which what strangers may do in a second does not know.
        fn go_back(&mut self) {
            for shard in &mut self.shards {
                shard.gate = crate::gate::Gate::new(self.begin);
            }
        }

        fn owner(&mut self, landing: usize) -> Option<Slot> {
            self.shards[landing].flows.find(address(), self.begin)
        }

        fn refused(&self) -> u64 {
            let shards = self.shards.iter();
            shards.map(|shard| shard.mouth.counters.drop_flow_taken.get()).sum()
        }
    }

    fn address() -> Remote {
        SocketAddr::from(([192, 0, 2, 1], 4000)).into()
    }

    #[test]
    fn an_address_stays_whose_caller_is_heard_there_on_whichever_shard() {
        for (shards, landing) in [(1, 0), (2, 0), (2, 1)] {
            let mut edge = Edge::new(shards);
            let soon = Duration::from_millis(2_900);
            let (caller, thief) = (edge.open("caller"), edge.open("thief"));
            edge.check(landing, &caller, address(), Duration::ZERO);

            edge.check(landing, &thief, address(), soon);
            assert_eq!(edge.owner(landing), Some(caller.slot));
            assert_eq!(edge.refused(), 1);

            // Nothing of it was heard for too long, and then it is heard again.
            edge.check(landing, &thief, address(), Duration::from_secs(60));
            assert_eq!(edge.owner(landing), Some(thief.slot));
            edge.go_back();
            edge.check(landing, &caller, address(), soon);
            assert_eq!(edge.owner(landing), Some(caller.slot));
            edge.check(landing, &thief, address(), soon);
            assert_eq!(edge.owner(landing), Some(caller.slot));
            assert_eq!(edge.refused(), 2);
        }
    }

    #[test]
    fn a_new_session_has_the_port_of_one_that_ended_at_once() {
        for (shards, landing) in [(1, 0), (2, 0), (2, 1)] {
            let mut edge = Edge::new(shards);
            let (old, new) = (edge.open("old"), edge.open("new"));
            edge.check(landing, &old, address(), Duration::ZERO);
            edge.shards[old.slot.shard()].see_off(old.slot, "bye");

            edge.check(landing, &new, address(), Duration::ZERO);
            assert_eq!(edge.owner(landing), Some(new.slot));
            assert_eq!(edge.refused(), 0);
        }
    }
}
