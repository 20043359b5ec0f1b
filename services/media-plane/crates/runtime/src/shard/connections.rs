//! Callers' TCP connections (ICE-TCP): accepted, bounded, read and written without waiting. What is in their frames, and
//! whose it is, is decided in `streams.rs`.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::time::Duration;

use antiphon_engine::framing::{Deframer, FrameQueue};
use antiphon_engine::{Remote, Time, Transport, Via};
use rustc_hash::FxHashMap;

use super::listening::Listening;
use crate::counters::ShardCounters;
use crate::gate::source;
use crate::socket::{Poller, Ready};
use crate::steering::Owner;

/// A connection that has not proven itself after this is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that says nothing for so long is closed: a live caller checks every few seconds.
const IDLE: Duration = Duration::from_secs(60);
/// Connections that have not proven themselves; a newer one takes the place of the oldest.
const MOST_UNPROVEN: usize = 256;
/// The same of one source.
const MOST_UNPROVEN_OF_SOURCE: u32 = 32;
/// Connections of one session; the longest unused makes room.
const MOST_OF_SESSION: usize = 4;
/// Bytes that may wait for a slow caller: about a second of audio.
const MOST_WAITING: usize = 16 << 10;
/// Connections accepted before the shard's other work gets its turn.
const ACCEPTS: usize = 32;

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No valid check came over it yet.
    Unproven,
    /// Its packets are this one's.
    Proven(Owner),
}

struct Connection {
    stream: TcpStream,
    remote: Remote,
    stage: Stage,
    deframer: Deframer,
    queue: FrameQueue,
    heard: Time,
    waits_to_write: bool,
}

/// A connection on its way to the shard that owns its session, with what it said so far.
pub(crate) struct Moving {
    stream: TcpStream,
    remote: Remote,
    pub(super) owner: Owner,
    pub(super) unread: Vec<u8>,
}

/// What reading a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// It is over.
    Over,
}

/// The connections of one shard.
pub(super) struct Connections {
    /// Without it no connection is ever there, and nothing here costs anything.
    listening: Option<Listening>,
    open: FxHashMap<u64, Connection>,
    by_remote: FxHashMap<Remote, u64>,
    of_session: FxHashMap<Owner, Vec<u64>>,
    unproven: VecDeque<u64>,
    unproven_of: FxHashMap<u64, u32>,
    /// Those that have something to send.
    dirty: Vec<u64>,
    next: u64,
}

impl Connections {
    pub(super) fn new(listening: Option<Listening>) -> Self {
        Self {
            listening,
            open: FxHashMap::default(),
            by_remote: FxHashMap::default(),
            of_session: FxHashMap::default(),
            unproven: VecDeque::new(),
            unproven_of: FxHashMap::default(),
            dirty: Vec::new(),
            next: 0,
        }
    }

    fn poller(&self) -> Option<&Poller> {
        self.listening.as_ref().map(|listening| &listening.poller)
    }

    /// Readable while anything is to be done.
    pub(super) fn raw_fd(&self) -> Option<RawFd> {
        self.poller().map(Poller::raw_fd)
    }

    pub(super) fn ready(&self, ready: &mut Vec<Ready>) -> bool {
        self.poller().is_some_and(|poller| poller.ready(ready))
    }

    /// Takes in who waits at a listener.
    pub(super) fn welcome(&mut self, number: usize, now: Time, counters: &ShardCounters) {
        for _ in 0..ACCEPTS {
            let Some(listening) = &mut self.listening else { return };
            match listening.accept(number) {
                Ok(Some((stream, from))) => self.take_in(stream, from, number, now, counters),
                Ok(None) => return,
                Err(_) => {
                    counters.tcp_accept_errors.add(1);
                    listening.pause(now);
                    return;
                }
            }
        }
    }

