//! What the edge says was heard agrees with a recording made at the caller, in pauses, at stops, and under loss.

use crate::support::listener::{Listener, ListenerConfig};
use antiphon_engine::{HeardBasis, PlayoutReport, PlayoutState, Time};
use antiphon_netsim::{LinkConfig, Loss};

/// Longest way off, in milliseconds: with reports of the device, and without.
const WITH_DEVICE: u64 = 40;
const WITHOUT: u64 = 120;

fn call(round_trip_ms: u64, loss: f64, device: bool, seed: u64) -> Listener {
    let way = LinkConfig {
        delay_us: round_trip_ms * 500,
        jitter_us: 5_000,
        loss: Loss::Random(loss),
        ..LinkConfig::default()
    };
    let mut listener = Listener::connected(ListenerConfig {
        up: way,
        down: way,
        device,
        // Devices differ, and this is what Chromium's takes; without its word for it, that is part of what is not known.
        output_ms: if device { 30 } else { 0 },
        seed,
        ..ListenerConfig::default()
    });
    // A greeting, so that reports have come.
    listener.queue(1, 0, 100, true);
    listener.run_ms(4_000);
    listener
}

fn last(listener: &Listener, utterance: u32) -> (Time, PlayoutReport) {
    let reports = &listener.said.reports;
    *reports
        .iter()
        .rfind(|(_, report)| report.utterance == utterance)
        .expect("a report")
}

fn heard_ms(report: &PlayoutReport) -> u64 {
    report.heard / 48
}

/// Runs, and holds each report of an utterance against the recording at its moment. Returns how far off the worst is.
fn worst_while(listener: &mut Listener, ms: u64, utterance: u32, first: u32, end: u32) -> u64 {
    let mut worst = 0;
    for _ in 0..ms {
        let known = listener.said.reports.len();
        listener.run_ms(1);
        for at in known..listener.said.reports.len() {
            let (_, report) = listener.said.reports[at];
            let passing = matches!(report.state, PlayoutState::Playing | PlayoutState::Starved);
            if report.utterance == utterance && passing {
                worst = worst.max(heard_ms(&report).abs_diff(listener.recorded_ms(first, end)));
            }
        }
    }
    worst
}

/// Every combination that a ledger has to be right in, with the bound that holds there.
fn everywhere(check: impl Fn(&str, Listener, u64)) {
    for (device, bound) in [(true, WITH_DEVICE), (false, WITHOUT)] {
        for round_trip_ms in [20, 80, 200] {
            for loss in [0.0, 0.05] {
                for seed in 1..=3 {
                    let name = format!("device {device}, {round_trip_ms} ms, loss {loss}, seed {seed}");
                    check(&name, call(round_trip_ms, loss, device, seed), bound);
                }
            }
        }
    }
}

#[test]
fn while_an_utterance_plays() {
    everywhere(|name, mut listener, bound| {
        let first = listener.queue(2, 0, 200, true);
        let worst = worst_while(&mut listener, 4_500, 2, first, first + 200);
        assert!(worst <= bound, "{name}: {worst} ms");
        let (_, end) = last(&listener, 2);
        assert_eq!((end.state, heard_ms(&end)), (PlayoutState::Ended, 4_000), "{name}");
        let basis = if bound == WITH_DEVICE {
            HeardBasis::Device
        } else {
            HeardBasis::Estimate
        };
        assert_eq!(end.basis, basis, "{name}");
    });
}

#[test]
fn over_a_pause_that_the_worker_made() {
    everywhere(|name, mut listener, bound| {
        let first = listener.queue(2, 0, 20, false);
        let mut worst = worst_while(&mut listener, 470, 2, first, first + 20);
        listener.queue(2, 0, 20, true);
        worst = worst.max(worst_while(&mut listener, 700, 2, first, first + 40));
        assert!(worst <= bound, "{name}: {worst} ms");
        assert_eq!(last(&listener, 2).1.underruns, 1, "{name}");
    });
}

#[test]
fn when_an_utterance_is_cut() {
    everywhere(|name, mut listener, bound| {
        let first = listener.queue(2, 0, 200, true);
        listener.run_ms(1_234);
        listener.flush(1);
        let (_, cut) = last(&listener, 2);
        assert_eq!(cut.state, PlayoutState::Flushed, "{name}");
        listener.run_ms(1_000);
        let recorded = listener.recorded_ms(first, first + 200);
        let off = heard_ms(&cut).abs_diff(recorded);
        assert!(off <= bound, "{name}: {off} ms of {recorded}");
        assert!(recorded < 1_500, "{name}: {recorded}");
    });
}

#[test]
fn over_a_hold_nothing_is_lost() {
    everywhere(|name, mut listener, bound| {
        let first = listener.queue(2, 0, 100, true);
        listener.run_ms(777);
        listener.hold();
        listener.run_ms(600);
        let held = listener.recorded_ms(first, first + 100);
        listener.resume();
        let worst = worst_while(&mut listener, 3_000, 2, first, first + 100);
        assert!(worst <= bound, "{name}: {worst} ms after {held} ms");
        let recorded = listener.recorded_ms(first, first + 100);
        assert!(
            (1_970..=2_000).contains(&recorded),
            "{name}: {recorded} of 2,000 ms, held at {held}"
        );
        assert_eq!(last(&listener, 2).1.state, PlayoutState::Ended, "{name}");
    });
}

#[test]
fn when_what_was_held_is_cut() {
    everywhere(|name, mut listener, bound| {
        let first = listener.queue(2, 0, 100, true);
        listener.run_ms(777);
        listener.hold();
        listener.run_ms(400);
        listener.flush(1);
        let (_, cut) = last(&listener, 2);
        listener.run_ms(1_000);
        let off = heard_ms(&cut).abs_diff(listener.recorded_ms(first, first + 100));
        assert!(off <= bound, "{name}: {off} ms");
    });
}

#[test]
fn what_came_is_what_was_sent_less_what_is_under_way() {
    let mut listener = call(200, 0.0, true, 1);
    listener.queue(2, 0, 100, true);
    listener.run_ms(1_050);
    let (at, report) = last(&listener, 2);
    assert_eq!(report.state, PlayoutState::Playing);
    let under_way = (report.sent - report.received) / 48;
    assert!((90..=130).contains(&under_way), "{under_way} ms at {at:?}");
    listener.run_ms(2_000);
    let (_, end) = last(&listener, 2);
    assert_eq!((end.sent, end.received), (96_000, 96_000));
}

#[test]
fn what_a_cut_takes_has_not_come() {
    let mut listener = call(80, 0.0, true, 1);
    listener.queue(2, 0, 400, true);
    listener.run_ms(200);
    listener.lose_all(true);
    let mut most = 0;
    for _ in 0..70 {
        listener.run_ms(100);
        let (_, report) = last(&listener, 2);
        most = most.max((report.sent - report.received) / 48);
    }
    // Reports come each 2.5 to 7.5 s; between them it is an estimate.
    assert!(
        (2_000..=7_100).contains(&most),
        "a report tells of {most} ms that have not come"
    );
    listener.lose_all(false);
    listener.run_ms(700);
    listener.run_ms(1_500);
    let (_, end) = last(&listener, 2);
    let lost = (end.sent - end.received) / 48;
    assert!(
        (2_000..=7_100).contains(&lost),
        "{lost} ms are known to be lost, and too old to be sent again"
    );
}
