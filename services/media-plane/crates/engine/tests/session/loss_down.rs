//! What an agent says is there when a jitter buffer of 60 ms plays it, over bad networks: the whole matrix is printed by the example
//! `loss_down`.

use std::time::Duration;

use crate::support::down::{Mechanism, Outcome, Scenario, bursts, run};
use crate::support::listener::{Listener, ListenerConfig};
use antiphon_netsim::{LinkConfig, Loss};

const GOOD: f64 = 0.995;

fn scenario(loss: f64, round_trip_ms: u64, mechanism: Mechanism) -> Scenario {
    Scenario {
        loss: Loss::Random(loss),
        round_trip_ms,
        jitter_ms: 0,
        reorder: 0.0,
        mechanism,
        device: true,
        frames: 3_000,
        seed: 1,
    }
}

/// The worst of some seeds.
fn worst(scenario: Scenario) -> Outcome {
    let outcomes = (1..=3).map(|seed| run(&Scenario { seed, ..scenario }));
    outcomes
        .min_by(|one, other| one.in_time.total_cmp(&other.in_time))
        .expect("some seeds")
}

#[test]
fn red_and_nack_hold_up_to_a_round_trip_of_40_ms() {
    for loss in [0.01, 0.02, 0.05, 0.10] {
        for round_trip_ms in [20, 40] {
            let outcome = worst(scenario(loss, round_trip_ms, Mechanism::RedNack));
            assert!(outcome.in_time >= GOOD, "{loss} at {round_trip_ms} ms: {outcome:?}");
        }
    }
}

#[test]
fn red_alone_holds_beyond() {
    for loss in [0.01, 0.02, 0.05, 0.10] {
        for round_trip_ms in [80, 150, 300] {
            let outcome = worst(scenario(loss, round_trip_ms, Mechanism::Red));
            assert!(outcome.settled >= GOOD, "{loss} at {round_trip_ms} ms: {outcome:?}");
        }
    }
}

/// As Firefox and aiortc: neither RED nor NACK, and no SDK need report.
#[test]
fn what_goes_again_unasked_serves_a_caller_that_only_reports() {
    for loss in [0.01, 0.02, 0.05, 0.10] {
        for device in [true, false] {
            let outcome = worst(Scenario {
                device,
                ..scenario(loss, 150, Mechanism::Repeat)
            });
            assert!(outcome.settled >= 0.985, "{loss}, {device}: {outcome:?}");
            assert!(outcome.again < 3.0, "{loss}, {device}: {outcome:?}");
        }
    }
}

#[test]
fn without_them_what_is_lost_is_lost() {
    let outcome = run(&scenario(0.10, 40, Mechanism::None));
    assert!((0.88..0.92).contains(&outcome.in_time), "{outcome:?}");
    assert!(outcome.redundancy == 0.0 && outcome.again == 0.0, "{outcome:?}");
}

#[test]
fn without_loss_nothing_goes_twice() {
    for round_trip_ms in [20, 300] {
        let outcome = run(&scenario(0.0, round_trip_ms, Mechanism::RedNack));
        assert!(
            outcome.in_time == 1.0 && outcome.redundancy == 0.0 && outcome.again == 0.0,
            "{outcome:?}"
        );
    }
}

/// Bursts are few in a minute, so that one network says little: NACKs alone move later packets to other places in it.
#[test]
fn each_mechanism_is_better_than_none_where_losses_come_in_bursts() {
    const SEEDS: u64 = 10;
    for round_trip_ms in [20, 150] {
        let of = |mechanism| {
            let in_time = (1..=SEEDS).map(|seed| {
                let scenario = scenario(0.0, round_trip_ms, mechanism);
                run(&Scenario {
                    loss: bursts(0.05, 3.0),
                    seed,
                    ..scenario
                })
                .in_time
            });
            in_time.sum::<f64>() / SEEDS as f64
        };
        let [none, repeat, nack, red, both] = Mechanism::ALL.map(of);
        assert!(red > none + 0.02 && both >= red - 0.003, "{none} {red} {both}");
        assert!(repeat > none + 0.015, "{none} {repeat}");
        if round_trip_ms == 20 {
            assert!(nack > none + 0.01, "{none} {nack}");
        }
    }
}

#[test]
fn reports_each_5_s_are_enough_to_find_the_level() {
    let outcome = run(&Scenario {
        device: false,
        ..scenario(0.10, 300, Mechanism::RedNack)
    });
    assert!(outcome.settled >= GOOD, "{outcome:?}");
}

#[test]
fn jitter_and_reordering_cost_little() {
    let outcome = run(&Scenario {
        jitter_ms: 10,
        reorder: 0.01,
        ..scenario(0.05, 80, Mechanism::RedNack)
    });
    assert!(outcome.settled >= 0.99, "{outcome:?}");
}

#[test]
fn every_nack_is_answered_or_counted() {
    let lossy = LinkConfig {
        delay_us: 10_000,
        loss: Loss::Random(0.10),
        ..LinkConfig::default()
    };
    let mut listener = Listener::connected(ListenerConfig {
        up: lossy,
        down: lossy,
        red: false,
        ..ListenerConfig::default()
    });
    listener.speak(1, 500);
    listener.run(Duration::from_secs(1));
    let counters = listener.session.stats().counters;
    assert!(counters.nacks_answered > 20, "{counters:?}");
    assert_eq!(
        counters.nacked,
        counters.nacks_answered + counters.nacks_too_old + counters.nacks_too_often
    );
    assert_eq!(counters.nacks_answered + counters.repeated_out, listener.again);
    assert_eq!(counters.red_out, 0, "it was not offered");
}
