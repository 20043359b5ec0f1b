//! One thread that carries many calls: epoll for their sockets, a heap for their deadlines.
//!
//! While calls are set up the thread wakes for whatever comes first. Once media flows it wakes for its own sends only
//! and reads what has come meanwhile: the kernel's arrival times keep the delays exact, and half the wake-ups are saved.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use crate::call::{Call, CallConfig, CallError, Step, until};
use crate::clock::{Clock, NEVER, Nanos};
use crate::signaling::{Answer, SignalingError};
use crate::sys::{self, Batch, Epoll};
use crate::tally::Tally;

/// What all threads of a run are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Calls are set up, so many a second.
    Ramp,
    /// All are up; nothing is measured yet.
    Settle,
    /// Probes count.
    Measure,
    /// Probes count no longer, but echoes of those that do are still awaited.
    Drain,
    /// Good-bye.
    Stop,
}

const PHASES: [Phase; 5] = [Phase::Ramp, Phase::Settle, Phase::Measure, Phase::Drain, Phase::Stop];

/// What the threads of a run and their conductor tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    phase: AtomicU8,
    up: AtomicU32,
    failed: AtomicU32,
}

impl Shared {
    /// Goes on to a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Acquire))]
    }

    /// Calls that came up so far.
    pub fn up(&self) -> u32 {
        self.up.load(Ordering::Acquire)
    }

    /// Calls that failed so far, before or after they came up.
    pub fn failed(&self) -> u32 {
        self.failed.load(Ordering::Acquire)
    }
}

/// Work for the signaling threads.
#[derive(Debug)]
pub enum Job {
    /// Send the offer of this call; the answer goes to this mailbox.
    Offer {
        /// Number of the call in its pool.
        slot: usize,
        /// The offer.
        sdp: String,
        /// Who waits for the answer.
        mailbox: Mailbox,
    },
    /// End the call with this location.
    End {
        /// What the answer named.
        location: String,
    },
}

/// An answer on its way to a pool.
#[derive(Debug)]
pub struct Reply {
    /// Number of the call in its pool.
    pub slot: usize,
    /// When the offer was posted.
    pub posted: Nanos,
    /// What came of it.
    pub result: Result<Answer, SignalingError>,
}

/// A pool's way in for answers; wakes its thread.
#[derive(Clone, Debug)]
pub struct Mailbox {
    replies: Sender<Reply>,
    bell: Arc<UnixDatagram>,
}

impl Mailbox {
    /// Delivers an answer. One for a pool that has gone is dropped.
    pub fn deliver(&self, reply: Reply) {
        if self.replies.send(reply).is_ok() {
            let _ = self.bell.send(&[1]);
        }
    }
}

/// A pool's share of a run.
#[derive(Clone, Debug)]
pub struct Share {
    /// Numbers of its calls in the whole run.
    pub calls: Vec<u32>,
    /// Between two set-ups of the whole run.
    pub spacing: Nanos,
    /// When call 0 of the run begins.
    pub begin: Nanos,
}

/// What a pool has to say at its end.
#[derive(Debug)]
pub struct Outcome {
    /// What its calls have seen.
    pub tally: Tally,
    /// Why its first failed call failed.
    pub failure: Option<String>,
}

const BELL: u64 = u64::MAX;
/// How long a thread may go without a look at the phase.
const LOOK: Duration = Duration::from_millis(5);
const READ_BATCH: usize = 8;

/// Many calls on one thread.
#[derive(Debug)]
pub struct Pool {
    clock: Clock,
    config: CallConfig,
    shared: Arc<Shared>,
    share: Share,
    jobs: Sender<Job>,
    mailbox: Mailbox,
    replies: Receiver<Reply>,
    bell: UnixDatagram,
    epoll: Epoll,
    batch: Batch,
    calls: Vec<Call>,
    posted: Vec<Nanos>,
    deadlines: BinaryHeap<Reverse<(Nanos, usize)>>,
    queued: Vec<Nanos>,
    ready: Vec<u64>,
    tally: Tally,
    failure: Option<String>,
}

impl Pool {
    /// Makes a pool; [`Pool::run`] is its thread.
    ///
    /// # Errors
    /// What making its descriptors says.
    pub fn new(
        clock: Clock,
        config: CallConfig,
        shared: Arc<Shared>,
        share: Share,
        jobs: Sender<Job>,
    ) -> io::Result<Self> {
        let (sender, replies) = std::sync::mpsc::channel();
        let (bell, ring) = UnixDatagram::pair()?;
        bell.set_nonblocking(true)?;
        ring.set_nonblocking(true)?;
        let epoll = Epoll::new(256)?;
        epoll.add(&bell, BELL)?;
        Ok(Self {
            clock,
            config,
            shared,
            share,
            jobs,
            mailbox: Mailbox {
                replies: sender,
                bell: Arc::new(ring),
            },
            replies,
            bell,
            epoll,
            batch: Batch::new(READ_BATCH),
            calls: Vec::new(),
            posted: Vec::new(),
            deadlines: BinaryHeap::new(),
            queued: Vec::new(),
            ready: Vec::new(),
            tally: Tally::default(),
            failure: None,
        })
    }

