//! The session's account of what came agrees with what the network did.

use crate::support::{Call, CallConfig, opus};
use antiphon_engine::{Gap, GapState};
use antiphon_netsim::{LinkConfig, Loss};

/// Sends packets over a link of these qualities, and some over a clean one at both ends, so that every loss shows.
fn call_over(link: LinkConfig, packets: usize) -> Call {
    let mut call = Call::connected(CallConfig::default());
    let clean = CallConfig::default().up;
    call.say(&opus(0));
    call.up.configure(LinkConfig {
        delay_us: clean.delay_us,
        ..link
    });
    for _ in 0..packets {
        call.say(&opus(1));
    }
    call.up.configure(clean);
    for _ in 0..5 {
        call.say(&opus(2));
    }
    call.run_ms(1_000);
    call
}

fn count(call: &Call, which: fn(&antiphon_netsim::Fate) -> bool) -> u64 {
    call.media_fates.iter().filter(|fate| which(fate)).count() as u64
}

#[test]
fn lost_packets_are_counted_and_announced() {
    let call = call_over(
        LinkConfig {
            loss: Loss::Random(0.1),
            ..LinkConfig::default()
        },
        1_000,
    );
    let lost = count(&call, |fate| fate.lost);
    let stats = call.session.stats();
    assert!(lost > 50);
    assert_eq!(stats.counters.lost, lost);
    assert_eq!(stats.counters.packets_in, 1_006 - lost);
    assert_eq!(call.said.frames.len() as u64, 1_006 - lost);
    let of = |state| {
        let gaps = call.said.gaps.iter().filter(|(_, gap)| gap.state == state);
        gaps.map(|(_, gap)| u64::from(gap.count)).sum::<u64>()
    };
    assert_eq!(of(GapState::Announced), lost);
    assert_eq!(of(GapState::Lost), lost);
}

#[test]
fn losses_in_bursts_are_counted_too() {
    let loss = Loss::Bursts {
        begin: 0.02,
        end: 0.25,
        loss: 0.9,
    };
    let call = call_over(
        LinkConfig {
            loss,
            ..LinkConfig::default()
        },
        1_000,
    );
    assert_eq!(call.session.stats().counters.lost, count(&call, |fate| fate.lost));
}

#[test]
fn duplicates_are_dropped_and_counted() {
    let call = call_over(
        LinkConfig {
            duplicate: 0.1,
            ..LinkConfig::default()
        },
        500,
    );
    let counters = call.session.stats().counters;
    assert_eq!(counters.duplicates, count(&call, |fate| fate.duplicated));
    assert_eq!(counters.lost, 0);
    assert_eq!(call.said.frames.len(), 506);
}

#[test]
fn packets_that_come_behind_later_ones_fill_their_gaps() {
    let call = call_over(
        LinkConfig {
            reorder: 0.05,
            reorder_us: 35_000,
            ..LinkConfig::default()
        },
        500,
    );
    let counters = call.session.stats().counters;
    let held_back = count(&call, |fate| fate.held_back);
    assert!(held_back > 10);
    assert_eq!(counters.reordered, held_back);
    assert_eq!(counters.lost, 0);
    assert_eq!(call.said.frames.len(), 506);
    assert_eq!(
        call.said.frames.iter().filter(|frame| frame.repaired).count() as u64,
        held_back
    );
    let mut sequences: Vec<_> = call.said.frames.iter().map(|frame| frame.sequence).collect();
    sequences.sort_unstable();
    assert!(
        sequences.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "each frame came once"
    );
}

#[test]
fn a_gap_is_announced_before_the_frame_behind_it_and_given_up_after_a_while() {
    let mut call = Call::connected(CallConfig::default());
    call.say(&opus(1));
    call.send_packet(3, 2_880, false, &opus(2));
    call.run_ms(1_000);
    let first = call.said.frames[0].sequence + 1;
    let states: Vec<_> = call.said.gaps.iter().map(|(_, gap)| *gap).collect();
    let gap = |state| Gap { first, count: 2, state };
    assert_eq!(states, [gap(GapState::Announced), gap(GapState::Lost)]);
    assert_eq!(call.said.gaps[0].0, call.said.frames[1].at);
    let waited = call.said.gaps[1].0.since(call.said.gaps[0].0);
    assert!(
        (500..520).contains(&waited.as_millis()),
        "the shortest wait, at a round trip of 40 ms: {waited:?}"
    );
    assert_eq!(call.said.frames[1].timestamp - call.said.frames[0].timestamp, 2_880);
}

#[test]
fn silence_of_the_callers_encoder_is_no_loss() {
    let mut call = Call::connected(CallConfig::default());
    call.say(&opus(1));
    call.run_ms(400);
    call.send_packet(1, 960 * 21, true, &opus(2));
    call.run_ms(100);
    let stats = call.session.stats();
    assert_eq!((stats.counters.lost, stats.counters.dtx), (0, 1));
    assert!(call.said.gaps.is_empty());
    assert_eq!(call.said.frames[1].timestamp - call.said.frames[0].timestamp, 960 * 21);
    assert!(call.said.frames[1].marker);
}
