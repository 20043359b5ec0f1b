//! The shard's loop: mail, datagrams, timers, links, then rest.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use antiphon_engine::envelope::Seen;
use antiphon_engine::{EngineConfig, Remote, Time, Transport, Via};
use antiphon_link::monotonic_us;

use super::connections::Connections;
use super::handshakes::Handshakes;
use super::listening::Listening;
use super::load::Load;
use super::mail::Taken;
use super::relay::Relay;
use super::rooms::Rooms;
use super::voice::Mouth;
use super::ways::{Port, Ways};
use crate::counters::{ShardCounters, Tables};
use crate::events::Events;
use crate::flows::{Flows, MOST_ADDRESSES};
use crate::gate::Gate;
use crate::kept::Chunks;
use crate::mailbox::Mailbox;
use crate::plane::StunProbe;
use crate::registry::Registry;
use crate::rooms::{Heard, RoomBook};
use crate::session::Seat;
use crate::slot::Slot;
use crate::socket::{self, BATCH, Inbox, MOST_WATCHED, Ready};
use crate::uplinks::Uplinks;
use crate::wheel::{Timer, Wheel};

/// Batches read before sessions' timers and links get their turn.
const READS: usize = 8;
/// Longest sleep; nothing depends on it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a shard shares with the rest of the process.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) index: usize,
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) mailboxes: Arc<[Mailbox]>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) rooms: Arc<RoomBook>,
    /// Envelopes of other edges that came to any shard: a copy may land on another one.
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) events: Arc<Events>,
    pub(crate) counters: Arc<ShardCounters>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) stun_probe: StunProbe,
}

impl Surroundings {
    /// Of the only shard of a small edge with the number 1, without sockets.
    #[cfg(test)]
    pub(super) fn alone() -> Self {
        let advertise = [std::net::SocketAddr::from(([127, 0, 0, 1], 4000))];
        Self {
            index: 0,
            config: Arc::new(
                EngineConfig::new(&[7; 16], 1, advertise, std::time::Instant::now()).expect("a configuration"),
            ),
            mailboxes: Arc::new([Mailbox::new().expect("a descriptor")]),
            registry: Arc::new(Registry::new(1, 4)),
            rooms: Arc::default(),
            seen: Arc::default(),
            events: Arc::new(Events::new().expect("a descriptor")),
            counters: Arc::default(),
            tables: Arc::default(),
            stun_probe: StunProbe::Padded,
        }
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailboxes[self.index]
    }
}

/// The sockets of one shard; those of one kind share their ports with the other shards'.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// One for each address that callers reach this edge by.
    pub(crate) media: Vec<UdpSocket>,
    /// The same for callers' TCP connections; none when they are not wanted.
    pub(crate) listening: Option<Listening>,
    /// For envelopes of other edges.
    pub(crate) steering: Option<UdpSocket>,
}

/// One shard, on its own thread.
pub(crate) struct Shard {
    pub(super) index: usize,
    pub(super) surroundings: Surroundings,
    pub(super) seats: Vec<Option<Box<Seat>>>,
    pub(super) flows: Flows<Slot>,
    pub(super) gate: Gate,
    pub(super) wheel: Wheel,
    pub(super) due: Vec<Timer>,
    /// Sessions whose agent hung up once all is played, in order of time.
    pub(super) farewells: VecDeque<(Time, Slot)>,
    /// Sessions without a worker, in order of when that is to be over.
    pub(super) orphans: VecDeque<(Time, Slot)>,
    /// What callers say who are not connected yet.
    pub(super) handshakes: Handshakes,
    pub(super) rooms: Rooms,
    pub(super) mouth: Mouth,
    /// What connections are ready for.
    pub(super) ready: Vec<Ready>,
}

impl Drop for Shard {
    /// However the thread ends, nobody shall wait for it.
    fn drop(&mut self) {
        self.surroundings.mailbox().close();
    }
}

