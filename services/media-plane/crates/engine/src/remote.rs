//! Where a caller is, as its packets come: the same address may be known over UDP, over TCP and by another edge at once,
//! and is another path each time.

use std::fmt;
use std::net::SocketAddr;

/// What carries a caller's packets to the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection of the caller's making, framed as RFC 4571 says (ICE-TCP, RFC 6544).
    Tcp,
}

/// Who receives a caller's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// This edge, on the socket with this number: an answer leaves by the address that was asked.
    Socket(u8),
    /// Another edge of the cluster, by its number, and what that one calls the way that they come by.
    Edge(u32, u16),
}

/// One end of a path: where a caller is, and how its packets come here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Remote {
    /// The caller's address.
    pub address: SocketAddr,
    /// What carries its packets.
    pub transport: Transport,
    /// Who receives them.
    pub via: Via,
}

/// An address that the edge is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Where.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
}

impl From<SocketAddr> for Remote {
    /// Over UDP, on the first socket.
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Udp,
            via: Via::Socket(0),
        }
    }
}

impl From<SocketAddr> for Candidate {
    /// Over UDP.
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Udp,
        }
    }
}

impl fmt::Display for Remote {
    /// The address; `/tcp` behind it tells of a connection.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Udp => write!(f, "{}", self.address),
            Transport::Tcp => write!(f, "{}/tcp", self.address),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} by {:?}", self.via)
    }
}
