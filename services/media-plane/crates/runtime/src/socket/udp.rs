//! The shards' UDP sockets on one port, read and written in batches: one system call for up to 64 datagrams.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::address::{Address, length};

/// Longer datagrams are counted and dropped: WebRTC stays below 1,500 bytes.
const LARGEST_DATAGRAM: usize = 2048;
/// Datagrams a system call.
pub(crate) const BATCH: usize = 64;
/// Holds 2 s of 300 callers.
const SOCKET_BUFFER: usize = 4 << 20;
/// Room for the control message that carries `SO_RXQ_OVFL`.
const CONTROL_BYTES: usize = 32;

/// One socket a shard, all on the same port; the kernel spreads callers over them by their addresses.
pub(crate) fn bind_shards(address: SocketAddr, shards: usize) -> io::Result<Vec<UdpSocket>> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(shards);
    for _ in 0..shards {
        let socket = bind(address)?;
        address.set_port(socket.local_addr()?.port()); // port 0: the first one picks
        sockets.push(socket);
    }
    Ok(sockets)
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 has sockets of its own, and addresses that are not written as IPv6
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, the value is an int that outlives the call, its length is right.
    let counted = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RXQ_OVFL,
            (&raw const on).cast(),
            length::<libc::c_int>(),
        )
    };
    if counted != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Refuses a second process on the port, which SO_REUSEPORT would let in to steal callers.
pub(crate) fn port_is_taken(address: SocketAddr) -> bool {
    address.port() != 0 && UdpSocket::bind(address).is_err()
}

