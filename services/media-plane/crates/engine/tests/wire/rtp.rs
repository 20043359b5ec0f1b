//! RTP headers and extensions.

use antiphon_engine::rtp::{Header, HeaderWriter, MAX_WRITTEN_HEADER, RtpError, audio_level};
use proptest::prelude::*;

use crate::hex;

#[test]
fn a_plain_header_is_read() {
    let packet = hex("80ef 0102 00000304 05060708 aabb");
    let header = Header::parse(&packet).unwrap();
    assert!(header.marker);
    assert_eq!((header.payload_type, header.sequence), (111, 0x0102));
    assert_eq!((header.timestamp, header.ssrc, header.length), (0x304, 0x0506_0708, 12));
    assert_eq!(&packet[header.payload(&packet).unwrap()], [0xaa, 0xbb]);
    assert_eq!(header.extensions(&packet).count(), 0);
}

#[test]
fn contributing_sources_and_one_byte_extensions_are_walked() {
    let packet = hex("92 6f 0001 00000000 00000001  0a0a0a0a 0b0b0b0b  bede 0002 10 9e 00 22 aabbcc 00  ff");
    let header = Header::parse(&packet).unwrap();
    assert_eq!(header.csrc_count, 2);
    let elements: Vec<_> = header.extensions(&packet).collect();
    assert_eq!(elements, [(1, &[0x9e][..]), (2, &[0xaa, 0xbb, 0xcc][..])]);
    assert_eq!(packet[header.payload(&packet).unwrap()], [0xff]);
}

#[test]
fn two_byte_extensions_are_walked() {
    let packet = hex("90 6f 0001 00000000 00000001  1000 0002 10 01 9e 00 11 02 aa bb");
    let elements: Vec<_> = Header::parse(&packet)
        .unwrap()
        .extensions(&packet)
        .map(|(id, _)| id)
        .collect();
    assert_eq!(elements, [0x10, 0x11]);
}

#[test]
fn id_15_and_overlong_elements_end_the_walk() {
    let packet = hex("90 6f 0001 00000000 00000001  bede 0002 10 9e f0 00 10 01 10 02");
    assert_eq!(Header::parse(&packet).unwrap().extensions(&packet).count(), 1);
    let packet = hex("90 6f 0001 00000000 00000001  bede 0001 10 9e 2f 00");
    assert_eq!(Header::parse(&packet).unwrap().extensions(&packet).count(), 1);
}

#[test]
fn padding_is_cut_off() {
    let packet = hex("a0 6f 0001 00000000 00000001 aabb 000003");
    let header = Header::parse(&packet).unwrap();
    assert_eq!(packet[header.payload(&packet).unwrap()], [0xaa, 0xbb]);
}

#[test]
fn padding_that_cannot_be_is_refused() {
    for packet in [
        "a0 6f 0001 00000000 00000001 aa 05",
        "a0 6f 0001 00000000 00000001 aa ff",
        "a0 6f 0001 00000000 00000001 aa 00",
        "a0 6f 0001 00000000 00000001",
    ] {
        let packet = hex(packet);
        assert_eq!(Header::parse(&packet).unwrap().payload(&packet), Err(RtpError));
    }
}

#[test]
fn short_packets_and_other_versions_are_refused() {
    for packet in [
        "80 6f 0001 00000000 000000",
        "40 6f 0001 00000000 00000001",
        "8f 6f 0001 00000000 00000001",
        "90 6f 0001 00000000 00000001 bede 0001",
    ] {
        assert_eq!(Header::parse(&hex(packet)), Err(RtpError), "{packet}");
    }
}

#[test]
fn a_level_is_told_from_none() {
    assert_eq!(audio_level(&[0x9e]), 0x19e);
    assert_eq!(audio_level(&[0]), 0x100);
    assert_eq!(audio_level(&[]), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), version in any::<bool>()) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut().filter(|_| version) {
            *first = *first & 0x3f | 0x80;
        }
        if let Ok(header) = Header::parse(&bytes) {
            let _ = header.payload(&bytes);
            for (id, element) in header.extensions(&bytes) {
                prop_assert!(id > 0);
                prop_assert!(element.len() <= 255);
            }
        }
    }

    #[test]
    fn what_is_written_reads_back(
        marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
        mid in prop::option::of((1u8..15, "[a-z0-9]{1,16}")), level in prop::option::of((1u8..15, any::<u8>())),
    ) {
        let mid = mid.as_ref().map(|(id, text)| (*id, text.as_bytes()));
        let writer = HeaderWriter { marker, payload_type, sequence, timestamp, ssrc, mid, level };
        let mut packet = vec![0xff; MAX_WRITTEN_HEADER + 3];
        let length = writer.write(&mut packet);
        let header = Header::parse(&packet).unwrap();
        prop_assert_eq!(header.length, length);
        prop_assert_eq!((header.marker, header.payload_type, header.sequence), (marker, payload_type, sequence));
        prop_assert_eq!((header.timestamp, header.ssrc), (timestamp, ssrc));
        let expected: Vec<(u8, Vec<u8>)> =
            level.map(|(id, octet)| (id, vec![octet])).into_iter().chain(mid.map(|(id, mid)| (id, mid.to_vec()))).collect();
        let read: Vec<_> = header.extensions(&packet).map(|(id, element)| (id, element.to_vec())).collect();
        prop_assert_eq!(read, expected);
    }
}
