//! Who is heard, and how a slot's stream goes on, in virtual time.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::sdp::SlotLine;
use crate::time::Time;

const FRAME: Duration = Duration::from_millis(20);
const QUIET: f32 = -80.0;
const LOUD: f32 = -25.0;

/// A room in virtual time: each member says a frame each 20 ms at its level.
struct Room {
    order: Order<u32>,
    now: Time,
    changes: usize,
}

impl Room {
    fn of(members: u32) -> Self {
        let mut order = Order::new(OrderPolicy::default());
        let now = Time(5_000_000);
        (0..members).for_each(|key| order.join(key, now));
        Self { order, now, changes: 0 }
    }

    /// Lets time pass, with a level for each member at each frame.
    fn run(&mut self, duration: Duration, mut level: impl FnMut(u32, usize) -> f32) {
        let members: Vec<u32> = self.order.ranked().collect();
        for frame in 0..duration.as_millis() as usize / FRAME.as_millis() as usize {
            for key in &members {
                let before: Vec<u32> = self.order.ranked().collect();
                self.order.hear(*key, level(*key, frame), None, self.now);
                self.changes += usize::from(before != self.order.ranked().collect::<Vec<_>>());
            }
            self.now = self.now + FRAME;
        }
    }

    fn heard(&self, listener: u32, slots: usize) -> Vec<Option<u32>> {
        let mut heard = vec![None; slots];
        self.order.assign(listener, |_| true, &[], &mut heard);
        heard
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn who_begins_to_speak_is_heard_within_100_ms() {
    let mut room = Room::of(5);
    room.run(seconds(2), |key, _| if key < 2 { LOUD } else { QUIET });
    assert_eq!(room.heard(0, 1), [Some(1)]);
    room.run(seconds(1), |_, _| QUIET);

    room.run(Duration::from_millis(100), |key, _| if key == 4 { LOUD } else { QUIET });

    assert_eq!(room.heard(0, 1), [Some(4)]);
    assert!(room.order.is_speaking(4));
}

#[test]
fn a_louder_voice_replaces_one_that_goes_on_within_a_second() {
    let mut room = Room::of(3);
    room.run(seconds(2), |key, _| if key == 1 { -45.0 } else { QUIET });
    assert_eq!(room.heard(0, 1), [Some(1)]);

    room.run(seconds(1), |key, _| match key {
        1 => -45.0,
        2 => -20.0,
        _ => QUIET,
    });

    assert_eq!(room.heard(0, 1), [Some(2)]);
}

#[test]
fn a_cough_does_not_take_a_slot_from_a_speaker() {
    let mut room = Room::of(3);
    room.run(seconds(2), |key, _| if key == 1 { LOUD } else { QUIET });
    room.run(Duration::from_millis(40), |key, _| match key {
        1 => LOUD,
        2 => LOUD + 5.0,
        _ => QUIET,
    });
    room.run(seconds(1), |key, _| if key == 1 { LOUD } else { QUIET });
    assert_eq!(room.heard(0, 1), [Some(1)]);
}

#[test]
fn who_falls_silent_keeps_the_slot_until_somebody_needs_it() {
    let mut room = Room::of(3);
    room.run(seconds(1), |key, _| if key == 2 { LOUD } else { QUIET });
    room.run(seconds(10), |_, _| QUIET);
    assert_eq!(room.heard(0, 1), [Some(2)]);
    assert!(!room.order.is_speaking(2));
}

#[test]
fn a_member_that_sends_nothing_falls_silent_by_time_alone() {
    let mut room = Room::of(2);
    room.run(seconds(1), |key, _| if key == 1 { LOUD } else { QUIET });
    assert!(room.order.is_restless());
    assert!(room.order.settle(room.now + seconds(1)));
    assert!(!room.order.is_speaking(1) && !room.order.is_restless());
}

#[test]
fn a_muted_member_is_heard_by_nobody() {
    let mut room = Room::of(3);
    room.run(seconds(1), |key, _| if key == 1 { LOUD } else { QUIET });
    room.order.mute(1, true);
    room.run(seconds(1), |key, _| if key == 1 { LOUD } else { QUIET });
    assert_eq!(room.heard(0, 2), [Some(2), None]);
    room.order.mute(1, false);
    room.run(seconds(1), |key, _| if key == 1 { LOUD } else { QUIET });
    assert_eq!(room.heard(0, 1), [Some(1)]);
}

#[test]
fn only_whom_the_listener_wants_is_heard() {
    let mut room = Room::of(4);
    room.run(seconds(1), |_, _| LOUD);
    let mut heard = [None; 3];
    room.order.assign(0, |key| key == 3, &[], &mut heard);
    assert_eq!(heard, [Some(3), None, None]);
}

#[test]
fn a_voice_keeps_its_slot_when_the_order_changes() {
    let mut room = Room::of(4);
    room.run(seconds(1), |key, _| if key == 1 || key == 2 { LOUD } else { QUIET });
    let mut before = [None; 2];
    room.order.assign(0, |_| true, &[], &mut before);
    room.run(seconds(2), |key, _| match key {
        3 => LOUD + 10.0,
        1 => LOUD,
        _ => QUIET,
    });
    let mut after = [None; 2];
    room.order.assign(0, |_| true, &before, &mut after);
    let slot_of_1 = before.iter().position(|slot| *slot == Some(1));
    assert_eq!(after.iter().position(|slot| *slot == Some(1)), slot_of_1);
    assert!(after.contains(&Some(3)));
}

#[test]
fn what_its_sender_calls_noise_is_no_voice_where_the_sender_ever_tells() {
    let mut room = Room::of(2);
    room.order.hear(0, LOUD, Some(false), room.now);
    assert!(room.order.is_speaking(0), "a sender that never sets the bit");
    room.order.hear(1, LOUD, Some(true), room.now);
    let later = room.now + seconds(1);
    room.order.hear(1, LOUD, Some(false), later);
    assert!(!room.order.is_speaking(1));
}

#[test]
fn levels_that_are_not_told_are_guessed_by_size() {
    let speech = Loudness::of(0, 960, &[0x48; 80]);
    let silence = Loudness::of(0, 960, &[0x48; 3]);
    assert!(speech.level_dbov > -30.0 && silence.level_dbov < -55.0);
    assert_eq!(
        Loudness::of(0x180 | 30, 960, &[0; 3]),
        Loudness {
            level_dbov: -30.0,
            voice: Some(true)
        }
    );
}

fn frame(source: u32, number: u64) -> Forwarded<'static> {
    Forwarded {
        source,
        sequence: 70_000 + number,
        timestamp: 9_000_000 + number * 960,
        duration: 960,
        level: 0,
        marker: false,
        payload: &[0x48, 1, 2],
    }
}

fn slot() -> Slot {
    let line = SlotLine {
        mid: "1".to_owned(),
        payload_type: 111,
        red: None,
        mid_extension: None,
    };
    Slot::new(7, line, 100)
}

#[test]
fn a_change_of_source_goes_on_in_sequence_and_in_wall_time() {
    let mut slot = slot();
    let mut now = Time(1_000_000);
    let first = slot.place(now, &frame(1, 0)).expect("a place");
    now = now + FRAME;
    let second = slot.place(now, &frame(1, 1)).expect("a place");
    now = now + Duration::from_millis(500);
    let other = slot.place(now, &frame(2, 900)).expect("a place");

    assert!(first.marker && first.switched && !second.marker && other.marker && other.switched);
    assert_eq!(second.sequence.wrapping_sub(first.sequence), 1);
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 960);
    assert_eq!(other.sequence.wrapping_sub(second.sequence), 1);
    assert_eq!(other.timestamp.wrapping_sub(second.timestamp), 24_000);
}

