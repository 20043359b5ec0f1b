//! Callers on some threads of their own: made and commanded from any thread, asked for what happened whenever it suits.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use str0m::RtcConfig;
use str0m::crypto::dtls::DtlsVersion;

use super::call::{Happened, Manner, VoiceCall};
use super::carrier::{Carrier, Command};
use super::clip::Clip;
use super::network::Impairment;
use super::totals::Totals;
use crate::clock::{Clock, Nanos};
use crate::connection::{CallError, settings};

/// What a caller may be wished to do.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Take the answer to its offer.
    Answer(String),
    /// Say this; what was being said is broken off.
    Speak(Arc<Clip>),
    /// Fall silent.
    Hush,
    /// Go on by another address, as behind a NAT that changed its mind.
    Roam,
    /// Begin an ICE restart: [`Happened::Restarts`] has the fragment to ask with.
    Restart,
    /// Go on with the fragment that answered.
    Restarted(String),
    /// Be gone, without a word.
    Vanish,
    /// Say good-bye, and be gone.
    HangUp,
}

/// What happened to which caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The caller's number.
    pub call: u32,
    /// What.
    pub what: Happened,
}

#[derive(Debug)]
struct Thread {
    commands: Sender<Command>,
    totals: Arc<Mutex<Totals>>,
    handle: JoinHandle<io::Result<()>>,
}

/// Many callers.
#[derive(Debug)]
pub struct Callers {
    clock: Clock,
    bind: IpAddr,
    settings: RtcConfig,
    threads: Mutex<Vec<Thread>>,
    happenings: Mutex<Receiver<Happening>>,
    next: AtomicU32,
}

impl Callers {
    /// Starts threads for callers with sockets at this address.
    ///
    /// # Errors
    /// What making threads and their descriptors says.
    pub fn start(bind: IpAddr, threads: usize) -> io::Result<Self> {
        let clock = Clock::start();
        let (sender, happenings) = mpsc::channel();
        let mut carriers = Vec::new();
        for number in 0..threads.max(1) {
            let (commands, queue) = mpsc::channel();
            let totals = Arc::new(Mutex::new(Totals::default()));
            let carrier = Carrier::new(clock, queue, sender.clone(), Arc::clone(&totals))?;
            let handle = thread::Builder::new()
                .name(format!("callers-{number}"))
                .spawn(move || carrier.run())?;
            carriers.push(Thread {
                commands,
                totals,
                handle,
            });
        }
        Ok(Self {
            clock,
            bind,
            settings: settings(DtlsVersion::Auto).map_err(io::Error::other)?,
            threads: Mutex::new(carriers),
            happenings: Mutex::new(happenings),
            next: AtomicU32::new(0),
        })
    }

    /// Makes a caller and its offer. `group`: what it is counted with. `echoes`: its agent sends back what it hears.
    ///
    /// # Errors
    /// [`CallError::Socket`]; [`CallError::Ended`] once they are closed.
    pub fn offer(&self, group: &str, echoes: bool, impairment: Option<Impairment>) -> Result<(u32, String), CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let manner = Manner {
            group: group.to_owned(),
            echoes,
            impairment,
        };
        let (call, offer) = VoiceCall::offer(&self.settings, self.bind, id, manner, self.clock)?;
        match self.command(id, Command::Carry(Box::new(call))) {
            true => Ok((id, offer)),
            false => Err(CallError::Ended("the callers are closed".to_owned())),
        }
    }

    /// Lets a caller do something. One that is over does nothing.
    pub fn wish(&self, call: u32, wish: Wish) {
        self.command(call, Command::Wish(call, wish));
    }

    fn command(&self, call: u32, command: Command) -> bool {
        let threads = lock(&self.threads);
        match threads.len() {
            0 => false,
            count => threads[call as usize % count].commands.send(command).is_ok(),
        }
    }

    /// The time on the clock that [`Happened::Began`] tells.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// What happened since the last time, in order.
    pub fn poll(&self) -> Vec<Happening> {
        lock(&self.happenings).try_iter().collect()
    }

    /// What all callers have counted since the beginning.
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for thread in &*lock(&self.threads) {
            sum.add(&lock(&thread.totals));
        }
        sum
    }

    /// Hangs all up and ends the threads.
    ///
    /// # Errors
    /// What waiting for sockets said, if a thread had to end early.
    pub fn close(&self) -> io::Result<()> {
        let threads = std::mem::take(&mut *lock(&self.threads));
        let mut result = Ok(());
        for thread in threads {
            drop(thread.commands);
            let ended = thread
                .handle
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread of callers panicked")));
            result = result.and(ended);
        }
        result
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        let _ended = self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
