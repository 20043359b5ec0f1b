//! Opus packets from outside.

use antiphon_engine::opus::{SILENCE, duration, is_dtx};
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

proptest! {
    #[test]
    fn a_duration_is_between_2_5_and_120_ms(packet in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(samples) = duration(&packet) {
            prop_assert!((120..=5_760).contains(&samples));
            prop_assert_eq!(samples % 120, 0);
        }
    }
}
