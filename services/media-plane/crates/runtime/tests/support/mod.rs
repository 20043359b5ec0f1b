//! An edge with a worker, and callers for it.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod middlebox;
#[path = "../../../link/tests/support/mod.rs"]
mod worker;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_caller::call::CallConfig;
use antiphon_caller::clock::Clock;
use antiphon_caller::load::{self, Plan};
use antiphon_caller::report::Report;
use antiphon_caller::signaling::{self, Signaling, SignalingError};
use antiphon_engine::stun::{Check, Role};
use antiphon_link::proto::{MediaResponse, PlayoutFrames, control_request, control_response};
use antiphon_runtime::{Answer, EdgeEvent, OpenRequest, Plane, PlaneConfig, SessionError, StunProbe};
use str0m::crypto::dtls::DtlsVersion;
use worker::PATIENCE;
pub use worker::{Manner, TestWorker};

pub const SESSION_LIMIT: usize = 16;

pub struct Edge {
    pub plane: Arc<Plane>,
    worker: Option<TestWorker>,
    manner: Manner,
    /// The room that calls join.
    pub room: Option<&'static str>,
    /// Its agent's worker; empty for a room without one.
    pub room_worker: &'static str,
    /// Number of the next call's session.
    next: Arc<AtomicU64>,
}

impl Edge {
    pub fn start(shards: usize, manner: Manner) -> Self {
        Self::start_with(shards, manner, |_| {})
    }

    /// With other settings than usual.
    pub fn start_with(shards: usize, manner: Manner, change: impl FnOnce(&mut PlaneConfig)) -> Self {
        let worker = TestWorker::start(manner);
        let mut config = PlaneConfig {
            edge: "edge-1".into(),
            region: "here".into(),
            secret: *b"0123456789abcdef",
            bind: vec!["127.0.0.1:0".parse().expect("a literal")],
            tcp_port: Some(0),
            advertise: Vec::new(),
            steering: None,
            stun_probe: StunProbe::Padded,
            shards,
            capacity: SESSION_LIMIT,
        };
        change(&mut config);
        let plane = Plane::start(&config).expect("a free port");
        plane.connect_worker("w", &worker.address.to_string());
        let edge = Self {
            plane: Arc::new(plane),
            worker: Some(worker),
            manner,
            room: None,
            room_worker: "",
            next: Arc::default(),
        };
        edge.until(|| edge.plane.workers()["w"].link.connected);
        assert!(matches!(edge.heard(), control_request::Message::Hello(_)));
        edge
    }

    /// Carries calls for a while and ends them.
    pub fn call(&self, calls: u32, window: Duration) -> Report {
        let settle = Duration::from_millis(300);
        self.run(&Plan {
            calls,
            settle,
            window,
            ..Plan::default()
        })
    }

