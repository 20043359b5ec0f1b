//! What another member of a room says is there when a jitter buffer of 60 ms plays it, over a network that loses packets, with each
//! mechanism off and on.

use std::time::Duration;

use crate::support::listener::{Listener, ListenerConfig};
use antiphon_netsim::{LinkConfig, Loss};

const FRAMES: u32 = 3_000;
/// Until the redundancy has found its level.
const SETTLES: u32 = 250;

/// Hears a member at this loss, with these means. Returns the listener, and the share of frames that were there.
fn listens(seed: u64, loss: f64, round_trip_ms: u64, nack: bool, red: bool) -> (Listener, f64) {
    let way = LinkConfig {
        delay_us: round_trip_ms * 500,
        loss: Loss::Random(loss),
        ..LinkConfig::default()
    };
    let mut listener = Listener::connected(ListenerConfig {
        up: way,
        down: way,
        red,
        nack,
        room: true,
        device: false,
        seed,
        ..ListenerConfig::default()
    });
    let left = listener.now;
    listener.hear_member(7, FRAMES);
    listener.run(Duration::from_secs(1));
    let heard = listener.in_time(SETTLES, FRAMES, left);
    (listener, heard)
}

/// The share that is there, at worst of some seeds.
fn heard(loss: f64, round_trip_ms: u64, nack: bool, red: bool) -> f64 {
    let shares = (1..=3).map(|seed| listens(seed, loss, round_trip_ms, nack, red).1);
    shares.min_by(f64::total_cmp).expect("some seeds")
}

#[test]
fn each_means_is_better_than_none_and_both_are_as_good_as_for_an_agent() {
    let [none, nack, red, both] =
        [(false, false), (true, false), (false, true), (true, true)].map(|(nack, red)| heard(0.10, 40, nack, red));
    println!("10 % loss at 40 ms: {none:.4} with none, {nack:.4} NACK, {red:.4} RED, {both:.4} both");
    assert!((0.88..0.92).contains(&none), "{none}");
    assert!(nack > 0.96, "{nack}");
    assert!(red > 0.985, "{red}");
    assert!(both >= 0.995, "{both}");
}

#[test]
fn where_an_answer_comes_too_late_redundancy_does() {
    let both = heard(0.10, 150, true, true);
    assert!(both >= 0.985, "{both}");
    let nack = heard(0.10, 150, true, false);
    assert!(nack < 0.92, "{nack}");
}

#[test]
fn without_loss_nothing_goes_twice() {
    let (listener, heard) = listens(1, 0.0, 40, true, true);
    assert!(heard >= 1.0, "{heard}");
    assert_eq!((listener.red_packets, listener.again), (0, 0));
}

#[test]
fn every_nack_of_a_slot_is_answered_or_counted() {
    let (listener, _) = listens(5, 0.10, 20, true, false);
    let counters = listener.session.stats().counters;
    assert!(counters.nacks_answered > 150, "{counters:?}");
    assert_eq!(
        counters.nacked,
        counters.nacks_answered + counters.nacks_too_old + counters.nacks_too_often
    );
    assert_eq!((counters.nacks_answered, counters.red_out), (listener.again, 0));
}

#[test]
fn what_a_packet_carries_is_of_the_voice_that_the_slot_has() {
    let way = LinkConfig {
        delay_us: 75_000,
        loss: Loss::Random(0.10),
        ..LinkConfig::default()
    };
    let mut listener = Listener::connected(ListenerConfig {
        up: way,
        down: way,
        room: true,
        device: false,
        ..ListenerConfig::default()
    });
    listener.hear_member(1, 600);
    let before = listener.session.stats().counters;
    assert!(before.red_out > 100, "{before:?}");
    listener.hear_member(2, 1);
    let after = listener.session.stats().counters;
    assert_eq!(after.slot_switches, 2);
    assert_eq!(
        after.red_out, before.red_out,
        "the first of another voice carries nothing"
    );
    listener.hear_member(2, 10);
    assert!(listener.session.stats().counters.red_out > after.red_out);
}
