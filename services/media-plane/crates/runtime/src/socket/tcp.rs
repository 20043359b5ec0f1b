//! The shards' TCP listeners on one port, and waiting for many connections at once.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::address::length;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// What the kernel keeps for a receiver that falls behind: the frames that we drop must still be ours.
const SEND_BUFFER: usize = 16 << 10;
const RECEIVE_BUFFER: usize = 64 << 10;
/// What of it may lie unsent before the connection counts as full.
const UNSENT: libc::c_int = 4 << 10;
/// Events a system call.
const EVENTS: usize = 64;

/// One listener a shard, all on the same port; the kernel spreads connections over them.
pub(crate) fn listen_shards(address: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let mut listeners = Vec::with_capacity(shards);
    for _ in 0..shards {
        let listener = listen(address)?;
        address.set_port(listener.local_addr()?.port()); // port 0: the first one picks
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // connections of before a restart may linger
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections take these over.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Refuses a second process on the port, which SO_REUSEPORT would let in to steal callers.
pub(crate) fn tcp_port_is_taken(address: SocketAddr) -> bool {
    let Ok(socket) = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)) else {
        return false; // binding will say why
    };
    address.port() != 0
        && (socket.set_reuse_address(true).is_err()
            || socket.bind(&address.into()).is_err()
            || socket.listen(1).is_err())
}

/// Takes a connection that waits, if there is one.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    match listener.accept() {
        Ok((stream, from)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            limit_unsent(&stream)?;
            Ok(Some((stream, from)))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // The caller was gone before it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
        Err(error) => Err(error),
    }
}

fn limit_unsent(stream: &TcpStream) -> io::Result<()> {
    let limit = UNSENT;
    // SAFETY: the descriptor is open, the value is an int that outlives the call, its length is right.
    let set = unsafe {
        libc::setsockopt(
            SockRef::from(stream).as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const limit).cast(),
            length::<libc::c_int>(),
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What can be done with a descriptor that a [`Poller`] watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// As it was given to [`Poller::watch`].
    pub(crate) token: u64,
    /// There is something to read, or the other side is gone.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// An epoll instance: itself readable while anything that it watches is ready.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Watches for something to read. A descriptor that is closed is watched no longer.
    pub(crate) fn watch(&self, descriptor: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, libc::EPOLLIN, token)
    }

    /// Watches for room to write, too, or no longer.
    pub(crate) fn watch_writing(&self, descriptor: &impl AsRawFd, token: u64, wanted: bool) -> io::Result<()> {
        let events = libc::EPOLLIN | if wanted { libc::EPOLLOUT } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, descriptor, events, token)
    }

    /// Watches no longer.
    pub(crate) fn unwatch(&self, descriptor: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, descriptor, 0, 0)
    }

    fn control(&self, operation: i32, descriptor: &impl AsRawFd, events: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events.cast_unsigned(),
            u64: token,
        };
        // SAFETY: both descriptors are open, and the event outlives the call.
        let done = unsafe { libc::epoll_ctl(self.raw_fd(), operation, descriptor.as_raw_fd(), &raw mut event) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// What is ready now; never waits. Returns whether there may be more.
    pub(crate) fn ready(&self, ready: &mut Vec<Ready>) -> bool {
        ready.clear();
        // SAFETY: epoll_event is a plain C struct for which zero is a valid value.
        let mut events: [libc::epoll_event; EVENTS] = unsafe { zeroed() };
        // SAFETY: room for EVENTS events that outlives the call.
        let count = unsafe { libc::epoll_wait(self.raw_fd(), events.as_mut_ptr(), EVENTS as i32, 0) };
        let count = usize::try_from(count).unwrap_or(0);
        ready.extend(events[..count].iter().map(|event| {
            let flags = event.events.cast_signed();
            Ready {
                token: event.u64,
                readable: flags & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) != 0,
                writable: flags & libc::EPOLLOUT != 0,
            }
        }));
        count == EVENTS
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::{Duration, Instant};

    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("a literal")
    }

    fn wait_for(poller: &Poller, token: u64) -> Ready {
        let until = Instant::now() + Duration::from_secs(10);
        let mut ready = Vec::new();
        loop {
            poller.ready(&mut ready);
            if let Some(found) = ready.iter().find(|ready| ready.token == token) {
                return *found;
            }
            assert!(Instant::now() < until, "nothing became ready");
        }
    }

    #[test]
    fn connections_are_accepted_and_told_apart() {
        let listener = listen(loopback()).expect("a free port");
        let poller = Poller::new().expect("a descriptor");
        poller.watch(&listener, 7).expect("watched");
        assert!(accept(&listener).expect("no error").is_none());

        let mut caller = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
        assert!(wait_for(&poller, 7).readable);
        let (mut stream, from) = accept(&listener).expect("no error").expect("a connection");
        assert_eq!(from, caller.local_addr().expect("bound"));
        poller.watch(&stream, 8).expect("watched");
        caller.write_all(b"hello").expect("sent");
        let ready = wait_for(&poller, 8);
        assert!(ready.readable && !ready.writable);
        let mut buffer = [0; 8];
        assert_eq!(stream.read(&mut buffer).expect("bytes"), 5);

        poller.watch_writing(&stream, 8, true).expect("watched");
        assert!(wait_for(&poller, 8).writable);
        poller.unwatch(&stream).expect("it was watched");
        let mut ready = Vec::new();
        assert!(!poller.ready(&mut ready) && ready.is_empty());
    }

    #[test]
    fn shards_share_a_port_that_nobody_else_gets() {
        let listeners = listen_shards(loopback(), 2).expect("a free port");
        let address = listeners[0].local_addr().expect("bound");
        assert_eq!(listeners[1].local_addr().expect("bound"), address);
        assert!(tcp_port_is_taken(address));
        drop(listeners);
        assert!(!tcp_port_is_taken(address));
    }
}
