//! A UDP proxy before one server: each client has a socket of its own towards it, so that the server sees as many
//! addresses as there are clients. Who tells clients to come here (an SDP candidate, say) is not its business.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::path::{Packet, Way};
use crate::run::{Poll, Wire};

/// Most clients at a time; the one that has been silent longest makes room.
const MOST_FLOWS: usize = 4_096;
const DATAGRAM: usize = 65_536;
const LISTENER: u64 = 0;

#[derive(Debug)]
struct Flow {
    client: SocketAddr,
    socket: UdpSocket,
    used: u64,
}

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    listener: UdpSocket,
    server: SocketAddr,
    flows: HashMap<u32, Flow>,
    by_client: HashMap<SocketAddr, u32>,
    latest: u32,
    packets: u64,
    buffer: Vec<u8>,
}

impl Proxy {
    /// Listens at an address for what is meant for the server.
    ///
    /// # Errors
    /// What bind says.
    pub fn new(listen: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let listener = UdpSocket::bind(listen)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            server,
            flows: HashMap::new(),
            by_client: HashMap::new(),
            latest: 0,
            packets: 0,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What getsockname says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn flow_of(&mut self, client: SocketAddr, poll: &Poll) -> io::Result<u32> {
        self.packets += 1;
        if let Some(flow) = self.by_client.get(&client) {
            if let Some(found) = self.flows.get_mut(flow) {
                found.used = self.packets;
            }
            return Ok(*flow);
        }
        if self.flows.len() >= MOST_FLOWS {
            self.forget_the_most_silent();
        }
        self.latest += 1;
        let socket = self.towards_server()?;
        poll.add(&socket, u64::from(self.latest))?;
        let used = self.packets;
        self.flows.insert(self.latest, Flow { client, socket, used });
        self.by_client.insert(client, self.latest);
        Ok(self.latest)
    }

    fn forget_the_most_silent(&mut self) {
        let silent = self.flows.iter().min_by_key(|(_, flow)| flow.used);
        if let Some((number, client)) = silent.map(|(number, flow)| (*number, flow.client)) {
            self.flows.remove(&number);
            self.by_client.remove(&client);
        }
    }

    fn towards_server(&self) -> io::Result<UdpSocket> {
        let any: IpAddr = if self.server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(self.server)?;
        Ok(socket)
    }
}

impl Wire for Proxy {
    fn register(&mut self, poll: &Poll) -> io::Result<()> {
        poll.add(&self.listener, LISTENER)
    }

    fn receive(&mut self, token: u64, poll: &Poll, take: &mut dyn FnMut(Way, Packet)) -> io::Result<()> {
        if token == LISTENER {
            while let Some((length, from)) = tolerate(self.listener.recv_from(&mut self.buffer))? {
                let flow = self.flow_of(from, poll)?;
                take(Way::Up, Packet::datagram(flow, &self.buffer[..length]));
            }
            return Ok(());
        }
        let number = u32::try_from(token).unwrap_or_default();
        let Some(flow) = self.flows.get(&number) else {
            return Ok(());
        };
        while let Some(length) = tolerate(flow.socket.recv(&mut self.buffer))? {
            take(Way::Down, Packet::datagram(number, &self.buffer[..length]));
        }
        Ok(())
    }

    fn deliver(&mut self, way: Way, packet: &Packet) -> io::Result<()> {
        let Some(flow) = self.flows.get(&packet.flow) else {
            return Ok(());
        };
        let sent = match way {
            Way::Up => flow.socket.send(&packet.bytes),
            Way::Down => self.listener.send_to(&packet.bytes, flow.client),
        };
        tolerate(sent).map(drop)
    }

    fn rebind(&mut self, poll: &Poll) -> io::Result<()> {
        let numbers: Vec<u32> = self.flows.keys().copied().collect();
        for number in numbers {
            let socket = self.towards_server()?;
            poll.add(&socket, u64::from(number))?;
            if let Some(flow) = self.flows.get_mut(&number) {
                flow.socket = socket;
            }
        }
        Ok(())
    }
}

/// None when there is nothing more to read, or the other side is not there: a network would have said nothing.
fn tolerate<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests;
