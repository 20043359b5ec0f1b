//! Hostile networks at the socket: floods of every kind beside live calls. What they may cost is counted, not timed.

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use crate::support::{Edge, Manner};
use antiphon_caller::flood::{self, Kind, Plan};
use antiphon_engine::Time;

const ECHO: Manner = Manner {
    stripes: 1,
    gather_us: 1_000,
    echo: true,
    deaf: false,
};

#[test]
fn live_calls_go_on_through_floods_of_every_kind_and_floods_get_no_answer() {
    let edge = Edge::start(2, ECHO);
    let ufrag = edge.open_silent("somebody else's").ufrag;
    let plan = Plan {
        target: edge.plane.address(),
        sources: 100,
        rate: 7_000.0,
        duration: Duration::from_millis(1_500),
        kinds: Kind::ALL.to_vec(),
        ufrag: Some(ufrag),
    };
    let attack = thread::spawn(move || flood::run(&plan));

    let report = edge.call(4, Duration::from_secs(1));
    let attack = attack.join().expect("no panic").expect("sockets");

    assert_eq!((report.up, report.failed), (4, 0), "{:?}", report.failure);
    assert_eq!((report.lost, report.duplicates, report.corrupt), (0, 0, 0));
    assert_eq!(
        (attack.received, attack.received_bytes),
        (0, 0),
        "strangers get nothing"
    );
    assert!(attack.sent.values().all(|count| *count > 500), "{attack:?}");
    let counters = edge.plane.counters();
    let sent = |kind| attack.sent[&kind];
    let refused: u64 = [
        "drop_bad_ufrag",
        "drop_bad_integrity",
        "drop_source_rate",
        "drop_stranger_rate",
    ]
    .iter()
    .map(|name| counters[name])
    .sum();
    assert!(
        refused >= sent(Kind::Forged) + sent(Kind::Guessed),
        "each one is counted: {counters:?}"
    );
    assert!(counters["drop_unknown_flow"] >= sent(Kind::Hello) + sent(Kind::Rtp));
    assert_eq!(edge.plane.session("somebody else's").expect("live").state, "new");
}

#[test]
fn one_source_that_guesses_costs_no_more_than_all_strangers_may_and_its_neighbours_are_served() {
    let edge = Edge::start(1, ECHO);
    let ufrag = edge.open_silent("somebody else's").ufrag;
    let begin = Time(antiphon_link::monotonic_us());
    let plan = Plan {
        target: edge.plane.address(),
        sources: 1,
        rate: 5_000.0,
        duration: Duration::from_secs(1),
        kinds: vec![Kind::Guessed],
        ufrag: Some(ufrag),
    };
    let sent = flood::run(&plan).expect("sockets").sent[&Kind::Guessed];
    edge.until(|| edge.plane.counters()["drop_bad_integrity"] + edge.plane.counters()["drop_source_rate"] >= sent);

    let looked_at = edge.plane.counters()["drop_bad_integrity"];
    let passed = Time(antiphon_link::monotonic_us()).since(begin).as_secs() + 1;
    assert!(
        looked_at <= 2_000 + 20_000 * passed,
        "{looked_at} of {sent} were worked on"
    );
    let report = edge.call(2, Duration::from_millis(500));
    assert_eq!((report.up, report.lost), (2, 0), "another address is served");
}

#[test]
fn a_check_that_is_recorded_and_repeated_from_elsewhere_is_refused() {
    let edge = Edge::start(1, ECHO);
    let check = edge.open_silent_with_credentials("s").check(1);
    let [caller, thief] = ["127.0.0.1:0", "127.0.0.2:0"].map(|address| UdpSocket::bind(address).expect("a free port"));
    for socket in [&caller, &thief] {
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket");
    }
    let mut buffer = [0; 2_048];
    caller.send_to(&check, edge.plane.address()).expect("loopback takes it");
    let (length, _) = caller.recv_from(&mut buffer).expect("an answer");
    assert!(length < check.len());

    thief.send_to(&check, edge.plane.address()).expect("loopback takes it");
    edge.until(|| edge.plane.session("s").expect("live").quality["replayed_checks"] == 1.0);
    assert!(thief.recv_from(&mut buffer).is_err(), "nothing is sent there");
}
