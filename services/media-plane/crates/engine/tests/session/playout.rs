//! Utterances are paced, held, resumed and flushed, and each change is told.

use crate::support::{Call, CallConfig, Heard, frame, opus};
use antiphon_engine::{PlayoutFrame, PlayoutReport, PlayoutState, Time};

/// Queues frames of one utterance, faster than real time.
fn queue(call: &mut Call, utterance: u32, generation: u32, marks: std::ops::Range<u8>, last: bool) {
    let end = marks.end;
    for mark in marks {
        let payload = opus(mark);
        assert!(call.play(PlayoutFrame {
            generation,
            last: last && mark + 1 == end,
            ..frame(utterance, &payload)
        }));
    }
}

/// What of the agent's speech was heard, less silence frames.
fn speech(call: &Call) -> Vec<&Heard> {
    call.heard
        .iter()
        .filter(|heard| heard.packet.payload.len() > 3)
        .collect()
}

fn states(call: &Call, utterance: u32) -> Vec<PlayoutState> {
    let mut states: Vec<_> = of(call, utterance).map(|(_, report)| report.state).collect();
    states.dedup();
    states
}

fn of(call: &Call, utterance: u32) -> impl Iterator<Item = &(Time, PlayoutReport)> {
    call.said
        .reports
        .iter()
        .filter(move |(_, report)| report.utterance == utterance)
}

#[test]
fn frames_that_came_early_leave_at_their_own_pace() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..50, true);
    call.run_ms(1_500);
    let heard = speech(&call);
    assert_eq!(heard.len(), 50);
    for pair in heard.windows(2) {
        assert_eq!(pair[1].at.since(pair[0].at).as_micros(), 20_000);
        assert_eq!(
            pair[1]
                .packet
                .header
                .timestamp
                .wrapping_sub(pair[0].packet.header.timestamp),
            960
        );
    }
    assert!(heard[0].packet.header.marker && !heard[1].packet.header.marker);
}

#[test]
fn an_utterance_is_reported_until_it_is_heard() {
    let mut call = Call::connected(CallConfig::default());
    let begun = call.now;
    queue(&mut call, 7, 0, 0..50, true);
    call.run_ms(2_000);
    assert_eq!(states(&call, 7), [PlayoutState::Playing, PlayoutState::Ended]);
    let reports: Vec<_> = of(&call, 7).collect();
    assert!(reports.len() >= 10, "one each 100 ms: {}", reports.len());
    for (at, report) in &reports {
        assert!(
            report.heard <= report.sent && report.sent <= report.queued,
            "{report:?}"
        );
        let played = at.since(begun).as_micros() as u64 * 48 / 1_000;
        assert!(report.heard <= played, "{report:?} at {played}");
    }
    let (at, last) = reports.last().expect("the end");
    assert_eq!((last.queued, last.sent, last.heard), (48_000, 48_000, 48_000));
    // A second of speech, and the way to the caller's ear.
    assert!((1_060..1_200).contains(&at.since(begun).as_millis()), "{at:?}");
}

#[test]
fn a_stop_ends_in_silence_frames() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..5, true);
    call.run_ms(500);
    let tail: Vec<_> = call
        .heard
        .iter()
        .skip(5)
        .map(|heard| &heard.packet.payload[..])
        .collect();
    assert_eq!(tail[..3], [[0xf8, 0xff, 0xfe]; 3]);
    assert_eq!(call.session.stats().counters.silence_out, 3);
}

#[test]
fn a_pause_has_a_comfort_frame_now_and_then_and_ends_in_a_talk_spurt() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..5, true);
    call.run_ms(2_170);
    let comfort: Vec<_> = call.heard[8..]
        .iter()
        .map(|heard| (heard.packet.payload[..].to_vec(), heard.packet.header.marker))
        .collect();
    assert_eq!(comfort, vec![(vec![0xf8], false); 5], "one at once, then each 460 ms");
    assert_eq!(call.session.stats().counters.comfort_out, 5);
    queue(&mut call, 2, 0, 5..7, true);
    call.run_ms(100);
    let speech = &call.heard[13..];
    assert!(speech[0].packet.header.marker && !speech[1].packet.header.marker);
    let (last, next) = (&call.heard[12], &speech[0]);
    let samples = next.packet.header.timestamp.wrapping_sub(last.packet.header.timestamp);
    let passed = next.at.since(last.at).as_micros() * 48 / 1_000;
    assert_eq!(u128::from(samples), passed, "timestamps follow the wall");
    let step = next
        .packet
        .header
        .sequence_number
        .wrapping_sub(last.packet.header.sequence_number);
    assert_eq!(step, 1, "a pause is no loss");
}