    /// When [`Self::resume`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        self.listening.as_ref().map_or(Time::NEVER, Listening::deadline)
    }

    /// Lets callers in again some time after one could not be.
    pub(super) fn resume(&mut self, now: Time) {
        if let Some(listening) = &mut self.listening {
            listening.resume(now);
        }
    }

    fn take_in(&mut self, stream: TcpStream, from: SocketAddr, number: usize, now: Time, counters: &ShardCounters) {
        let of_source = self.unproven_of.entry(source(from.ip())).or_default();
        if *of_source >= MOST_UNPROVEN_OF_SOURCE {
            counters.drop_tcp_refused.add(1);
            return;
        }
        *of_source += 1;
        let remote = Remote {
            address: from,
            transport: Transport::Tcp,
            via: Via::Socket(number as u8),
        };
        counters.tcp_accepted.add(1);
        let serial = self.next;
        if !self.insert(stream, remote, Stage::Unproven, now) {
            self.no_longer_unproven(remote);
            return;
        }
        self.unproven.push_back(serial);
        if self.unproven.len() > MOST_UNPROVEN {
            self.forget_proven();
        }
        if self.unproven.len() > MOST_UNPROVEN
            && let Some(oldest) = self.unproven.pop_front()
        {
            counters.drop_tcp_unproven.add(1);
            self.close(oldest);
        }
    }

    /// Those that proved themselves, or are closed, wait for nothing.
    fn forget_proven(&mut self) {
        let open = &self.open;
        self.unproven.retain(|serial| {
            open.get(serial)
                .is_some_and(|connection| connection.stage == Stage::Unproven)
        });
    }

    fn insert(&mut self, stream: TcpStream, remote: Remote, stage: Stage, now: Time) -> bool {
        let serial = self.next;
        self.next += 1;
        if let Some(before) = self.by_remote.get(&remote).copied() {
            self.close(before); // its caller has forgotten it
        }
        let Some(poller) = self.poller() else { return false };
        if poller.watch(&stream, serial).is_err() {
            return false;
        }
        self.by_remote.insert(remote, serial);
        let connection = Connection {
            stream,
            remote,
            stage,
            deframer: Deframer::default(),
            queue: FrameQueue::new(MOST_WAITING),
            heard: now,
            waits_to_write: false,
        };
        self.open.insert(serial, connection);
        true
    }

    fn no_longer_unproven(&mut self, remote: Remote) {
        let source = source(remote.address.ip());
        if let Some(count) = self.unproven_of.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.unproven_of.remove(&source);
            }
        }
    }

    /// Whose a connection is, and where it comes from; None when it is closed.
    pub(super) fn stage(&self, serial: u64) -> Option<(Stage, Remote)> {
        self.open
            .get(&serial)
            .map(|connection| (connection.stage, connection.remote))
    }

    /// The same of the one from there.
    pub(super) fn stage_of(&self, remote: Remote) -> Option<Stage> {
        let serial = self.by_remote.get(&remote)?;
        self.open.get(serial).map(|connection| connection.stage)
    }

    pub(super) fn read(&mut self, serial: u64, buffer: &mut [u8], now: Time) -> Input {
        let Some(connection) = self.open.get_mut(&serial) else {
            return Input::Nothing;
        };
        match connection.stream.read(buffer) {
            Ok(0) => Input::Over,
            Ok(count) => {
                // One that has yet to prove itself gains no time by talking.
                if connection.stage != Stage::Unproven {
                    connection.heard = now;
                }
                Input::Bytes(count)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Input::Nothing
            }
            Err(_) => Input::Over,
        }
    }

    /// Lends out what cuts the stream into frames, so that what is in them may use the connection.
    pub(super) fn lend_deframer(&mut self, serial: u64) -> Deframer {
        let connection = self.open.get_mut(&serial);
        connection.map_or_else(Deframer::default, |connection| std::mem::take(&mut connection.deframer))
    }

    pub(super) fn return_deframer(&mut self, serial: u64, deframer: Deframer) {
        if let Some(connection) = self.open.get_mut(&serial) {
            connection.deframer = deframer;
        }
    }

    /// A valid check came over it: from now on its packets are `owner`'s.
    pub(super) fn prove(&mut self, serial: u64, owner: Owner, spared: Option<Remote>, counters: &ShardCounters) {
        let Some(connection) = self.open.get_mut(&serial) else {
            return;
        };
        let was = std::mem::replace(&mut connection.stage, Stage::Proven(owner));
        let remote = connection.remote;
        if was == Stage::Unproven {
            self.no_longer_unproven(remote);
        }
        let others = self.of_session.get(&owner).map_or(&[][..], Vec::as_slice);
        if others.len() >= MOST_OF_SESSION {
            let longest_unused = others
                .iter()
                .filter_map(|other| self.open.get(other).map(|connection| (*other, connection)))
                .filter(|(_, connection)| Some(connection.remote) != spared)
                .min_by_key(|(_, connection)| connection.heard)
                .map(|(other, _)| other);
            if let Some(other) = longest_unused {
                counters.drop_tcp_refused.add(1);
                self.close(other);
            }
        }
        self.of_session.entry(owner).or_default().push(serial);
    }

    /// Takes a connection out, for the shard of its session.
    pub(super) fn take_out(&mut self, serial: u64, owner: Owner, unread: Vec<u8>) -> Option<Moving> {
        let connection = self.remove(serial)?;
        if let Some(poller) = self.poller() {
            let _watched_no_longer = poller.unwatch(&connection.stream);
        }
        Some(Moving {
            stream: connection.stream,
            remote: connection.remote,
            owner,
            unread,
        })
    }

    /// Takes in a connection that another shard accepted; returns its number.
    pub(super) fn adopt(&mut self, moving: Moving, spared: Option<Remote>, now: Time, counters: &ShardCounters) -> u64 {
        let serial = self.next;
        if self.insert(moving.stream, moving.remote, Stage::Proven(moving.owner), now) {
            self.prove(serial, moving.owner, spared, counters);
        }
        serial
    }

    /// Queues a datagram for the caller over there.
    pub(super) fn send(&mut self, to: Remote, datagram: &[u8], counters: &ShardCounters) {
        let found = self.by_remote.get(&to);
        let Some((serial, connection)) = found.and_then(|serial| Some((*serial, self.open.get_mut(serial)?))) else {
            counters.drop_tcp_gone.add(1);
            return;
        };
        if connection.queue.is_empty() {
            self.dirty.push(serial);
        }
        counters.tcp_frames_out.add(1);
        counters.drop_tcp_backlog.add(connection.queue.push(datagram) as u64);
    }

    /// Sends what waits, as far as there is room; never waits.
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for serial in dirty.drain(..) {
            self.write(serial);
        }
        self.dirty = dirty; // keeps its memory
    }

    /// Writes what one has to send.
    pub(super) fn write(&mut self, serial: u64) {
        let Some(connection) = self.open.get_mut(&serial) else {
            return;
        };
        if connection.write().is_err() {
            self.close(serial);
            return;
        }
        let wants = !connection.queue.is_empty();
        if wants != connection.waits_to_write
            && let Some(listening) = &self.listening
        {
            let poller = &listening.poller;
            connection.waits_to_write = poller.watch_writing(&connection.stream, serial, wants).is_ok() && wants;
        }
    }

    pub(super) fn close(&mut self, serial: u64) {
        drop(self.remove(serial));
    }

    fn remove(&mut self, serial: u64) -> Option<Connection> {
        let connection = self.open.remove(&serial)?;
        if self.by_remote.get(&connection.remote) == Some(&serial) {
            self.by_remote.remove(&connection.remote);
        }
        match connection.stage {
            Stage::Unproven => self.no_longer_unproven(connection.remote),
            Stage::Proven(owner) => {
                if let Some(others) = self.of_session.get_mut(&owner) {
                    others.retain(|other| *other != serial);
                    if others.is_empty() {
                        self.of_session.remove(&owner);
                    }
                }
            }
        }
        Some(connection)
    }

    /// A session is over: what it said last leaves, then its connections are closed.
    pub(super) fn forget_session(&mut self, owner: Owner) {
        for serial in self.of_session.remove(&owner).into_iter().flatten() {
            self.write(serial);
            self.close(serial);
        }
    }

    /// Closes those that did not prove themselves in time, and those that fell silent.
    pub(super) fn sweep(&mut self, now: Time, counters: &ShardCounters) {
        self.forget_proven();
        let overdue = |connection: &Connection| {
            let limit = match connection.stage {
                Stage::Unproven => PATIENCE,
                Stage::Proven(_) => IDLE,
            };
            now.since(connection.heard) >= limit
        };
        let over: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, connection)| overdue(connection))
            .map(|(serial, _)| *serial)
            .collect();
        for serial in over {
            counters.drop_tcp_idle.add(1);
            self.close(serial);
        }
    }

    /// Whether there is anything to sweep.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Connection {
    fn write(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() {
            let bytes = self.queue.waiting().0;
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.queue.sent(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
