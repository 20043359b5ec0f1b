//! The media plane of one edge process: shards, sessions and links behind one handle that any thread may use.

mod binding;
mod config;
mod opening;
mod takeover;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_engine::envelope::Seen;
use antiphon_engine::{Candidate, EngineConfig, OfferError};
use antiphon_link::{BadTls, Identity, LinkTls, Links, monotonic_us};

use self::binding::MOST_ADDRESSES;
pub use self::config::{PlaneConfig, StartError, StunProbe};
pub use self::opening::{Answer, OpenRequest};
pub use self::takeover::TakeOverRequest;
use crate::counters::{ShardCounters, Tables};
use crate::events::{EdgeEvent, Events};
use crate::mailbox::{Mail, Mailbox};
use crate::registry::{Live, Registry};
use crate::rooms::{MemberChange, Membership, RoomBook, RoomMail, RoomView, Stage};
use crate::session::Snapshot;
use crate::shard::{Members, Shard, Surroundings};
use crate::slot::Slot;
use crate::socket;
use crate::steering::number_of;
use crate::workers::{WorkerStatus, Workers};

const LINK_THREADS: usize = 1;
/// A shard that does not answer within this is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait at closing for what is still to be said to workers.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a session was not opened, or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The offer or fragment cannot be answered.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// No such session here.
    #[error("no session {0} at this edge")]
    UnknownSession(String),
    /// The worker was never connected.
    #[error("no worker {0} is known to this edge")]
    UnknownWorker(String),
    /// The worker's link is down.
    #[error("the link to worker {worker} is down: {reason}")]
    LinkDown {
        /// Which.
        worker: String,
        /// Why.
        reason: String,
    },
    /// All places are taken, or a shard has more to do than it can.
    #[error("this edge has no room for another session")]
    Full,
    /// The room has as many members as a room may have.
    #[error("room {0} has no room for another member")]
    RoomFull(String),
    /// A newer owner was seen.
    #[error("epoch {epoch} of session {session} is not newer than {seen}")]
    StaleEpoch {
        /// The session.
        session: String,
        /// The epoch that came.
        epoch: u64,
        /// The epoch that was seen.
        seen: u64,
    },
}

/// Shards, sessions and links of one edge.
#[derive(Debug)]
pub struct Plane {
    config: Arc<EngineConfig>,
    addresses: Vec<SocketAddr>,
    tcp_port: Option<u16>,
    steering: Option<SocketAddr>,
    mailboxes: Arc<[Mailbox]>,
    registry: Arc<Registry>,
    rooms: Arc<RoomBook>,
    events: Arc<Events>,
    shard_counters: Vec<Arc<ShardCounters>>,
    tables: Arc<[Arc<Tables>]>,
    /// Counts what happens on other threads than a shard's.
    outside: Arc<ShardCounters>,
    workers: Workers,
    links: Links,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Plane {
    /// Binds the port and starts the threads.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: &PlaneConfig) -> Result<Self, StartError> {
        if !(1..=MOST_ADDRESSES).contains(&config.bind.len()) {
            return Err(StartError::Addresses(config.bind.len()));
        }
        let bound = binding::bind(config)?;
        let engine = Arc::new(EngineConfig::new(
            &config.secret,
            number_of(&config.edge),
            bound.candidates,
            origin_of_time(),
        )?);
        let mailboxes: Arc<[Mailbox]> = (0..config.shards).map(|_| Mailbox::new()).collect::<io::Result<_>>()?;
        let registry = Arc::new(Registry::new(config.shards, config.capacity));
        let rooms = Arc::<RoomBook>::default();
        let seen = Arc::<Mutex<Seen>>::default();
        let events = Arc::new(Events::new()?);
        let outside = Arc::<ShardCounters>::default();
        let identity = Identity {
            edge: config.edge.clone(),
            region: config.region.clone(),
        };
        let workers = Workers::new(identity, mailboxes.clone(), events.clone(), outside.clone());
        let links = Links::start(LINK_THREADS)?;

        let tables: Arc<[Arc<Tables>]> = bound.sockets.iter().map(|_| Arc::default()).collect();
        let mut threads = Vec::new();
        let mut shard_counters = Vec::new();
        for (index, sockets) in bound.sockets.into_iter().enumerate() {
            let counters = Arc::<ShardCounters>::default();
            shard_counters.push(counters.clone());
            let surroundings = Surroundings {
                index,
                config: engine.clone(),
                mailboxes: mailboxes.clone(),
                registry: registry.clone(),
                rooms: rooms.clone(),
                seen: seen.clone(),
                events: events.clone(),
                counters,
                tables: tables[index].clone(),
                stun_probe: config.stun_probe,
            };
            let shards = config.shards;
            let capacity = config.capacity;
            let run = move || {
                // A single shard is left to the scheduler: several edges may share a machine.
                if shards > 1 {
                    socket::pin_to_core(index);
                }
                Shard::new(surroundings, sockets, capacity).run();
            };
            threads.push(thread::Builder::new().name(format!("shard-{index}")).spawn(run)?);
        }
        Ok(Self {
            config: engine,
            addresses: bound.media,
            tcp_port: bound.tcp_port,
            steering: bound.steering,
            mailboxes,
            registry,
            rooms,
            events,
            shard_counters,
            tables,
            outside,
            workers,
            links,
            threads: Mutex::new(threads),
        })
    }

