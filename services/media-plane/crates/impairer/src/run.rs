//! The loop: waits for packets, commands and arrivals, and is the only place that reads the clock.

use std::io::{self, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use serde::Serialize;

use crate::control::{Command, LINE};
use crate::path::{Packet, Path, Tally, Way};

const CONTROL: u64 = u64::MAX;
const EVENTS: usize = 64;

/// Where packets come from and go to.
pub trait Wire {
    /// Begins to be polled.
    ///
    /// # Errors
    /// What epoll says.
    fn register(&mut self, poll: &Poll) -> io::Result<()>;

    /// Hands over everything that waits at `token`.
    ///
    /// # Errors
    /// Of a socket that is beyond use.
    fn receive(&mut self, token: u64, poll: &Poll, take: &mut dyn FnMut(Way, Packet)) -> io::Result<()>;

    /// A packet comes out of the path.
    ///
    /// # Errors
    /// Of a socket that is beyond use; a packet that its receiver does not want is none.
    fn deliver(&mut self, way: Way, packet: &Packet) -> io::Result<()>;

    /// Changes the source ports of what goes up, where the wire has any.
    ///
    /// # Errors
    /// What the sockets say.
    fn rebind(&mut self, poll: &Poll) -> io::Result<()>;
}

/// Readiness of many descriptors, each known by a number.
#[derive(Debug)]
pub struct Poll(OwnedFd);

impl Poll {
    fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches a descriptor for something to read; closing it ends that.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub fn add(&self, source: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(
            &self.0,
            source,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN,
        )?)
    }

    fn wait(&self, events: &mut [MaybeUninit<epoll::Event>], timeout_us: Option<u64>) -> io::Result<Vec<u64>> {
        let timeout = timeout_us.map(|us| Timespec {
            tv_sec: (us / 1_000_000).cast_signed(),
            tv_nsec: (us % 1_000_000 * 1_000).cast_signed(),
        });
        match epoll::wait(&self.0, events, timeout.as_ref()) {
            Ok((ready, _)) => Ok(ready.iter().map(|event| event.data.u64()).collect()),
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Carries packets until the commands end.
///
/// # Errors
/// Of a wire or an output that is beyond use.
pub fn run(wire: &mut impl Wire, mut path: Path, commands: &UnixDatagram, output: &mut impl Write) -> io::Result<()> {
    let poll = Poll::new()?;
    poll.add(commands, CONTROL)?;
    wire.register(&poll)?;
    let began = Instant::now();
    let now_us = || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut events = [MaybeUninit::uninit(); EVENTS];
    loop {
        let timeout = path.next_us().map(|at| at.saturating_sub(now_us()));
        for token in poll.wait(&mut events, timeout)? {
            if token != CONTROL {
                wire.receive(token, &poll, &mut |way, packet| path.send(now_us(), way, packet))?;
            } else if obey(wire, &mut path, &poll, commands, output)?.is_break() {
                return Ok(());
            }
        }
        while let Some((way, packet)) = path.receive(now_us()) {
            wire.deliver(way, &packet)?;
        }
    }
}

type Flow = std::ops::ControlFlow<()>;

fn obey(
    wire: &mut impl Wire,
    path: &mut Path,
    poll: &Poll,
    commands: &UnixDatagram,
    output: &mut impl Write,
) -> io::Result<Flow> {
    let mut line = [0; LINE];
    let length = match commands.recv(&mut line) {
        Ok(0) => return Ok(Flow::Break(())),
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flow::Continue(())),
        Err(error) => return Err(error),
    };
    match String::from_utf8_lossy(&line[..length]).parse::<Command>() {
        Ok(Command::Configure(way, qualities)) => path.configure(way, qualities),
        Ok(Command::Rebind) => wire.rebind(poll)?,
        Ok(Command::Counts) => {
            say(output, &Counts::of(path))?;
            return Ok(Flow::Continue(()));
        }
        Err(error) => {
            say(output, &serde_json::json!({ "error": error.to_string() }))?;
            return Ok(Flow::Continue(()));
        }
    }
    say(output, &serde_json::json!({ "done": true }))?;
    Ok(Flow::Continue(()))
}

/// One line of JSON.
///
/// # Errors
/// Of the output.
pub fn say(output: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    writeln!(output, "{}", serde_json::to_string(what)?)?;
    output.flush()
}

#[derive(Serialize)]
struct Counts {
    up: Tally,
    down: Tally,
}

impl Counts {
    fn of(path: &Path) -> Self {
        let (up, down) = path.tallies();
        Self { up, down }
    }
}
