//! Calls over real sockets: str0m callers, a plane, and a worker that echoes.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Edge, Manner, SESSION_LIMIT};
use antiphon_link::proto::{HangUp, control_request, control_response};
use antiphon_runtime::EdgeEvent;

const ECHO: Manner = Manner {
    stripes: 1,
    gather_us: 1_000,
    echo: true,
    deaf: false,
};

#[test]
fn calls_connect_and_hear_their_echo() {
    let edge = Edge::start(1, Manner { stripes: 2, ..ECHO });

    let report = edge.call(4, Duration::from_secs(2));

    assert_eq!((report.up, report.failed), (4, 0), "{:?}", report.failure);
    assert!(report.sent > 300, "{}", report.sent);
    assert_eq!((report.lost, report.duplicates, report.corrupt), (0, 0, 0));
    let counters = edge.plane.counters();
    assert!(counters["ingest_frames"] >= report.sent);
    assert_eq!(
        (
            counters["drop_ingest"],
            counters["drop_playout_refused"],
            counters["handed_over"]
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_session_tells_its_worker_and_its_edge_how_it_came_up_and_ended() {
    let edge = Edge::start(1, ECHO);

    edge.call(1, Duration::from_millis(500));

    let control_request::Message::Opened(opened) = edge.heard() else {
        panic!("expected a session to open")
    };
    assert_eq!(
        (opened.id.as_str(), opened.epoch, opened.agent.as_str()),
        ("session-0", 1, "echo")
    );
    let control_request::Message::Connected(connected) = edge.heard() else {
        panic!("expected it to connect")
    };
    assert_eq!(connected.session, opened.session);
    for step in ["answer", "first_check", "nominated", "dtls"] {
        assert!(
            connected.setup_us.contains_key(step),
            "{step} is missing in {:?}",
            connected.setup_us
        );
    }
    let control_request::Message::Closed(closed) = edge.heard() else {
        panic!("expected it to close")
    };
    assert_eq!(closed.session, opened.session);

    let events = edge.events_until(|event| matches!(event, EdgeEvent::SessionClosed { .. }));
    assert!(
        matches!(&events[..], [
        EdgeEvent::LinkUp { .. },
        EdgeEvent::SessionConnected { session, security, .. },
        EdgeEvent::SessionClosed { session: closed, epoch: 1, setup_us, quality, .. },
    ] if session == closed
        && security.contains("AEAD_AES_128_GCM")
        && setup_us.contains_key("first_packet")
        && quality["packets_in"] > 20.0),
        "{events:?}"
    );
    assert!(edge.plane.sessions().is_empty());
}

#[test]
fn a_caller_that_lands_on_another_shard_is_handed_to_its_own() {
    let edge = Edge::start(3, ECHO);

    let report = edge.call(9, Duration::from_secs(2));

    assert_eq!((report.up, report.failed), (9, 0), "{:?}", report.failure);
    assert_eq!((report.lost, report.duplicates), (0, 0));
    let counters = edge.plane.counters();
    assert!(
        counters["handed_over"] > 0,
        "nine callers on three shards, all at home by chance?"
    );
    assert_eq!(counters["drop_ring_full"], 0);
}

#[test]
fn junk_is_counted_and_calls_go_on() {
    let edge = Edge::start(1, ECHO);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let probe = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let mut forged_request = [&probe[..], &[0, 6, 0, 8], b"mine:you"].concat();
    forged_request[3] = 12;
    let address = edge.plane.address();
    let flood = std::thread::spawn(move || {
        for _ in 0..500 {
            for junk in [
                &[0x80; 120][..],
                &[22; 60],
                &[0xff],
                &[0; 2_500],
                &probe,
                &forged_request,
            ] {
                stranger.send_to(junk, address).expect("loopback takes it");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    });

    let report = edge.call(2, Duration::from_secs(1));
    flood.join().expect("no panic");

    assert_eq!((report.up, report.lost), (2, 0));
    edge.until(|| edge.plane.counters()["drop_bad_ufrag"] == 500);
    let counters = edge.plane.counters();
    assert_eq!(counters["drop_truncated"], 500);
    assert_eq!(counters["probes_answered"] + counters["drop_probe_source_rate"], 500);
    let late_farewells = 10; // what callers still said after their sessions had ended
    assert!(
        (1_500..=1_500 + late_farewells).contains(&counters["drop_unknown_flow"]),
        "{counters:?}"
    );
    assert_eq!(counters["drop_rxq_overflow"], 0);
}

#[test]
fn a_wrong_password_opens_no_path() {
    let edge = Edge::start(1, ECHO);
    let ufrag = edge.open_silent("s").ufrag;

    edge.check(&ufrag, b"not the derived password");

    edge.until(|| edge.plane.counters()["drop_bad_integrity"] == 1);
    assert_eq!(edge.plane.session("s").expect("live").state, "new");
}

#[test]
fn a_lost_worker_ends_its_sessions_where_no_other_is_named_and_a_new_one_takes_others() {
    let mut edge = Edge::start(2, ECHO);
    edge.open_silent("a");
    edge.open_silent("b");

    edge.restart_worker();

    let closed = |event: &EdgeEvent| matches!(event, EdgeEvent::SessionClosed { reason: "worker", .. });
    let mut count = 0;
    edge.events_until(|event| {
        count += u32::from(closed(event));
        count == 2
    });
    edge.until(|| edge.plane.workers()["w"].link.connected);
    edge.open_silent("c");
    assert_eq!(edge.plane.sessions(), ["c"]);
    assert_eq!(edge.plane.workers()["w"].sessions, 1);
}

#[test]
fn the_agent_may_hang_up_and_the_edge_may_close() {
    let edge = Edge::start(2, ECHO);
    edge.open_silent("a");
    let control_request::Message::Opened(opened) = edge.heard() else {
        panic!("expected a session to open")
    };
    edge.say(control_response::Message::HangUp(HangUp {
        session: opened.session,
        ..HangUp::default()
    }));
    let events = edge.events_until(|event| matches!(event, EdgeEvent::SessionClosed { .. }));
    assert!(
        matches!(events.last(), Some(EdgeEvent::SessionClosed { reason: "hangup", .. })),
        "{events:?}"
    );

    edge.open_silent("b");
    assert!(edge.plane.close_session("b", 0, "api").is_err(), "an old owner may not");
    assert_eq!(edge.plane.close_session("b", 1, "api"), Ok(true));
    let events = edge.events_until(|event| matches!(event, EdgeEvent::SessionClosed { .. }));
    assert!(
        matches!(events.last(), Some(EdgeEvent::SessionClosed { reason: "api", .. })),
        "{events:?}"
    );
    assert_eq!(edge.plane.close_session("b", 1, "api"), Ok(false));
}

#[test]
fn the_end_of_a_session_is_called_as_its_worker_says_or_else_a_hangup() {
    let edge = Edge::start(1, ECHO);
    for (said, reason) in [
        ("bye", "bye"),
        ("error", "error"),
        ("worker", "worker"),
        ("had enough", "hangup"),
    ] {
        edge.open_silent(said);
        let opened = loop {
            if let control_request::Message::Opened(opened) = edge.heard() {
                break opened;
            }
        };
        edge.say(control_response::Message::HangUp(HangUp {
            session: opened.session,
            reason: said.into(),
            after_playout: false,
        }));
        let events = edge.events_until(|event| matches!(event, EdgeEvent::SessionClosed { .. }));
        assert!(
            matches!(events.last(), Some(EdgeEvent::SessionClosed { reason: told, .. }) if *told == reason),
            "{events:?}"
        );
    }
}

#[test]
fn frames_that_come_behind_the_agents_wish_to_hang_up_are_still_taken() {
    let edge = Edge::start(1, ECHO);
    edge.open_silent("s");
    let control_request::Message::Opened(opened) = edge.heard() else {
        panic!("expected a session to open")
    };
    edge.say(control_response::Message::HangUp(HangUp {
        session: opened.session,
        after_playout: true,
        ..HangUp::default()
    }));
    std::thread::sleep(Duration::from_millis(20));
    edge.play_last(opened.session);

    edge.until(|| edge.plane.counters()["playout_frames"] == 1);
    assert_eq!(edge.plane.counters()["drop_playout_no_session"], 0);
}

#[test]
fn a_session_has_room_only_within_the_capacity() {
    let edge = Edge::start(1, ECHO);
    for number in 0..SESSION_LIMIT {
        edge.open_silent(&number.to_string());
    }
    assert!(edge.try_open_silent("one more").is_err());
}

#[test]
fn closing_says_goodbye_to_the_worker() {
    let edge = Edge::start(1, ECHO);
    edge.open_silent("s");
    edge.plane.close();
    assert!(matches!(edge.heard(), control_request::Message::Opened(_)));
    assert!(matches!(edge.heard(), control_request::Message::Closed(_)));
    edge.plane.close();
}