#[test]
fn who_never_spoke_sends_no_comfort() {
    let mut call = Call::connected(CallConfig::default());
    call.run_ms(2_000);
    assert!(call.heard.is_empty());
}

#[test]
fn frames_of_any_duration_leave_one_when_the_other_ends() {
    // CELT 2.5, 5, 10, 20 ms, SILK 40 and 60 ms, and 120 ms as two of 60.
    let packets: [(&[u8], u32); 7] = [
        (&[0xe0, 1, 2, 3, 4], 120),
        (&[0xe8, 1, 2, 3, 4], 240),
        (&[0xf0, 1, 2, 3, 4], 480),
        (&[0xf8, 1, 2, 3, 4], 960),
        (&[0x10, 1, 2, 3, 4], 1_920),
        (&[0x18, 1, 2, 3, 4], 2_880),
        (&[0x19, 1, 2, 3, 4], 5_760),
    ];
    let mut call = Call::connected(CallConfig::default());
    for (number, (packet, _)) in (1..=70).zip(packets.iter().cycle()) {
        assert!(call.play(PlayoutFrame {
            last: number == 70,
            ..frame(1, packet)
        }));
    }
    call.run_ms(3_000);
    let heard: Vec<_> = call
        .heard
        .iter()
        .filter(|heard| heard.packet.payload.len() == 5)
        .collect();
    assert_eq!(heard.len(), 70);
    for (pair, (_, duration)) in heard.windows(2).zip(packets.iter().cycle()) {
        let samples = pair[1]
            .packet
            .header
            .timestamp
            .wrapping_sub(pair[0].packet.header.timestamp);
        assert_eq!(samples, *duration);
        assert_eq!(
            pair[1].at.since(pair[0].at).as_micros() * 48 / 1_000,
            u128::from(*duration)
        );
    }
    let (_, last) = of(&call, 1).last().expect("a report");
    let length: u32 = packets.iter().map(|(_, duration)| duration * 10).sum();
    assert_eq!((last.sent, last.heard), (length.into(), length.into()));
}

#[test]
fn hold_pauses_and_resume_goes_on_where_it_stopped() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..50, true);
    call.run_ms(205);
    call.hold();
    call.run_ms(500);
    let held = speech(&call).len();
    assert_eq!(held, 11);
    call.run_ms(500);
    assert_eq!(speech(&call).len(), held);
    call.resume();
    call.run_ms(1_500);
    let heard = speech(&call);
    let marks: Vec<_> = heard.iter().map(|heard| heard.packet.payload[1]).collect();
    assert_eq!(marks, (0..50).collect::<Vec<u8>>());
    assert!(heard[11].packet.header.marker, "a new talk spurt");
    let pause = heard[11].at.since(heard[10].at);
    let samples = heard[11]
        .packet
        .header
        .timestamp
        .wrapping_sub(heard[10].packet.header.timestamp);
    assert_eq!(
        u128::from(samples),
        pause.as_micros() * 48 / 1_000,
        "timestamps follow the wall"
    );
    let expected = [
        PlayoutState::Playing,
        PlayoutState::Held,
        PlayoutState::Playing,
        PlayoutState::Ended,
    ];
    assert_eq!(states(&call, 1), expected);
}

#[test]
fn flush_drops_what_is_queued_and_refuses_what_comes_late() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..50, false);
    call.run_ms(205);
    call.flush(1);
    let late = opus(60);
    assert!(!call.play(frame(1, &late)));
    queue(&mut call, 2, 1, 100..105, true);
    call.run_ms(1_000);
    let marks: Vec<_> = speech(&call).iter().map(|heard| heard.packet.payload[1]).collect();
    assert_eq!(marks, (0..11).chain(100..105).collect::<Vec<u8>>());
    let counters = call.session.stats().counters;
    assert_eq!((counters.flushed, counters.refused_generation), (39, 1));
    let (_, cut) = of(&call, 1).last().expect("a report");
    assert_eq!((cut.state, cut.sent), (PlayoutState::Flushed, 11 * 960));
    assert_eq!(
        cut.heard, cut.sent,
        "what left is played: this caller does not fall silent at our word"
    );
    assert_eq!(states(&call, 2), [PlayoutState::Playing, PlayoutState::Ended]);
}

