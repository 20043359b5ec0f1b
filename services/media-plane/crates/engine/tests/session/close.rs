//! Every way in which a session ends, told once, and to the other side too.

use crate::support::{Call, CallConfig, frame, opus};
use antiphon_engine::{Event, PlayoutFrame, SessionState, Time};

fn endings(call: &Call) -> Vec<&'static str> {
    let endings = call.said.events.iter().filter_map(|(_, event)| match event {
        Event::Closed { reason } => Some(*reason),
        _ => None,
    });
    endings.collect()
}

#[test]
fn the_caller_hears_of_the_end() {
    let mut call = Call::connected(CallConfig::default());
    call.close("api", false);
    call.close("hangup", false);
    call.run_ms(100);
    assert_eq!(endings(&call), ["api"]);
    assert_eq!(call.session.stats().state, SessionState::Closed);
    assert_eq!(call.session.deadline(), Time::NEVER);
    assert!(!call.rtc.is_alive() || !call.rtc.is_connected(), "str0m knows");
}

#[test]
fn a_caller_that_closes_dtls_ends_the_session() {
    let mut call = Call::connected(CallConfig::default());
    call.rtc.close().expect("a peer that can close");
    call.drive_peer();
    call.run_ms(1_000);
    assert_eq!(endings(&call), ["dtls"]);
}

#[test]
fn a_hang_up_after_playout_lets_the_last_words_be_heard() {
    let mut call = Call::connected(CallConfig::default());
    for mark in 0..25 {
        let payload = opus(mark);
        assert!(call.play(PlayoutFrame {
            last: mark == 24,
            ..frame(1, &payload)
        }));
    }
    call.close("hangup", true);
    call.run_ms(300);
    assert_eq!(endings(&call), [""; 0]);
    call.run_ms(1_000);
    assert_eq!(endings(&call), ["hangup"]);
    let speech = call.heard.iter().filter(|heard| heard.packet.payload.len() > 3).count();
    assert_eq!(speech, 25);
}

#[test]
fn a_session_without_a_caller_can_be_closed() {
    let mut call = Call::new(CallConfig::default());
    call.close("api", true);
    assert_eq!(endings(&call), ["api"]);
}