#[test]
fn what_is_missing_stays_missing_and_what_comes_late_goes_to_its_place() {
    let mut slot = slot();
    let now = Time(1_000_000);
    let first = slot.place(now, &frame(1, 0)).expect("a place");
    let third = slot.place(now, &frame(1, 2)).expect("a place");
    let second = slot.place(now, &frame(1, 1)).expect("its place was kept");
    assert_eq!(third.sequence.wrapping_sub(first.sequence), 2);
    assert_eq!(second.sequence.wrapping_sub(first.sequence), 1);
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 960);

    slot.place(now, &frame(2, 50)).expect("a place");
    assert_eq!(slot.place(now, &frame(2, 49)), None, "another's place");
    slot.place(now, &frame(2, 120)).expect("a place");
    assert_eq!(slot.place(now, &frame(2, 60)), None, "too late");
}

#[test]
fn a_source_that_was_not_forwarded_meanwhile_is_placed_anew() {
    let mut slot = slot();
    let now = Time(1_000_000);
    let before = slot.place(now, &frame(1, 0)).expect("a place");
    let later = now + seconds(20);
    let after = slot.place(later, &frame(1, 1_000)).expect("a place");
    assert_eq!(after.sequence.wrapping_sub(before.sequence), 1);
    assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 20 * 48_000);
    assert!(!after.switched);
}

