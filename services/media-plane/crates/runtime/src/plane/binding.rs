//! The sockets of a plane: which addresses it listens on, and which of them callers are told.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use antiphon_engine::{Candidate, Transport};

use super::{PlaneConfig, StartError};
use crate::shard::{Listening, Sockets};
use crate::socket::{self, MOST_WATCHED};

/// Addresses that an edge may listen on: each is two descriptors for a shard to wait for.
pub(super) const MOST_ADDRESSES: usize = (MOST_WATCHED - 2) / 2;
/// A port that the system picks for one address may be taken on another.
const TRIES: usize = 16;

/// What was bound.
pub(super) struct Bound {
    /// For each shard.
    pub(super) sockets: Vec<Sockets>,
    pub(super) media: Vec<SocketAddr>,
    pub(super) tcp_port: Option<u16>,
    pub(super) steering: Option<SocketAddr>,
    pub(super) candidates: Vec<Candidate>,
}

pub(super) fn bind(config: &PlaneConfig) -> Result<Bound, StartError> {
    let media = on_one_port(&config.bind, "UDP", socket::port_is_taken, |address| {
        socket::bind_shards(address, config.shards)
    })?;
    let tcp_addresses = config.tcp_port.map_or_else(Vec::new, |port| {
        let with_port = |address: &SocketAddr| SocketAddr::new(address.ip(), port);
        config.bind.iter().map(with_port).collect()
    });
    let tcp = on_one_port(&tcp_addresses, "TCP", socket::tcp_port_is_taken, |address| {
        socket::listen_shards(address, config.shards)
    })?;
    let steering = on_one_port(config.steering.as_slice(), "UDP", socket::port_is_taken, |address| {
        socket::bind_shards(address, config.shards)
    })?;

    let bound = |socket: &UdpSocket| socket.local_addr();
    let media_addresses = media
        .iter()
        .map(|sockets| bound(&sockets[0]))
        .collect::<io::Result<Vec<_>>>()?;
    let tcp_port = match tcp.first() {
        Some(listeners) => Some(listeners[0].local_addr()?.port()),
        None => None,
    };
    let steering_address = steering.first().map(|sockets| bound(&sockets[0])).transpose()?;
    Ok(Bound {
        sockets: by_shard(config.shards, media, tcp, steering)?,
        candidates: candidates(config, &media_addresses, tcp_port),
        media: media_addresses,
        tcp_port,
        steering: steering_address,
    })
}

/// Binds all addresses on one port. Port 0 picks one that is free on all of them.
fn on_one_port<S>(
    addresses: &[SocketAddr],
    protocol: &'static str,
    is_taken: impl Fn(SocketAddr) -> bool,
    bind: impl Fn(SocketAddr) -> io::Result<Vec<S>>,
) -> Result<Vec<Vec<S>>, StartError>
where
    S: LocalPort,
{
    let refused = |address| {
        move |source| StartError::Bind {
            protocol,
            address,
            source,
        }
    };
    let taken = || io::Error::from_raw_os_error(libc::EADDRINUSE);
    let mut tries = 0;
    loop {
        let mut port = None;
        let all: Result<Vec<_>, _> = addresses
            .iter()
            .map(|wanted| {
                let mut address = *wanted;
                address.set_port(port.unwrap_or(wanted.port()));
                if is_taken(address) {
                    return Err(refused(address)(taken()));
                }
                let sockets = bind(address).map_err(refused(address))?;
                port = Some(sockets[0].local_port().map_err(refused(address))?);
                Ok(sockets)
            })
            .collect();
        tries += 1;
        match all {
            Err(_) if tries < TRIES && port.is_some() && addresses[0].port() == 0 => {}
            bound => return bound,
        }
    }
}

/// A socket that knows its port.
trait LocalPort {
    fn local_port(&self) -> io::Result<u16>;
}

impl LocalPort for UdpSocket {
    fn local_port(&self) -> io::Result<u16> {
        self.local_addr().map(|address| address.port())
    }
}

impl LocalPort for TcpListener {
    fn local_port(&self) -> io::Result<u16> {
        self.local_addr().map(|address| address.port())
    }
}

/// From sockets by address to sockets by shard.
fn by_shard(
    shards: usize,
    media: Vec<Vec<UdpSocket>>,
    tcp: Vec<Vec<TcpListener>>,
    steering: Vec<Vec<UdpSocket>>,
) -> io::Result<Vec<Sockets>> {
    let mut media: Vec<_> = media.into_iter().map(Vec::into_iter).collect();
    let mut tcp: Vec<_> = tcp.into_iter().map(Vec::into_iter).collect();
    let mut steering: Vec<_> = steering.into_iter().map(Vec::into_iter).collect();
    (0..shards)
        .map(|_| {
            let listeners: Vec<_> = tcp.iter_mut().filter_map(Iterator::next).collect();
            Ok(Sockets {
                media: media.iter_mut().filter_map(Iterator::next).collect(),
                listening: (!listeners.is_empty()).then(|| Listening::new(listeners)).transpose()?,
                steering: steering.first_mut().and_then(Iterator::next),
            })
        })
        .collect()
}

/// What answers name: what is configured, with bound ports where none are given; else what is bound.
fn candidates(config: &PlaneConfig, media: &[SocketAddr], tcp_port: Option<u16>) -> Vec<Candidate> {
    let udp_port = media.first().map_or(0, SocketAddr::port);
    let mut wanted = config.advertise.clone();
    if wanted.is_empty() {
        let both = |transport| {
            media.iter().map(move |address| Candidate {
                address: SocketAddr::new(address.ip(), 0),
                transport,
            })
        };
        wanted.extend(both(Transport::Udp).chain(both(Transport::Tcp)));
    }
    let with_port = |candidate: Candidate| {
        let bound = match candidate.transport {
            Transport::Udp => Some(udp_port),
            Transport::Tcp => tcp_port,
        };
        let port = if candidate.address.port() == 0 {
            bound
        } else {
            bound.and(Some(candidate.address.port())) // nobody is sent where nobody listens
        }?;
        let address = SocketAddr::new(candidate.address.ip(), port);
        Some(Candidate { address, ..candidate })
    };
    wanted.into_iter().filter_map(with_port).collect()
}
