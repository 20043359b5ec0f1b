//! The caller speaks over the agent: playout is held at once, and goes on or ends as the worker says.

use crate::support::{Call, CallConfig, frame, opus};
use antiphon_engine::{HoldOutcome, PlayoutFrame, PlayoutState, Time, VoiceEvent};
use antiphon_netsim::{Random, Seed};

/// How speech sets in, in dB of its later loudness, a frame each.
const SET_IN: [i8; 8] = [-14, -6, -3, 0, -2, 0, -4, -1];

/// What the caller's encoder takes a frame for: the first octet of SILK.
const INACTIVE: u8 = 0x00;
const UNVOICED: u8 = 0x80;
const VOICED: u8 = 0xbf;

/// A call whose caller is heard to be silent, or as loud as that, and whose agent is in the middle of a long utterance.
fn spoken_to(noise: i8, random: &mut Random) -> Call {
    let mut call = Call::connected(CallConfig::default());
    call.hold_on_voice(true);
    for _ in 0..100 {
        listen(&mut call, noise, random);
    }
    for mark in 0..200 {
        let payload = opus(mark);
        let queued = PlayoutFrame {
            level: 20,
            ..frame(1, &payload)
        };
        assert!(call.play(queued));
    }
    for _ in 0..50 {
        listen(&mut call, noise, random);
    }
    call
}

/// The caller sends 20 ms of noise.
fn listen(call: &mut Call, noise: i8, random: &mut Random) {
    let spread = i8::try_from(random.below(5)).expect("small") - 2;
    send(call, noise.saturating_add(spread), INACTIVE);
}

fn send(call: &mut Call, level: i8, signal: u8) {
    call.level = level.max(-127);
    call.say(&[&[0x48, signal], &[0; 38][..]].concat());
}

/// The caller speaks for half a second from now on. Returns when that began.
fn speak(call: &mut Call, loudness: i8) -> Time {
    let onset = call.now;
    // A frame leaves the device when it ends.
    call.run_ms(20);
    for at in 0..25 {
        send(
            call,
            loudness + SET_IN[at % SET_IN.len()].min(if at < SET_IN.len() { 0 } else { -1 }),
            if at == 0 { UNVOICED } else { VOICED },
        );
    }
    onset
}

fn marks(call: &Call) -> Vec<u8> {
    let speech = call.heard.iter().filter(|heard| heard.packet.payload.len() > 3);
    speech.map(|heard| heard.packet.payload[1]).collect()
}

fn changes(call: &Call, onset: bool) -> Vec<(Time, bool)> {
    let noticed = call.said.voice.iter().filter_map(|(at, event)| match event {
        VoiceEvent::Changed {
            onset: begins, held, ..
        } if *begins == onset => Some((*at, *held)),
        _ => None,
    });
    noticed.collect()
}

fn settled(call: &Call) -> Vec<HoldOutcome> {
    let settled = call.said.voice.iter().filter_map(|(_, event)| match event {
        VoiceEvent::Settled { outcome, .. } => Some(*outcome),
        VoiceEvent::Changed { .. } => None,
    });
    settled.collect()
}

#[test]
fn playout_is_held_within_60_ms_of_the_onset_whatever_the_loudness_and_the_noise() {
    let seed = Seed::or(11);
    let mut random = Random::new(seed.value());
    for noise in [-127, -70, -60, -50] {
        for loudness in [-14, -20, -26, -32] {
            let mut call = spoken_to(noise, &mut random);
            let onset = speak(&mut call, loudness);
            let [(at, held)] = changes(&call, true)[..] else {
                panic!(
                    "{noise} dBov of noise, speech of {loudness}: {:?}, {seed:?}",
                    call.said.voice
                );
            };
            assert!(held);
            // 20 ms is what the network takes to the edge.
            let took = at.since(onset).as_millis() - 20;
            assert!(took <= 60, "{took} ms in {noise} dBov, speech of {loudness}, {seed:?}");
            call.run_ms(100);
            let speech = |heard: &&crate::support::Heard| heard.packet.payload.len() > 3;
            let last = call.heard.iter().rfind(speech).expect("something was heard").at;
            // A frame at most is under way from the edge, 20 ms long.
            assert!(last.since(onset).as_millis() <= 60 + 40, "{noise} {loudness} {seed:?}");
        }
    }
}

