//! Bytes that nobody vouches for change nothing.

use crate::support::{Call, CallConfig, OUTSIDE, address, opus};
use antiphon_netsim::Random;

const STRANGER: &str = "203.0.113.66:666";

/// Datagrams of every kind (STUN, DTLS, RTP, RTCP, none) filled with noise.
fn junk(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(200) as usize;
    let mut bytes: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
    bytes[0] = [0, 1, 20, 22, 23, 128, 144, 255, 64][random.below(9) as usize];
    if let Some(cookie) = bytes.get_mut(4..8).filter(|_| random.chance(0.5)) {
        cookie.copy_from_slice(&0x2112_a442_u32.to_be_bytes());
    }
    if random.chance(0.2) && bytes.len() > 60 {
        forge_client_hello(&mut bytes);
    }
    bytes
}

/// Headers of a whole ClientHello around noise.
fn forge_client_hello(bytes: &mut [u8]) {
    let record = u16::try_from(bytes.len() - 13).expect("short");
    let body = u32::from(record - 12).to_be_bytes();
    bytes[..11].copy_from_slice(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes[11..13].copy_from_slice(&record.to_be_bytes());
    bytes[13..25].copy_from_slice(&[1, body[1], body[2], body[3], 0, 0, 0, 0, 0, body[1], body[2], body[3]]);
    bytes[25..27].copy_from_slice(&[254, 253]);
}

#[test]
fn floods_of_junk_change_nothing_and_are_counted() {
    let mut call = Call::connected(CallConfig::default());
    call.say(&opus(1));
    let mut random = Random::new(call.seed.value());
    let before = call.session.stats();
    let answers = call.down.counts().sent;
    for _ in 0..2_000 {
        let bytes = junk(&mut random);
        call.inject(address(STRANGER), &bytes);
        call.inject(address(OUTSIDE), &bytes);
    }
    let after = call.session.stats();
    assert_eq!(call.down.counts().sent, answers, "junk gets no answer");
    assert_eq!((after.state, after.remote), (before.state, before.remote));
    assert_eq!(after.counters.packets_in, before.counters.packets_in);
    let (b, a) = (before.counters, after.counters);
    let counted = (a.unverified - b.unverified)
        + (a.unknown_datagrams - b.unknown_datagrams)
        + (a.bad_checks - b.bad_checks)
        + (a.srtp_forged - b.srtp_forged)
        + (a.srtp_malformed - b.srtp_malformed)
        + (a.srtp_too_old - b.srtp_too_old);
    assert!(
        counted > 3_000,
        "{counted} of 4,000; the rest were DTLS records from the caller's address"
    );
    call.say(&opus(2));
    call.run_ms(100);
    assert_eq!(
        call.said.frames.last().map(|frame| frame.payload.clone()),
        Some(opus(2))
    );
}

#[test]
fn junk_before_the_first_check_does_not_keep_the_caller_out() {
    let mut call = Call::new(CallConfig::default());
    let mut random = Random::new(call.seed.value());
    for _ in 0..2_000 {
        let bytes = junk(&mut random);
        call.inject(address(STRANGER), &bytes);
        call.inject(address(OUTSIDE), &bytes);
    }
    assert_eq!(call.session.stats().setup.first_check, None);
    assert_eq!(call.down.counts().sent, 0);
    call.run_until_connected();
}

#[test]
fn junk_under_the_callers_own_address_does_not_spoil_the_handshake() {
    for seed in 0..20 {
        let mut call = Call::new(CallConfig {
            seed,
            ..CallConfig::default()
        });
        let mut random = Random::new(seed);
        for _ in 0..100 {
            call.run_ms(1);
            for _ in 0..5 {
                let bytes = junk(&mut random);
                call.inject(address(OUTSIDE), &bytes);
            }
        }
        call.run_until_connected();
    }
}
