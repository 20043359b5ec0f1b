//! A session in a room, with str0m as the caller: other members' voices come in receive slots of their own.

use std::time::Duration;

use crate::support::{Call, CallConfig, frame, opus};
use antiphon_engine::room::Forwarded;
use antiphon_netsim::{LinkConfig, Loss};

const SLOTS: usize = 2;

fn in_room(slots: usize) -> Call {
    Call::connected(CallConfig {
        slots: Some(slots),
        ..CallConfig::default()
    })
}

fn voice(source: u32, number: u64, payload: &[u8]) -> Forwarded<'_> {
    Forwarded {
        source,
        sequence: 90_000 + number,
        timestamp: 4_000_000_000 + number * 960,
        duration: 960,
        level: 0x180 | 30,
        marker: false,
        payload,
    }
}

/// SSRC of a slot, as the answer says it.
fn slot_ssrcs(call: &Call) -> Vec<u32> {
    let sections = call
        .answer
        .split("m=")
        .filter(|section| section.contains("msid:") && section.contains("slot-"));
    let ssrc = |section: &str| section.split("a=ssrc:").nth(1)?.split(' ').next()?.parse().ok();
    sections.map(|section| ssrc(section).expect("an SSRC")).collect()
}

#[test]
fn each_slot_has_a_stream_of_its_own() {
    let mut call = in_room(SLOTS);
    assert_eq!(call.session.voices(), SLOTS);
    for number in 0..50 {
        assert!(call.forward(0, &voice(7, number, &opus(1))));
        assert!(call.forward(1, &voice(8, 500 + number, &opus(2))));
        call.run_ms(20);
    }
    call.run_ms(200);

    let ssrcs = slot_ssrcs(&call);
    assert_eq!(ssrcs.len(), SLOTS);
    for (slot, (ssrc, mark)) in ssrcs.iter().zip([1, 2]).enumerate() {
        let heard: Vec<_> = call
            .heard
            .iter()
            .filter(|heard| *heard.packet.header.ssrc == *ssrc)
            .collect();
        assert_eq!(heard.len(), 50, "slot {slot}");
        assert!(heard.iter().all(|heard| heard.packet.payload[..] == opus(mark)[..]));
        assert!(heard[0].packet.header.marker && !heard[1].packet.header.marker);
        for pair in heard.windows(2) {
            let (before, after) = (&pair[0].packet, &pair[1].packet);
            assert_eq!(*after.seq_no - *before.seq_no, 1);
            assert_eq!(after.header.timestamp.wrapping_sub(before.header.timestamp), 960);
        }
    }
    let counters = call.session.stats().counters;
    assert_eq!(
        (counters.forwarded, counters.slot_switches, counters.forward_late),
        (100, 2, 0)
    );
}

#[test]
fn a_slot_changes_its_voice_without_a_seam() {
    let mut call = in_room(SLOTS);
    for (source, first) in [(1, 0), (2, 10_000), (1, 40)] {
        for number in 0..20 {
            call.forward(0, &voice(source, first + number, &opus(source as u8)));
            call.run_ms(20);
        }
        call.run_ms(480);
    }

    let packets: Vec<_> = call.heard.iter().map(|heard| &heard.packet).collect();
    assert_eq!(packets.len(), 60);
    for (at, pair) in packets.windows(2).enumerate() {
        assert_eq!(*pair[1].seq_no - *pair[0].seq_no, 1);
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        let switches = at % 20 == 19;
        assert_eq!(pair[1].header.marker, switches, "packet {}", at + 1);
        assert_eq!(
            step,
            if switches { 24_000 } else { 960 },
            "by wall time across the switch"
        );
    }
}

#[test]
fn what_a_member_repairs_late_reaches_its_place() {
    let mut call = in_room(SLOTS);
    for number in [0, 1, 3, 4, 2, 5] {
        assert!(call.forward(0, &voice(1, number, &opus(number as u8))));
        call.run_ms(20);
    }
    call.run_ms(100);
    let mut heard: Vec<_> = call
        .heard
        .iter()
        .map(|heard| (*heard.packet.seq_no, heard.packet.payload[1]))
        .collect();
    assert_eq!(heard[4].1, 2, "forwarded when it came");
    heard.sort_unstable();
    assert_eq!(
        heard.iter().map(|(_, mark)| *mark).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5]
    );
    assert!(!call.forward(0, &voice(1, 2, &opus(2))), "not twice");
}

#[test]
fn without_slots_one_voice_shares_the_stream_and_gives_way_to_the_agent() {
    let mut call = in_room(0);
    assert_eq!(call.session.voices(), 1);
    for number in 0..10 {
        assert!(call.forward(0, &voice(1, number, &opus(1))));
        call.run_ms(20);
    }
    for _ in 0..10 {
        assert!(call.play(frame(1, &opus(9))));
    }
    for number in 10..20 {
        assert!(!call.forward(0, &voice(1, number, &opus(1))), "the agent speaks");
        call.run_ms(20);
    }
    call.run_ms(300);
    let counters = call.session.stats().counters;
    assert_eq!((counters.forwarded, counters.forward_yielded), (10, 10));
    let numbers: Vec<u64> = call.heard.iter().map(|heard| *heard.packet.seq_no).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] - pair[0] == 1),
        "one sequence: {numbers:?}"
    );
}

#[test]
fn an_agent_that_hangs_up_waits_for_no_other_voice_in_its_stream() {
    let mut call = in_room(0);
    for number in 0..3 {
        call.forward(0, &voice(1, number, &opus(1))); // somewhat ahead, as after a burst
    }
    call.close("hangup", true);
    for number in 3..50 {
        call.forward(0, &voice(1, number, &opus(1)));
        call.run_ms(20);
    }
    assert_eq!(call.said.closed(), Some("hangup"));
}

#[test]
fn a_session_in_no_room_takes_no_further_lines() {
    let mut call = Call::connected(CallConfig::default());
    assert_eq!(slot_ssrcs(&call).len(), 0);
    assert!(!call.forward(1, &voice(1, 0, &opus(1))));
    assert_eq!(call.session.stats().counters.forward_not_ready, 1);
}

#[test]
fn slots_work_over_a_network_that_loses_packets() {
    let link = LinkConfig {
        delay_us: 40_000,
        loss: Loss::Random(0.05),
        ..LinkConfig::default()
    };
    let mut call = Call::connected(CallConfig {
        slots: Some(3),
        up: link,
        down: link,
        seed: 11,
        ..CallConfig::default()
    });
    for number in 0..500 {
        for slot in 0..3 {
            call.forward(slot, &voice(slot as u32, number, &opus(slot as u8)));
        }
        call.run_ms(20);
    }
    call.run(Duration::from_millis(500));
    let heard = call.heard.len();
    assert!(
        (1_380..1_480).contains(&heard),
        "seed {}: {heard} of 1500",
        call.seed.value()
    );
}
