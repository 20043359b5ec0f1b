//! What a bad network loses is repaired: NACK and RED from a libwebrtc-like sender, judged by what reaches the worker.

use std::time::Duration;

use crate::support::browser::{Browser, BrowserConfig};
use crate::support::loss::{Outcome, Repair, Scenario, run};
use crate::support::opus;
use antiphon_engine::GapState;
use antiphon_netsim::{LinkConfig, Loss};

const FRAMES: usize = 6_000;

fn scenario(loss: Loss, repair: Repair) -> Scenario {
    Scenario {
        loss,
        rtt_ms: 80,
        jitter_ms: 0,
        reorder: 0.0,
        repair,
        frames: FRAMES,
        seed: 11,
    }
}

/// Nothing is lost but this packet (from 0), both ways.
fn but(lost: &[usize], config: BrowserConfig, frames: usize) -> Browser {
    let mut browser = Browser::connected(config);
    for number in 0..frames {
        let link = |loss| LinkConfig { loss, ..config.up };
        let loss = if lost.contains(&number) {
            Loss::Random(1.0)
        } else {
            Loss::None
        };
        browser.configure(link(loss), config.down);
        browser.say(&opus(number as u8));
    }
    browser.configure(config.up, config.down);
    browser.run_ms(3_000);
    browser
}

fn nack_only() -> BrowserConfig {
    BrowserConfig {
        red: 0,
        ..BrowserConfig::default()
    }
}

#[test]
fn a_lost_packet_is_asked_for_at_once_and_comes_a_round_trip_later() {
    let browser = but(&[10], nack_only(), 60);
    let frames = &browser.said.frames;
    assert_eq!(frames.len(), 60);
    let repaired: Vec<_> = frames.iter().filter(|frame| frame.repaired).collect();
    assert_eq!(repaired.len(), 1);
    // It was missed when the packet behind it came, and the round trip is 80 ms.
    let missed = browser.sent[11].0 + Duration::from_millis(40);
    assert_eq!(repaired[0].at.since(missed).as_millis(), 80);
    assert_eq!(repaired[0].timestamp, frames[9].timestamp + 960);
    let states: Vec<_> = browser.said.gaps.iter().map(|(_, gap)| gap.state).collect();
    assert_eq!(states, [GapState::Announced]);
    let counters = browser.session.stats().counters;
    assert_eq!((counters.asked, counters.repaired_nack, counters.reordered), (1, 1, 0));
    assert_eq!((counters.lost, counters.given_up), (1, 0), "loss counts before repair");
    let (before, after) = browser.session.stats().loss().expect("packets came");
    assert!(before > 0.01 && after == 0.0, "{before} {after}");
    assert!(browser.reported_loss.iter().any(|loss| *loss > 0), "and is reported");
    assert_eq!(
        browser.session.stats().rtt_ms,
        Some(80.0),
        "the answer told the round trip"
    );
}

#[test]
fn an_ask_that_is_lost_is_repeated_after_a_round_trip_and_no_sooner() {
    let mut browser = Browser::connected(nack_only());
    (0..100).for_each(|number| browser.say(&opus(number)));
    let gone = |link: LinkConfig| LinkConfig {
        loss: Loss::Random(1.0),
        ..link
    };
    browser.configure(gone(nack_only().up), nack_only().down);
    browser.say(&opus(100));
    browser.configure(nack_only().up, gone(nack_only().down));
    (101..110).for_each(|number| browser.say(&opus(number)));
    browser.configure(nack_only().up, nack_only().down);
    (110..160).for_each(|number| browser.say(&opus(number)));
    browser.run_ms(200);
    let counters = browser.session.stats().counters;
    assert!((3..=4).contains(&counters.asked), "{} in 200 ms", counters.asked);
    assert_eq!(browser.said.frames.len(), 160);
    assert_eq!((browser.retransmitted, counters.duplicates), (1, 0));
}

#[test]
fn one_packet_lost_is_redundancys_and_of_two_the_first_is_asked_for() {
    let browser = but(&[10, 20, 21], BrowserConfig::default(), 60);
    assert_eq!(browser.said.frames.len(), 60);
    let counters = browser.session.stats().counters;
    assert_eq!(
        (counters.repaired_red, counters.repaired_nack, counters.asked),
        (2, 1, 1)
    );
    assert_eq!(counters.lost, 3);
}

#[test]
fn redundancy_of_any_distance_fills() {
    for red in 1..=4 {
        let config = BrowserConfig {
            red,
            nack: false,
            ..BrowserConfig::default()
        };
        let lost: Vec<usize> = (10..10 + red).collect();
        let browser = but(&lost, config, 40);
        assert_eq!(browser.said.frames.len(), 40, "distance {red}");
        assert!(browser.said.gaps.is_empty());
        let timestamps: Vec<_> = browser.said.frames.iter().map(|frame| frame.timestamp).collect();
        assert!(timestamps.windows(2).all(|pair| pair[1] == pair[0] + 960));
    }
}

