//! A shard's part in what edges do for each other: a caller's datagram that reached the wrong edge goes to the owner of its
//! session in an envelope, and the answer comes back the same way.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use antiphon_engine::envelope::{Direction, Envelope, EnvelopeError, Seen};
use antiphon_engine::{EngineConfig, Remote, Time, Via};
use rustc_hash::FxHashMap;

use super::run::{Shard, Surroundings};
use super::ways::Port;
use crate::counters::ShardCounters;
use crate::flows::{Flows, MOST_ADDRESSES};
use crate::mailbox::Errand;
use crate::slot::Slot;
use crate::socket::Inbox;
use crate::steering::Owner;

/// Where each edge of the cluster takes envelopes, by its number.
pub(crate) type Members = FxHashMap<u32, SocketAddr>;

/// Batches of envelopes read before the shard's other work gets its turn.
const READS: usize = 4;

/// What a shard needs to send and take envelopes.
pub(super) struct Relay {
    config: Arc<EngineConfig>,
    shard: u8,
    port: Option<Port>,
    members: Arc<Members>,
    /// Callers of other edges whose packets land here.
    pub(super) flows: Flows<Owner>,
    incarnation: u64,
    sent: u64,
    seen: Arc<Mutex<Seen>>,
    buffer: Vec<u8>,
}

impl Relay {
    pub(super) fn new(surroundings: &Surroundings, socket: Option<UdpSocket>, capacity: usize) -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let incarnation = since_epoch.map_or(0, |passed| u64::try_from(passed.as_micros()).unwrap_or(u64::MAX));
        Self {
            config: surroundings.config.clone(),
            shard: u8::try_from(surroundings.index).unwrap_or(u8::MAX),
            port: socket.map(Port::new),
            members: Arc::default(),
            flows: Flows::new(capacity.saturating_mul(MOST_ADDRESSES).max(64)),
            incarnation,
            sent: 0,
            seen: surroundings.seen.clone(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn raw_fd(&self) -> Option<RawFd> {
        self.port.as_ref().map(|port| port.socket.as_raw_fd())
    }

    /// Whether packets can be handed to that edge.
    pub(super) fn is_member(&self, edge: u32) -> bool {
        self.port.is_some() && self.members.contains_key(&edge)
    }

    pub(super) fn set_members(&mut self, members: Arc<Members>) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keep(|edge| members.contains_key(&edge));
        self.members = members;
    }

    /// A caller's datagram leaves for the edge that owns its session.
    pub(super) fn inward(&mut self, edge: u32, slot: Slot, from: Remote, datagram: &[u8], counters: &ShardCounters) {
        let Via::Socket(socket) = from.via else {
            counters.drop_relay_loop.add(1); // it came from an edge already
            return;
        };
        let way = u16::from(self.shard) << 8 | u16::from(socket);
        if self.post(Direction::Inward, edge, way, slot, from, datagram, counters) {
            counters.relayed_in.add(1);
        }
    }

    /// A session's datagram leaves by the edge that its caller knows.
    pub(super) fn outward(
        &mut self,
        edge: u32,
        way: u16,
        slot: Slot,
        to: Remote,
        datagram: &[u8],
        counters: &ShardCounters,
    ) {
        if self.post(Direction::Outward, edge, way, slot, to, datagram, counters) {
            counters.relayed_out.add(1);
        }
    }

    /// Seals an envelope and queues it. Returns false where nobody is to take it.
    #[allow(clippy::too_many_arguments)] // what stands on an envelope
    fn post(
        &mut self,
        direction: Direction,
        edge: u32,
        way: u16,
        slot: Slot,
        caller: Remote,
        datagram: &[u8],
        counters: &ShardCounters,
    ) -> bool {
        let (Some(port), Some(to)) = (&mut self.port, self.members.get(&edge)) else {
            counters.drop_other_edge.add(1);
            return false;
        };
        self.sent += 1;
        let envelope = Envelope {
            direction,
            from: self.config.edge,
            shard: self.shard,
            to: edge,
            slot: slot.0,
            address: caller.address,
            transport: caller.transport,
            way,
            incarnation: self.incarnation,
            number: self.sent,
        };
        self.config.envelopes.seal(&envelope, datagram, &mut self.buffer);
        port.push(*to, &self.buffer, counters);
        true
    }

    pub(super) fn flush(&mut self, counters: &ShardCounters) {
        if let Some(port) = &mut self.port {
            port.flush(counters);
        }
    }

    /// Opens an envelope that came: it is authentic, for this edge, of a member, and new.
    fn open<'a>(&mut self, bytes: &'a mut [u8]) -> Result<(Envelope, &'a mut [u8]), EnvelopeError> {
        let is_member = |edge| self.members.contains_key(&edge);
        let (envelope, datagram) = self.config.envelopes.open(self.config.edge, is_member, bytes)?;
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .accept(&envelope)?;
        Ok((envelope, datagram))
    }
}

