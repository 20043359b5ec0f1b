//! Rooms over real sockets: members on several shards, who hear each other and never themselves.

use std::time::Duration;

use crate::support::{Edge, Manner};
use antiphon_caller::load::Plan;
use antiphon_caller::report::Report;
use antiphon_runtime::{MemberChange, OpenRequest};

/// Calls in one room. What a call hears of others is no probe of its own, so the report counts it as corrupt.
fn meet(edge: &mut Edge, calls: u32, window: Duration) -> Report {
    edge.room = Some("kitchen");
    edge.run(&Plan {
        calls,
        settle: Duration::from_millis(300),
        window,
        ..Plan::default()
    })
}

#[test]
fn members_on_three_shards_hear_another_and_never_themselves() {
    let mut edge = Edge::start(3, Manner::default());

    let report = meet(&mut edge, 6, Duration::from_secs(2));

    assert_eq!((report.up, report.failed), (6, 0), "{:?}", report.failure);
    assert_eq!(report.lost, report.sent, "nobody hears himself");
    assert!(
        report.corrupt > report.sent / 2,
        "{} of {} heard by others",
        report.corrupt,
        report.sent
    );
    edge.until(|| edge.plane.sessions().is_empty());
    let counters = edge.plane.counters();
    assert!(
        counters["room_crossings"] > 0,
        "members on several shards: {counters:?}"
    );
    assert!(counters["room_forwarded"] >= report.corrupt);
    for drop in [
        "drop_room_ring_full",
        "drop_room_command",
        "drop_ingest",
        "session_faults",
    ] {
        assert_eq!(counters[drop], 0, "{drop}: {counters:?}");
    }
    assert!(edge.plane.rooms().is_empty());
}

#[test]
fn a_frame_crosses_to_a_shard_once_however_many_hear_it_there() {
    let mut edge = Edge::start(2, Manner::default());
    let report = meet(&mut edge, 8, Duration::from_secs(1));
    assert_eq!(report.up, 8, "{:?}", report.failure);
    let counters = edge.plane.counters();
    // Eight listeners hear one voice each, and all but its owner the same: seven copies, one or two crossings.
    let copies = counters["room_forwarded"] as f64 / counters["room_crossings"].max(1) as f64;
    assert!(copies > 2.0, "{copies} listeners a crossing: {counters:?}");
}

#[test]
fn a_room_is_told_and_its_members_are_changed() {
    let mut edge = Edge::start(2, Manner::default());
    edge.room = Some("kitchen");
    let plane = edge.plane.clone();
    let watcher = std::thread::spawn(move || {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        let (mut seen, mut muted) = (false, false);
        while std::time::Instant::now() < until && !(seen && muted) {
            for room in plane.rooms() {
                assert_eq!(room.name, "kitchen");
                seen |= room.members.len() == 3 && room.members.iter().any(|member| member.speaking);
                muted |= room.members.iter().any(|member| member.muted);
                let change = MemberChange {
                    muted: Some(true),
                    hears: None,
                };
                for member in room.members.iter().filter(|_| seen) {
                    plane
                        .change_member(&member.session, 1, change.clone())
                        .expect("its epoch");
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (seen, muted)
    });
    let report = meet(&mut edge, 3, Duration::from_secs(3));
    assert_eq!(report.up, 3, "{:?}", report.failure);
    assert_eq!(watcher.join().expect("no panic"), (true, true));
    assert!(edge.plane.counters()["drop_room_muted"] > 0);
    let nobody = MemberChange::default();
    assert_eq!(edge.plane.change_member("nobody", 1, nobody), Ok(false));
}

#[test]
fn a_session_without_a_worker_must_be_in_a_room_and_a_room_is_bounded() {
    let edge = Edge::start(1, Manner::default());
    let request = OpenRequest {
        session: "alone",
        epoch: 1,
        offer: "v=0",
        agent: "",
        worker: "",
        metadata: "{}",
        caller: "",
        data_channel: None,
        room: None,
    };
    assert!(edge.plane.open(&request).is_err());
    let refused = edge.plane.open(&OpenRequest {
        room: Some("r"),
        ..request
    });
    assert!(refused.is_err(), "no offer");
    assert!(edge.plane.rooms().is_empty() && edge.plane.sessions().is_empty());
}
