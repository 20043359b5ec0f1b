//! A link against a real gRPC server: it comes up, carries both ways, falls behind in bounds, and comes back.

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use antiphon_link::proto::{
    HangUp, MediaResponse, Pace, PlayoutFrames, SessionOpened, control_request, control_response,
};
use antiphon_link::{Identity, Ingest, Link, Links, Sink, Up};
use support::{Manner, PATIENCE, TestWorker};

#[derive(Debug)]
enum Said {
    Up(Up),
    Down(String),
    Pace(u32),
    Control(control_response::Message),
    Media(Arc<MediaResponse>),
}

/// Passes on what a link says; says no to media as often as told.
#[derive(Debug)]
struct Ear {
    said: Mutex<Sender<Said>>,
    refusals: Mutex<u32>,
}

impl Ear {
    fn pass(&self, said: Said) {
        let _test_is_over = self.said.lock().expect("no panic").send(said);
    }
}

impl Sink for Ear {
    fn up(&self, up: Up) {
        self.pass(Said::Up(up));
    }

    fn down(&self, reason: &str) {
        self.pass(Said::Down(reason.into()));
    }

    fn pace(&self, gather_us: u32) {
        self.pass(Said::Pace(gather_us));
    }

    fn control(&self, message: &control_response::Message) -> bool {
        self.pass(Said::Control(message.clone()));
        true
    }

    fn media(&self, message: &Arc<MediaResponse>) -> bool {
        let mut refusals = self.refusals.lock().expect("no panic");
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        if !refused {
            self.pass(Said::Media(message.clone()));
        }
        !refused
    }
}

struct Edge {
    links: Links,
    link: Link,
    said: Receiver<Said>,
}

impl Edge {
    fn dial(target: &str, refusals: u32) -> Self {
        let (sender, said) = channel();
        let ear = Arc::new(Ear {
            said: Mutex::new(sender),
            refusals: Mutex::new(refusals),
        });
        let links = Links::start(1).expect("threads");
        let identity = Identity {
            edge: "edge-1".into(),
            region: "here".into(),
        };
        let link = links.connect(identity, "test".into(), target.into(), ear);
        Self { links, link, said }
    }

    fn next(&self) -> Said {
        self.said.recv_timeout(PATIENCE).expect("something from the link")
    }

    fn up(&self) -> Up {
        match self.next() {
            Said::Up(up) => up,
            other => panic!("expected the link to come up, not {other:?}"),
        }
    }

    fn counter(&self, wanted: &str) -> u64 {
        let mut found = 0;
        self.links
            .counters()
            .read(|name, value| found += if name == wanted { value } else { 0 });
        found
    }
}

fn frame(session: u32, sequence: u64, payload: &[u8]) -> Ingest<'_> {
    Ingest {
        session,
        sequence,
        timestamp: sequence * 960,
        arrival_us: 1,
        duration: 960,
        level: 0,
        flags: 0,
        payload,
    }
}

fn frames(session: u32, payload: &'static [u8]) -> PlayoutFrames {
    PlayoutFrames {
        session: vec![session],
        utterance: vec![1],
        generation: vec![0],
        duration: vec![960],
        flags: vec![0],
        level: Vec::new(),
        size: vec![u32::try_from(payload.len()).expect("short")],
        payload: payload.into(),
    }
}

#[test]
fn a_link_greets_and_carries_both_ways() {
    let worker = TestWorker::start(Manner {
        stripes: 3,
        gather_us: 700,
        ..Manner::default()
    });
    let edge = Edge::dial(&worker.address.to_string(), 0);
    let up = edge.up();
    assert_eq!((up.worker.as_str(), up.outlets.len(), up.gather_us), ("test", 3, 700));
    assert!(matches!(worker.heard(), control_request::Message::Hello(hello)
        if hello.edge == "edge-1" && hello.region == "here" && hello.version == 1 && hello.link != 0));

    let opened = SessionOpened {
        session: 5,
        id: "s".into(),
        ..SessionOpened::default()
    };
    up.control
        .push(control_request::Message::Opened(opened.clone()))
        .expect("the link is up");
    assert_eq!(worker.heard(), control_request::Message::Opened(opened));

    let mut batch = up.outlets[2].batch();
    batch.push_frame(&frame(5, 77, b"opus"));
    assert!(up.outlets[2].push(batch).is_none());
    let message = worker.media_until(|message| message.frames.is_some());
    let columns = message.frames.expect("just seen");
    assert_eq!(
        (columns.session, columns.sequence, columns.payload),
        (vec![5], vec![77], b"opus".to_vec())
    );

    worker.play(MediaResponse {
        frames: Some(frames(5, b"answer")),
        commands: None,
        receipts: None,
    });
    assert!(matches!(edge.next(), Said::Media(message)
        if message.frames.as_ref().is_some_and(|frames| &frames.payload[..] == b"answer")));
    worker.say(control_response::Message::HangUp(HangUp {
        session: 5,
        ..HangUp::default()
    }));
    assert!(matches!(edge.next(), Said::Control(control_response::Message::HangUp(hang_up)) if hang_up.session == 5));
    worker.say(control_response::Message::Pace(Pace { gather_us: 9_000 }));
    assert!(matches!(edge.next(), Said::Pace(9_000)));
}

