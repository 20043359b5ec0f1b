//! What the edge's Python process is told: a bounded queue with an eventfd that is readable while something waits.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::socket::Signal;

/// More than an edge's sessions can say in the time that a healthy process takes to listen.
const WAITING: usize = 65_536;

/// Something that happened to a session or a link.
#[derive(Clone, Debug, PartialEq)]
pub enum EdgeEvent {
    /// Media may flow.
    SessionConnected {
        /// The session's id.
        session: String,
        /// Its epoch.
        epoch: u64,
        /// Steps of the set-up in microseconds since the offer, by name.
        setup_us: BTreeMap<&'static str, u64>,
        /// DTLS version and SRTP profile.
        security: String,
        /// The caller's address.
        remote: String,
    },
    /// A session's media goes on over another path.
    SessionMoved {
        /// The session's id.
        session: String,
        /// Its epoch.
        epoch: u64,
        /// The caller's address.
        remote: String,
        /// How long no media came, in microseconds.
        gap_us: u64,
    },
    /// A session is over.
    SessionClosed {
        /// The session's id.
        session: String,
        /// Its epoch.
        epoch: u64,
        /// Why; see the proto.
        reason: &'static str,
        /// Steps of the set-up in microseconds since the offer, by name.
        setup_us: BTreeMap<&'static str, u64>,
        /// Measurements of the whole session, by name.
        quality: BTreeMap<&'static str, f64>,
    },
    /// A session's worker is lost, or one that was asked to take it over: another may be named, or it ends soon.
    SessionOrphaned {
        /// The session's id.
        session: String,
        /// Its epoch.
        epoch: u64,
        /// Why: link (it broke), refused, silent (no answer to the question).
        reason: &'static str,
    },
    /// Another worker has the session.
    SessionTaken {
        /// The session's id.
        session: String,
        /// Its epoch.
        epoch: u64,
        /// How many workers were asked to, this one included.
        number: u32,
        /// For how long it had no worker, in microseconds, from when that was noticed.
        gap_us: u64,
        /// The caller's frames that were kept for it.
        frames: u64,
    },
    /// A worker can take sessions.
    LinkUp {
        /// The worker as it was named to `connect_worker`.
        worker: String,
    },
    /// A worker can take no sessions; it is being dialled again.
    LinkDown {
        /// The worker as it was named to `connect_worker`.
        worker: String,
        /// Why, for people.
        reason: String,
    },
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Events {
    waiting: Mutex<VecDeque<EdgeEvent>>,
    signal: Signal,
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            waiting: Mutex::default(),
            signal: Signal::new()?,
        })
    }

    /// Returns false when too many wait.
    pub(crate) fn push(&self, event: EdgeEvent) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            return false;
        }
        waiting.push_back(event);
        self.signal.raise();
        true
    }

    pub(crate) fn take(&self) -> Vec<EdgeEvent> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.signal.clear();
        waiting.drain(..).collect()
    }

    pub(crate) fn raw_fd(&self) -> i32 {
        self.signal.raw_fd()
    }
}
