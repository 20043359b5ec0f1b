//! `antiphon-caller`: the load and its benchmarks as commands.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use antiphon_caller::engine;
use antiphon_caller::flood;
use antiphon_caller::floor;
use antiphon_caller::hold;
use antiphon_caller::lives;
use antiphon_caller::load::{self, LoadError, Plan};
use antiphon_caller::peer::EchoPeer;
use antiphon_caller::procfs::Watched;
use antiphon_caller::saturated;
use antiphon_caller::signaling::{HttpSignaling, Signaling};
use clap::{Parser, Subcommand, ValueEnum};
use str0m::crypto::dtls::DtlsVersion;

#[derive(Parser)]
#[command(version, about = "Load on a WebRTC server, and the benchmarks that need one.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Call a server that echoes, many times at once.
    Load(LoadArguments),
    /// Measure the least of servers: a bare echo with the same batches and cipher. Prints JSON.
    Floor {
        /// Sockets that send 50 packets a second each; 0 saturates the server. More than once for several runs.
        #[arg(long, default_values_t = [100, 300, 0])]
        sessions: Vec<u32>,
        /// Seconds that are measured, for each run.
        #[arg(long, default_value_t = 5.0)]
        window: f64,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 160)]
        payload: usize,
    },
    /// Measure the engine with its sockets, saturated, against the saturated floor. Prints JSON.
    Saturated {
        /// Sessions that take turns.
        #[arg(long, default_value_t = 300)]
        sessions: usize,
        /// Seconds that each of the two is measured.
        #[arg(long, default_value_t = 6.0)]
        window: f64,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 160)]
        payload: usize,
    },
    /// Measure the engine alone against its cipher alone, without sockets. Prints JSON.
    Engine {
        /// Sessions that take turns; more than once for several runs.
        #[arg(long, default_values_t = [1, 300])]
        sessions: Vec<usize>,
        /// Packet pairs that are timed, for each run.
        #[arg(long, default_value_t = 100_000)]
        pairs: usize,
        /// Bytes of a payload.
        #[arg(long, default_value_t = 160)]
        payload: usize,
    },
    /// Call a server with calls of random life until the time is over, for soaking it. Prints JSON.
    Lives {
        /// Where offers are posted to.
        url: String,
        /// Calls at once.
        #[arg(long, default_value_t = 300)]
        calls: u32,
        /// Seconds that new calls begin for.
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
        /// Seconds that a call lives, on average.
        #[arg(long, default_value_t = 30.0)]
        life: f64,
        /// Seconds at most between a call and the next in its place.
        #[arg(long, default_value_t = 2.0)]
        pause: f64,
        /// All calls end with a word of their own.
        #[arg(long)]
        polite: bool,
        /// Address that the calls' sockets are bound to.
        #[arg(long, default_value = "127.0.0.1")]
        bind: IpAddr,
        /// Of the random lives.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Send a media port what strangers send who mean no good, beside a load that is measured. Prints JSON.
    Flood {
        /// The media port, as address:port.
        target: SocketAddr,
        /// Addresses that it comes from.
        #[arg(long, default_value_t = 200)]
        sources: u16,
        /// Packets a second.
        #[arg(long, default_value_t = 20_000.0)]
        rate: f64,
        /// Seconds.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// A ufrag out of an answer of the cluster's, to guess passwords for.
        #[arg(long)]
        ufrag: Option<String>,
    },
    /// Run the engine's ear for voice on traces of levels, one a line of the input: speech;played;heard. Prints JSON, one a line.
    Hold,
    /// Be a server that echoes (str0m on one thread), to compare with.
    Peer {
        /// Where offers are posted to; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(clap::Args)]
struct LoadArguments {
    /// Where offers are posted to, as application/sdp: for example http://127.0.0.1:8080/v1/sessions?agent=echo
    url: String,
    /// How many.
    #[arg(long, default_value_t = 1)]
    calls: u32,
    /// Set-ups a second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Seconds between the last set-up and the measured window.
    #[arg(long, default_value_t = 1.0)]
    settle: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    window: f64,
    /// Threads that carry calls (1 or 2).
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Address that the calls' sockets are bound to.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 160)]
    payload: usize,
    /// Send nothing once connected: what a set-up costs, and what a session weighs.
    #[arg(long)]
    silent: bool,
    /// DTLS version that is offered.
    #[arg(long, value_enum, default_value_t = Dtls::V12)]
    dtls: Dtls,
    /// Measure a process too: name=pid; more than once for several.
    #[arg(long)]
    watch: Vec<Watched>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtls {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
    Auto,
}

impl From<Dtls> for DtlsVersion {
    fn from(version: Dtls) -> Self {
        match version {
            Dtls::V12 => Self::Dtls12,
            Dtls::V13 => Self::Dtls13,
            Dtls::Auto => Self::Auto,
        }
    }
}

/// The load could not keep its own schedule: its figures would be its own.
const LATE: u8 = 3;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Load(arguments) => call(&arguments),
        Command::Floor {
            sessions,
            window,
            payload,
        } => measure_floor(&sessions, window, payload),
        Command::Engine {
            sessions,
            pairs,
            payload,
        } => measure_engine(&sessions, pairs, payload),
        Command::Saturated {
            sessions,
            window,
            payload,
        } => measure_saturated(sessions, window, payload),
        Command::Lives {
            url,
            calls,
            seconds,
            life,
            pause,
            polite,
            bind,
            seed,
        } => soak(&url, calls, [seconds, life, pause], polite, bind, seed),
        Command::Flood {
            target,
            sources,
            rate,
            seconds,
            ufrag,
        } => flood(target, sources, rate, seconds, ufrag),
        Command::Hold => listen_to_traces(),
        Command::Peer { listen } => EchoPeer::start(listen).map_err(Into::into).map(|peer| {
            println!("{}", peer.url());
            peer.join();
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("antiphon-caller: {error}");
            let late = matches!(error.downcast_ref(), Some(LoadError::Late { .. }));
            if late { ExitCode::from(LATE) } else { ExitCode::FAILURE }
        }
    }
}

fn measure_floor(sessions: &[u32], window: f64, payload: usize) -> Result<(), Box<dyn std::error::Error>> {
    let window = Duration::try_from_secs_f64(window)?;
    let reports = sessions
        .iter()
        .map(|sessions| floor::run(*sessions, payload, window))
        .collect::<Result<Vec<_>, _>>()?;
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}

fn measure_saturated(sessions: usize, window: f64, payload: usize) -> Result<(), Box<dyn std::error::Error>> {
    let report = saturated::run(sessions, payload, Duration::try_from_secs_f64(window)?)?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

fn measure_engine(sessions: &[usize], pairs: usize, payload: usize) -> Result<(), Box<dyn std::error::Error>> {
    let reports = sessions
        .iter()
        .map(|sessions| engine::run(*sessions, pairs, payload))
        .collect::<Result<Vec<_>, _>>()?;
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}

fn soak(
    url: &str,
    calls: u32,
    [seconds, life, pause]: [f64; 3],
    polite: bool,
    bind: IpAddr,
    seed: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(url)?);
    let plan = lives::Plan {
        calls,
        duration: Duration::try_from_secs_f64(seconds)?,
        life: Duration::try_from_secs_f64(life)?,
        pause: Duration::try_from_secs_f64(pause)?,
        polite,
        bind,
        seed,
    };
    println!("{}", serde_json::to_string_pretty(&lives::run(&plan, &signaling)?)?);
    Ok(())
}

fn flood(
    target: SocketAddr,
    sources: u16,
    rate: f64,
    seconds: f64,
    ufrag: Option<String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let plan = flood::Plan {
        target,
        sources,
        rate,
        duration: Duration::try_from_secs_f64(seconds)?,
        kinds: flood::Kind::ALL.to_vec(),
        ufrag,
    };
    println!("{}", serde_json::to_string_pretty(&flood::run(&plan)?)?);
    Ok(())
}

fn listen_to_traces() -> Result<(), Box<dyn std::error::Error>> {
    for trace in hold::read(std::io::stdin().lock())? {
        println!("{}", serde_json::to_string(&hold::run(&trace))?);
    }
    Ok(())
}

fn call(arguments: &LoadArguments) -> Result<(), Box<dyn std::error::Error>> {
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(&arguments.url)?);
    let plan = Plan {
        calls: arguments.calls,
        rate: arguments.rate,
        settle: Duration::try_from_secs_f64(arguments.settle)?,
        window: Duration::try_from_secs_f64(arguments.window)?,
        threads: arguments.threads,
        bind: arguments.bind,
        payload: arguments.payload,
        silent: arguments.silent,
        dtls: arguments.dtls.into(),
        watch: arguments.watch.clone(),
        late_limit_ms: load::LATENESS_LIMIT_MS,
    };
    let report = load::run(&plan, &signaling)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
