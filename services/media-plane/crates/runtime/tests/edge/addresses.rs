//! Ways to an edge: over TCP, over IPv6, from addresses that change, and through another edge of the cluster.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::support::middlebox::{Kind, Middlebox, only_candidate};
use crate::support::{Credentials, Edge, Manner};
use antiphon_runtime::EdgeEvent;
use socket2::{Domain, Socket, Type};

const ECHO: Manner = Manner {
    stripes: 1,
    gather_us: 1_000,
    echo: true,
    deaf: false,
};

fn tcp_address(edge: &Edge) -> SocketAddr {
    let port = edge.plane.tcp_port().expect("it listens");
    SocketAddr::new(edge.plane.address().ip(), port)
}

/// Whether the edge has closed the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    loop {
        match stream.read(&mut [0; 1_024]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn callers_behind_a_udp_block_call_over_tcp() {
    let edge = Edge::start(2, ECHO);
    let tunnel = Middlebox::start(Kind::Tunnel(tcp_address(&edge)));

    let report = edge.call_by(4, Duration::from_secs(1), move |sdp| {
        assert!(sdp.contains(" typ host tcptype passive"), "{sdp}");
        tunnel.in_place(sdp)
    });

    assert_eq!((report.up, report.failed), (4, 0), "{:?}", report.failure);
    assert_eq!((report.lost, report.duplicates, report.corrupt), (0, 0, 0));
    let counters = edge.plane.counters();
    assert_eq!((counters["datagrams_in"], counters["drop_tcp_backlog"]), (0, 0));
    assert_eq!(counters["tcp_accepted"], 4);
    assert!(counters["tcp_frames_in"] > 150 && counters["tcp_frames_out"] > 150);
    assert_eq!(counters["handed_over"], 0, "connections live where their sessions do");
}

#[test]
fn a_connection_that_does_not_begin_with_a_valid_check_is_closed_at_once() {
    let edge = Edge::start(1, ECHO);
    let credentials = edge.open_silent_with_credentials("s");
    let wrong = Credentials {
        password: "not the derived password".into(),
        ..credentials
    };
    let wrong = wrong.framed_check(1);
    let too_long = [0xff, 0xff];
    for junk in [&wrong[..], b"GET / HTTP/1.1\r\n\r\n", &too_long, &[0, 1, 7]] {
        let mut stream = TcpStream::connect(tcp_address(&edge)).expect("it listens");
        stream.write_all(junk).expect("sent");
        assert!(is_closed(&mut stream), "{junk:?}");
    }
    let counters = edge.plane.counters();
    assert_eq!(
        (counters["drop_bad_integrity"], counters["drop_tcp_malformed"]),
        (1, 2),
        "{counters:?}"
    );
    assert_eq!(edge.plane.session("s").expect("live").state, "new");
}

#[test]
fn a_connection_that_says_nothing_is_closed_and_one_source_has_only_so_many() {
    let edge = Edge::start(1, ECHO);
    let mut streams: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(tcp_address(&edge)).expect("it listens"))
        .collect();
    assert!(is_closed(&mut streams[39]), "more than one source may have");
    edge.until(|| edge.plane.counters()["drop_tcp_idle"] == 32);
    assert!(is_closed(&mut streams[0]));
    assert_eq!(edge.plane.counters()["drop_tcp_refused"], 8);
}

#[test]
fn a_caller_that_does_not_read_loses_frames_and_delays_nobody() {
    let edge = Edge::start(1, ECHO);
    let check = edge.open_silent_with_credentials("s").framed_check(1);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    socket.connect(&tcp_address(&edge).into()).expect("it listens");
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true).expect("a socket");
    let mut unsent = Vec::new();
    edge.until(|| {
        // Each check is answered, and nobody reads the answers.
        if unsent.is_empty() {
            unsent = check.repeat(16);
        }
        if let Ok(count) = stream.write(&unsent) {
            unsent.drain(..count);
        }
        edge.plane.counters()["drop_tcp_backlog"] > 0
    });

    let report = edge.call(2, Duration::from_millis(500));
    assert_eq!((report.up, report.lost), (2, 0));
}

#[test]
fn ipv4_and_ipv6_are_answered_by_the_address_that_was_asked() {
    let edge = Edge::start_with(2, ECHO, |config| {
        config.bind.push("[::1]:0".parse().expect("a literal"));
    });
    let credentials = edge.open_silent_with_credentials("s");
    let answer = &credentials.answer;
    for line in [
        "udp 2130706431 127.0.0.1 ",
        "udp 2130706175 ::1 ",
        "tcp 1520434687 127.0.0.1 ",
    ] {
        assert!(answer.contains(line), "{line} is not in {answer}");
    }
    for (number, address) in (1..).zip(edge.plane.addresses().to_vec()) {
        let local = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(local).expect("a free port");
        let check = credentials.check(number);
        socket.send_to(&check, address).expect("loopback takes it");
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a socket");
        let received = socket.recv_from(&mut [0; 256]);
        let (length, from) = received.unwrap_or_else(|_| panic!("{address}: {:?}", edge.plane.counters()));
        assert_eq!(from, address);
        assert!(length < check.len(), "an answer is smaller than what it answers");
    }
}

