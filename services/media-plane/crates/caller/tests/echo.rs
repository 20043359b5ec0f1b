//! The load against a server in the same process, over real loopback sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_caller::load::{self, LoadError, Plan};
use antiphon_caller::peer::EchoPeer;
use antiphon_caller::procfs::Watched;
use antiphon_caller::signaling::{Answer, HttpSignaling, Signaling, SignalingError};
use str0m::crypto::dtls::DtlsVersion;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn quick() -> Plan {
    let settle = Duration::from_millis(200);
    Plan {
        calls: 4,
        rate: 100.0,
        settle,
        window: Duration::from_secs(1),
        // A machine that is busy with other tests may be late.
        late_limit_ms: f64::INFINITY,
        ..Plan::default()
    }
}

#[test]
fn every_probe_comes_back_once() {
    let peer = EchoPeer::start(loopback()).unwrap();
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(&peer.url()).unwrap());
    let report = load::run(&quick(), &signaling).unwrap();

    assert_eq!((report.up, report.failed), (4, 0), "{report}");
    assert_eq!((report.lost, report.duplicates, report.corrupt), (0, 0, 0), "{report}");
    // 4 calls, 50 a second, 1 s; late packets may fall either side of the window's edges.
    assert!((100..=300).contains(&report.sent), "{report}");
    assert!(report.delay_ms.p50 > 0.0 && report.delay_ms.p50 < 500.0, "{report}");
    assert!(report.setup_ms.p50 >= report.answer_ms.p50, "{report}");
}

#[test]
fn two_threads_share_the_calls() {
    let peer = EchoPeer::start(loopback()).unwrap();
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(&peer.url()).unwrap());
    let report = load::run(
        &Plan {
            calls: 5,
            threads: 2,
            ..quick()
        },
        &signaling,
    )
    .unwrap();
    assert_eq!((report.up, report.lost), (5, 0), "{report}");
}

#[test]
fn dtls_1_3_comes_up_too() {
    let peer = EchoPeer::start(loopback()).unwrap();
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(&peer.url()).unwrap());
    let dtls = DtlsVersion::Auto;
    let report = load::run(
        &Plan {
            calls: 2,
            dtls,
            ..quick()
        },
        &signaling,
    )
    .unwrap();
    assert_eq!((report.up, report.lost), (2, 0), "{report}");
}

#[test]
fn silent_calls_send_nothing_and_tell_what_a_set_up_costs() {
    let peer = EchoPeer::start(loopback()).unwrap();
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(&peer.url()).unwrap());
    let watch = vec![Watched {
        name: "self".into(),
        pid: std::process::id(),
    }];
    let plan = Plan {
        silent: true,
        window: Duration::from_millis(200),
        watch,
        ..quick()
    };
    let report = load::run(&plan, &signaling).unwrap();
    assert_eq!((report.up, report.sent, report.corrupt), (4, 0, 0), "{report}");
    assert!(report.servers["self"].cpu_ms_per_setup.unwrap() > 0.0, "{report}");
    assert_eq!(report.servers["self"].cpu_us_per_pair, None);
}

#[test]
fn a_server_that_refuses_is_named_with_its_reason() {
    #[derive(Debug)]
    struct Refusing;
    impl Signaling for Refusing {
        fn offer(&self, _sdp: &str) -> Result<Answer, SignalingError> {
            Err(SignalingError::Refused {
                status: 503,
                body: "no edge".into(),
            })
        }
        fn end(&self, _location: &str) -> Result<(), SignalingError> {
            Ok(())
        }
    }
    let signaling: Arc<dyn Signaling> = Arc::new(Refusing);
    let error = load::run(&quick(), &signaling).unwrap_err().to_string();
    assert!(error.contains("503") && error.contains("no edge"), "{error}");
}

#[test]
fn an_answer_that_is_no_sdp_fails_the_call() {
    #[derive(Debug)]
    struct Babbling;
    impl Signaling for Babbling {
        fn offer(&self, _sdp: &str) -> Result<Answer, SignalingError> {
            Ok(Answer {
                sdp: "hello".into(),
                location: None,
            })
        }
        fn end(&self, _location: &str) -> Result<(), SignalingError> {
            Ok(())
        }
    }
    let signaling: Arc<dyn Signaling> = Arc::new(Babbling);
    let error = load::run(&quick(), &signaling).unwrap_err().to_string();
    assert!(error.contains("cannot use the answer"), "{error}");
}

#[test]
fn a_process_that_is_not_there_cannot_be_watched() {
    let peer = EchoPeer::start(loopback()).unwrap();
    let signaling: Arc<dyn Signaling> = Arc::new(HttpSignaling::new(&peer.url()).unwrap());
    let plan = Plan {
        watch: vec![Watched {
            name: "nobody".into(),
            pid: u32::MAX,
        }],
        ..quick()
    };
    let error = load::run(&plan, &signaling).unwrap_err();
    assert!(matches!(error, LoadError::Watch { .. }), "{error}");
}
