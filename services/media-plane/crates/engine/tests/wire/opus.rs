//! Opus packets from outside.

use antiphon_engine::opus::{SILENCE, SignalType, carries_fec, duration, is_dtx, signal_type};
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

/// The range decoder as RFC 6716 4.1 writes it, of a SILK frame's first symbols.
struct RangeDecoder<'a> {
    frame: &'a [u8],
    read: usize,
    last: u32,
    range: u32,
    value: u32,
}

impl<'a> RangeDecoder<'a> {
    fn new(frame: &'a [u8]) -> Self {
        let first = u32::from(frame[0]);
        let mut decoder = Self {
            frame,
            read: 1,
            last: first,
            range: 128,
            value: 127 - (first >> 1),
        };
        decoder.normalise();
        decoder
    }

    fn normalise(&mut self) {
        while self.range <= 1 << 23 {
            let octet = u32::from(self.frame.get(self.read).copied().unwrap_or(0));
            self.read += 1;
            let symbol = (self.last << 8 | octet) >> 1 & 0xff;
            self.last = octet;
            self.range <<= 8;
            self.value = ((self.value << 8) + (255 - symbol)) & 0x7fff_ffff;
        }
    }

    /// A symbol by the chances of each, of 256.
    fn symbol(&mut self, chances: &[u32]) -> usize {
        let unit = self.range / 256;
        let reached = 256 - (self.value / unit + 1).min(256);
        let mut below = 0;
        let mut symbol = 0;
        while below + chances[symbol] <= reached {
            below += chances[symbol];
            symbol += 1;
        }
        let above = 256 - below - chances[symbol];
        self.value -= unit * above;
        self.range = if below == 0 {
            self.range - unit * above
        } else {
            unit * chances[symbol]
        };
        self.normalise();
        symbol
    }
}

/// RFC 6716 table 9.
const INACTIVE: [u32; 2] = [26, 230];
const ACTIVE: [u32; 6] = [0, 0, 24, 74, 148, 10];

fn decoded(frame: &[u8], frames: usize) -> SignalType {
    let mut decoder = RangeDecoder::new(frame);
    let flags: Vec<usize> = (0..=frames).map(|_| decoder.symbol(&[128, 128])).collect();
    let active = flags[0] == 1 || flags[frames] == 1;
    let frame_type = decoder.symbol(if active { &ACTIVE } else { &INACTIVE });
    match frame_type {
        0 | 1 => SignalType::Inactive,
        2 | 3 => SignalType::Unvoiced,
        _ => SignalType::Voiced,
    }
}

#[test]
fn what_has_no_mono_silk_frame_has_no_signal_type() {
    for packet in [
        &SILENCE[..],
        &[0x4c, 0x80, 0xff],
        &[0x48, 0x80],
        &[0x48],
        &[0x4b, 0x80 | 2, 1, 0xff, 0xff],
        // 40 and 60 ms with LBRR, whose flags come first.
        &[0x50, 0x20, 0xff],
        &[0x58, 0x10, 0xff],
        &[],
    ] {
        assert_eq!(signal_type(packet), None, "{packet:02x?}");
    }
}

proptest! {
    #[test]
    fn a_signal_type_is_what_a_range_decoder_makes_of_it(
        config in 0..16_u8,
        frame in prop::collection::vec(any::<u8>(), 2..12),
    ) {
        let packet = [&[config << 3], &frame[..]].concat();
        let frames = duration(&packet).expect("valid") as usize / 960;
        let told = signal_type(&packet);
        let redundant = frame[0] >> (7 - frames.max(1)) & 1 == 1;
        if redundant && frames > 1 {
            prop_assert_eq!(told, None);
        } else {
            prop_assert_eq!(told, Some(decoded(&frame, frames.max(1))));
        }
    }

    #[test]
    fn hostile_packets_have_a_signal_type_or_none(packet in prop::collection::vec(any::<u8>(), 0..200)) {
        if signal_type(&packet).is_some() {
            prop_assert!(packet[0] >> 3 < 16);
            prop_assert!(duration(&packet).is_some());
        }
    }

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