    /// The same, with answers that are changed on their way to the caller.
    pub fn call_by(
        &self,
        calls: u32,
        window: Duration,
        change: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Report {
        let settle = Duration::from_millis(300);
        let plan = Plan {
            calls,
            settle,
            window,
            ..Plan::default()
        };
        self.run_by(&plan, Box::new(change))
    }

    pub fn run(&self, plan: &Plan) -> Report {
        self.run_by(plan, Box::new(ToOwned::to_owned))
    }

    /// The same, while the test does something to the edge.
    pub fn in_background(&self, plan: Plan) -> JoinHandle<Report> {
        let signaling = self.signaling(Box::new(ToOwned::to_owned));
        thread::spawn(move || {
            let plan = Plan {
                late_limit_ms: f64::INFINITY,
                ..plan
            };
            load::run(&plan, &signaling).expect("calls come up")
        })
    }

    fn signaling(&self, change: Box<dyn Fn(&str) -> String + Send + Sync>) -> Arc<dyn Signaling> {
        Arc::new(Direct {
            plane: self.plane.clone(),
            next: self.next.clone(),
            change,
            room: self.room,
            room_worker: self.room_worker,
        })
    }

    fn run_by(&self, plan: &Plan, change: Box<dyn Fn(&str) -> String + Send + Sync>) -> Report {
        let signaling = self.signaling(change);
        // What these tests ask for does not hang on how busy the machine is.
        let plan = Plan {
            late_limit_ms: f64::INFINITY,
            ..plan.clone()
        };
        load::run(&plan, &signaling).expect("calls come up")
    }

    /// A session whose caller never says anything.
    pub fn try_open_silent(&self, session: &str) -> Result<Answer, SessionError> {
        let bind = [127, 0, 0, 1].into();
        let config = CallConfig::new(bind, 160, true, DtlsVersion::Auto).expect("a configuration");
        let (_call, offer) = antiphon_caller::call::Call::offer(&config, 0, Clock::start()).expect("an offer");
        self.plane.open(&request(session, &offer))
    }

    /// The same, with what the caller's checks are made of.
    pub fn open_silent_with_credentials(&self, session: &str) -> Credentials {
        let bind = [127, 0, 0, 1].into();
        let config = CallConfig::new(bind, 160, true, DtlsVersion::Auto).expect("a configuration");
        let (_call, offer) = antiphon_caller::call::Call::offer(&config, 0, Clock::start()).expect("an offer");
        let answer = self.plane.open(&request(session, &offer)).expect("room");
        Credentials {
            username: format!("{}:{}", answer.ufrag, attribute(&offer, "a=ice-ufrag:")),
            password: attribute(&answer.sdp, "a=ice-pwd:").into(),
            answer: answer.sdp,
        }
    }

    pub fn open_silent(&self, session: &str) -> Answer {
        self.try_open_silent(session).expect("room")
    }

    /// A STUN check from a new address.
    pub fn check(&self, ufrag: &str, password: &[u8]) {
        let username = format!("{ufrag}:them");
        let check = Check {
            transaction: [1; 12],
            username: username.as_bytes(),
            password,
            priority: 1,
            use_candidate: true,
            role: Role::Controlling(1),
        };
        let mut buffer = [0; 256];
        let length = check.write(&mut buffer);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket
            .send_to(&buffer[..length], self.plane.address())
            .expect("loopback takes it");
    }

    pub fn restart_worker(&mut self) {
        let address = self.worker.take().expect("always one").kill();
        self.worker = Some(TestWorker::start_at(address, self.manner));
    }

    /// As a kill would, and none comes in its place.
    pub fn kill_worker(&mut self) {
        self.worker.take().expect("always one").kill();
    }

    pub fn worker(&self) -> &TestWorker {
        self.worker.as_ref().expect("always one")
    }

    pub fn heard(&self) -> control_request::Message {
        self.worker().heard()
    }

    pub fn say(&self, message: control_response::Message) {
        self.worker().say(message);
    }

    /// The last frame of an utterance.
    pub fn play_last(&self, session: u32) {
        self.worker().play(MediaResponse {
            frames: Some(PlayoutFrames {
                session: vec![session],
                utterance: vec![1],
                generation: vec![0],
                duration: vec![960],
                flags: vec![1],
                level: Vec::new(),
                size: vec![3],
                payload: vec![0xf8, 0xff, 0xfe].into(),
            }),
            commands: None,
            receipts: None,
        });
    }

    /// Takes events until one is `last`.
    pub fn events_until(&self, mut last: impl FnMut(&EdgeEvent) -> bool) -> Vec<EdgeEvent> {
        let mut events = Vec::new();
        let mut seen = false;
        self.until(|| {
            let new = self.plane.take_events();
            seen |= new.iter().any(&mut last);
            events.extend(new);
            seen
        });
        events
    }

    pub fn until(&self, mut done: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < until, "it did not come: {:?}", self.plane.counters());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a check is made of.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    /// SDP.
    pub answer: String,
}

impl Credentials {
    /// A check; each number is another transaction.
    pub fn check(&self, number: u8) -> Vec<u8> {
        let check = Check {
            transaction: [number; 12],
            username: self.username.as_bytes(),
            password: self.password.as_bytes(),
            priority: 1,
            use_candidate: true,
            role: Role::Controlling(1),
        };
        let mut buffer = [0; 256];
        let length = check.write(&mut buffer);
        buffer[..length].to_vec()
    }

    /// The same in a frame of RFC 4571.
    pub fn framed_check(&self, number: u8) -> Vec<u8> {
        let check = self.check(number);
        let length = u16::try_from(check.len()).expect("short");
        [&length.to_be_bytes()[..], &check].concat()
    }
}

fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let found = sdp.lines().find_map(|line| line.strip_prefix(name));
    found.expect("it is in each offer and answer").trim()
}

/// Signaling without a network.
struct Direct {
    plane: Arc<Plane>,
    next: Arc<AtomicU64>,
    /// What becomes of answers on their way.
    change: Box<dyn Fn(&str) -> String + Send + Sync>,
    room: Option<&'static str>,
    room_worker: &'static str,
}

impl Signaling for Direct {
    fn offer(&self, sdp: &str) -> Result<signaling::Answer, SignalingError> {
        let session = format!("session-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let request = OpenRequest {
            room: self.room,
            worker: if self.room.is_some() { self.room_worker } else { "w" },
            ..request(&session, sdp)
        };
        match self.plane.open(&request) {
            Ok(answer) => Ok(signaling::Answer {
                sdp: (self.change)(&answer.sdp),
                location: Some(session),
            }),
            Err(error) => Err(SignalingError::Refused {
                status: 400,
                body: error.to_string(),
            }),
        }
    }

    fn end(&self, location: &str) -> Result<(), SignalingError> {
        let closed = self.plane.close_session(location, 1, "api");
        closed.map(|_| ()).map_err(|error| SignalingError::Refused {
            status: 400,
            body: error.to_string(),
        })
    }
}

fn request<'a>(session: &'a str, offer: &'a str) -> OpenRequest<'a> {
    OpenRequest {
        session,
        epoch: 1,
        offer,
        agent: "echo",
        worker: "w",
        metadata: "{}",
        caller: "",
        data_channel: None,
        room: None,
    }
}
