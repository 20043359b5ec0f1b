//! Consent to send (RFC 7675), and callers that never come.

use crate::support::{Call, CallConfig, frame, opus};
use antiphon_engine::SessionState;
use antiphon_engine::stun::Kind;

#[test]
fn a_caller_that_stops_checking_is_given_up_after_30_seconds() {
    let mut call = Call::connected(CallConfig::default());
    let silent_since = call.now;
    call.peer_is_silent = true;
    call.run_ms(29_000 - 3_000);
    assert_eq!(call.said.closed(), None);
    call.run_ms(5_000);
    assert_eq!(call.said.closed(), Some("consent"));
    let (at, _) = call.said.events.last().expect("the end");
    assert!((27..=30).contains(&at.since(silent_since).as_secs()), "{at:?}");
    assert_eq!(call.session.stats().state, SessionState::Closed);
    let payload = opus(1);
    assert!(!call.play(frame(1, &payload)), "nothing is sent without consent");
}

#[test]
fn a_caller_that_keeps_checking_stays() {
    let mut call = Call::connected(CallConfig::default());
    call.run_ms(120_000);
    assert_eq!(call.said.closed(), None);
}

#[test]
fn a_caller_that_never_comes_is_given_up() {
    let mut call = Call::new(CallConfig::default());
    call.peer_is_silent = true;
    let _ = std::mem::replace(&mut call.up, antiphon_netsim::Link::new(1, CallConfig::default().up));
    call.run_ms(29_900);
    assert_eq!(call.said.closed(), None);
    call.run_ms(200);
    assert_eq!(call.said.closed(), Some("timeout"));
}

#[test]
fn a_caller_that_checks_but_never_shakes_hands_is_given_up() {
    let mut call = Call::new(CallConfig::default());
    call.peer_drops = Some(Kind::Dtls);
    call.run_ms(25_000);
    assert_eq!(call.said.closed(), None);
    call.run_ms(6_000);
    assert_eq!(call.said.closed(), Some("timeout"));
}
