//! A caller that may not send: the offer that the edge gets says so, whatever the caller does.

use crate::support::{Call, CallConfig, opus};

fn silenced() -> Call {
    Call::connected(CallConfig {
        offer: |offer| offer.replacen("a=sendrecv", "a=recvonly", 1),
        answer: |answer| answer.replacen("a=sendonly", "a=sendrecv", 1),
        ..CallConfig::default()
    })
}

#[test]
fn what_it_sends_all_the_same_goes_nowhere_and_is_counted() {
    let mut call = silenced();
    assert!(call.answer.contains("a=sendonly\r\n"), "{}", call.answer);
    (0..20).for_each(|mark| call.say(&opus(mark)));
    call.run_ms(200);
    let counters = call.session.stats().counters;
    assert_eq!((counters.packets_in, counters.unpublished), (20, 20));
    assert_eq!((counters.frames_in, counters.lost, counters.asked), (0, 0, 0));
    assert!(call.said.frames.is_empty() && call.said.gaps.is_empty() && call.said.quality.is_empty());
}

#[test]
fn it_hears_as_before() {
    let mut call = silenced();
    let payload = opus(7);
    assert!(call.play(crate::support::frame(1, &payload)));
    call.run_ms(200);
    assert!(call.session.stats().counters.packets_out >= 1);
}