impl Shard {
    pub(crate) fn new(surroundings: Surroundings, sockets: Sockets, capacity: usize) -> Self {
        let ways = Ways {
            ports: sockets.media.into_iter().map(Port::new).collect(),
            connections: Connections::new(sockets.listening),
            relay: Relay::new(&surroundings, sockets.steering, capacity),
        };
        let mouth = Mouth {
            ways,
            uplinks: Uplinks::default(),
            counters: surroundings.counters.clone(),
            said: Vec::new(),
            heard: Heard::default(),
            chunks: Chunks::default(),
        };
        Self {
            index: surroundings.index,
            surroundings,
            seats: Vec::new(),
            flows: Flows::new(capacity.saturating_mul(MOST_ADDRESSES).max(64)),
            gate: Gate::new(Time(monotonic_us())),
            wheel: Wheel::new(Time(monotonic_us())),
            due: Vec::with_capacity(64),
            farewells: VecDeque::new(),
            orphans: VecDeque::new(),
            handshakes: Handshakes::default(),
            rooms: Rooms::default(),
            mouth,
            ready: Vec::new(),
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut inbox = Inbox::new();
        let mut load = Load::new(Time(monotonic_us()));
        let mut purged = Time(monotonic_us());
        let mut swept = purged;
        let mut looked = purged;
        let descriptors = self.watched();
        loop {
            let now = Time(monotonic_us());
            self.mouth.counters.wakes.add(1);
            let Taken::Packets(mut packets) = self.take_mail(now) else {
                break;
            };
            let read = self.read(&mut inbox, now);
            self.note_wait(now.since(looked), read);
            looked = now;
            packets += read;
            self.mouth.ways.connections.resume(now);
            packets += self.serve_connections(now);
            packets += self.read_envelopes(&mut inbox, now);
            self.fire(now);
            self.say_farewells(now);
            self.tend_orphans(now);
            let rooms_at = self.tend_rooms(now);
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
                self.mouth.ways.relay.flows.purge(now);
                self.gate.purge(now);
                let flows = self.flows.len() + self.mouth.ways.relay.flows.len();
                let timers = self.wheel.len();
                let kept = self.mouth.chunks.lent();
                self.surroundings
                    .tables
                    .tell(flows, timers, self.handshakes.len(), kept);
            }
            if now.since(swept) >= SWEEP_EVERY && !self.mouth.ways.connections.is_empty() {
                swept = now;
                let (ways, counters) = (&mut self.mouth.ways, &self.mouth.counters);
                ways.connections.sweep(now, counters);
            }
            match load.note(now, packets) {
                Some(look_again) => {
                    socket::sleep_until(look_again);
                    let late = Time(monotonic_us()).since(look_again);
                    let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                    self.mouth.counters.late_wakes_us.add(late);
                }
                None if self.handshakes.is_empty() => {
                    self.wait(&descriptors, flush_at.min(rooms_at));
                    looked = Time(monotonic_us()); // what came woke it
                }
                None => {} // the others, after a look at the live calls
            }
        }
        self.stop();
    }

    /// Nobody looked into the sockets for so long: datagrams that were read now may have waited all that time.
    fn note_wait(&self, waited: Duration, datagrams: usize) {
        let counters = &self.mouth.counters;
        for (limit, counter) in [
            (2, &counters.waited_2ms),
            (5, &counters.waited_5ms),
            (10, &counters.waited_10ms),
            (20, &counters.waited_20ms),
        ] {
            if waited < Duration::from_millis(limit) {
                return;
            }
            counter.add(datagrams as u64);
        }
    }

    /// Sleeps until something comes or a deadline does.
    fn wait(&self, descriptors: &[RawFd], flush_at: Time) {
        let longest = self.next(flush_at).since(Time(monotonic_us())).min(LONGEST_SLEEP);
        let mailbox = self.surroundings.mailbox();
        if mailbox.fall_asleep() {
            socket::wait(descriptors, mailbox.signal(), longest);
            mailbox.awake();
        }
    }

    /// When there is something to do, should nothing come.
    pub(super) fn next(&self, flush_at: Time) -> Time {
        let farewell = self.farewells.front().map_or(Time::NEVER, |(due, _)| *due);
        let orphan = self.orphans.front().map_or(Time::NEVER, |(due, _)| *due);
        let timer = self.wheel.next().unwrap_or(Time::NEVER);
        let accepts = self.mouth.ways.connections.deadline();
        flush_at.min(farewell).min(orphan).min(timer).min(accepts)
    }

    fn watched(&self) -> Vec<RawFd> {
        let descriptors: Vec<_> = self.mouth.ways.descriptors().collect();
        debug_assert!(descriptors.len() <= MOST_WATCHED, "the plane binds fewer");
        descriptors
    }

    fn read(&mut self, inbox: &mut Inbox, now: Time) -> usize {
        (0..self.mouth.ways.ports.len())
            .map(|number| self.read_port(number, inbox, now))
            .sum()
    }

    fn read_port(&mut self, number: usize, inbox: &mut Inbox, now: Time) -> usize {
        let via = Via::Socket(number as u8);
        let mut total = 0;
        for _ in 0..READS {
            let (count, more) = inbox.receive(&self.mouth.ways.ports[number].socket);
            total += count;
            let from = |address| Remote {
                address,
                transport: Transport::Udp,
                via,
            };
            // All are looked up first: no look-up waits for another's memory.
            let mut owners = [None; BATCH];
            for (at, owner) in owners.iter_mut().enumerate().take(count) {
                *owner = inbox.sender(at).and_then(|address| self.flows.find(from(address), now));
            }
            let changes = self.flows.changes();
            for at in 0..count {
                if let Some(next) = owners.get(at + 1).copied().flatten() {
                    self.warm(next);
                }
                match inbox.datagram(at) {
                    Some((address, datagram)) if self.flows.changes() == changes => {
                        self.take_datagram_of(owners[at], from(address), datagram, now);
                    }
                    Some((address, datagram)) => self.take_datagram(from(address), datagram, now),
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
