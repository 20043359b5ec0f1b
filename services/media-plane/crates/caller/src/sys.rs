//! The few system calls that the standard library lacks: epoll with nanoseconds, batched datagrams, arrival times,
//! a thread's own CPU time. All `unsafe` code of the crate is here.

use std::io::{self, ErrorKind};
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Room for one datagram: an MTU and to spare.
pub const DATAGRAM: usize = 2048;

fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is writable, and `clock_gettime` fills it whenever it returns 0.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(id, time.as_mut_ptr()), 0, "clock {id} must exist");
        time.assume_init()
    };
    nanoseconds(&time)
}

fn nanoseconds(time: &libc::timespec) -> u64 {
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Wall time in ns: the clock of the kernel's arrival times.
#[must_use]
pub fn realtime_ns() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// What the calling thread has spent on a CPU, in ns.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Lets sleeps of the calling thread end within about 1 us of their time; the default slack is 50 us.
pub fn fine_timers() {
    // SAFETY: this option of prctl takes one integer and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000_u64) };
}

/// Lets the calling thread go before all others where the machine allows it: load stands for other machines, whose time
/// the server does not share. Where it does not, lateness tells.
pub fn go_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: `priority` lives until the call returns; 0 names the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
}

/// Asks the kernel to note when datagrams arrive at a socket.
///
/// # Errors
/// What setsockopt says.
pub fn enable_arrival_times(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is a c_int, which lives until the call returns.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Level-triggered readiness of many sockets, each known by a number.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Tells of at most `batch` sockets at a time.
    ///
    /// # Errors
    /// What `epoll_create1` says.
    pub fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: takes no memory; the descriptor that it returns is ours alone.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))? as RawFd) };
        Ok(Self {
            fd,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; batch],
        })
    }

    /// Watches a socket for datagrams. Closing the socket ends it.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub fn add(&self, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: `event` lives until the call returns; the kernel copies it.
        check(unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                socket.as_raw_fd(),
                &raw mut event,
            )
        })
        .map(drop)
    }

    /// Waits for at most `timeout` and returns the numbers of the sockets that have datagrams.
    ///
    /// # Errors
    /// What `epoll_pwait2` says, other than an interruption.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<impl Iterator<Item = u64> + '_> {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
        };
        // SAFETY: `events` has room for as many entries as is said, `timeout` lives until the call returns.
        let ready = check(unsafe {
            libc::epoll_pwait2(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &raw const timeout,
                std::ptr::null(),
            )
        });
        let ready = match ready {
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            other => other?,
        };
        Ok(self.events[..ready].iter().map(|event| event.u64))
    }

    /// Notes in `ready` which sockets have datagrams, after at most `timeout`. A thread that is `paced` sleeps all that time: it
    /// wakes for its own sends only, and reads what has come meanwhile, which the kernel's arrival times keep exact.
    ///
    /// # Errors
    /// As [`Epoll::wait`].
    pub fn look(&mut self, ready: &mut Vec<u64>, timeout: Duration, paced: bool) -> io::Result<()> {
        if paced && !timeout.is_zero() {
            std::thread::sleep(timeout);
        }
        ready.clear();
        ready.extend(self.wait(if paced { Duration::ZERO } else { timeout })?);
        Ok(())
    }
}

/// Control messages of one datagram: room for an arrival time.
const CONTROL: usize = 64;

/// Buffers for batches of datagrams, read with recvmmsg and written with sendmmsg.
pub struct Batch {
    buffers: Box<[[u8; DATAGRAM]]>,
    addresses: Box<[libc::sockaddr_in]>,
    controls: Box<[[u64; CONTROL / 8]]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("size", &self.buffers.len())
            .finish_non_exhaustive()
    }
}

// SAFETY: the pointers in `vectors` and `headers` lead only into the batch's own boxes, which move with it.
unsafe impl Send for Batch {}

impl Batch {
    /// Room for `size` datagrams.
    #[must_use]
    pub fn new(size: usize) -> Self {
        // SAFETY: all three are plain C structures for which zeros are valid.
        let (address, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            buffers: vec![[0; DATAGRAM]; size].into(),
            addresses: vec![address; size].into(),
            controls: vec![[0; CONTROL / 8]; size].into(),
            vectors: vec![vector; size].into(),
            headers: vec![header; size].into(),
        }
    }