#[test]
fn callers_call_over_ipv6() {
    let edge = Edge::start_with(2, ECHO, |config| {
        config.bind.push("[::1]:0".parse().expect("a literal"));
    });
    let nat = Middlebox::start(Kind::Nat(edge.plane.addresses()[1]));

    let report = edge.call_by(2, Duration::from_millis(500), move |sdp| nat.in_place(sdp));

    assert_eq!((report.up, report.failed), (2, 0), "{:?}", report.failure);
    assert_eq!((report.lost, report.duplicates), (0, 0));
    let remote = edge.events_until(|event| matches!(event, EdgeEvent::SessionConnected { .. }));
    let is_v6 =
        |event: &EdgeEvent| matches!(event, EdgeEvent::SessionConnected { remote, .. } if remote.starts_with("[::1]"));
    assert!(remote.iter().any(is_v6), "{remote:?}");
}

#[test]
fn a_caller_whose_address_changes_is_found_again_on_any_shard() {
    let edge = Edge::start(3, ECHO);
    let nat = Middlebox::start(Kind::Nat(edge.plane.address()));
    let address = nat.address;
    let changes = std::thread::spawn(move || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_secs(6));
            nat.rebind();
        }
        std::thread::sleep(Duration::from_secs(8));
    });

    let report = edge.call_by(2, Duration::from_secs(24), move |sdp| only_candidate(sdp, address));
    changes.join().expect("no panic");

    assert_eq!((report.up, report.failed), (2, 0), "{:?}", report.failure);
    assert!(report.lost < report.sent, "{report:?}");
    assert!(
        edge.plane.counters()["drop_unknown_flow"] > 0,
        "the new address waits for a check"
    );
}

/// Two edges of one cluster that know each other.
fn neighbours() -> (Edge, Edge) {
    let steering = "127.0.0.1:0".parse().expect("a literal");
    let start = |name: &str| {
        Edge::start_with(2, ECHO, |config| {
            config.edge = name.into();
            config.steering = Some(steering);
        })
    };
    let (owner, other) = (start("edge-1"), start("edge-2"));
    let address = |edge: &Edge| edge.plane.steering().expect("it takes envelopes");
    let members = [
        ("edge-1".to_owned(), address(&owner)),
        ("edge-2".to_owned(), address(&other)),
    ];
    owner.plane.set_edges(members.clone());
    other.plane.set_edges(members);
    (owner, other)
}

#[test]
fn a_call_that_reaches_the_wrong_edge_is_carried_by_it() {
    let (owner, other) = neighbours();
    let wrong = other.plane.address();

    let report = owner.call_by(4, Duration::from_secs(1), move |sdp| only_candidate(sdp, wrong));

    assert_eq!((report.up, report.failed), (4, 0), "{:?}", report.failure);
    assert_eq!((report.lost, report.duplicates, report.corrupt), (0, 0, 0));
    let (here, there) = (owner.plane.counters(), other.plane.counters());
    assert_eq!(
        (here["datagrams_in"], here["relayed_in"], there["relayed_out"]),
        (0, 0, 0)
    );
    assert!(
        there["relayed_in"] > 200 && here["relayed_out"] > 200,
        "{here:?} {there:?}"
    );
    for counters in [here, there] {
        for name in [
            "drop_envelope_forged",
            "drop_envelope_replayed",
            "drop_relay_unknown_flow",
            "drop_other_edge",
        ] {
            assert_eq!(counters[name], 0, "{name}");
        }
    }
}

#[test]
fn a_call_over_tcp_that_reaches_the_wrong_edge_is_carried_too() {
    let (owner, other) = neighbours();
    let tunnel = Middlebox::start(Kind::Tunnel(tcp_address(&other)));

    let report = owner.call_by(2, Duration::from_secs(1), move |sdp| tunnel.in_place(sdp));

    assert_eq!((report.up, report.failed), (2, 0), "{:?}", report.failure);
    assert_eq!((report.lost, report.duplicates, report.corrupt), (0, 0, 0));
    assert!(other.plane.counters()["relayed_in"] > 100);
}

#[test]
fn nobody_but_members_is_handed_anything_or_handed_to() {
    let (owner, other) = neighbours();
    let check = owner.open_silent_with_credentials("s").check(1);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");

    other.plane.set_edges([]);
    std::thread::sleep(Duration::from_millis(50));
    socket
        .send_to(&check, other.plane.address())
        .expect("loopback takes it");
    other.until(|| other.plane.counters()["drop_other_edge"] == 1);

    let steering = owner.plane.steering().expect("it takes envelopes");
    for junk in [&[0; 10][..], &[1; 200], &check] {
        socket.send_to(junk, steering).expect("loopback takes it");
    }
    owner.until(|| owner.plane.counters()["drop_envelope_forged"] == 3);
    assert_eq!(owner.plane.session("s").expect("live").state, "new");
}

#[test]
fn a_ufrag_of_before_is_refused_where_it_lands() {
    let edge = Edge::start(3, ECHO);
    let answer = edge.open_silent("s");
    edge.plane.close_session("s", 1, "api").expect("it is ours");
    edge.until(|| edge.plane.sessions().is_empty());
    edge.check(&answer.ufrag, b"any");
    edge.until(|| edge.plane.counters()["drop_stale_ufrag"] == 1);
    assert_eq!(
        edge.plane.counters()["drop_bad_integrity"],
        0,
        "nothing was computed for it"
    );
}
