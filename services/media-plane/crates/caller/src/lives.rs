//! Calls of random life, for soaking a server: they come, talk, change their address, restart ICE, and leave by a word, by
//! the API or without either; others take their places. Random numbers come from a seed, times from the machine.

use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use str0m::crypto::dtls::DtlsVersion;

use crate::call::{Call, CallConfig, Step};
use crate::clock::{Clock, NEVER, Nanos};
use crate::load::LoadError;
use crate::signaling::{Answer, Signaling, SignalingError};
use crate::sys::{Batch, Epoll};
use crate::tally::Tally;

/// Threads that wait for answers.
const SIGNALERS: usize = 4;
/// How often everything is looked at.
const LOOK: Duration = Duration::from_millis(2);
const READ_BATCH: usize = 16;
/// Of the moments of a life; the rest restart ICE.
const ROAMS: f64 = 0.6;
/// Of the ends of a life; the rest say nothing at all.
const SAYS_BYE: f64 = 0.55;
const BY_API: f64 = 0.4;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls at once.
    pub calls: u32,
    /// New calls begin for this long; what lives then ends at once.
    pub duration: Duration,
    /// How long a call lives once it is up, on average.
    pub life: Duration,
    /// A place stays empty for up to this long.
    pub pause: Duration,
    /// All calls end with a word of their own.
    pub polite: bool,
    /// Address that the calls' sockets are bound to.
    pub bind: IpAddr,
    /// Of the random lives.
    pub seed: u64,
}

/// What happened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LivesReport {
    /// Offers made.
    pub begun: u64,
    /// Calls that came up.
    pub up: u64,
    /// Calls that failed, before or after they came up.
    pub failed: u64,
    /// Why the first failed.
    pub failure: Option<String>,
    /// Calls that changed their address.
    pub roamed: u64,
    /// Calls whose ICE began anew.
    pub restarted: u64,
    /// Restarts that were refused.
    pub restarts_failed: u64,
    /// Calls that ended with a word of their own.
    pub said_bye: u64,
    /// Calls that the API ended.
    pub deleted: u64,
    /// Calls that fell silent.
    pub vanished: u64,
    /// From the offer to media flowing both ways, in ms: median and 99th percentile.
    pub setup_ms: [f64; 2],
    /// Packets sent by calls that ended.
    pub sent: u64,
    /// Of these, those that came back. Around a change of address some are lost.
    pub echoed: u64,
    /// Packets that are no echo of what their call sent.
    pub corrupt: u64,
}

type Work = Box<dyn FnOnce(&dyn Signaling) -> Said + Send>;

/// What came of asking the server.
struct Said {
    place: usize,
    /// Which call of the place had asked.
    life: u64,
    what: What,
}

enum What {
    Answer(Result<Answer, SignalingError>),
    Fragment(Result<String, SignalingError>),
    Ended,
}

enum Place {
    Empty { until: Nanos },
    Taken(Box<Life>),
}

struct Life {
    call: Call,
    number: u64,
    began: Nanos,
    /// The next change of address or restart.
    moment: Nanos,
    end: Nanos,
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1.
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around `mean`: from none to twice of it.
    fn around(&mut self, mean: Duration) -> Nanos {
        (mean.as_nanos() as f64 * 2.0 * self.share()) as Nanos
    }
}

struct Lives {
    plan: Plan,
    clock: Clock,
    config: CallConfig,
    random: Random,
    places: Vec<Place>,
    epoll: Epoll,
    batch: Batch,
    work: Sender<Work>,
    said: Receiver<Said>,
    report: LivesReport,
    tally: Tally,
}

