//! A run: sets calls up, lets them settle, measures them and the servers for a while, and stops them.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use str0m::crypto::dtls::DtlsVersion;

use crate::call::{CallConfig, CallError, SETUP_LIMIT};
use crate::clock::Clock;
use crate::pool::{Job, Phase, Pool, Reply, Share, Shared};
use crate::procfs::{Cpu, Memory, Watched, busy_and_own_ns};
use crate::report::{Report, ServerReport};
use crate::signaling::Signaling;
use crate::tally::Tally;

/// A schedule that was missed by more than this is not one; ms.
pub const LATENESS_LIMIT_MS: f64 = 5.0;
/// Set-ups that wait for their answers at once.
const SIGNALERS: usize = 8;
/// How long echoes of the window's last probes are awaited.
const DRAIN: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of calls.
    pub calls: u32,
    /// Set-ups a second.
    pub rate: f64,
    /// Between the last set-up and the window.
    pub settle: Duration,
    /// The measured window.
    pub window: Duration,
    /// Threads that carry calls.
    pub threads: usize,
    /// Address that the calls' sockets are bound to.
    pub bind: IpAddr,
    /// Bytes of a payload.
    pub payload: usize,
    /// Calls that send nothing: what a set-up costs, and what a session weighs.
    pub silent: bool,
    /// DTLS version that is offered.
    pub dtls: DtlsVersion,
    /// Processes whose costs are measured.
    pub watch: Vec<Watched>,
    /// Figures of a schedule that was missed by more are none; ms.
    pub late_limit_ms: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            calls: 1,
            rate: 20.0,
            settle: Duration::from_secs(1),
            window: Duration::from_secs(10),
            threads: 1,
            bind: IpAddr::from([127, 0, 0, 1]),
            payload: 160,
            silent: false,
            dtls: DtlsVersion::Dtls12,
            watch: Vec::new(),
            late_limit_ms: LATENESS_LIMIT_MS,
        }
    }
}