/// Buffers for one batch of incoming datagrams. The pointers in `headers` are into the other fields' heap memory.
pub(crate) struct Inbox {
    buffers: Box<[[u8; LARGEST_DATAGRAM]; BATCH]>,
    addresses: Box<[Address; BATCH]>,
    control: Box<[[u64; CONTROL_BYTES / 8]; BATCH]>,
    _vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    received: usize,
    overflowed: u32,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let mut buffers: Box<[[u8; LARGEST_DATAGRAM]; BATCH]> = vec![[0; LARGEST_DATAGRAM]; BATCH]
            .into_boxed_slice()
            .try_into()
            .expect("BATCH of them");
        let mut addresses = Box::new([Address::EMPTY; BATCH]);
        let mut control = Box::new([[0; CONTROL_BYTES / 8]; BATCH]);
        // SAFETY: iovec and mmsghdr are plain C structs for which zero is a valid value.
        let (mut vectors, mut headers) = unsafe {
            (
                Box::new(zeroed::<[libc::iovec; BATCH]>()),
                Box::new(zeroed::<[libc::mmsghdr; BATCH]>()),
            )
        };
        for at in 0..BATCH {
            vectors[at] = libc::iovec {
                iov_base: buffers[at].as_mut_ptr().cast(),
                iov_len: LARGEST_DATAGRAM,
            };
            let header = &mut headers[at].msg_hdr;
            header.msg_name = (&raw mut addresses[at]).cast();
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
            header.msg_control = control[at].as_mut_ptr().cast();
            header.msg_namelen = length::<Address>();
            header.msg_controllen = CONTROL_BYTES as _;
        }
        Self {
            buffers,
            addresses,
            control,
            _vectors: vectors,
            headers,
            received: 0,
            overflowed: 0,
        }
    }

    /// Reads what is there. Returns how many, and whether there may be more.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> (usize, bool) {
        // What the kernel wrote last time; the others stand as they were.
        for header in self.headers.iter_mut().take(self.received) {
            header.msg_hdr.msg_namelen = length::<Address>();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: each header points to an address, a buffer and control space that live on the heap as long as `self`
        // and have the lengths that the header says.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.received = usize::try_from(received).unwrap_or(0);
        (self.received, self.received == BATCH)
    }

    /// From whom a datagram of the batch is.
    pub(crate) fn sender(&self, at: usize) -> Option<SocketAddr> {
        self.addresses.get(at)?.to_socket_addr()
    }

    /// A datagram of the batch: from whom, and the bytes. None if it was cut short or has no address.
    pub(crate) fn datagram(&mut self, at: usize) -> Option<(SocketAddr, &mut [u8])> {
        let header = &self.headers[at];
        if at >= self.received || header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let from = self.addresses[at].to_socket_addr()?;
        Some((
            from,
            &mut self.buffers[at][..(header.msg_len as usize).min(LARGEST_DATAGRAM)],
        ))
    }

    /// Datagrams that the kernel dropped for want of room since the last call.
    pub(crate) fn take_overflow(&mut self) -> u32 {
        let Some(last) = self.received.checked_sub(1) else {
            return 0;
        };
        let Some(total) = self.overflow_total(last) else {
            return 0;
        };
        let new = total.wrapping_sub(self.overflowed);
        self.overflowed = total;
        new
    }

    /// The kernel's count as the datagram carries it; absent until something was dropped.
    fn overflow_total(&self, at: usize) -> Option<u32> {
        let header = &self.headers[at].msg_hdr;
        if header.msg_controllen < size_of::<libc::cmsghdr>() + size_of::<u32>() {
            return None;
        }
        let words = &self.control[at];
        // SAFETY: the control space is 8-byte aligned, and the kernel said that it wrote at least one header into it.
        let message = unsafe { words.as_ptr().cast::<libc::cmsghdr>().read() };
        if message.cmsg_level != libc::SOL_SOCKET || message.cmsg_type != libc::SO_RXQ_OVFL {
            return None;
        }
        let data = words[size_of::<libc::cmsghdr>() / 8];
        let bytes = data.to_ne_bytes();
        Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// Datagrams to be sent, gathered until [`Outbox::flush`].
pub(crate) struct Outbox {
    arena: Vec<u8>,
    lengths: Vec<usize>,
    addresses: Vec<(Address, libc::socklen_t)>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// What became of a flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    pub(crate) no_room: u64,
    pub(crate) errors: u64,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            arena: Vec::with_capacity(BATCH * 256),
            lengths: Vec::with_capacity(BATCH),
            addresses: Vec::with_capacity(BATCH),
            vectors: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Adds a datagram; returns true when the batch is full and wants to be flushed.
    pub(crate) fn push(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        self.arena.extend_from_slice(datagram);
        self.lengths.push(datagram.len());
        self.addresses.push(Address::from_socket_addr(to));
        self.lengths.len() >= BATCH
    }

    /// Sends all; never waits.
    pub(crate) fn flush(&mut self, socket: &UdpSocket) -> Sent {
        let mut sent = Sent::default();
        if self.lengths.is_empty() {
            return sent;
        }
        let mut start = self.arena.as_mut_ptr();
        for length in &self.lengths {
            self.vectors.push(libc::iovec {
                iov_base: start.cast(),
                iov_len: *length,
            });
            // SAFETY: the lengths add up to the arena's, so this stays within it or one past its end.
            start = unsafe { start.add(*length) };
        }
        for (address, vector) in self.addresses.iter_mut().zip(&mut self.vectors) {
            // SAFETY: mmsghdr is a plain C struct for which zero is a valid value.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = (&raw mut address.0).cast();
            header.msg_hdr.msg_namelen = address.1;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            self.headers.push(header);
        }
        let mut next = 0;
        while next < self.headers.len() {
            let left = &mut self.headers[next..];
            // SAFETY: each header points to an address and bytes that stay where they are until the vectors are cleared.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    left.as_mut_ptr(),
                    left.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                sent.datagrams += count as u64;
                next += count.max(1);
            } else if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                sent.no_room += left.len() as u64;
                break;
            } else {
                sent.errors += 1; // the first of them cannot be sent; the others may
                next += 1;
            }
        }
        self.headers.clear();
        self.vectors.clear();
        self.addresses.clear();
        self.lengths.clear();
        self.arena.clear();
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("a literal")
    }

    #[test]
    fn batches_arrive_with_their_senders() {
        let sockets = bind_shards(loopback(), 1).expect("a free port");
        let to = sockets[0].local_addr().expect("bound");
        let sender = bind(loopback()).expect("a free port");
        let mut outbox = Outbox::new();
        for number in 0..3u8 {
            outbox.push(to, &[number; 30]);
        }
        assert_eq!(
            outbox.flush(&sender),
            Sent {
                datagrams: 3,
                ..Sent::default()
            }
        );
        assert_eq!(outbox.flush(&sender), Sent::default());

        let mut inbox = Inbox::new();
        assert_eq!(inbox.receive(&sockets[0]), (3, false));
        for number in 0..3u8 {
            let (from, bytes) = inbox.datagram(usize::from(number)).expect("a datagram");
            assert_eq!(
                (from, &*bytes),
                (sender.local_addr().expect("bound"), &[number; 30][..])
            );
        }
        assert!(inbox.datagram(3).is_none());
        assert_eq!(inbox.take_overflow(), 0);
    }

    #[test]
    fn a_datagram_that_is_too_long_is_refused() {
        let sockets = bind_shards(loopback(), 1).expect("a free port");
        let to = sockets[0].local_addr().expect("bound");
        bind(loopback())
            .expect("a free port")
            .send_to(&[1; LARGEST_DATAGRAM + 1], to)
            .expect("loopback takes it");
        let mut inbox = Inbox::new();
        assert_eq!(inbox.receive(&sockets[0]).0, 1);
        assert!(inbox.datagram(0).is_none());
    }

    #[test]
    fn what_the_kernel_dropped_is_counted() {
        let socket = bind(loopback()).expect("a free port");
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(4096)
            .expect("a small buffer");
        let to = socket.local_addr().expect("bound");
        let sender = bind(loopback()).expect("a free port");
        for _ in 0..200 {
            sender.send_to(&[7; 1000], to).expect("loopback takes it");
        }
        let mut inbox = Inbox::new();
        let mut received = u64::from(0u8);
        while let (count @ 1.., _) = inbox.receive(&socket) {
            received += count as u64;
        }
        sender.send_to(&[7; 10], to).expect("loopback takes it");
        inbox.receive(&socket);
        assert_eq!(u64::from(inbox.take_overflow()), 200 - received);
        assert_eq!(inbox.take_overflow(), 0);
    }

    #[test]
    fn shards_share_a_port() {
        let sockets = bind_shards(loopback(), 3).expect("a free port");
        let ports: Vec<_> = sockets
            .iter()
            .map(|socket| socket.local_addr().expect("bound").port())
            .collect();
        assert!(ports.iter().all(|port| *port == ports[0]));
        assert!(port_is_taken(sockets[0].local_addr().expect("bound")));
    }
}