/// Runs a plan.
///
/// # Errors
/// [`LoadError`] if the machine refuses something; failed calls are part of the report.
pub fn run(plan: &Plan, signaling: &Arc<dyn Signaling>) -> Result<LivesReport, LoadError> {
    let (work, queue) = mpsc::channel::<Work>();
    let (answers, said) = mpsc::channel();
    let queue = Arc::new(Mutex::new(queue));
    let signalers: Vec<_> = (0..SIGNALERS)
        .map(|_| {
            let (signaling, queue, answers) = (Arc::clone(signaling), Arc::clone(&queue), answers.clone());
            thread::spawn(move || {
                loop {
                    let next = queue.lock().expect("no holder panics").recv();
                    let Ok(work) = next else { return };
                    let _gone = answers.send(work(&*signaling));
                }
            })
        })
        .collect();
    let mut random = Random(plan.seed);
    let places = (0..plan.calls).map(|_| Place::Empty {
        until: random.around(plan.pause / 2),
    });
    let lives = Lives {
        plan: *plan,
        clock: Clock::start(),
        config: CallConfig::new(plan.bind, 80, false, DtlsVersion::Auto)?,
        places: places.collect(),
        random,
        epoll: Epoll::new(256)?,
        batch: Batch::new(READ_BATCH),
        work,
        said,
        report: LivesReport::default(),
        tally: Tally::default(),
    };
    let report = lives.run()?;
    for signaler in signalers {
        let _panicked = signaler.join();
    }
    Ok(report)
}

impl Lives {
    fn run(mut self) -> Result<LivesReport, LoadError> {
        let end = self.plan.duration.as_nanos() as Nanos;
        while self.clock.now() < end {
            let ready: Vec<_> = self.epoll.wait(LOOK)?.collect();
            for token in ready {
                self.read(token as usize)?;
            }
            while let Ok(said) = self.said.try_recv() {
                self.hear(said);
            }
            for place in 0..self.places.len() {
                self.live(place)?;
            }
        }
        for place in 0..self.places.len() {
            self.leave(place);
        }
        self.report.setup_ms = [0.5, 0.99].map(|quantile| self.tally.setup.quantile_ms(quantile));
        self.report.sent = self.tally.sent;
        self.report.echoed = self.tally.echoed;
        self.report.corrupt = self.tally.corrupt;
        Ok(self.report)
    }

    fn read(&mut self, place: usize) -> Result<(), LoadError> {
        let Place::Taken(life) = &mut self.places[place] else {
            return Ok(());
        };
        let mut step = Step::Same;
        for index in 0..self.batch.receive(life.call.socket())? {
            let (from, datagram) = self.batch.datagram(index);
            let taken = life
                .call
                .receive(from, datagram, self.clock.now(), self.clock, &mut self.tally);
            if !matches!(taken, Step::Same) {
                step = taken;
            }
        }
        self.stepped(place, step);
        Ok(())
    }

    fn stepped(&mut self, place: usize, step: Step) {
        match step {
            Step::Same => {}
            Step::Connected => {
                self.report.up += 1;
                let end = self.clock.now() + self.random.around(self.plan.life);
                if let Place::Taken(life) = &mut self.places[place] {
                    self.tally.setup.record_ns(self.clock.now() - life.began);
                    life.end = end;
                    life.call.open_window();
                }
            }
            Step::Failed(error) => self.fail(place, &error.to_string()),
        }
    }

    fn fail(&mut self, place: usize, why: &str) {
        self.report.failed += 1;
        self.report.failure.get_or_insert_with(|| why.to_owned());
        self.vacate(place);
    }

    /// What is due in a place.
    fn live(&mut self, place: usize) -> Result<(), LoadError> {
        let now = self.clock.now();
        let life = match &mut self.places[place] {
            Place::Empty { until } if *until <= now => return self.begin(place),
            Place::Empty { .. } => return Ok(()),
            Place::Taken(life) => life,
        };
        if life.call.deadline() <= now {
            let step = life.call.tick(now, self.clock, &mut self.tally);
            self.stepped(place, step);
        }
        let Place::Taken(life) = &self.places[place] else {
            return Ok(());
        };
        if life.end <= now {
            self.leave(place);
        } else if life.moment <= now && life.call.is_up() {
            self.change(place)?;
        }
        Ok(())
    }