#[test]
fn flush_while_held_lets_the_next_utterance_play() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..50, false);
    call.run_ms(100);
    call.hold();
    call.run_ms(100);
    call.flush(1);
    queue(&mut call, 2, 1, 100..105, true);
    call.run_ms(500);
    let marks: Vec<_> = speech(&call).iter().map(|heard| heard.packet.payload[1]).collect();
    assert!(marks.ends_with(&[100, 101, 102, 103, 104]), "{marks:?}");
}

#[test]
fn a_late_frame_leaves_at_once_and_leaves_no_lasting_delay() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..5, false);
    call.run_ms(250);
    assert_eq!(states(&call, 1).last(), Some(&PlayoutState::Starved));
    let came = call.now;
    queue(&mut call, 1, 0, 5..10, true);
    call.run_ms(500);
    let heard = speech(&call);
    assert_eq!(heard[5].at.since(came).as_millis(), 20, "only the way");
    let gap = heard[5].at.since(heard[4].at).as_micros() * 48 / 1_000;
    let samples = heard[5]
        .packet
        .header
        .timestamp
        .wrapping_sub(heard[4].packet.header.timestamp);
    assert_eq!(u128::from(samples), gap);
    let (_, last) = of(&call, 1).last().expect("the end");
    assert_eq!((last.state, last.underruns), (PlayoutState::Ended, 1));
    assert_eq!(call.session.stats().counters.underruns, 1);
}

#[test]
fn one_utterance_follows_another_without_a_gap() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..5, true);
    queue(&mut call, 2, 0, 5..10, true);
    call.run_ms(500);
    let heard = speech(&call);
    assert!(
        heard
            .windows(2)
            .all(|pair| pair[1].at.since(pair[0].at).as_millis() == 20)
    );
    for utterance in [1, 2] {
        assert_eq!(states(&call, utterance), [PlayoutState::Playing, PlayoutState::Ended]);
    }
}

#[test]
fn an_end_without_a_frame_ends_the_utterance() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..5, false);
    call.run_ms(50);
    assert!(call.play(PlayoutFrame {
        last: true,
        ..frame(1, &[])
    }));
    call.run_ms(500);
    assert_eq!(states(&call, 1), [PlayoutState::Playing, PlayoutState::Ended]);
    assert_eq!(speech(&call).len(), 5);
}

#[test]
fn the_queue_is_bounded_and_says_what_it_refused() {
    let mut call = Call::connected(CallConfig::default());
    let payload = opus(1);
    let taken = (0..1_000).filter(|_| call.play(frame(1, &payload))).count();
    assert!((500..=502).contains(&taken), "10 s: {taken}");
    assert_eq!(call.session.stats().counters.refused_full, 1_000 - taken as u64);
    assert!(!call.play(frame(1, &[0xff; 1_300])));
    assert_eq!(call.session.stats().counters.refused_invalid, 1);
}

#[test]
fn what_is_queued_before_the_caller_is_connected_plays_once_it_is() {
    let mut call = Call::new(CallConfig::default());
    queue(&mut call, 1, 0, 0..5, true);
    let payload = opus(9);
    assert!(!call.play(PlayoutFrame {
        live: true,
        ..frame(2, &payload)
    }));
    assert_eq!(call.session.stats().counters.refused_not_ready, 1);
    call.run_until_connected();
    call.run_ms(500);
    assert_eq!(speech(&call).len(), 5);
    assert_eq!(states(&call, 1), [PlayoutState::Playing, PlayoutState::Ended]);
}

#[test]
fn what_comes_for_a_starved_utterance_while_it_is_held_waits_quietly() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..1, false);
    call.run_ms(200);
    assert_eq!(states(&call, 1), [PlayoutState::Playing, PlayoutState::Starved]);
    call.hold();
    queue(&mut call, 1, 0, 1..3, true);
    assert!(call.session.deadline() > call.now, "nothing is due while it is held");
    call.run_ms(500);
    assert_eq!(speech(&call).len(), 1);
    call.resume();
    call.run_ms(500);
    assert_eq!(speech(&call).len(), 3);
    assert_eq!(states(&call, 1).last(), Some(&PlayoutState::Ended));
}

#[test]
fn an_utterance_whose_end_comes_while_it_is_held_ends_all_the_same() {
    let mut call = Call::connected(CallConfig::default());
    queue(&mut call, 1, 0, 0..1, false);
    call.run_ms(5);
    call.hold();
    call.run_ms(5);
    assert!(call.play(PlayoutFrame {
        last: true,
        ..frame(1, &[])
    }));
    call.resume();
    call.run_ms(500);
    assert_eq!(states(&call, 1).last(), Some(&PlayoutState::Ended));
}
