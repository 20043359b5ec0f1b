//! Opus packets from outside.

use antiphon_engine::opus::{SILENCE, carries_fec, duration, is_dtx};
use proptest::prelude::*;

/// A table-of-contents octet.
fn toc(config: u8, code: u8) -> u8 {
    config << 3 | code
}

#[test]
fn every_configuration_has_its_frame_size() {
    let silk = [480, 960, 1_920, 2_880];
    let celt = [120, 240, 480, 960];
    for config in 0..32u8 {
        let expected = match config {
            0..=11 => silk[usize::from(config % 4)],
            12..=15 => silk[usize::from(config % 2)],
            _ => celt[usize::from(config % 4)],
        };
        assert_eq!(
            duration(&[toc(config, 0), 1, 2]),
            Some(expected),
            "configuration {config}"
        );
    }
}

#[test]
fn frames_of_a_packet_add_up() {
    assert_eq!(duration(&[toc(31, 1), 1, 2, 3, 4]), Some(1_920));
    assert_eq!(duration(&[toc(31, 2), 1, 9, 9, 9]), Some(1_920));
    assert_eq!(duration(&[toc(31, 3), 3, 1, 2, 3]), Some(2_880));
    // Variable: two lengths, then three frames. Padded: one octet of padding.
    assert_eq!(duration(&[toc(31, 3), 0x80 | 3, 1, 1, 7, 7, 7]), Some(2_880));
    assert_eq!(duration(&[toc(31, 3), 0x40 | 2, 1, 7, 7, 0]), Some(1_920));
}

#[test]
fn packets_that_no_encoder_makes_are_refused() {
    for packet in [
        &[][..],
        &[toc(31, 1), 1, 2, 3],
        &[toc(31, 2)],
        &[toc(31, 2), 5, 1],
        &[toc(31, 3)],
        &[toc(31, 3), 0],
        &[toc(31, 3), 2, 1],
        &[toc(3, 3), 3, 1, 2, 3],
        &[toc(31, 3), 0x40 | 1, 9, 1],
        &[toc(31, 3), 0x80 | 2, 9, 1],
        &[toc(31, 0); 1_278],
    ] {
        assert_eq!(duration(packet), None, "{packet:02x?}");
    }
}

#[test]
fn silence_plays_for_20_ms() {
    assert_eq!(duration(&SILENCE), Some(960));
}

#[test]
fn an_encoder_in_dtx_sends_one_or_two_octets() {
    assert!(is_dtx(&[toc(1, 0)]));
    assert!(!is_dtx(&SILENCE));
    assert!(!is_dtx(&[]));
}

/// TOC and first octet of packets that libopus 1.5 made of speech, and what its `opus_packet_has_lbrr` says of them.
const OF_LIBOPUS: [([u8; 2], bool); 14] = [
    // SILK of 10, 20, 40 and 60 ms.
    ([0x40, 0x10], false),
    ([0x40, 0x43], true),
    ([0x48, 0x0d], false),
    ([0x48, 0xff], true),
    ([0x50, 0xc0], false),
    ([0x50, 0x7d], true),
    ([0x58, 0xe0], false),
    ([0x58, 0x9f], true),
    // Stereo of 20 and 60 ms.
    ([0x4c, 0x08], false),
    ([0x4c, 0xc8], true),
    ([0x5c, 0xe0], false),
    ([0x5c, 0x90], true),
    // Hybrid.
    ([0x78, 0x0b], false),
    ([0x7c, 0x48], true),
];

#[test]
fn in_band_fec_is_told_as_libopus_tells_it() {
    for ([toc, first], expected) in OF_LIBOPUS {
        let packet = [toc, first, 0, 0, 0, 0];
        assert_eq!(carries_fec(&packet), expected, "{toc:02x} {first:02x}");
    }
}

#[test]
fn in_band_fec_is_told_of_the_first_frame_however_frames_are_packed() {
    for (first, expected) in [(0x0d, false), (0x40, true)] {
        for packet in [
            &[0x49, first, 0, 0xff, 0xff][..],
            &[0x4a, 2, first, 0, 0xff],
            &[0x4b, 2, first, 0, 0xff, 0xff],
            &[0x4b, 0x80 | 2, 2, first, 0, 0xff],
            &[0x4b, 0x40 | 1, 2, first, 0, 0xff, 0xff],
        ] {
            assert_eq!(carries_fec(packet), expected, "{packet:02x?}");
        }
    }
}

#[test]
fn celt_silence_and_frames_that_were_not_sent_carry_no_fec() {
    for packet in [
        &SILENCE[..],
        &[0xfc, 0xff, 0xff],
        &[0x48],
        &[0x4b, 0x80 | 2, 0, 0xff],
        &[],
    ] {
        assert!(!carries_fec(packet), "{packet:02x?}");
    }
}

proptest! {
    #[test]
    fn only_valid_packets_with_an_lp_layer_carry_fec(packet in prop::collection::vec(any::<u8>(), 0..200)) {
        if carries_fec(&packet) {
            prop_assert!(packet[0] >> 3 < 16);
            prop_assert!(duration(&packet).is_some());
        }
    }

    #[test]
    fn a_duration_is_between_2_5_and_120_ms(packet in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(samples) = duration(&packet) {
            prop_assert!((120..=5_760).contains(&samples));
            prop_assert_eq!(samples % 120, 0);
        }
    }
}