    /// Where media is received: the first of the addresses.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses where media is received over UDP.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The port of callers' TCP connections.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    /// Where envelopes of other edges are taken.
    #[must_use]
    pub fn steering(&self) -> Option<SocketAddr> {
        self.steering
    }

    /// What answers name, best first.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.config.advertise
    }

    /// Takes where other edges take envelopes, by their ids, as the whole truth. It holds until the next time.
    pub fn set_edges(&self, edges: impl IntoIterator<Item = (String, SocketAddr)>) {
        let mut members: Members = edges
            .into_iter()
            .map(|(edge, address)| (number_of(&edge), address))
            .collect();
        members.remove(&self.config.edge);
        let members = Arc::new(members);
        for mailbox in self.mailboxes.iter() {
            mailbox.post_patiently(Mail::Members(members.clone()));
        }
    }

    /// A descriptor that is readable while [`Plane::take_events`] has something.
    #[must_use]
    pub fn event_fd(&self) -> i32 {
        self.events.raw_fd()
    }

    /// Takes a caller's new ICE credentials.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn restart_ice(&self, session: &str, epoch: u64, sdpfrag: &str) -> Result<Answer, SessionError> {
        let unknown = || SessionError::UnknownSession(session.into());
        let live = self.find(session, epoch)?.ok_or_else(unknown)?;
        let (reply, answer) = sync_channel(1);
        let mail = Mail::RestartIce {
            slot: live.slot,
            sdpfrag: sdpfrag.into(),
            reply,
        };
        self.post(live.slot, mail).map_err(|()| SessionError::Full)?;
        let fragment = wait_for(&answer).flatten().ok_or_else(unknown)??;
        Ok(Answer::new(fragment))
    }

    /// Ends a session. Returns false when it is gone already.
    ///
    /// # Errors
    /// [`SessionError::StaleEpoch`].
    pub fn close_session(&self, session: &str, epoch: u64, reason: &str) -> Result<bool, SessionError> {
        let Some(live) = self.find(session, epoch)? else {
            return Ok(false);
        };
        self.close_slot(live.slot, reason_of(reason));
        Ok(true)
    }

    /// Asks the caller of a session that no worker serves to come to another edge, over Antiphon's data channel. Returns false when
    /// the session is gone.
    ///
    /// # Errors
    /// [`SessionError::StaleEpoch`]; [`SessionError::Full`], then it is to be asked again.
    pub fn ask_to_move(&self, session: &str, epoch: u64) -> Result<bool, SessionError> {
        let Some(live) = self.find(session, epoch)? else {
            return Ok(false);
        };
        self.post(live.slot, Mail::AskToMove { slot: live.slot })
            .map_err(|()| SessionError::Full)?;
        Ok(true)
    }

    fn close_slot(&self, slot: Slot, reason: &'static str) {
        let mail = Mail::Close { slot, reason };
        self.mailboxes[slot.shard()].post_patiently(mail);
    }

    fn find(&self, session: &str, epoch: u64) -> Result<Option<Live>, SessionError> {
        let live = self.registry.find(session);
        let seen = live
            .as_ref()
            .map(|live| live.epoch)
            .or_else(|| self.registry.last_epoch(session));
        match seen {
            Some(seen) if seen > epoch => Err(stale(session, epoch, seen)),
            _ => Ok(live),
        }
    }

    /// What can be told of a live session.
    #[must_use]
    pub fn session(&self, session: &str) -> Option<Snapshot> {
        let live = self.registry.find(session)?;
        let (reply, answer) = sync_channel(1);
        self.post(live.slot, Mail::Snapshot { slot: live.slot, reply }).ok()?;
        wait_for(&answer).flatten()
    }

    /// Rooms with connected members, in order of their names.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomView> {
        let asked: Vec<_> = self
            .rooms
            .rooms()
            .iter()
            .filter_map(|room| self.look_at(room))
            .collect();
        let stages = asked.iter().filter_map(|answer| wait_for(answer).flatten());
        stages.map(|stage| stage.view()).collect()
    }

    fn look_at(&self, room: &Membership) -> Option<Receiver<Option<Arc<Stage>>>> {
        let (reply, answer) = sync_channel(1);
        let look = RoomMail::Look { room: room.room, reply };
        let home = room.home(self.mailboxes.len());
        self.mailboxes[home].post(Mail::Room(look)).ok()?;
        Some(answer)
    }

    /// Changes a session's part in its room. Returns false when it is not in one, or not connected.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn change_member(&self, session: &str, epoch: u64, change: MemberChange) -> Result<bool, SessionError> {
        let Some(live) = self.find(session, epoch)? else {
            return Ok(false);
        };
        let (reply, answer) = sync_channel(1);
        let change = RoomMail::Change {
            slot: live.slot,
            link: None,
            change,
            reply: Some(reply),
        };
        self.post(live.slot, Mail::Room(change))
            .map_err(|()| SessionError::Full)?;
        Ok(wait_for(&answer).unwrap_or(false))
    }

    /// Ids of live sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        self.registry.ids()
    }

    /// Dials workers with mutual TLS from now on.
    ///
    /// # Errors
    /// [`BadTls`]: then nothing changed.
    pub fn set_link_tls(&self, tls: &LinkTls) -> Result<(), BadTls> {
        self.links.set_tls(tls)
    }

    /// Signs what is dialled from now on with a secret that workers know.
    pub fn set_link_secret(&self, secret: &[u8]) {
        self.links.set_secret(secret);
    }

    /// Keeps a link to a worker until [`Plane::disconnect_worker`].
    pub fn connect_worker(&self, worker: &str, target: &str) {
        self.workers.connect(&self.links, worker, target);
    }

    /// Drops a link; its sessions are orphaned. Returns false when it was not known.
    pub fn disconnect_worker(&self, worker: &str) -> bool {
        self.workers.disconnect(worker)
    }

    /// Links by worker.
    #[must_use]
    pub fn workers(&self) -> BTreeMap<String, WorkerStatus> {
        self.workers.status(|link| self.registry.on_link(link))
    }

    /// What happened since the last call.
    #[must_use]
    pub fn take_events(&self) -> Vec<EdgeEvent> {
        self.events.take()
    }

    /// Entries of the shards' tables, summed, by name: what must not grow for ever. Some seconds old.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<&'static str, usize> {
        let mut sums = BTreeMap::from([("sessions", self.sessions().len())]);
        for tables in self.tables.iter() {
            tables.read(|name, size| *sums.entry(name).or_default() += size);
        }
        sums
    }

    /// All counters, summed over shards.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for counters in self.shard_counters.iter().chain([&self.outside]) {
            counters.read(|name, value| *sums.entry(name).or_default() += value);
        }
        self.links
            .counters()
            .read(|name, value| *sums.entry(name).or_default() += value);
        sums
    }

    /// Ends all sessions and stops the threads. Blocks for up to a second.
    pub fn close(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if threads.is_empty() {
            return;
        }
        for mailbox in self.mailboxes.iter() {
            mailbox.post_patiently(Mail::Stop);
        }
        for thread in threads {
            let _panicked = thread.join(); // its message is on standard error
        }
        let until = Instant::now() + FAREWELL;
        while !self.workers.all_said() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(20)); // from the queue to the socket
    }

    fn post(&self, slot: Slot, mail: Mail) -> Result<(), ()> {
        self.mailboxes[slot.shard()].post(mail).map_err(|_| ())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.close();
    }
}

fn wait_for<T>(answer: &Receiver<T>) -> Option<T> {
    answer.recv_timeout(ANSWER_TIMEOUT).ok()
}

fn stale(session: &str, epoch: u64, seen: u64) -> SessionError {
    SessionError::StaleEpoch {
        session: session.into(),
        epoch,
        seen,
    }
}

/// Reasons that the proto knows; another one is the API's.
fn reason_of(reason: &str) -> &'static str {
    ["api", "moved", "drain", "worker", "error"]
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("api")
}

/// The moment that `Time(0)` stands for: the monotonic clock's zero, which is what `Instant` counts from, too.
fn origin_of_time() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_micros(monotonic_us())).unwrap_or(now)
}