    fn arm(&mut self, index: usize, length: usize, control: bool) {
        self.vectors[index] = libc::iovec {
            iov_base: self.buffers[index].as_mut_ptr().cast(),
            iov_len: length,
        };
        let header = &mut self.headers[index].msg_hdr;
        header.msg_name = (&raw mut self.addresses[index]).cast();
        header.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = &raw mut self.vectors[index];
        header.msg_iovlen = 1;
        header.msg_control = if control {
            self.controls[index].as_mut_ptr().cast()
        } else {
            std::ptr::null_mut()
        };
        header.msg_controllen = if control { CONTROL } else { 0 };
    }

    /// Reads what is there, without waiting. Returns how many datagrams.
    ///
    /// # Errors
    /// What recvmmsg says; nothing to read is 0, not an error.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        self.receive_with(socket, libc::MSG_DONTWAIT)
    }

    /// Waits for a datagram as long as the socket's read timeout, and reads what is there then. Returns how many.
    ///
    /// # Errors
    /// What recvmmsg says; nothing to read is 0, not an error.
    pub fn receive_waiting(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        self.receive_with(socket, libc::MSG_WAITFORONE)
    }

    fn receive_with(&mut self, socket: &impl AsRawFd, flags: libc::c_int) -> io::Result<usize> {
        for index in 0..self.buffers.len() {
            self.arm(index, DATAGRAM, true);
        }
        // SAFETY: each header was armed to point into boxes of this batch, of the sizes said.
        let count = check(unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                flags as _,
                std::ptr::null_mut(),
            )
        });
        match count {
            // A port that refused an earlier datagram says so here; the caller's own timers deal with it.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(0),
            other => other,
        }
    }

    /// A datagram that was read, with its sender.
    ///
    /// # Panics
    /// If the sender is not an IPv4 address: these sockets have no others.
    pub fn datagram(&mut self, index: usize) -> (SocketAddr, &mut [u8]) {
        let address = self.addresses[index];
        let length = self.headers[index].msg_len as usize;
        let from = SocketAddrV4::new(
            Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)),
            u16::from_be(address.sin_port),
        );
        (SocketAddr::V4(from), &mut self.buffers[index][..length])
    }

    /// Says where a buffer goes with [`Batch::reply`].
    ///
    /// # Panics
    /// If it is not an IPv4 address.
    pub fn set_address(&mut self, index: usize, to: SocketAddr) {
        let SocketAddr::V4(to) = to else {
            panic!("{to} is not an IPv4 address")
        };
        let address = &mut self.addresses[index];
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = to.port().to_be();
        address.sin_addr.s_addr = u32::from(*to.ip()).to_be();
    }

    /// When the kernel got a datagram, in ns of [`realtime_ns`]; none if the socket notes no arrival times.
    #[must_use]
    pub fn arrival_ns(&self, index: usize) -> Option<u64> {
        let header = &raw const self.headers[index].msg_hdr;
        // SAFETY: the header was filled by recvmmsg and its control buffer, aligned for cmsghdr, is still in place.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(header);
            if control.is_null()
                || (*control).cmsg_level != libc::SOL_SOCKET
                || (*control).cmsg_type != libc::SCM_TIMESTAMPNS
            {
                return None;
            }
            Some(nanoseconds(
                &libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned(),
            ))
        }
    }

    /// Sends the first `lengths.len()` buffers back to where they came from, cut to these lengths. Returns how many left.
    ///
    /// # Errors
    /// What sendmmsg says.
    pub fn reply(&mut self, socket: &impl AsRawFd, lengths: &[usize]) -> io::Result<usize> {
        for (index, length) in lengths.iter().enumerate() {
            self.arm(index, *length, false);
        }
        let mut sent = 0;
        while sent < lengths.len() {
            // SAFETY: the headers from `sent` on were armed to point into boxes of this batch.
            let count = check(unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[sent..].as_mut_ptr(),
                    (lengths.len() - sent) as libc::c_uint,
                    0,
                )
            })?;
            sent += count;
        }
        Ok(sent)
    }

    /// The whole buffer of a datagram: room to grow it before [`Batch::reply`].
    pub fn buffer(&mut self, index: usize) -> &mut [u8; DATAGRAM] {
        &mut self.buffers[index]
    }
}
