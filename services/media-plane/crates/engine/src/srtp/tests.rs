//! Both directions together, in every profile.

use proptest::prelude::*;

use super::cipher::Cipher;
use super::testing::hex;
use super::*;
use crate::rtp::HeaderWriter;

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

fn pair(profile: Profile) -> (Sender, Receiver) {
    let material: Vec<u8> = (0..2 * (profile.key_len() + profile.salt_len()) as u8).collect();
    let (sender, _) = from_dtls(profile, &material, Side::Client).unwrap();
    let (_, receiver) = from_dtls(profile, &material, Side::Server).unwrap();
    (sender, receiver)
}

fn packet(ssrc: u32, sequence: u16) -> (Vec<u8>, usize) {
    let mut buffer = vec![0; 256];
    let header = HeaderWriter {
        payload_type: 111,
        sequence,
        ssrc,
        level: Some((1, 30)),
        ..Default::default()
    };
    let length = header.write(&mut buffer);
    buffer[length..length + 5].copy_from_slice(b"voice");
    (buffer, length + 5)
}

fn sealed(sender: &mut Sender, sequence: u16) -> Vec<u8> {
    let (mut buffer, length) = packet(7, sequence);
    let length = sender.seal_rtp(&mut buffer, length).unwrap();
    buffer.truncate(length);
    buffer
}

fn report() -> (Vec<u8>, usize) {
    let mut buffer = vec![0; 256];
    let mut writer = crate::rtcp::Writer::new(&mut buffer);
    writer.receiver_report(7, &[]).sdes(7, b"antiphon");
    let length = writer.length();
    (buffer, length)
}

#[test]
fn what_is_sealed_opens() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut datagram = sealed(&mut sender, 1);
        assert!(
            !datagram.windows(5).any(|window| window == b"voice"),
            "{profile:?} does not encrypt"
        );
        let opened = receiver.open_rtp(&mut datagram).unwrap();
        let payload = opened.header.payload(&datagram[..opened.length]).unwrap();
        assert_eq!(&datagram[payload], b"voice", "{profile:?}");
        assert_eq!(opened.index, 1);
    }
}

#[test]
fn reports_that_are_sealed_open() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let (mut buffer, length) = report();
        let plain = buffer[..length].to_vec();
        let sealed = sender.seal_rtcp(&mut buffer, length).unwrap();
        let mut datagram = buffer[..sealed].to_vec();
        let opened = receiver.open_rtcp(&mut datagram).unwrap();
        assert_eq!(datagram[..opened], plain, "{profile:?}");
        assert_eq!(
            receiver.open_rtcp(&mut buffer[..sealed]),
            Err(OpenError::Replayed),
            "{profile:?}"
        );
    }
}

#[test]
fn the_gcm_vectors_of_rfc_7714() {
    let rtp =
        hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let rtcp =
        hex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    for (key_len, srtp, srtcp) in [
        (
            16,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce",
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b\
             c84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            32,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
             7aa3db36dfffd6b0f9bb7878d7a76c13",
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad\
             1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ] {
        let key: Vec<u8> = (0..key_len).collect();
        let cipher = Cipher::gcm(&key, salt);

        let mut packet = rtp.clone();
        packet.extend([0; 16]);
        cipher.seal_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(packet, hex(srtp));
        cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap();
        assert_eq!(packet[..rtp.len()], rtp);

        let mut packet = rtcp.clone();
        packet.extend([0; 20]);
        cipher.seal_rtcp(&mut packet, 0x4d61_7273, 0x5d4);
        assert_eq!(packet, hex(srtcp));
        cipher.open_rtcp(&mut packet, 0x4d61_7273, 0x5d4).unwrap();
        assert_eq!(packet[..rtcp.len()], rtcp);
    }
}

#[test]
fn counter_mode_agrees_with_libsrtp() {
    // The packets of libsrtp's srtp_driver, under the master key of RFC 3711 B.3.
    let key = hex("e1f97a0d3e018be0d64fa32c06de4139");
    let salt = hex("0ec675ad498afeebb6960b3aabe6");
    let mut sender = Sender::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
    let mut packet = hex("800f1234decafbadcafebabeabababababababababababababababab");
    packet.resize(64, 0);
    let length = sender.seal_rtp(&mut packet, 28).unwrap();
    assert_eq!(
        packet[..length],
        hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb")
    );

    let mut receiver = Receiver::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
    let mut packet = hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798");
    let length = receiver.open_rtcp(&mut packet).unwrap();
    assert_eq!(
        packet[..length],
        hex("81c8000bcafebabeabababababababababababababababab")
    );
}

#[test]
fn a_packet_is_taken_once() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let datagram = sealed(&mut sender, 1);
        receiver.open_rtp(&mut datagram.clone()).unwrap();
        assert_eq!(receiver.open_rtp(&mut datagram.clone()), Err(OpenError::Replayed));
    }
}