#[test]
fn a_nack_is_of_reduced_size_where_the_offer_allows_it_and_else_behind_a_report() {
    for (reduced_size, expected) in [(true, (1, 0)), (false, (0, 1))] {
        let config = BrowserConfig {
            reduced_size,
            ..nack_only()
        };
        let browser = but(&[10], config, 40);
        assert_eq!((browser.alone, browser.behind_report), expected);
        assert_eq!(browser.said.frames.len(), 40);
    }
}

#[test]
fn a_sender_that_never_answers_is_asked_a_bounded_number_of_times() {
    let config = BrowserConfig {
        nack: false,
        ..nack_only()
    };
    let browser = but(&[10, 11, 12], config, 100);
    let counters = browser.session.stats().counters;
    assert!(counters.asked <= 3 * 14, "{}", counters.asked);
    assert_eq!((counters.given_up, counters.lost), (3, 3));
    let lost: Vec<_> = browser
        .said
        .gaps
        .iter()
        .filter(|(_, gap)| gap.state == GapState::Lost)
        .collect();
    assert_eq!(lost.len(), 1, "the run was given up as one");
}

#[test]
fn where_the_network_reorders_it_is_learned_to_wait_before_asking() {
    let link = LinkConfig {
        reorder: 0.05,
        reorder_us: 25_000,
        ..nack_only().up
    };
    let mut browser = Browser::connected(nack_only());
    browser.say(&opus(0));
    browser.configure(link, nack_only().down);
    (0..2_000).for_each(|number| browser.say(&opus(number as u8)));
    browser.configure(nack_only().up, nack_only().down);
    (0..50).for_each(|number| browser.say(&opus(number)));
    browser.run_ms(200);
    let counters = browser.session.stats().counters;
    assert_eq!(browser.said.frames.len(), 2_051);
    assert_eq!(counters.lost, 0, "what is late is not lost");
    assert!(counters.reordered > 50);
    assert!(
        counters.asked * 10 < counters.reordered,
        "{} asked for, {} reordered",
        counters.asked,
        counters.reordered
    );
}

#[test]
fn frames_of_every_length_are_repaired() {
    for frame_ms in [10, 20, 40, 60] {
        let config = BrowserConfig {
            frame_ms,
            ..nack_only()
        };
        let browser = but(&[10, 11], config, 40);
        assert_eq!(browser.said.frames.len(), 40, "{frame_ms} ms");
    }
}

#[test]
fn quality_is_told_each_second() {
    let browser = but(&[10, 20, 21], BrowserConfig::default(), 200);
    let told: Vec<_> = browser.said.quality.iter().map(|(_, quality)| *quality).collect();
    assert!((4..=5).contains(&told.len()), "{} in 4 s", told.len());
    let last = told.last().expect("several");
    assert_eq!(
        (last.lost, last.repaired_red, last.repaired_nack, last.given_up),
        (3, 2, 1, 0)
    );
    assert!(last.expected > 150);
    assert_eq!(last.round_trip_us, 80_000);
}

/// The targets, over several networks of this kind: a single one has too few bursts to tell.
fn holds(loss: Loss, repair: Repair) {
    let outcomes: Vec<_> = (11..21)
        .map(|seed| {
            run(&Scenario {
                seed,
                ..scenario(loss, repair)
            })
        })
        .collect();
    let mean = |share: fn(&Outcome) -> f64| outcomes.iter().map(share).sum::<f64>() / outcomes.len() as f64;
    let what = format!("{} under {loss:?}: {outcomes:?}", repair.name());
    assert!(mean(|outcome| outcome.reached) >= 0.999, "{what}");
    assert!(mean(|outcome| outcome.before_silence) >= 0.99, "{what}");
    assert!(mean(|outcome| outcome.before_round_trip) >= 0.99, "{what}");
    assert!(mean(|outcome| outcome.needless) < 0.01, "{what}");
}

#[test]
fn at_10_percent_random_loss_both_ways_all_but_one_frame_in_a_thousand_reach_the_worker() {
    holds(Loss::Random(0.1), Repair::Both);
}

#[test]
fn in_outages_of_up_to_200_ms_as_well() {
    let outages = Loss::Outages {
        share: 0.1,
        longest_us: 200_000,
    };
    holds(outages, Repair::Nack);
    holds(outages, Repair::Both);
}

#[test]
fn in_bursts_as_well() {
    holds(Loss::bursts(0.1, 3.0), Repair::Both);
}

#[test]
fn each_means_of_repair_helps() {
    let [none, red, nack, both] = Repair::ALL.map(|repair| run(&scenario(Loss::Random(0.1), repair)).reached);
    assert!((0.89..0.92).contains(&none), "{none}");
    assert!(red > 0.98 && nack > 0.998 && both > 0.999, "{red} {nack} {both}");
}