#[test]
fn pings_tell_the_round_trip_and_the_offset_of_the_clocks() {
    let worker = TestWorker::start(Manner::default());
    let edge = Edge::dial(&worker.address.to_string(), 0);
    edge.up();
    let until = Instant::now() + PATIENCE;
    while edge.link.status().rtt_us.is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = edge.link.status();
    let (rtt_us, offset_us) = (status.rtt_us.expect("a pong"), status.clock_offset_us.expect("a pong"));
    assert!(rtt_us < 1_000_000.0, "{rtt_us}");
    assert!(
        (4_000_000..=5_000_000).contains(&offset_us),
        "the worker's clock is 5 s ahead: {offset_us}"
    );
}

#[test]
fn a_killed_worker_is_told_and_dialled_again() {
    let worker = TestWorker::start(Manner::default());
    let edge = Edge::dial(&worker.address.to_string(), 0);
    let first = edge.up();

    let address = worker.kill();
    let Said::Down(reason) = edge.next() else {
        panic!("expected the link to go down")
    };
    assert!(!reason.is_empty());
    let late = control_request::Message::Opened(SessionOpened::default());
    assert!(first.control.push(late).is_err(), "nothing is taken for a dead link");

    let worker = TestWorker::start_at(address, Manner::default());
    let second = edge.up();
    assert!(matches!(worker.heard(), control_request::Message::Hello(_)));
    assert!(
        second
            .control
            .push(control_request::Message::Opened(SessionOpened::default()))
            .is_ok()
    );
    assert_eq!((edge.counter("link_ups"), edge.counter("link_downs")), (2, 1));
    assert!(edge.link.status().connected);
}

#[test]
fn a_worker_that_falls_silent_is_dead_and_one_that_stalls_for_a_second_is_not() {
    let worker = TestWorker::start(Manner::default());
    let edge = Edge::dial(&worker.address.to_string(), 0);
    edge.up();
    worker.fall_silent();
    std::thread::sleep(Duration::from_secs(1));
    worker.speak();
    assert!(
        edge.said.recv_timeout(Duration::from_millis(600)).is_err(),
        "a stall of a second is no death"
    );

    worker.fall_silent();
    let Said::Down(reason) = edge.next() else {
        panic!("expected the link to go down")
    };
    assert_eq!(reason, "the worker was silent for 1400 ms");
}

#[test]
fn a_deaf_worker_costs_the_oldest_frames_and_no_memory() {
    let worker = TestWorker::start(Manner {
        deaf: true,
        ..Manner::default()
    });
    let edge = Edge::dial(&worker.address.to_string(), 0);
    let up = edge.up();
    let outlet = &up.outlets[0];
    let payload = [7; 1_000];

    let mut dropped = 0;
    let mut next = outlet.batch();
    for sequence in 0..20_000 {
        next.push_frame(&frame(3, sequence, &payload));
        let oldest = outlet.push(std::mem::replace(&mut next, outlet.batch()));
        dropped += oldest.map_or(0, |oldest| next.absorb(&oldest).frames);
    }

    assert!(dropped > 10_000, "{dropped}");
    assert!(outlet.waiting() <= 256);
    assert!(
        next.message().drops.as_ref().is_some_and(|drops| drops.count[0] >= 1),
        "the worker will be told"
    );
}

#[test]
fn a_busy_shard_is_asked_again_and_nonsense_is_counted() {
    let worker = TestWorker::start(Manner::default());
    let edge = Edge::dial(&worker.address.to_string(), 3);
    edge.up();
    let mut crooked = frames(1, b"abc");
    crooked.size[0] = 4;
    let until = Instant::now() + PATIENCE;
    worker.media_until(|message| message.hello.is_some());

    worker.play(MediaResponse {
        frames: Some(crooked),
        commands: None,
        receipts: None,
    });
    worker.play(MediaResponse {
        frames: Some(frames(1, b"straight")),
        commands: None,
        receipts: None,
    });
    assert!(matches!(edge.next(), Said::Media(message)
        if message.frames.as_ref().is_some_and(|frames| &frames.payload[..] == b"straight")));
    assert_eq!(
        (edge.counter("link_malformed"), edge.counter("link_inbound_waits")),
        (1, 3)
    );
    assert!(Instant::now() < until);
}

#[test]
fn a_worker_that_cannot_be_reached_is_named_in_the_error() {
    let edge = Edge::dial("127.0.0.1:1", 0);
    let until = Instant::now() + PATIENCE;
    while edge.link.status().error.is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let error = edge.link.status().error.expect("an error");
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");
}
