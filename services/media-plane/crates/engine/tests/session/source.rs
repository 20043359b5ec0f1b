//! The caller's stream begins anew, wraps around, or comes very late: the session's time line goes on.

use crate::support::{Call, CallConfig, opus};
use antiphon_netsim::LinkConfig;

fn is_one_line(call: &Call) {
    let frames = &call.said.frames;
    assert!(frames.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    assert!(frames.windows(2).all(|pair| pair[1].timestamp > pair[0].timestamp));
}

#[test]
fn another_ssrc_goes_on_where_the_first_was() {
    let mut call = Call::connected(CallConfig::default());
    (0..10).for_each(|mark| call.say(&opus(mark)));
    let mid = call.mid;
    assert!(
        call.rtc
            .direct_api()
            .reset_stream_tx(mid, None, 4_242.into(), None)
            .is_some()
    );
    (10..20).for_each(|mark| call.say(&opus(mark)));
    call.run_ms(100);
    let marks: Vec<_> = call.said.frames.iter().map(|frame| frame.payload[1]).collect();
    assert_eq!(marks, (0..20).collect::<Vec<u8>>());
    is_one_line(&call);
    let frames = &call.said.frames;
    assert_eq!(frames[10].timestamp - frames[9].timestamp, 960, "20 ms passed");
    let counters = call.session.stats().counters;
    assert_eq!((counters.source_changes, counters.lost), (1, 0));
    assert!(call.said.gaps.is_empty());
}

#[test]
fn a_jump_of_the_sequence_is_a_new_beginning_and_no_loss() {
    let mut call = Call::connected(CallConfig::default());
    (0..5).for_each(|mark| call.say(&opus(mark)));
    call.send_packet(10_000, 960_000_000, true, &opus(5));
    call.run_ms(20);
    (6..10).for_each(|mark| call.say(&opus(mark)));
    call.run_ms(100);
    is_one_line(&call);
    assert_eq!(call.said.frames.len(), 10);
    let counters = call.session.stats().counters;
    assert_eq!((counters.source_changes, counters.lost), (1, 0));
}

#[test]
fn a_session_outlives_the_wrap_of_sequence_numbers_and_timestamps() {
    let mut call = Call::connected(CallConfig::default());
    call.send_packet(65_000, u32::MAX - 500_000, false, &opus(0));
    call.run_ms(20);
    (0..2_000_u32).for_each(|_| call.say(&opus(1)));
    call.run_ms(100);
    assert_eq!(call.said.frames.len(), 2_001);
    is_one_line(&call);
    let stats = call.session.stats();
    assert_eq!((stats.counters.lost, stats.counters.source_changes), (0, 0));
}

#[test]
fn a_packet_that_was_given_up_still_comes_through_marked() {
    let mut call = Call::connected(CallConfig::default());
    call.say(&opus(0));
    let clean = CallConfig::default().up;
    call.up.configure(LinkConfig {
        reorder: 1.0,
        reorder_us: 700_000,
        ..clean
    });
    call.say(&opus(1));
    call.up.configure(clean);
    (2..40).for_each(|mark| call.say(&opus(mark)));
    call.run_ms(500);
    assert_eq!(call.said.frames.len(), 40);
    let late = call
        .said
        .frames
        .iter()
        .find(|frame| frame.payload[1] == 1)
        .expect("the late one");
    assert!(late.repaired);
    assert_eq!(late.sequence, call.said.frames[0].sequence + 1);
    let counters = call.session.stats().counters;
    assert_eq!((counters.late, counters.reordered, counters.lost), (1, 0, 0));
}
