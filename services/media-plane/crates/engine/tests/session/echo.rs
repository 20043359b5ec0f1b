//! Live audio leaves on arrival, and both ends hear what the other sent.

use crate::support::{Call, CallConfig, DtlsVersion, frame, opus};
use antiphon_engine::PlayoutFrame;

#[test]
fn frames_of_the_caller_come_whole_with_their_level() {
    let mut call = Call::connected(CallConfig::default());
    for mark in 0..20 {
        call.say(&opus(mark));
    }
    call.run_ms(100);
    let frames = &call.said.frames;
    assert_eq!(frames.len(), 20);
    for (mark, frame) in (0..).zip(frames) {
        assert_eq!(frame.payload, opus(mark));
        assert_eq!((frame.duration, frame.level), (960, 0x100 | 0x80 | 30));
        assert!(!frame.repaired && !frame.redundant);
    }
    assert!(frames.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    assert!(
        frames
            .windows(2)
            .all(|pair| pair[1].timestamp == pair[0].timestamp + 960)
    );
}

#[test]
fn an_echo_comes_back_at_once_over_each_version_of_dtls() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        let mut call = Call::connected(CallConfig {
            dtls,
            ..CallConfig::default()
        });
        for mark in 0..50 {
            call.say(&opus(mark));
            for heard in call.said.frames.split_off(0) {
                let live = PlayoutFrame {
                    live: true,
                    ..frame(1, &heard.payload)
                };
                assert!(call.play(live));
            }
        }
        call.run_ms(200);
        let marks: Vec<_> = call.heard.iter().map(|heard| heard.packet.payload[1]).collect();
        assert_eq!(marks, (0..50).collect::<Vec<u8>>());
        let packets = call
            .heard
            .windows(2)
            .map(|pair| (&pair[0].packet.header, &pair[1].packet.header));
        for (before, after) in packets {
            assert_eq!(after.sequence_number, before.sequence_number.wrapping_add(1));
            assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 960);
        }
        assert!(call.heard[0].packet.header.marker);
        assert!(!call.heard[1].packet.header.marker);
        assert!(call.heard[0].packet.header.sequence_number < 1 << 15);
    }
}

#[test]
fn a_pause_in_live_audio_moves_the_timestamp_by_wall_time() {
    let mut call = Call::connected(CallConfig::default());
    let payload = opus(1);
    let live = PlayoutFrame {
        live: true,
        ..frame(1, &payload)
    };
    call.play(live);
    call.run_ms(420);
    call.play(live);
    call.run_ms(100);
    let headers: Vec<_> = call.heard.iter().map(|heard| heard.packet.header.clone()).collect();
    assert_eq!(headers[1].timestamp.wrapping_sub(headers[0].timestamp), 420 * 48);
    assert!(headers[1].marker);
    assert_eq!(headers[1].sequence_number, headers[0].sequence_number + 1);
}
