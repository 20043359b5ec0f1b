//! A caller whose address changes keeps its call, and media follows at once.

mod support;

use antiphon_engine::Event;
use support::{Call, CallConfig, address, frame, opus};

const ELSEWHERE: &str = "203.0.113.9:7000";

#[test]
fn media_moves_with_the_callers_packets_once_the_new_address_passed_a_check() {
    let mut call = Call::connected(CallConfig::default());
    (0..10).for_each(|mark| call.say(&opus(mark)));
    call.nat.rebind(address(ELSEWHERE));
    // Ten seconds are more than str0m lets pass between checks.
    (0..500).for_each(|_| call.say(&opus(20)));
    let stats = call.session.stats();
    assert_eq!(stats.remote, Some(address(ELSEWHERE).into()));
    assert_eq!(stats.counters.path_changes, 1);
    assert!(
        stats.counters.unverified > 0,
        "media from the new address waits for a check"
    );
    let moved = Event::PathSelected {
        remote: address(ELSEWHERE).into(),
    };
    assert!(call.said.events.iter().any(|(_, event)| *event == moved));
    let heard_before = call.heard.len();
    let payload = opus(1);
    assert!(call.play(frame(1, &payload)));
    call.run_ms(100);
    assert_eq!(call.heard.len(), heard_before + 1);
    call.run_ms(60_000);
    assert_eq!(call.said.closed(), None, "consent is given from the new address");
}
