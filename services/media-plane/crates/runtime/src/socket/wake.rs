//! Waiting for a socket or a signal, and signalling across threads.
//!
//! `ppoll` rather than epoll: for a few descriptors it costs the same, and it waits in nanoseconds on every kernel.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
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

/// Most descriptors that a shard waits for, besides its signal.
pub(crate) const MOST_WATCHED: usize = 16;

/// Waits until a descriptor can be read, for a signal or the end of `longest`. Clears the signal.
pub(crate) fn wait(descriptors: &[RawFd], signal: &Signal, longest: Duration) {
    let watch = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut watched = [watch(-1); MOST_WATCHED + 1]; // the kernel passes over negative ones
    watched[0] = watch(signal.raw_fd());
    for (slot, fd) in watched[1..].iter_mut().zip(descriptors) {
        slot.fd = *fd;
    }
    let count = 1 + descriptors.len().min(MOST_WATCHED);
    let longest = timespec(longest);
    // SAFETY: `count` pollfds and a timespec that outlive the call; no signal mask is given.
    unsafe {
        libc::ppoll(
            watched.as_mut_ptr(),
            count as libc::nfds_t,
            &raw const longest,
            std::ptr::null(),
        )
    };
    if watched[0].revents != 0 {
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
    use std::net::UdpSocket;
    use std::time::Instant;

    use super::*;

    #[test]
    fn waiting_ends_with_a_signal_a_datagram_or_the_time() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let signal = Signal::new().expect("a descriptor");
        let long = Duration::from_secs(10);
        let start = Instant::now();

        signal.raise();
        wait(&[socket.as_raw_fd()], &signal, long);
        socket
            .send_to(b"x", socket.local_addr().expect("bound"))
            .expect("loopback takes it");
        wait(&[socket.as_raw_fd()], &signal, long);
        socket.recv(&mut [0; 1]).expect("a datagram");
        assert!(start.elapsed() < long);

        let start = Instant::now();
        wait(&[socket.as_raw_fd()], &signal, Duration::from_millis(2));
        assert!(start.elapsed() >= Duration::from_millis(2), "the signal was cleared");
    }
}
