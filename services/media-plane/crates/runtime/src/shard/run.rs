//! The shard's loop: mail, datagrams, timers, links, then rest.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use antiphon_engine::{EngineConfig, Time};
use antiphon_link::monotonic_us;

use super::handshakes::Handshakes;
use super::load::Load;
use super::mail::Taken;
use super::voice::Mouth;
use crate::counters::{ShardCounters, Tables};
use crate::events::Events;
use crate::flows::{Flows, MOST_ADDRESSES};
use crate::mailbox::Mailbox;
use crate::registry::Registry;
use crate::session::Seat;
use crate::slot::Slot;
use crate::socket::{self, Inbox, Outbox};
use crate::steering::{Steer, names_another, steer};
use crate::uplinks::Uplinks;
use crate::wheel::{Timer, Wheel};

/// Batches read before sessions' timers and links get their turn.
const READS: usize = 8;
/// Longest sleep; nothing depends on it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// What a shard shares with the rest of the process.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) index: usize,
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) mailboxes: Arc<[Mailbox]>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) events: Arc<Events>,
    pub(crate) counters: Arc<ShardCounters>,
    pub(crate) tables: Arc<Tables>,
}

impl Surroundings {
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailboxes[self.index]
    }
}

/// One shard, on its own thread.
pub(crate) struct Shard {
    pub(super) index: usize,
    pub(super) surroundings: Surroundings,
    pub(super) seats: Vec<Option<Box<Seat>>>,
    pub(super) flows: Flows,
    pub(super) wheel: Wheel,
    pub(super) due: Vec<Timer>,
    /// Sessions whose agent hung up once all is played, in order of time.
    pub(super) farewells: VecDeque<(Time, Slot)>,
    /// What callers say who are not connected yet.
    pub(super) handshakes: Handshakes,
    pub(super) mouth: Mouth,
}

impl Drop for Shard {
    /// However the thread ends, nobody shall wait for it.
    fn drop(&mut self) {
        self.surroundings.mailbox().close();
    }
}