#[test]
fn a_forged_packet_moves_nothing() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        receiver.open_rtp(&mut sealed(&mut sender, 1)).unwrap();
        let genuine = sealed(&mut sender, 2);
        // Far ahead: had the window moved, the genuine packet would be too old.
        let mut forged = genuine.clone();
        forged[2..4].copy_from_slice(&30_000u16.to_be_bytes());
        assert_eq!(receiver.open_rtp(&mut forged), Err(OpenError::Forged));
        receiver.open_rtp(&mut genuine.clone()).unwrap();
    }
}

#[test]
fn any_changed_octet_is_noticed() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        receiver.open_rtp(&mut sealed(&mut sender, 1)).unwrap();
        let genuine = sealed(&mut sender, 2);
        for at in 0..genuine.len() {
            let mut changed = genuine.clone();
            changed[at] ^= 0x10;
            assert!(receiver.open_rtp(&mut changed).is_err(), "{profile:?}, octet {at}");
        }
        receiver.open_rtp(&mut genuine.clone()).unwrap();
    }
}

#[test]
fn the_roll_over_counter_follows_the_sequence_number_around() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut index = 0;
        for step in 0..40u64 {
            let sequence = (step * 20_000 % 65_536) as u16;
            index = receiver.open_rtp(&mut sealed(&mut sender, sequence)).unwrap().index;
            assert_eq!(index, step * 20_000);
        }
        assert!(index > 10 * 65_536);
    }
}

#[test]
fn reordering_across_a_roll_over_is_understood() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    receiver.open_rtp(&mut sealed(&mut sender, 65_530)).unwrap();
    let mut before = sealed(&mut sender, 65_535);
    let mut after = sealed(&mut sender, 1);
    assert_eq!(receiver.open_rtp(&mut after).unwrap().index, 65_537);
    assert_eq!(receiver.open_rtp(&mut before).unwrap().index, 65_535);
}

#[test]
fn what_is_older_than_the_window_is_refused() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    let mut old = sealed(&mut sender, 1);
    let mut edge = sealed(&mut sender, 2);
    receiver.open_rtp(&mut sealed(&mut sender, 1_025)).unwrap();
    assert_eq!(receiver.open_rtp(&mut old), Err(OpenError::TooOld));
    receiver.open_rtp(&mut edge).unwrap();
}

#[test]
fn no_index_is_sealed_twice() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    for (sequence, expected) in [
        (5, None),
        (5, Some(SealError::Reused)),
        (4, Some(SealError::Reused)),
        (6, None),
    ] {
        let (mut buffer, length) = packet(7, sequence);
        assert_eq!(sender.seal_rtp(&mut buffer, length).err(), expected);
    }
    let (mut buffer, length) = packet(8, 5);
    assert!(
        sender.seal_rtp(&mut buffer, length).is_ok(),
        "another stream has its own sequence numbers"
    );
}

#[test]
fn streams_are_bounded() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..MAX_STREAMS as u32 {
        let (mut buffer, length) = packet(ssrc, 1);
        let length = sender.seal_rtp(&mut buffer, length).unwrap();
        receiver.open_rtp(&mut buffer[..length]).unwrap();
    }
    let (mut buffer, length) = packet(1_000, 1);
    assert_eq!(sender.seal_rtp(&mut buffer, length), Err(SealError::Exhausted));
    assert_eq!(
        receiver.open_rtp(&mut buffer[..length + 16]),
        Err(OpenError::TooManyStreams)
    );
}

#[test]
fn a_buffer_without_room_for_the_tag_is_refused() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    let (mut buffer, length) = packet(7, 1);
    assert_eq!(
        sender.seal_rtp(&mut buffer[..length + 15], length),
        Err(SealError::Malformed)
    );
    assert_eq!(
        sender.seal_rtcp(&mut buffer[..length + 19], length),
        Err(SealError::Malformed)
    );
    assert_eq!(sender.seal_rtp(&mut buffer, 11), Err(SealError::Malformed));
}

#[test]
fn keying_material_of_another_profile_is_refused() {
    let refused = from_dtls(Profile::AeadAes128Gcm, &[0; 60], Side::Client).err();
    assert_eq!(refused, Some(KeyError { expected: 56, got: 60 }));
}

#[test]
fn unencrypted_reports_are_refused() {
    let (mut sender, mut receiver) = pair(Profile::Aes128CmSha1_80);
    let (mut buffer, length) = report();
    let sealed = sender.seal_rtcp(&mut buffer, length).unwrap();
    buffer[length] &= 0x7f;
    assert_eq!(receiver.open_rtcp(&mut buffer[..sealed]), Err(OpenError::Malformed));
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for profile in PROFILES {
            let (_, mut receiver) = pair(profile);
            prop_assert!(receiver.open_rtp(&mut bytes.clone()).is_err());
            prop_assert!(receiver.open_rtcp(&mut bytes.clone()).is_err());
        }
    }
}
