//! One thread that carries many callers: epoll for their sockets, a heap for their deadlines, a channel for what is wished.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::call::VoiceCall;
use super::callers::{Happening, Wish};
use super::totals::Totals;
use crate::call::until;
use crate::clock::{Clock, NEVER, Nanos};
use crate::sys::{self, Batch, Epoll};

/// How long a thread may go without a look at what is wished.
const LOOK: Duration = Duration::from_millis(5);
const READ_BATCH: usize = 8;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Carry this caller.
    Carry(Box<VoiceCall>),
    /// A caller shall do something.
    Wish(u32, Wish),
}

/// Many callers on one thread.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) clock: Clock,
    pub(crate) commands: Receiver<Command>,
    pub(crate) happenings: Sender<Happening>,
    pub(crate) totals: Arc<Mutex<Totals>>,
    epoll: Epoll,
    batch: Batch,
    calls: HashMap<u32, VoiceCall>,
    deadlines: BinaryHeap<Reverse<(Nanos, u32)>>,
    ready: Vec<u64>,
}

impl Carrier {
    pub(crate) fn new(
        clock: Clock,
        commands: Receiver<Command>,
        happenings: Sender<Happening>,
        totals: Arc<Mutex<Totals>>,
    ) -> io::Result<Self> {
        Ok(Self {
            clock,
            commands,
            happenings,
            totals,
            epoll: Epoll::new(256)?,
            batch: Batch::new(READ_BATCH),
            calls: HashMap::new(),
            deadlines: BinaryHeap::new(),
            ready: Vec::new(),
        })
    }

    /// Carries callers until nobody can wish anything any more.
    pub(crate) fn run(mut self) -> io::Result<()> {
        sys::fine_timers();
        sys::go_first();
        let totals = Arc::clone(&self.totals);
        loop {
            self.wait()?;
            let mut totals = totals.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.obey(command, &mut totals)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        self.leave(&mut totals);
                        return Ok(());
                    }
                }
            }
            self.read(&mut totals)?;
            self.tick(&mut totals);
            totals.cpu_ns = sys::thread_cpu_ns();
        }
    }

    fn leave(&mut self, totals: &mut Totals) {
        let now = self.clock.now();
        for call in self.calls.values_mut() {
            call.hang_up(now, self.clock, totals);
        }
    }

    fn obey(&mut self, command: Command, totals: &mut Totals) -> io::Result<()> {
        let now = self.clock.now();
        let id = match command {
            Command::Carry(call) => {
                let id = call.id();
                self.epoll.add(call.connection().socket(), u64::from(id))?;
                self.calls.insert(id, *call);
                id
            }
            Command::Wish(id, wish) => {
                let Some(call) = self.calls.get_mut(&id) else {
                    return Ok(());
                };
                match wish {
                    Wish::Answer(sdp) => call.answer(&sdp, now, self.clock, totals),
                    Wish::Speak(clip) => call.speak(clip, now),
                    Wish::Hush => call.hush(now),
                    Wish::Roam => {
                        call.roam(now)?;
                        self.epoll.add(call.connection().socket(), u64::from(id))?;
                    }
                    Wish::Restart => call.restart(),
                    Wish::Restarted(fragment) => call.restarted(&fragment, now, self.clock, totals),
                    Wish::Vanish => call.vanish(now, totals),
                    Wish::HangUp => call.hang_up(now, self.clock, totals),
                }
                id
            }
        };
        self.stepped(id);
        Ok(())
    }

    /// Sleeps until there is something to do, and notes which sockets have datagrams: by its own pace once all calls are up.
    fn wait(&mut self) -> io::Result<()> {
        let deadline = self.deadlines.peek().map_or(NEVER, |Reverse((at, _))| *at);
        let timeout = until(deadline, self.clock.now()).min(LOOK);
        let paced = !self.calls.values().any(VoiceCall::is_connecting);
        self.epoll.look(&mut self.ready, timeout, paced)
    }

    fn read(&mut self, totals: &mut Totals) -> io::Result<()> {
        let ready = std::mem::take(&mut self.ready);
        let offset = self.clock.realtime_offset();
        for token in &ready {
            let id = *token as u32;
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            for index in 0..self.batch.receive(call.connection().socket())? {
                let arrival = self
                    .batch
                    .arrival_ns(index)
                    .map_or_else(|| self.clock.now(), |at| at.wrapping_sub(offset));
                let (from, datagram) = self.batch.datagram(index);
                call.receive(from, datagram, arrival, self.clock, totals);
            }
            self.stepped(id);
        }
        self.ready = ready;
        Ok(())
    }

    fn tick(&mut self, totals: &mut Totals) {
        let now = self.clock.now();
        while let Some(Reverse((at, id))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            // A deadline that was brought forward leaves its old entry behind.
            let Some(call) = self.calls.get_mut(&id).filter(|call| call.queued == at) else {
                continue;
            };
            call.queued = NEVER;
            if call.deadline() <= now {
                call.tick(now, self.clock, totals);
            }
            self.stepped(id);
        }
    }

    /// Tells what happened, and sees to it that the heap wakes a call in time; one that is woken too early goes back.
    fn stepped(&mut self, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        for what in call.happened() {
            let _gone = self.happenings.send(Happening { call: id, what });
        }
        if call.is_over() {
            self.calls.remove(&id);
            return;
        }
        let deadline = call.deadline();
        if deadline < call.queued {
            call.queued = deadline;
            self.deadlines.push(Reverse((deadline, id)));
        }
    }
}
