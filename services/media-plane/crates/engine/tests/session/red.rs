//! Redundant audio (RED) fills what was lost, once.

use crate::support::{Call, CallConfig, opus};
use antiphon_engine::red;
use str0m::media::Pt;

const RED: u8 = 63;
const OPUS: u8 = 111;

fn connected() -> Call {
    Call::connected(CallConfig {
        red: true,
        ..CallConfig::default()
    })
}

/// Sends frame `mark` with the frame before it as redundancy, after `skipped` packets that never left.
fn say(call: &mut Call, mark: u8, skipped: u8) {
    let mut buffer = [0; 512];
    let (before, now) = (opus(mark - 1), opus(mark));
    let length = red::write(&mut buffer, OPUS, &[(960, &before)], &now).expect("room");
    let steps = 1 + u64::from(skipped);
    let pt = Pt::new_with_value(RED);
    call.send_packet_as(pt, steps, 960 * (1 + u32::from(skipped)), false, &buffer[..length]);
    call.run_ms(20);
}

fn marks(call: &Call) -> Vec<u8> {
    call.said.frames.iter().map(|frame| frame.payload[1]).collect()
}

#[test]
fn without_loss_redundancy_is_dropped() {
    let mut call = connected();
    (1..20).for_each(|mark| say(&mut call, mark, 0));
    call.run_ms(100);
    assert_eq!(marks(&call), (1..20).collect::<Vec<u8>>());
    assert_eq!(call.session.stats().counters.redundant, 19);
}

#[test]
fn one_lost_packet_is_filled_before_it_is_a_gap() {
    let mut call = connected();
    say(&mut call, 1, 0);
    say(&mut call, 3, 1);
    say(&mut call, 4, 0);
    call.run_ms(500);
    assert_eq!(marks(&call), [1, 2, 3, 4]);
    let filled = &call.said.frames[1];
    assert!(filled.redundant && !filled.repaired);
    assert_eq!(filled.sequence, call.said.frames[0].sequence + 1);
    assert_eq!(filled.timestamp, call.said.frames[0].timestamp + 960);
    assert!(call.said.gaps.is_empty());
    let counters = call.session.stats().counters;
    assert_eq!(
        (counters.repaired_red, counters.lost),
        (1, 1),
        "loss counts before repair"
    );
}

#[test]
fn of_three_lost_packets_the_last_is_filled_and_the_others_are_a_gap() {
    let mut call = connected();
    say(&mut call, 1, 0);
    say(&mut call, 5, 3);
    call.run_ms(20);
    assert_eq!(marks(&call), [1, 4, 5]);
    let gaps: Vec<_> = call.said.gaps.iter().map(|(_, gap)| (gap.first, gap.count)).collect();
    assert_eq!(gaps, [(call.said.frames[0].sequence + 1, 2)]);
}