    /// Carries the calls until [`Phase::Stop`].
    ///
    /// # Errors
    /// What waiting for sockets says.
    pub fn run(mut self) -> io::Result<Outcome> {
        sys::fine_timers();
        sys::go_first();
        let mut phase = Phase::Ramp;
        let mut cpu_before = 0;
        while phase != Phase::Stop {
            self.start_due();
            self.wait(phase)?;
            self.read()?;
            self.tick();
            let next = self.shared.phase();
            while phase < next {
                phase = PHASES[phase as usize + 1];
                match phase {
                    Phase::Measure => {
                        cpu_before = sys::thread_cpu_ns();
                        self.calls
                            .iter_mut()
                            .filter(|call| call.is_up())
                            .for_each(Call::open_window);
                    }
                    Phase::Drain => {
                        self.calls.iter_mut().for_each(Call::close_window);
                        self.tally.cpu_ns = sys::thread_cpu_ns() - cpu_before;
                    }
                    Phase::Ramp | Phase::Settle | Phase::Stop => {}
                }
            }
        }
        Ok(self.stop())
    }

    fn stop(mut self) -> Outcome {
        let now = self.clock.now();
        for call in &mut self.calls {
            call.count(&mut self.tally);
            if let Some(location) = call.location() {
                let _ = self.jobs.send(Job::End {
                    location: location.to_owned(),
                });
            }
            call.close(now, self.clock);
        }
        Outcome {
            tally: self.tally,
            failure: self.failure,
        }
    }

    /// When the pool's next call begins.
    fn next_start(&self) -> Nanos {
        match self.share.calls.get(self.calls.len()) {
            Some(call) => self.share.begin + u64::from(*call) * self.share.spacing,
            None => NEVER,
        }
    }

    fn start_due(&mut self) {
        while self.clock.now() >= self.next_start() {
            let slot = self.calls.len();
            let opened = Call::offer(&self.config, self.share.calls[slot], self.clock);
            let opened = opened.and_then(|(call, sdp)| {
                let source = |source| CallError::Socket {
                    address: self.config.bind,
                    source,
                };
                self.epoll.add(call.socket(), slot as u64).map_err(source)?;
                Ok((call, sdp))
            });
            match opened {
                Ok((call, sdp)) => {
                    self.calls.push(call);
                    self.posted.push(NEVER);
                    self.queued.push(NEVER);
                    self.schedule(slot);
                    let _ = self.jobs.send(Job::Offer {
                        slot,
                        sdp,
                        mailbox: self.mailbox.clone(),
                    });
                }
                // No socket for this one means none for those that follow.
                Err(error) => {
                    let left = self.share.calls.split_off(slot).len();
                    self.shared.failed.fetch_add(left as u32, Ordering::AcqRel);
                    self.failure.get_or_insert(error.to_string());
                }
            }
        }
    }

    /// Sleeps until there is something to do, and notes which sockets have datagrams.
    fn wait(&mut self, phase: Phase) -> io::Result<()> {
        let deadline = self
            .deadlines
            .peek()
            .map_or(NEVER, |Reverse((at, _))| *at)
            .min(self.next_start());
        let timeout = until(deadline, self.clock.now()).min(LOOK);
        let paced = phase > Phase::Ramp && !self.config.silent;
        self.epoll.look(&mut self.ready, timeout, paced)
    }

    fn read(&mut self) -> io::Result<()> {
        let ready = std::mem::take(&mut self.ready);
        let offset = self.clock.realtime_offset();
        for token in &ready {
            if *token == BELL {
                self.take_replies();
                continue;
            }
            let slot = *token as usize;
            for index in 0..self.batch.receive(self.calls[slot].socket())? {
                let arrival = self
                    .batch
                    .arrival_ns(index)
                    .map_or_else(|| self.clock.now(), |at| at.wrapping_sub(offset));
                let (from, datagram) = self.batch.datagram(index);
                let step = self.calls[slot].receive(from, datagram, arrival, self.clock, &mut self.tally);
                self.stepped(slot, step);
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn take_replies(&mut self) {
        let mut rings = [0; 64];
        while self.bell.recv(&mut rings).is_ok() {}
        while let Ok(Reply { slot, posted, result }) = self.replies.try_recv() {
            let now = self.clock.now();
            self.posted[slot] = posted;
            match result {
                Ok(answer) => {
                    self.tally.answer.record_ns(now - posted);
                    let step = self.calls[slot].answer(&answer.sdp, answer.location, now, self.clock, &mut self.tally);
                    self.stepped(slot, step);
                }
                Err(error) => {
                    self.calls[slot].close(now, self.clock);
                    self.stepped(slot, Step::Failed(CallError::Ended(error.to_string())));
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        while let Some(Reverse((at, slot))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            // A deadline that was brought forward leaves its old entry behind.
            if self.queued[slot] != at {
                continue;
            }
            self.queued[slot] = NEVER;
            if self.calls[slot].deadline() <= now {
                let step = self.calls[slot].tick(now, self.clock, &mut self.tally);
                self.stepped(slot, step);
            } else {
                self.schedule(slot);
            }
        }
    }

    fn stepped(&mut self, slot: usize, step: Step) {
        match step {
            Step::Same => {}
            Step::Connected => {
                self.tally.setup.record_ns(self.clock.now() - self.posted[slot]);
                self.shared.up.fetch_add(1, Ordering::AcqRel);
            }
            Step::Failed(error) => {
                self.shared.failed.fetch_add(1, Ordering::AcqRel);
                self.failure
                    .get_or_insert(format!("call {}: {error}", self.share.calls[slot]));
            }
        }
        self.schedule(slot);
    }

    /// Sees to it that the heap wakes a call in time; one that is woken too early goes back.
    fn schedule(&mut self, slot: usize) {
        let deadline = self.calls[slot].deadline();
        if deadline < self.queued[slot] {
            self.queued[slot] = deadline;
            self.deadlines.push(Reverse((deadline, slot)));
        }
    }
}
