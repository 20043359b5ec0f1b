//! Sessions whose worker is lost: another one is named, and has them with what the edge kept; their callers notice nothing.

use std::thread;
use std::time::Duration;

use crate::support::{Edge, Manner, TestWorker};
use antiphon_caller::load::Plan;
use antiphon_link::proto::control_request::Message;
use antiphon_link::proto::{
    IngestReceipts, MediaRequest, MediaResponse, SessionAccepted, SessionOpened, SessionRefused, control_response,
};
use antiphon_runtime::{EdgeEvent, TakeOverRequest};

const KEPT: u32 = 32;

fn edge_with_standby() -> (Edge, TestWorker) {
    let edge = Edge::start(1, Manner::default());
    let standby = TestWorker::start(Manner::default());
    edge.plane.connect_worker("standby", &standby.address.to_string());
    edge.until(|| edge.plane.workers()["standby"].link.connected);
    assert!(matches!(standby.heard(), Message::Hello(_)));
    (edge, standby)
}

fn orphaned(edge: &Edge, why: &str) -> String {
    let mut found = None;
    edge.events_until(|event| {
        if let EdgeEvent::SessionOrphaned { session, reason, .. } = event {
            assert_eq!(*reason, why);
            found = Some(session.clone());
        }
        found.is_some()
    });
    found.expect("waited for")
}

fn take_over(edge: &Edge, session: &str, worker: &str) {
    let asked = edge.plane.take_over(&TakeOverRequest {
        session,
        epoch: 1,
        agent: "echo",
        worker,
        metadata: r#"{"topic":"weather"}"#,
        caller: "192.0.2.1",
    });
    assert_eq!(asked, Ok(true));
}

fn opened(worker: &TestWorker) -> SessionOpened {
    match worker.heard() {
        Message::Opened(opened) => opened,
        other => panic!("expected a session to open, not {other:?}"),
    }
}

fn accept(worker: &TestWorker, session: u32) {
    worker.say(control_response::Message::Accepted(SessionAccepted { session }));
}

fn receipt(worker: &TestWorker, session: u32, timestamp: u64) {
    worker.play(MediaResponse {
        receipts: Some(IngestReceipts {
            session: vec![session],
            timestamp: vec![timestamp],
        }),
        ..MediaResponse::default()
    });
}

/// Sequence, timestamp, arrival and whether it was kept, of each frame.
fn frames(message: &MediaRequest) -> Vec<(u64, u64, u64, bool)> {
    let Some(columns) = &message.frames else {
        return Vec::new();
    };
    (0..columns.session.len())
        .map(|row| {
            let kept = columns.flags[row] & KEPT != 0;
            (
                columns.sequence[row],
                columns.timestamp[row],
                columns.arrival_us[row],
                kept,
            )
        })
        .collect()
}

