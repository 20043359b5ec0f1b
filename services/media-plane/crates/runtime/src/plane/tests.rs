//! What becomes of a session that cannot be taken in.

#[path = "../../../link/tests/support/mod.rs"]
mod worker;

use std::sync::mpsc::sync_channel;
use std::time::Instant;

use antiphon_caller::call::{Call, CallConfig};
use antiphon_caller::clock::Clock;
use antiphon_link::proto::control_request::Message;
use str0m::crypto::dtls::DtlsVersion;
use worker::{Manner, PATIENCE, TestWorker};

use super::*;

fn plane(bind: SocketAddr) -> Result<Plane, StartError> {
    Plane::start(&PlaneConfig {
        edge: "edge-1".into(),
        region: "here".into(),
        secret: [7; 16],
        bind: vec![bind],
        tcp_port: Some(0),
        advertise: Vec::new(),
        steering: None,
        stun_probe: StunProbe::Padded,
        shards: 1,
        capacity: 4,
    })
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().expect("a literal")
}

#[test]
fn a_worker_hears_the_end_of_a_session_that_its_shard_had_no_room_for() {
    let worker = TestWorker::start(Manner::default());
    let plane = plane(anywhere()).expect("a free port");
    plane.connect_worker("w", &worker.address.to_string());
    let until = Instant::now() + PATIENCE;
    while !plane.workers()["w"].link.connected {
        assert!(Instant::now() < until, "no link");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(worker.heard(), Message::Hello(_)));
    // The shard waits for somebody to take its reply, and its mailbox fills up.
    let slot = Slot::new(0, 0, 0);
    let (reply, answer) = sync_channel(0);
    plane.post(slot, Mail::Snapshot { slot, reply }).expect("room");
    // It may come to the question only after the mailbox is full for the first time: full is what stays full.
    let takes_more = || {
        thread::sleep(Duration::from_millis(5));
        plane.post(slot, Mail::LinkDown { link: 99 }).is_ok()
    };
    while plane.post(slot, Mail::LinkDown { link: 99 }).is_ok() || (0..10).any(|_| takes_more()) {}

    let config = CallConfig::new([127, 0, 0, 1].into(), 160, true, DtlsVersion::Auto).expect("a configuration");
    let (_call, offer) = Call::offer(&config, 0, Clock::start()).expect("an offer");
    let refused = plane.open(&OpenRequest {
        session: "s",
        epoch: 1,
        offer: &offer,
        agent: "echo",
        worker: "w",
        metadata: "{}",
        caller: "",
        data_channel: None,
        room: None,
    });

    assert_eq!(refused.err(), Some(SessionError::Full));
    let Message::Opened(opened) = worker.heard() else {
        panic!("expected it to open")
    };
    let Message::Closed(closed) = worker.heard() else {
        panic!("expected it to close")
    };
    assert_eq!((closed.session, closed.reason.as_str()), (opened.session, "error"));
    assert!(plane.sessions().is_empty());
    drop(answer);
}

#[test]
fn a_taken_port_is_named_as_the_system_names_it() {
    let first = plane(anywhere()).expect("a free port");
    let Err(StartError::Bind { address, source, .. }) = plane(first.address()) else {
        panic!("expected the port to be taken")
    };
    assert_eq!(
        (address, source.raw_os_error()),
        (first.address(), Some(libc::EADDRINUSE))
    );
}