#[test]
fn what_is_sent_last_is_ahead_and_what_the_listener_names_is_found() {
    let mut slot = slot();
    let now = Time(1_000_000);
    let first = slot.place(now, &frame(1, 0)).expect("a place");
    let third = slot.place(now, &frame(1, 2)).expect("a place");
    let second = slot.place(now, &frame(1, 1)).expect("its place was kept");
    assert_eq!(second.newest, None, "a cache keeps packets in their order");
    for placed in [first, third] {
        assert_eq!(placed.newest, Some(slot.sequence_of(placed.sequence)));
    }
    assert_eq!(slot.sequence_of(second.sequence) + 1, slot.sequence_of(third.sequence));
}

proptest! {
    #[test]
    fn never_more_than_the_slots_and_never_the_own_voice(
        levels in prop::collection::vec(prop::collection::vec(-127.0..0.0_f32, 6), 1..60),
        slots in 0_usize..5,
        listener in 0_u32..6,
        muted in prop::option::of(0_u32..6),
    ) {
        let mut room = Room::of(6);
        if let Some(muted) = muted {
            room.order.mute(muted, true);
        }
        let mut before = vec![None; slots];
        for frame in levels {
            room.run(FRAME, |key, _| frame[key as usize]);
            let mut heard = vec![None; slots];
            room.order.assign(listener, |_| true, &before, &mut heard);
            let voices: Vec<u32> = heard.iter().flatten().copied().collect();
            prop_assert!(voices.len() <= slots);
            prop_assert!(!voices.contains(&listener));
            prop_assert!(muted.is_none_or(|muted| !voices.contains(&muted)));
            let mut once = voices.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), voices.len(), "nobody in two slots");
            before = heard;
        }
    }

    #[test]
    fn equal_noises_never_change_places(
        noise in prop::collection::vec(prop::collection::vec(-3.0..3.0_f32, 5), 100..200),
        base in -45.0..-10.0_f32,
    ) {
        let mut room = Room::of(5);
        room.run(seconds(3), |_, _| base);
        let (order, changes): (Vec<u32>, _) = (room.order.ranked().collect(), room.changes);
        for frame in noise {
            room.run(FRAME, |key, _| base + frame[key as usize]);
        }
        prop_assert_eq!(room.changes, changes);
        prop_assert_eq!(room.order.ranked().collect::<Vec<_>>(), order);
    }

    #[test]
    fn a_slots_numbers_are_used_once(sources in prop::collection::vec((0_u32..3, 0_u64..40), 1..200)) {
        let mut slot = slot();
        let mut now = Time(1_000_000);
        let (mut seen, mut sent) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for (source, number) in sources {
            now = now + FRAME;
            if !seen.insert((source, number)) {
                continue; // ingest hands no frame on twice
            }
            if let Some(place) = slot.place(now, &frame(source, number)) {
                prop_assert!(sent.insert(place.sequence), "{} twice", place.sequence);
            }
        }
    }
}
