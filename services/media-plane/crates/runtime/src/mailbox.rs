//! What reaches a shard from other threads: bounded rings, and a signal that costs nothing while the shard is awake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use std::{fmt, io};

use antiphon_engine::room::{Forwarded, Loudness};
use antiphon_engine::{OfferError, Remote, Session};
use antiphon_link::Up;
use antiphon_link::proto::{MediaResponse, SessionOpened};
use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

use crate::rooms::{Parcels, RoomMail};
use crate::session::{Snapshot, Tenant};
use crate::shard::{Members, Moving};
use crate::slot::Slot;
use crate::socket::Signal;
use crate::steering::Owner;

/// Commands and link messages that may wait: four seconds of one link at a message a millisecond.
const MAIL: usize = 4096;
/// How soon a full mailbox is tried again.
const PATIENCE: Duration = Duration::from_millis(1);
/// Datagrams that may wait for their owner.
const HANDED: usize = 1024;

/// Something for a shard to do.
pub(crate) enum Mail {
    Open(Box<Tenant>, Box<Session>),
    /// The caller is asked to come to another edge.
    AskToMove {
        slot: Slot,
    },
    Close {
        slot: Slot,
        reason: &'static str,
    },
    /// From the worker.
    HangUp {
        slot: Slot,
        link: u32,
        reason: &'static str,
        after_playout: bool,
    },
    RestartIce {
        slot: Slot,
        sdpfrag: String,
        reply: SyncSender<Option<Result<String, OfferError>>>,
    },
    Snapshot {
        slot: Slot,
        reply: SyncSender<Option<Snapshot>>,
    },
    Data {
        slot: Slot,
        link: u32,
        label: String,
        binary: bool,
        payload: Bytes,
    },
    LinkUp {
        link: u32,
        incarnation: u32,
        up: Up,
    },
    LinkDown {
        link: u32,
    },
    /// Another worker shall have a session that has lost its own.
    TakeOver {
        slot: Slot,
        link: u32,
        incarnation: u32,
        opened: Box<SessionOpened>,
    },
    /// A worker has, or will not have, a session that was opened at it.
    Answered {
        slot: Slot,
        link: u32,
        accepted: bool,
    },
    Policy {
        slot: Slot,
        link: u32,
        hold_on_voice: bool,
    },
    Pace {
        link: u32,
        gather_us: u32,
    },
    Media {
        link: u32,
        message: Arc<MediaResponse>,
    },
    /// A caller's connection, accepted by another shard.
    Adopt(Box<Moving>),
    /// Where other edges take envelopes.
    Members(Arc<Members>),
    Room(RoomMail),
    Stop,
}

/// What another shard asks to be done with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// It is from a caller, for this session.
    Deliver(Slot),
    /// It is for a caller whose packets land there, from this owner at another edge.
    SendFor(Owner),
    /// It is an authentic check of one session from an address that another has, whose shard knows whether it is there.
    Claim(Claim),
    /// The other is not there.
    Yield(Claim),
}

/// A session's check came from an address that is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) claimant: Slot,
    pub(crate) holder: Slot,
    /// Where the check landed.
    pub(crate) shard: u8,
}

/// A datagram that landed on another shard than the one whose business it is.
pub(crate) struct Handed {
    pub(crate) errand: Errand,
    /// The caller.
    pub(crate) remote: Remote,
    pub(crate) datagram: Vec<u8>,
}

/// One shard's rings.
pub(crate) struct Mailbox {
    mail: ArrayQueue<Mail>,
    handed: ArrayQueue<Handed>,
    /// Buffers of datagrams that were dealt with, so that handing over allocates nothing.
    spare: ArrayQueue<Vec<u8>>,
    /// What comes of rooms with each packet.
    parcels: Parcels,
    signal: Signal,
    asleep: AtomicBool,
    closed: AtomicBool,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mailbox")
            .field("mail", &self.mail.len())
            .finish_non_exhaustive()
    }
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            mail: ArrayQueue::new(MAIL),
            handed: ArrayQueue::new(HANDED),
            spare: ArrayQueue::new(HANDED),
            parcels: Parcels::default(),
            signal: Signal::new()?,
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// Leaves a message. Gives it back when the ring is full. What is left for a shard that has ended is thrown away.
    pub(crate) fn post(&self, mail: Mail) -> Result<(), Mail> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.mail.push(mail)?;
        self.wake();
        Ok(())
    }

    /// Leaves a message that must not be lost, and waits for room. Not for a shard's own thread.
    pub(crate) fn post_patiently(&self, mail: Mail) {
        let mut waiting = mail;
        while let Err(back) = self.post(waiting) {
            waiting = back;
            std::thread::sleep(PATIENCE);
        }
    }

    /// Leaves a copy of a datagram. Returns false when the ring is full.
    pub(crate) fn hand(&self, errand: Errand, remote: Remote, datagram: &[u8]) -> bool {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(datagram);
        let taken = self.handed.push(Handed {
            errand,
            remote,
            datagram: buffer,
        });
        self.wake();
        taken.is_ok()
    }

    /// Returns the buffer of a datagram that was dealt with.
    pub(crate) fn take_back(&self, buffer: Vec<u8>) {
        let _enough_of_them = self.spare.push(buffer);
    }

    /// Leaves a copy of a room's frame. Returns false when the ring is full.
    pub(crate) fn leave_frame(&self, room: u32, frame: &Forwarded<'_>) -> bool {
        let taken = self.parcels.frame(room, frame);
        self.wake();
        taken
    }

    /// Leaves how loud a room's member is. Returns false when the ring is full.
    pub(crate) fn leave_level(&self, room: u32, slot: Slot, loudness: Loudness) -> bool {
        let taken = self.parcels.level(room, slot, loudness);
        self.wake();
        taken
    }

    pub(crate) fn parcels(&self) -> &Parcels {
        &self.parcels
    }

    /// Whether a few more messages fit.
    pub(crate) fn has_room(&self) -> bool {
        self.mail.len() + 64 < MAIL
    }

    /// The shard has ended.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        while self.mail.pop().is_some() {}
        while self.handed.pop().is_some() {}
    }

    pub(crate) fn next_mail(&self) -> Option<Mail> {
        self.mail.pop()
    }

    pub(crate) fn next_handed(&self) -> Option<Handed> {
        self.handed.pop()
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// The shard is about to sleep. Returns false when something came meanwhile.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst); // either we see the message, or its sender sees that we sleep
        let empty = self.mail.is_empty() && self.handed.is_empty() && self.parcels.is_empty();
        if !empty {
            self.asleep.store(false, Ordering::Relaxed);
        }
        empty
    }

    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.signal.raise();
        }
    }
}