#[test]
fn a_released_hold_goes_on_where_it_paused_and_loses_nothing() {
    let mut random = Random::new(Seed::or(12).value());
    let mut call = spoken_to(-60, &mut random);
    speak(&mut call, -20);
    let before = marks(&call).len();
    call.release();
    call.run_ms(5_000);
    assert_eq!(marks(&call), (0..200).collect::<Vec<u8>>());
    assert!(before < 90);
    assert_eq!(settled(&call), [HoldOutcome::Released]);
    let states: Vec<_> = call.said.reports.iter().map(|(_, report)| report.state).collect();
    let held = states.iter().filter(|state| **state == PlayoutState::Held).count();
    assert_eq!(held, 1);
    let counters = call.session.stats().counters;
    assert_eq!((counters.edge_holds, counters.edge_holds_released), (1, 1));
    assert!((300..600).contains(&counters.edge_held_ms), "{}", counters.edge_held_ms);
}

#[test]
fn a_hold_that_nobody_answers_ends_by_itself() {
    let mut random = Random::new(Seed::or(13).value());
    let mut call = spoken_to(-60, &mut random);
    speak(&mut call, -20);
    call.run_ms(900);
    let before = marks(&call).len();
    call.run_ms(500);
    assert!(marks(&call).len() > before, "playing again");
    assert_eq!(settled(&call), [HoldOutcome::Expired]);
    call.run_ms(5_000);
    assert_eq!(marks(&call).len(), 200);
}

#[test]
fn a_flush_confirms_the_hold_and_the_next_utterance_plays() {
    let mut random = Random::new(Seed::or(14).value());
    let mut call = spoken_to(-60, &mut random);
    speak(&mut call, -20);
    call.flush(1);
    let payload = opus(250);
    call.play(PlayoutFrame {
        generation: 1,
        last: true,
        ..frame(2, &payload)
    });
    call.run_ms(200);
    assert_eq!(settled(&call), [HoldOutcome::Confirmed]);
    assert_eq!(marks(&call).last(), Some(&250));
}

#[test]
fn the_worker_s_own_hold_outlasts_the_edge_s() {
    let mut random = Random::new(Seed::or(15).value());
    let mut call = spoken_to(-60, &mut random);
    speak(&mut call, -20);
    call.hold();
    call.release();
    let before = marks(&call).len();
    call.run_ms(2_000);
    assert_eq!(marks(&call).len(), before);
    call.resume();
    call.run_ms(5_000);
    assert_eq!(marks(&call), (0..200).collect::<Vec<u8>>());
}

#[test]
fn without_the_policy_nothing_is_held_nor_told() {
    let mut random = Random::new(Seed::or(16).value());
    let mut call = spoken_to(-60, &mut random);
    call.hold_on_voice(false);
    speak(&mut call, -20);
    call.run_ms(5_000);
    assert_eq!(call.said.voice, []);
    assert_eq!(marks(&call).len(), 200);
}

#[test]
fn a_single_loud_frame_is_no_voice() {
    let mut random = Random::new(Seed::or(17).value());
    let mut call = spoken_to(-60, &mut random);
    for _ in 0..10 {
        send(&mut call, -12, UNVOICED);
        for _ in 0..5 {
            listen(&mut call, -60, &mut random);
        }
    }
    assert_eq!(changes(&call, true), []);
}

#[test]
fn onset_and_offset_are_told_while_nothing_plays_and_nothing_is_held() {
    let mut random = Random::new(Seed::or(18).value());
    let mut call = Call::connected(CallConfig::default());
    call.hold_on_voice(true);
    for _ in 0..100 {
        listen(&mut call, -65, &mut random);
    }
    speak(&mut call, -20);
    for _ in 0..50 {
        listen(&mut call, -65, &mut random);
    }
    assert!(matches!(changes(&call, true)[..], [(_, false)]));
    assert_eq!(changes(&call, false).len(), 1);
    assert_eq!(call.session.stats().counters.edge_holds, 0);
}
