//! A caller whose address changes keeps its call, and media follows at once.

use crate::support::{Call, CallConfig, address, frame, opus};
use antiphon_engine::Event;

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
    let times: Vec<_> = call.said.frames.iter().map(|frame| frame.at).collect();
    let longest = times.windows(2).map(|pair| pair[1].since(pair[0])).max();
    let gaps = stats.path_gaps;
    assert_eq!(
        (gaps.last, gaps.longest),
        (longest, longest),
        "the gap is what the worker missed"
    );
    let quality: std::collections::BTreeMap<_, _> = stats.quality().collect();
    assert!((quality["path_gap_ms"] - longest.expect("frames").as_secs_f64() * 1e3).abs() < 1e-6);
    let heard_before = call.heard.len();
    let payload = opus(1);
    assert!(call.play(frame(1, &payload)));
    call.run_ms(100);
    assert_eq!(call.heard.len(), heard_before + 1);
    call.run_ms(60_000);
    assert_eq!(call.said.closed(), None, "consent is given from the new address");
}

#[test]
fn a_caller_that_goes_back_and_forth_keeps_its_call() {
    for seed in 0..10 {
        let mut call = Call::connected(CallConfig {
            seed,
            ..CallConfig::default()
        });
        for round in 0..4_u16 {
            call.nat.rebind(address(&format!("203.0.113.9:{}", 7_000 + round % 2)));
            (0..500).for_each(|_| call.say(&opus(1)));
            let stats = call.session.stats();
            assert_eq!(
                stats.remote.map(|remote| remote.address.port()),
                Some(7_000 + round % 2),
                "{:?}",
                call.seed
            );
        }
        let stats = call.session.stats();
        assert_eq!(stats.counters.path_changes, 4, "{:?}", call.seed);
        assert_eq!(call.said.closed(), None, "{:?}", call.seed);
    }
}

#[test]
fn a_check_that_somebody_repeats_from_elsewhere_moves_nothing() {
    let mut call = Call::connected(CallConfig::default());
    (0..10).for_each(|mark| call.say(&opus(mark)));
    // The last check is recorded on its way, and sent again from another address while the caller is muted.
    let check = call.last_check.clone().expect("str0m has checked the path");
    call.run_ms(1_500);
    call.inject(address(ELSEWHERE), &check);
    let stats = call.session.stats();
    assert_eq!(stats.counters.replayed_checks, 1);
    assert_ne!(stats.remote, Some(address(ELSEWHERE).into()));
    assert!(
        !call.said.datagrams.iter().any(|(to, _)| *to == address(ELSEWHERE)),
        "nobody there is sent anything"
    );
}