    fn begin(&mut self, place: usize) -> Result<(), LoadError> {
        let now = self.clock.now();
        let (call, sdp) = Call::offer(&self.config, place as u32, self.clock)?;
        self.epoll.add(call.socket(), place as u64)?;
        self.report.begun += 1;
        let number = self.report.begun;
        let life = Life {
            call,
            number,
            began: now,
            moment: now + self.random.around(self.plan.life / 2),
            end: NEVER,
        };
        self.places[place] = Place::Taken(Box::new(life));
        self.ask(Box::new(move |signaling| Said {
            place,
            life: number,
            what: What::Answer(signaling.offer(&sdp)),
        }));
        Ok(())
    }

    fn ask(&self, work: Work) {
        let _gone = self.work.send(work);
    }

    fn hear(&mut self, said: Said) {
        let place = said.place;
        let known = matches!(&self.places[place], Place::Taken(life) if life.number == said.life);
        match (said.what, &mut self.places[place]) {
            (What::Answer(Ok(answer)), Place::Taken(life)) if known => {
                let now = self.clock.now();
                let step = life
                    .call
                    .answer(&answer.sdp, answer.location, now, self.clock, &mut self.tally);
                self.stepped(place, step);
            }
            // It came too late: the session must not stay behind.
            (What::Answer(Ok(answer)), _) => self.delete(place, answer.location),
            (What::Answer(Err(error)), _) if known => self.fail(place, &error.to_string()),
            (What::Fragment(Ok(fragment)), Place::Taken(life)) if known => {
                if life.call.restarted(&fragment) {
                    self.report.restarted += 1;
                } else {
                    self.report.restarts_failed += 1;
                }
            }
            (What::Fragment(Err(_)), _) if known => self.report.restarts_failed += 1,
            _ => {}
        }
    }

    /// The address changes, or ICE begins anew.
    fn change(&mut self, place: usize) -> Result<(), LoadError> {
        let next = self.clock.now() + self.random.around(self.plan.life / 2);
        let roams = self.random.share() < ROAMS;
        let Place::Taken(life) = &mut self.places[place] else {
            return Ok(());
        };
        life.moment = next;
        if roams {
            life.call.rebind()?;
            self.epoll.add(life.call.socket(), place as u64)?;
            self.report.roamed += 1;
            return Ok(());
        }
        let number = life.number;
        if let (Some(fragment), Some(location)) = (life.call.restart(), life.call.location().map(str::to_owned)) {
            self.ask(Box::new(move |signaling| Said {
                place,
                life: number,
                what: What::Fragment(signaling.restart(&location, &fragment)),
            }));
        }
        Ok(())
    }

    /// A life ends, one way or another.
    fn leave(&mut self, place: usize) {
        let end = if self.plan.polite { 0.0 } else { self.random.share() };
        let (now, clock) = (self.clock.now(), self.clock);
        let Place::Taken(life) = &mut self.places[place] else {
            return;
        };
        let location = life.call.location().map(str::to_owned);
        if life.call.is_up() {
            life.call.close_window();
            life.call.count(&mut self.tally);
        }
        if end < SAYS_BYE && life.call.is_up() {
            life.call.close(now, clock);
            self.report.said_bye += 1;
        } else if end < SAYS_BYE + BY_API {
            self.report.deleted += 1;
            self.delete(place, location);
        } else {
            self.report.vanished += 1;
        }
        self.vacate(place);
    }

    fn delete(&mut self, place: usize, location: Option<String>) {
        let Some(location) = location else { return };
        self.ask(Box::new(move |signaling| {
            let _gone_already = signaling.end(&location);
            Said {
                place,
                life: 0,
                what: What::Ended,
            }
        }));
    }

    fn vacate(&mut self, place: usize) {
        self.places[place] = Place::Empty {
            until: self.clock.now() + self.random.around(self.plan.pause / 2),
        };
    }
}