impl Shard {
    /// Takes envelopes of other edges. Returns how many.
    pub(super) fn read_envelopes(&mut self, inbox: &mut Inbox, now: Time) -> usize {
        let mut total = 0;
        for _ in 0..READS {
            let Some(port) = &self.mouth.ways.relay.port else { break };
            let (count, more) = inbox.receive(&port.socket);
            total += count;
            for at in 0..count {
                if let Some((_, bytes)) = inbox.datagram(at) {
                    self.take_envelope(bytes, now);
                } else {
                    self.mouth.counters.drop_truncated.add(1);
                }
            }
            if !more {
                break;
            }
        }
        total
    }

    fn take_envelope(&mut self, bytes: &mut [u8], now: Time) {
        let (envelope, datagram) = match self.mouth.ways.relay.open(bytes) {
            Ok(opened) => opened,
            Err(EnvelopeError::Replayed) => return self.mouth.counters.drop_envelope_replayed.add(1),
            Err(_) => return self.mouth.counters.drop_envelope_forged.add(1),
        };
        let slot = Slot(envelope.slot);
        let caller = |via| Remote {
            address: envelope.address,
            transport: envelope.transport,
            via,
        };
        match envelope.direction {
            Direction::Inward => {
                let from = caller(Via::Edge(envelope.from, envelope.way));
                self.forward(slot, from, datagram, now);
            }
            Direction::Outward => {
                let [shard, socket] = envelope.way.to_be_bytes();
                let to = caller(Via::Socket(socket));
                let owner = Owner::Elsewhere(envelope.from, slot);
                self.run_or_hand(usize::from(shard), Errand::SendFor(owner), to, datagram, now);
            }
        }
    }

    /// Sends a datagram of another edge's session, to a caller whose packets land here: nobody else is sent anything.
    pub(super) fn send_for(&mut self, owner: Owner, to: Remote, datagram: &[u8], now: Time) {
        use super::connections::Stage;
        let (counters, ways) = (&self.mouth.counters, &mut self.mouth.ways);
        let known = ways.relay.flows.find(to, now) == Some(owner)
            || ways.connections.stage_of(to) == Some(Stage::Proven(owner));
        if known && let Owner::Elsewhere(_, slot) = owner {
            ways.transmit(slot, to, datagram, counters);
        } else {
            counters.drop_relay_unknown_flow.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEIGHBOUR: u32 = 2;

    #[test]
    fn an_envelope_is_taken_once_whichever_shard_a_copy_lands_on() {
        let surroundings = Surroundings::alone();
        let neighbour = SocketAddr::from(([127, 0, 0, 1], 4_000));
        let members = Arc::new(Members::from_iter([(NEIGHBOUR, neighbour)]));
        let mut shards = [0, 1].map(|index| {
            let surroundings = Surroundings {
                index,
                ..surroundings.clone()
            };
            let mut relay = Relay::new(&surroundings, None, 1);
            relay.set_members(members.clone());
            relay
        });
        let envelope = Envelope {
            direction: Direction::Inward,
            from: NEIGHBOUR,
            shard: 0,
            to: surroundings.config.edge,
            slot: 7,
            address: neighbour,
            transport: antiphon_engine::Transport::Udp,
            way: 0,
            incarnation: 1,
            number: 1,
        };
        let mut sealed = Vec::new();
        surroundings.config.envelopes.seal(&envelope, b"a check", &mut sealed);

        assert!(shards[0].open(&mut sealed.clone()).is_ok());
        assert_eq!(shards[1].open(&mut sealed).err(), Some(EnvelopeError::Replayed));
    }
}