#[test]
fn a_caller_in_mid_call_is_handed_to_another_worker_with_the_frames_that_were_kept() {
    let (mut edge, standby) = edge_with_standby();
    let plan = Plan {
        calls: 1,
        settle: Duration::from_millis(100),
        window: Duration::from_secs(5),
        ..Plan::default()
    };
    let plane = edge.plane.clone();
    let calling = edge.in_background(plan);
    let session = opened(edge.worker());
    assert_eq!(session.takeover, None);
    assert!(matches!(edge.heard(), Message::Connected(_)));
    let heard = edge.worker().media_until(|message| !frames(message).is_empty());
    let (first, began, ..) = frames(&heard)[0];
    receipt(edge.worker(), session.session, began);
    let mut last = first;
    edge.worker().media_until(|message| {
        last = frames(message).last().map_or(last, |frame| frame.0);
        last > first + 25
    });
    receipt(edge.worker(), session.session, began + 10 * 960);
    edge.worker().media_until(|message| {
        last = frames(message).last().map_or(last, |frame| frame.0);
        last > first + 40
    });

    edge.kill_worker();
    let id = orphaned(&edge, "link");
    thread::sleep(Duration::from_millis(100)); // frames that nobody hears
    take_over(&edge, &id, "standby");
    let again = opened(&standby);
    assert_eq!(
        (again.id.as_str(), again.epoch, again.metadata.as_str()),
        (id.as_str(), 1, r#"{"topic":"weather"}"#)
    );
    assert_eq!(again.takeover.map(|takeover| takeover.number), Some(1));
    accept(&standby, again.session);

    assert!(matches!(standby.heard(), Message::Connected(_)));
    let mut came = Vec::new();
    standby.media_until(|message| {
        came.extend(frames(message));
        came.len() > 60
    });
    let sequences: Vec<_> = came.iter().map(|frame| frame.0).collect();
    assert!(
        sequences.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "each once, in order: {sequences:?}"
    );
    assert_eq!(
        came[0].1,
        began + 10 * 960,
        "what the first worker was done with is not said again"
    );
    let kept = came.iter().filter(|frame| frame.3).count();
    assert!(kept >= 30 && !came.last().expect("many").3, "{kept} were kept");
    assert!(
        came.windows(2).all(|pair| pair[0].2 <= pair[1].2),
        "they have the times at which they came"
    );
    let events = edge.events_until(|event| matches!(event, EdgeEvent::SessionTaken { .. }));
    assert!(
        matches!(events.last(), Some(EdgeEvent::SessionTaken { session, epoch: 1, number: 1, frames, .. })
            if *session == id && *frames == kept as u64),
        "{events:?}"
    );
    assert_eq!(plane.workers()["standby"].sessions, 1);
    let report = calling.join().expect("no panic");
    assert_eq!((report.up, report.failed), (1, 0), "{:?}", report.failure);
}

#[test]
fn a_worker_that_refuses_or_is_lost_itself_leaves_the_session_to_the_next() {
    let (mut edge, standby) = edge_with_standby();
    let third = TestWorker::start(Manner::default());
    edge.plane.connect_worker("third", &third.address.to_string());
    edge.until(|| edge.plane.workers()["third"].link.connected);
    assert!(matches!(third.heard(), Message::Hello(_)));
    edge.open_silent("s");
    opened(edge.worker());

    edge.kill_worker();
    assert_eq!(orphaned(&edge, "link"), "s");
    take_over(&edge, "s", "standby");
    let session = opened(&standby).session;
    standby.say(control_response::Message::Refused(SessionRefused {
        session,
        reason: "no room".into(),
    }));
    orphaned(&edge, "refused");
    take_over(&edge, "s", "standby");
    assert_eq!(opened(&standby).takeover.map(|takeover| takeover.number), Some(2));
    standby.kill();
    orphaned(&edge, "link");
    take_over(&edge, "s", "third");
    accept(&third, opened(&third).session);

    edge.events_until(|event| matches!(event, EdgeEvent::SessionTaken { number: 3, .. }));
    assert_eq!(edge.plane.sessions(), ["s"]);
    assert_eq!(edge.plane.close_session("s", 1, "api"), Ok(true));
    assert!(matches!(third.heard(), Message::Closed(_)));
}

#[test]
fn a_worker_that_does_not_answer_is_left_and_told_so() {
    let (mut edge, standby) = edge_with_standby();
    edge.open_silent("s");
    opened(edge.worker());

    edge.kill_worker();
    orphaned(&edge, "link");
    take_over(&edge, "s", "standby");
    let session = opened(&standby).session;

    orphaned(&edge, "silent");
    assert!(matches!(standby.heard(), Message::Closed(closed) if closed.session == session));
    accept(&standby, session); // too late
    let events = edge.events_until(|event| matches!(event, EdgeEvent::SessionClosed { .. }));
    assert!(
        matches!(events.last(), Some(EdgeEvent::SessionClosed { reason: "worker", .. })),
        "{events:?}"
    );
}

#[test]
fn a_room_goes_on_while_its_worker_is_lost_and_is_told_to_the_one_that_has_it_next() {
    let mut edge = Edge::start(2, Manner::default());
    let standby = TestWorker::start(Manner::default());
    edge.plane.connect_worker("standby", &standby.address.to_string());
    edge.until(|| edge.plane.workers()["standby"].link.connected);
    assert!(matches!(standby.heard(), Message::Hello(_)));
    (edge.room, edge.room_worker) = (Some("kitchen"), "w");
    let calling = edge.in_background(Plan {
        calls: 2,
        settle: Duration::from_millis(100),
        window: Duration::from_secs(4),
        ..Plan::default()
    });
    let mut known = Vec::new();
    edge.until(|| {
        if let Message::Room(state) = edge.heard() {
            known = state.members.into_iter().map(|member| member.id).collect();
        }
        known.len() == 2
    });
    let forwarded = || edge.plane.counters()["room_forwarded"];
    edge.until(|| forwarded() > 0);

    let plane = edge.plane.clone();
    edge.kill_worker();
    let mut orphans = Vec::new();
    edge.events_until(|event| {
        if let EdgeEvent::SessionOrphaned { session, .. } = event {
            orphans.push(session.clone());
        }
        orphans.len() == 2
    });
    let before = plane.counters()["room_forwarded"];
    edge.until(|| plane.counters()["room_forwarded"] > before + 20);

    for id in &orphans {
        take_over(&edge, id, "standby");
    }
    let (mut told, mut accepted) = (Vec::new(), 0);
    edge.until(|| {
        match standby.heard() {
            Message::Opened(opened) => {
                assert_eq!((opened.room.as_str(), opened.takeover.is_some()), ("kitchen", true));
                accept(&standby, opened.session);
                accepted += 1;
            }
            Message::Room(state) => told = state.members.into_iter().map(|member| member.id).collect(),
            _ => {}
        }
        told.len() == 2 && accepted == 2
    });
    told.sort();
    known.sort();
    assert_eq!(told, known);
    let report = calling.join().expect("no panic");
    assert_eq!((report.up, report.failed), (2, 0), "{:?}", report.failure);
}