impl Shard {
    pub(crate) fn new(surroundings: Surroundings, socket: UdpSocket, capacity: usize) -> Self {
        let mouth = Mouth {
            socket,
            outbox: Outbox::new(),
            uplinks: Uplinks::default(),
            counters: surroundings.counters.clone(),
            said: Vec::new(),
        };
        Self {
            index: surroundings.index,
            surroundings,
            seats: Vec::new(),
            flows: Flows::new(capacity.saturating_mul(MOST_ADDRESSES).max(64)),
            wheel: Wheel::new(Time(monotonic_us())),
            due: Vec::new(),
            farewells: VecDeque::new(),
            handshakes: Handshakes::default(),
            mouth,
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut inbox = Inbox::new();
        let mut load = Load::new(Time(monotonic_us()));
        let mut purged = Time(monotonic_us());
        loop {
            let now = Time(monotonic_us());
            self.mouth.counters.wakes.add(1);
            let Taken::Packets(mut packets) = self.take_mail(now) else {
                break;
            };
            packets += self.read(&mut inbox, now);
            self.fire(now);
            self.say_farewells(now);
            self.mouth.send();
            let mut flush_at = self.mouth.uplinks.flush(now, &self.surroundings.counters);
            if !self.handshakes.is_empty() {
                self.shake_hands();
                self.mouth.send();
                flush_at = self.mouth.uplinks.flush(now, &self.surroundings.counters);
            }
            if now.since(purged) >= PURGE_EVERY {
                purged = now;
                self.flows.purge(now);
                let (flows, timers) = (self.flows.len(), self.wheel.len());
                self.surroundings.tables.tell(flows, timers, self.handshakes.len());
            }
            match load.note(now, packets) {
                Some(look_again) => socket::sleep_until(look_again),
                None if self.handshakes.is_empty() => self.wait(flush_at),
                None => {} // the others, after a look at the live calls
            }
        }
        self.stop();
    }

    /// Sleeps until something comes or a deadline does.
    fn wait(&self, flush_at: Time) {
        let farewell = self.farewells.front().map_or(Time::NEVER, |(due, _)| *due);
        let next = self.wheel.next().unwrap_or(Time::NEVER).min(flush_at).min(farewell);
        let longest = next.since(Time(monotonic_us())).min(LONGEST_SLEEP);
        let mailbox = self.surroundings.mailbox();
        if mailbox.fall_asleep() {
            socket::wait(&self.mouth.socket, mailbox.signal(), longest);
            mailbox.awake();
        }
    }

    fn read(&mut self, inbox: &mut Inbox, now: Time) -> usize {
        let mut total = 0;
        for _ in 0..READS {
            let (count, more) = inbox.receive(&self.mouth.socket);
            total += count;
            for at in 0..count {
                match inbox.datagram(at) {
                    Some((from, datagram)) => self.take_datagram(from, datagram, now),
                    None => self.mouth.counters.drop_truncated.add(1),
                }
            }
            if count > 0 {
                self.mouth
                    .counters
                    .drop_rxq_overflow
                    .add(u64::from(inbox.take_overflow()));
            }
            if !more {
                break;
            }
        }
        self.mouth.counters.datagrams_in.add(total as u64);
        total
    }

    #[inline]
    fn take_datagram(&mut self, from: SocketAddr, datagram: &mut [u8], now: Time) {
        let may_be_stun = datagram.first().is_some_and(|first| *first < 4);
        match self.flows.find(from, now) {
            Some(slot) if may_be_stun && names_another(&self.surroundings.config, datagram, slot) => {
                self.introduce(from, datagram, now);
            }
            Some(slot) => self.forward(slot, from, datagram, now),
            None if may_be_stun => self.introduce(from, datagram, now),
            None => self.mouth.counters.drop_unknown_flow.add(1),
        }
    }

    /// A STUN request from an address that is not known, or for another session than known.
    fn introduce(&mut self, from: SocketAddr, datagram: &mut [u8], now: Time) {
        let counters = &self.mouth.counters;
        match steer(&self.surroundings.config, datagram) {
            Steer::BadUfrag => counters.drop_bad_ufrag.add(1),
            Steer::OtherEdge => counters.drop_other_edge.add(1),
            Steer::BadIntegrity => counters.drop_bad_integrity.add(1),
            Steer::Owner(slot) => {
                if !self.learn(from, slot, now) {
                    self.mouth.counters.drop_flows_full.add(1);
                }
                self.forward(slot, from, datagram, now);
            }
        }
    }

    fn learn(&mut self, from: SocketAddr, slot: Slot, now: Time) -> bool {
        let mut media_goes_to = None;
        if slot.shard() == self.index {
            let Some(seat) = self.seat(slot) else { return true }; // counted where it is delivered
            media_goes_to = seat.session.remote();
        }
        self.flows.learn(from, slot, now, media_goes_to)
    }

    #[inline]
    fn forward(&mut self, slot: Slot, from: SocketAddr, datagram: &mut [u8], now: Time) {
        if slot.shard() == self.index {
            self.deliver(slot, now, from, datagram);
            return;
        }
        let Some(owner) = self.surroundings.mailboxes.get(slot.shard()) else {
            self.mouth.counters.drop_no_session.add(1);
            return;
        };
        let taken = owner.hand(slot, from, datagram);
        let counters = &self.mouth.counters;
        if taken {
            counters.handed_over.add(1)
        } else {
            counters.drop_ring_full.add(1)
        }
    }

    #[inline]
    pub(super) fn deliver(&mut self, slot: Slot, now: Time, from: SocketAddr, datagram: &mut [u8]) {
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

    pub(super) fn sessions_where(&self, wanted: impl Fn(&Seat) -> bool) -> Vec<Slot> {
        let seats = self.seats.iter().flatten();
        seats.filter(|seat| wanted(seat)).map(|seat| seat.tenant.slot).collect()
    }

    fn stop(&mut self) {
        let now = Time(monotonic_us());
        for slot in self.sessions_where(|_| true) {
            self.dismiss(slot, "drain", now);
        }
        self.mouth.uplinks.flush(now, &self.surroundings.counters);
        self.mouth.send();
    }
}
