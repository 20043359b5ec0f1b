//! Keeps a link to each worker: dials, reports to a [`Sink`], and dials again until it is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::connection;
use crate::control::ControlQueue;
use crate::counters::LinkCounters;
use crate::credentials::{BadTls, Credentials, LinkTls};
use crate::outlet::Outlet;
use crate::proto::{MediaResponse, control_response};
use crate::round_trip::RoundTrip;

/// Who dials.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The edge's id.
    pub edge: String,
    /// The edge's region.
    pub region: String,
}

/// A link that came up.
#[derive(Clone, Debug)]
pub struct Up {
    /// The id that the worker gave itself.
    pub worker: String,
    /// One for each stripe; a session's is its handle modulo their number.
    pub outlets: Vec<Arc<Outlet>>,
    /// What goes on the control stream.
    pub control: Arc<ControlQueue>,
    /// How long frames may be gathered.
    pub gather_us: u32,
}

/// Takes what a link has to say. Called on the link's threads: nothing in it may block.
pub trait Sink: Send + Sync + 'static {
    /// The link is up.
    fn up(&self, up: Up);
    /// A link that was up is down. It is being dialled again.
    fn down(&self, reason: &str);
    /// The worker changed how long frames may be gathered.
    fn pace(&self, gather_us: u32);
    /// The worker said something about a session. Returns false to be asked again in a millisecond.
    fn control(&self, message: &control_response::Message) -> bool;
    /// Frames and commands; columns agree. Returns false to be asked again in a millisecond.
    fn media(&self, message: &Arc<MediaResponse>) -> bool;
}

/// What can be told of a link.
#[derive(Clone, Debug, Default)]
pub struct LinkStatus {
    /// Sessions can be opened.
    pub connected: bool,
    /// Smoothed round trip.
    pub rtt_us: Option<f64>,
    /// The worker's clock less ours.
    pub clock_offset_us: Option<i64>,
    /// Why the last attempt failed, until one succeeds.
    pub error: Option<String>,
}

/// The threads that all links of a process share.
pub struct Links {
    runtime: Option<Runtime>,
    counters: Arc<LinkCounters>,
    credentials: Arc<Credentials>,
}

impl fmt::Debug for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Links").finish_non_exhaustive()
    }
}

impl Links {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the operating system says when it gives no threads or no epoll.
    pub fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("link")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            counters: Arc::default(),
            credentials: Arc::default(),
        })
    }

    /// Counters of all links.
    #[must_use]
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Dials with mutual TLS from now on, and tells workers by it. Links that are up go on as they are.
    ///
    /// # Errors
    /// [`BadTls`]: then nothing changed.
    pub fn set_tls(&self, tls: &LinkTls) -> Result<(), BadTls> {
        self.credentials.set_tls(tls)
    }

    /// Signs what is dialled from now on with a secret that workers know.
    pub fn set_secret(&self, secret: &[u8]) {
        self.credentials.set_secret(secret);
    }

    /// Dials a worker at `target` (host:port) and keeps dialling until the link is dropped.
    ///
    /// # Panics
    /// Never while `self` lives.
    pub fn connect(&self, identity: Identity, worker: String, target: String, sink: Arc<dyn Sink>) -> Link {
        let handle: &Handle = self.runtime.as_ref().expect("only drop takes the runtime").handle();
        let shared = Arc::new(Shared {
            identity,
            worker,
            target,
            sink,
            counters: self.counters.clone(),
            credentials: self.credentials.clone(),
            state: Mutex::default(),
        });
        let task = handle.spawn(connection::keep(shared.clone()));
        Link { shared, task }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A link to one worker. Dropping it ends it without a word to the [`Sink`].
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Link {
    /// How the link is.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        let state = self.shared.state();
        LinkStatus {
            connected: state.connected,
            rtt_us: state.round_trip.map(|trip| trip.smoothed_us),
            clock_offset_us: state.round_trip.map(|trip| trip.offset_us),
            error: state.error.clone(),
        }
    }

    /// Where the worker is.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.shared.target
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a link's task and its handle share.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    /// The worker as the edge knows it.
    pub(crate) worker: String,
    pub(crate) target: String,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) counters: Arc<LinkCounters>,
    pub(crate) credentials: Arc<Credentials>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    round_trip: Option<RoundTrip>,
    error: Option<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn came_up(&self) {
        *self.state() = State {
            connected: true,
            ..State::default()
        };
        self.counters.link_ups.add_shared(1);
    }

    /// Returns whether the link had been up.
    pub(crate) fn went_down(&self, reason: &str) -> bool {
        let previous = std::mem::replace(
            &mut *self.state(),
            State {
                error: Some(reason.into()),
                ..State::default()
            },
        );
        if previous.connected {
            self.counters.link_downs.add_shared(1);
        }
        previous.connected
    }

    pub(crate) fn pong(&self, sent_us: u64, received_us: u64, now_us: u64) {
        let mut state = self.state();
        state.round_trip = Some(RoundTrip::measured(state.round_trip, sent_us, received_us, now_us));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
