//! Waiting for a socket or a signal, and signalling across threads.
//!
//! `ppoll` rather than epoll: for two descriptors it costs the same, and it waits in nanoseconds on every kernel.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// An eventfd.
#[derive(Debug)]
pub(crate) struct Signal(OwnedFd);

impl Signal {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Makes the descriptor readable. It cannot fail but by overflow, and then it is readable already.
    pub(crate) fn raise(&self) {
        let one: u64 = 1;
        // SAFETY: the descriptor is open, and eight bytes are read from a u64.
        unsafe { libc::write(self.raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Makes it unreadable again.
    pub(crate) fn clear(&self) {
        let mut count: u64 = 0;
        // SAFETY: the descriptor is open and does not block, and eight bytes are written to a u64.
        unsafe { libc::read(self.raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}

/// Waits for a datagram, a signal or the end of `longest`. Clears the signal.
pub(crate) fn wait(socket: &UdpSocket, signal: &Signal, longest: Duration) {
    let watch = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut watched = [watch(socket.as_raw_fd()), watch(signal.raw_fd())];
    let longest = timespec(longest);
    // SAFETY: two pollfds and a timespec that outlive the call; no signal mask is given.
    unsafe { libc::ppoll(watched.as_mut_ptr(), 2, &raw const longest, std::ptr::null()) };
    if watched[1].revents != 0 {
        signal.clear();
    }
}

pub(super) fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos().cast_signed()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn waiting_ends_with_a_signal_a_datagram_or_the_time() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let signal = Signal::new().expect("a descriptor");
        let long = Duration::from_secs(10);
        let start = Instant::now();

        signal.raise();
        wait(&socket, &signal, long);
        socket
            .send_to(b"x", socket.local_addr().expect("bound"))
            .expect("loopback takes it");
        wait(&socket, &signal, long);
        socket.recv(&mut [0; 1]).expect("a datagram");
        assert!(start.elapsed() < long);

        let start = Instant::now();
        wait(&socket, &signal, Duration::from_millis(2));
        assert!(start.elapsed() >= Duration::from_millis(2), "the signal was cleared");
    }
}
