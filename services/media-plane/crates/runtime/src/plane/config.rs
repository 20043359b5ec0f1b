//! How a plane is set up, and why it may not start.

use std::net::SocketAddr;
use std::{fmt, io};

use antiphon_engine::{Candidate, ConfigError};

use super::binding::MOST_ADDRESSES;

/// Which probes the media port answers: STUN requests that name no session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StunProbe {
    /// None.
    Off,
    /// All, with no more than was sent: the address is told to requests that are padded to the answer's length.
    #[default]
    Padded,
    /// All, with the address. Browsers pad nothing: they send 20 bytes and get 32, or 44 over IPv6.
    Any,
}

/// How a plane is set up.
#[derive(Clone)]
pub struct PlaneConfig {
    /// The edge's id.
    pub edge: String,
    /// The edge's region.
    pub region: String,
    /// Seals ufrags; the same for all edges of a cluster.
    pub secret: [u8; 16],
    /// Where to receive media over UDP, all on one port; port 0 picks a free one.
    pub bind: Vec<SocketAddr>,
    /// The port for callers' TCP connections on the same addresses; port 0 picks a free one. None: no TCP.
    pub tcp_port: Option<u16>,
    /// Addresses for candidates, best first; port 0 stands for the bound one. Empty: what is bound.
    pub advertise: Vec<Candidate>,
    /// Where to take envelopes of other edges; nowhere callers can reach. None: this edge stands alone.
    pub steering: Option<SocketAddr>,
    /// Which probes the media port answers.
    pub stun_probe: StunProbe,
    /// Threads that own sessions.
    pub shards: usize,
    /// Most sessions at a time.
    pub capacity: usize,
}

impl fmt::Debug for PlaneConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("PlaneConfig");
        fields
            .field("edge", &self.edge)
            .field("bind", &self.bind)
            .field("tcp_port", &self.tcp_port)
            .field("steering", &self.steering)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// Why a plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("cannot receive media on {protocol} {address}: {source}")]
    Bind {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No address to listen on, or too many.
    #[error("cannot listen on {0} addresses: 1 to {most} are expected", most = MOST_ADDRESSES)]
    Addresses(usize),
    /// The engine refuses its configuration.
    #[error(transparent)]
    Engine(#[from] ConfigError),
    /// No thread, or no descriptor.
    #[error("cannot start the media plane's threads: {0}")]
    System(#[from] io::Error),
}