/// Why a run gives no figures.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Calls could not be prepared.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The machine refused something.
    #[error("{0}")]
    Machine(#[from] io::Error),
    /// A process to be watched is not there.
    #[error("cannot watch {name}: {source}")]
    Watch {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Not one call came up.
    #[error("no call came up; the first failed: {0}")]
    NoCall(String),
    /// Its figures would be those of the load, not of the server.
    #[error("own schedule missed: 1 % of packets left {lateness_ms:.1} ms late or later (limit {limit_ms} ms)")]
    Late {
        /// Lateness, 99th percentile.
        lateness_ms: f64,
        /// What it may be.
        limit_ms: f64,
    },
}

/// What a watched process had used at a moment.
struct Reading {
    cpu: Cpu,
    memory: Memory,
}

fn read(watch: &[Watched]) -> Result<Vec<Reading>, LoadError> {
    let one = |watched: &Watched| {
        Ok(Reading {
            cpu: Cpu::of(watched.pid)?,
            memory: Memory::of(watched.pid)?,
        })
    };
    watch
        .iter()
        .map(|watched| {
            one(watched).map_err(|source| LoadError::Watch {
                name: watched.name.clone(),
                source,
            })
        })
        .collect()
}

/// Runs a plan.
///
/// # Errors
/// [`LoadError`]; some failed calls among many are part of the report, not an error.
pub fn run(plan: &Plan, signaling: &Arc<dyn Signaling>) -> Result<Report, LoadError> {
    let clock = Clock::start();
    let shared = Arc::new(Shared::default());
    let config = CallConfig::new(plan.bind, plan.payload, plan.silent, plan.dtls)?;
    let before = read(&plan.watch)?;

    let (jobs, queue) = mpsc::channel();
    let queue = Arc::new(Mutex::new(queue));
    let signalers: Vec<_> = (0..SIGNALERS)
        .map(|_| {
            let (signaling, queue) = (Arc::clone(signaling), Arc::clone(&queue));
            thread::spawn(move || signal(&*signaling, &queue, clock))
        })
        .collect();

    let begin = clock.now();
    let threads = plan.threads.clamp(1, 2) as u32;
    let mut pools = Vec::new();
    for thread in 0..threads {
        let share = Share {
            calls: (thread..plan.calls).step_by(threads as usize).collect(),
            spacing: (1e9 / plan.rate) as u64,
            begin,
        };
        let pool = Pool::new(clock, config.clone(), Arc::clone(&shared), share, jobs.clone())?;
        pools.push(
            thread::Builder::new()
                .name(format!("calls-{thread}"))
                .spawn(move || pool.run())?,
        );
    }
    drop(jobs);

    let ramp = Duration::from_secs_f64(f64::from(plan.calls) / plan.rate) + Duration::from_nanos(SETUP_LIMIT);
    let ramp_end = clock.instant(begin) + ramp;
    while shared.up() + shared.failed() < plan.calls && std::time::Instant::now() < ramp_end {
        thread::sleep(Duration::from_millis(5));
    }
    let up = shared.up();
    let ramp_time = Duration::from_nanos(clock.now() - begin);
    // What a set-up leaves to be done a moment later (a link's message, a log line) is its cost too.
    thread::sleep(plan.settle.min(Duration::from_millis(300)));
    let ramped = read(&plan.watch);
    let ramped_time = Duration::from_nanos(clock.now() - begin);
    shared.enter(Phase::Settle);
    thread::sleep(plan.settle);
    let window_begin = read(&plan.watch);
    let busy_begin = busy_and_own_ns()?;
    shared.enter(Phase::Measure);
    thread::sleep(if up == 0 { Duration::ZERO } else { plan.window });
    shared.enter(Phase::Drain);
    let window_end = read(&plan.watch);
    let busy_end = busy_and_own_ns()?;
    if !plan.silent && up > 0 {
        thread::sleep(DRAIN);
    }
    shared.enter(Phase::Stop);

    let mut tally = Tally::default();
    let mut failure = None;
    for pool in pools {
        let outcome = pool.join().map_err(|_| io::Error::other("a load thread panicked"))??;
        tally.add(&outcome.tally);
        failure = failure.or(outcome.failure);
    }
    for signaler in signalers {
        signaler
            .join()
            .map_err(|_| io::Error::other("a signaling thread panicked"))?;
    }
    if up == 0 {
        return Err(LoadError::NoCall(
            failure.unwrap_or_else(|| "no answer in time".to_owned()),
        ));
    }
    let lateness_ms = tally.lateness.quantile_ms(0.99);
    if lateness_ms > plan.late_limit_ms {
        return Err(LoadError::Late {
            lateness_ms,
            limit_ms: plan.late_limit_ms,
        });
    }

    let (ramped, window_begin, window_end) = (ramped?, window_begin?, window_end?);
    let mut report = Report::of(&tally, plan, up, shared.failed(), failure, ramp_time);
    let mut known_ns = busy_end.1.saturating_sub(busy_begin.1);
    for (index, watched) in plan.watch.iter().enumerate() {
        let window = window_end[index].cpu.since(&window_begin[index].cpu);
        known_ns += window.values().sum::<u64>();
        let setup = ramped[index].cpu.since(&before[index].cpu);
        let server = ServerReport::of(
            &window,
            (setup.values().sum(), ramped_time),
            before[index].memory,
            // Buffers fill with the first media: weigh after it.
            window_end[index].memory,
            &report,
        );
        report.servers.insert(watched.name.clone(), server);
    }
    let busy_ns = busy_end.0.saturating_sub(busy_begin.0);
    report.other_cores = busy_ns.saturating_sub(known_ns) as f64 / 1e9 / report.window_s;
    Ok(report)
}

fn signal(signaling: &dyn Signaling, queue: &Mutex<Receiver<Job>>, clock: Clock) {
    loop {
        let job = queue.lock().expect("no holder panics").recv();
        match job {
            Err(_) => return,
            Ok(Job::Offer { slot, sdp, mailbox }) => {
                let posted = clock.now();
                let result = signaling.offer(&sdp);
                mailbox.deliver(Reply { slot, posted, result });
            }
            // The call is over either way.
            Ok(Job::End { location }) => drop(signaling.end(&location)),
        }
    }
}
