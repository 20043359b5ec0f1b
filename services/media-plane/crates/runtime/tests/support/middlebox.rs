//! What stands between callers and an edge: a NAT whose mappings change, or a tunnel that carries datagrams over TCP. The
//! answer's candidates are replaced by its own address.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use antiphon_engine::framing::Deframer;

/// What it does with a caller's datagrams.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Sends them to the edge from a socket of its own, one for each caller.
    Nat(SocketAddr),
    /// Sends them to the edge in a connection, one for each caller.
    Tunnel(SocketAddr),
}

#[derive(Debug)]
pub struct Middlebox {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// How often all mappings were replaced.
    rebinds: AtomicU64,
}

impl Middlebox {
    pub fn start(kind: Kind) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        inside.set_nonblocking(true).expect("a socket");
        let address = inside.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        let thread = thread::spawn(move || run(kind, &inside, &theirs));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// From now on callers come from other addresses, and what goes to the old ones is lost.
    pub fn rebind(&self) {
        self.shared.rebinds.fetch_add(1, Ordering::SeqCst);
    }

    /// The answer with this as its only candidate.
    pub fn in_place(&self, sdp: &str) -> String {
        only_candidate(sdp, self.address)
    }
}

impl Drop for Middlebox {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

/// The answer with its first candidate's address replaced, and no other candidate.
pub fn only_candidate(sdp: &str, address: SocketAddr) -> String {
    let line = |line: &str| match line.strip_prefix("a=candidate:") {
        Some(rest) if rest.starts_with("1 ") => {
            let priority = rest.split(' ').nth(3).expect("a priority");
            let (ip, port) = (address.ip(), address.port());
            format!("a=candidate:1 1 udp {priority} {ip} {port} typ host\r\n")
        }
        Some(_) => String::new(),
        None => format!("{line}\r\n"),
    };
    sdp.lines().map(line).collect()
}

enum Outside {
    Socket(UdpSocket),
    Connection(TcpStream, Deframer),
}

impl Outside {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Nat(edge) => {
                let local = if edge.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let socket = UdpSocket::bind(local).expect("a free port");
                socket.connect(edge).expect("loopback");
                socket.set_nonblocking(true).expect("a socket");
                Self::Socket(socket)
            }
            Kind::Tunnel(edge) => {
                let stream = TcpStream::connect(edge).expect("the edge listens");
                stream.set_nonblocking(true).expect("a socket");
                stream.set_nodelay(true).expect("a socket");
                Self::Connection(stream, Deframer::default())
            }
        }
    }

    fn send(&mut self, datagram: &[u8]) {
        match self {
            Self::Socket(socket) => drop(socket.send(datagram)),
            Self::Connection(stream, _) => {
                let length = u16::try_from(datagram.len()).expect("short");
                let _closed = stream.write_all(&[&length.to_be_bytes()[..], datagram].concat());
            }
        }
    }

    fn receive(&mut self, mut take: impl FnMut(&[u8])) {
        let mut buffer = [0; 4_096];
        match self {
            Self::Socket(socket) => {
                while let Ok(length) = socket.recv(&mut buffer) {
                    take(&buffer[..length]);
                }
            }
            Self::Connection(stream, deframer) => loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => {
                        let frames = deframer.push(&mut buffer[..length], |frame| {
                            take(frame);
                            true
                        });
                        frames.expect("frames");
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    Err(_) => return,
                }
            },
        }
    }
}

fn run(kind: Kind, inside: &UdpSocket, shared: &Shared) {
    let mut outsides: HashMap<SocketAddr, Outside> = HashMap::new();
    let mut rebinds = 0;
    let mut buffer = [0; 4_096];
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.rebinds.load(Ordering::SeqCst) != rebinds {
            rebinds += 1;
            outsides.clear();
        }
        while let Ok((length, from)) = inside.recv_from(&mut buffer) {
            let outside = outsides.entry(from).or_insert_with(|| Outside::new(kind));
            outside.send(&buffer[..length]);
        }
        for (caller, outside) in &mut outsides {
            outside.receive(|datagram| drop(inside.send_to(datagram, caller)));
        }
        thread::sleep(Duration::from_micros(500));
    }
}
