//! The ways out of a shard: its UDP sockets, callers' TCP connections, and other edges; and the sending of all that waits.

use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, RawFd};

use antiphon_engine::{Remote, Transport, Via};

use super::connections::Connections;
use super::relay::Relay;
use crate::counters::ShardCounters;
use crate::slot::Slot;
use crate::socket::{Outbox, Sent};

/// A UDP socket with what waits to be sent by it.
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    outbox: Outbox,
}

impl Port {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            outbox: Outbox::new(),
        }
    }

    pub(super) fn push(&mut self, to: std::net::SocketAddr, datagram: &[u8], counters: &ShardCounters) {
        if self.outbox.push(to, datagram) {
            self.flush(counters);
        }
    }

    pub(super) fn flush(&mut self, counters: &ShardCounters) {
        let Sent {
            datagrams,
            no_room,
            errors,
        } = self.outbox.flush(&self.socket);
        counters.datagrams_out.add(datagrams);
        if no_room + errors > 0 {
            counters.drop_send_no_room.add(no_room);
            counters.drop_send_error.add(errors);
        }
    }
}

/// All of them.
pub(super) struct Ways {
    /// By the number of their socket.
    pub(super) ports: Vec<Port>,
    pub(super) connections: Connections,
    pub(super) relay: Relay,
}

impl Ways {
    /// A session's datagram leaves for its caller.
    #[inline]
    pub(super) fn transmit(&mut self, slot: Slot, to: Remote, datagram: &[u8], counters: &ShardCounters) {
        match (to.via, to.transport) {
            (Via::Socket(number), Transport::Udp) => {
                if let Some(port) = self.ports.get_mut(usize::from(number)) {
                    port.push(to.address, datagram, counters);
                }
            }
            (Via::Socket(_), Transport::Tcp) => self.connections.send(to, datagram, counters),
            (Via::Edge(edge, way), _) => self.relay.outward(edge, way, slot, to, datagram, counters),
        }
    }

    /// Sends what waits.
    pub(super) fn send(&mut self, counters: &ShardCounters) {
        for port in &mut self.ports {
            port.flush(counters);
        }
        self.connections.flush();
        self.relay.flush(counters);
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let ports = self.ports.iter().map(|port| port.socket.as_raw_fd());
        ports.chain(self.connections.raw_fd()).chain(self.relay.raw_fd())
    }
}
