//! RTCP compounds.

use antiphon_engine::rtcp::{Packet, ReportBlock, RtcpError, SenderInfo, Writer, compound};
use proptest::prelude::*;

use crate::hex;

fn block() -> impl Strategy<Value = ReportBlock> {
    (
        any::<u32>(),
        any::<u8>(),
        -0x80_0000..0x7f_ffff,
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
    )
        .prop_map(
            |(ssrc, fraction_lost, cumulative_lost, highest_sequence, jitter, last_sr, delay_since_last_sr)| {
                ReportBlock {
                    ssrc,
                    fraction_lost,
                    cumulative_lost,
                    highest_sequence,
                    jitter,
                    last_sr,
                    delay_since_last_sr,
                }
            },
        )
}

#[test]
fn a_compound_is_walked_in_order() {
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer);
    let info = SenderInfo {
        ntp: 1 << 40,
        rtp_timestamp: 960,
        packets: 3,
        octets: 480,
    };
    writer.sender_report(
        1,
        &info,
        &[ReportBlock {
            ssrc: 2,
            cumulative_lost: -1,
            ..Default::default()
        }],
    );
    writer.sdes(1, b"antiphon").bye(1);
    let length = writer.length();

    let packets: Vec<_> = compound(&buffer[..length]).map(Result::unwrap).collect();
    let [
        Packet::SenderReport {
            ssrc: 1,
            info: read,
            reports,
        },
        Packet::Sdes { ssrc: 1, cname },
        Packet::Bye { sources },
    ] = &packets[..]
    else {
        panic!("{packets:?}");
    };
    assert_eq!(*read, info);
    assert_eq!(reports.clone().next().unwrap().cumulative_lost, -1);
    assert_eq!(*cname, Some(&b"antiphon"[..]));
    assert_eq!(sources.clone().collect::<Vec<_>>(), [1]);
}

#[test]
fn losses_that_do_not_fit_are_clamped() {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer);
    writer.receiver_report(
        1,
        &[ReportBlock {
            cumulative_lost: i32::MAX,
            ..Default::default()
        }],
    );
    let Some(Ok(Packet::ReceiverReport { mut reports, .. })) = compound(&buffer[..32]).next() else {
        panic!()
    };
    assert_eq!(reports.next().unwrap().cumulative_lost, 0x7f_ffff);
}

#[test]
fn a_nack_packs_what_fits_in_one_mask() {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer);
    writer.nack(1, 2, &[65_534, 65_535, 0, 14, 100]);
    let length = writer.length();
    assert_eq!(length, 20);
    let Some(Ok(Packet::Nack {
        media_ssrc: 2, lost, ..
    })) = compound(&buffer[..length]).next()
    else {
        panic!()
    };
    assert_eq!(lost.collect::<Vec<_>>(), [65_534, 65_535, 0, 14, 100]);
}

#[test]
fn padding_stays_outside_and_unknown_types_are_skipped() {
    let packet =
        hex("81c90007 00000001 00000002 00000000 00000000 00000000 00000000 00000000 a5ce0002 00000000 00000004");
    let packets: Vec<_> = compound(&packet).map(Result::unwrap).collect();
    assert!(matches!(
        packets[1],
        Packet::Other {
            packet_type: 206,
            format: 5
        }
    ));
}

#[test]
fn the_walk_ends_at_the_first_error() {
    for packet in [
        "81c90001 00000001",
        "80c9000a 00000001",
        "40c90001 00000001",
        "a0c90001 000000ff",
        "80",
    ] {
        let bytes = hex(packet);
        let packets: Vec<_> = compound(&bytes).collect();
        assert_eq!(packets, [Err(RtcpError)], "{packet}");
    }
}

#[test]
fn a_cname_is_found_behind_other_items() {
    let packet = hex("81ca0004 00000001 02 02 4142 01 03 616263 00 0000");
    let Some(Ok(Packet::Sdes { cname, .. })) = compound(&packet).next() else {
        panic!()
    };
    assert_eq!(cname, Some(&b"abc"[..]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 199u8..208) {
        for packet in compound(&bytes).flatten() {
            walk(packet);
        }
        if bytes.len() >= 4 {
            let words = (bytes.len() / 4 - 1) as u8;
            let first = 0x80 | bytes[0] & 0x3f;
            bytes[..4].copy_from_slice(&[first, kind, 0, words]);
            for packet in compound(&bytes).flatten() {
                walk(packet);
            }
        }
    }

    #[test]
    fn reports_read_back(
        ssrc: u32, ntp: u64, rtp_timestamp: u32, packets: u32, octets: u32,
        blocks in prop::collection::vec(block(), 0..31), cname in "[a-z]{0,60}",
    ) {
        let info = SenderInfo { ntp, rtp_timestamp, packets, octets };
        let mut buffer = vec![0; 2_000];
        let mut writer = Writer::new(&mut buffer);
        writer.receiver_report(ssrc, &blocks).sender_report(ssrc, &info, &blocks).sdes(ssrc, cname.as_bytes());
        let length = writer.length();
        prop_assert_eq!(length % 4, 0);
        let read: Vec<_> = compound(&buffer[..length]).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), 3);
        for packet in read {
            match packet {
                Packet::ReceiverReport { ssrc: from, reports } => {
                    prop_assert_eq!(from, ssrc);
                    prop_assert_eq!(reports.collect::<Vec<_>>(), blocks.clone());
                }
                Packet::SenderReport { ssrc: from, info: told, reports } => {
                    prop_assert_eq!((from, told), (ssrc, info));
                    prop_assert_eq!(reports.collect::<Vec<_>>(), blocks.clone());
                }
                Packet::Sdes { cname: told, .. } => prop_assert_eq!(told, Some(cname.as_bytes())),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn nacks_read_back(first: u16, steps in prop::collection::vec(1u16..40, 0..40)) {
        let mut lost = vec![first];
        for step in steps {
            lost.push(lost[lost.len() - 1].wrapping_add(step));
        }
        let mut buffer = vec![0; 512];
        let mut writer = Writer::new(&mut buffer);
        writer.nack(1, 2, &lost);
        let length = writer.length();
        let Some(Ok(Packet::Nack { lost: read, .. })) = compound(&buffer[..length]).next() else { panic!() };
        prop_assert_eq!(read.collect::<Vec<_>>(), lost);
    }
}

fn walk(packet: Packet<'_>) {
    match packet {
        Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => drop(reports.count()),
        Packet::Bye { sources } => drop(sources.count()),
        Packet::Nack { lost, .. } => drop(lost.count()),
        Packet::Sdes { .. } | Packet::Other { .. } => {}
    }
}
