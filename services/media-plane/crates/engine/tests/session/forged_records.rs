//! DTLS records that anybody can make who knows the caller's address: they must not end a call.

use crate::support::{Call, CallConfig, DtlsVersion, OUTSIDE, address, opus};
use antiphon_engine::SessionState;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// A record of DTLS 1.2, or a plaintext one of 1.3.
fn record(content_type: u8, epoch: u16, sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type, 254, 253];
    record.extend(epoch.to_be_bytes());
    record.extend([0, 0, 0, 0, 0, sequence]);
    record.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    record.extend(body);
    record
}

/// A whole handshake message of 40 zeros.
fn handshake(message_type: u8, sequence: u16) -> Vec<u8> {
    let mut message = vec![message_type, 0, 0, 40];
    message.extend(sequence.to_be_bytes());
    message.extend([0, 0, 0, 0, 0, 40]);
    message.extend([0; 40]);
    message
}

fn forgeries() -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    for number in 0..60 {
        for message_type in [0, 1, 2, 4, 11, 15, 16, 20, 24] {
            forged.push(record(
                HANDSHAKE,
                0,
                number,
                &handshake(message_type, u16::from(number)),
            ));
        }
        for epoch in 0..4 {
            forged.push(record(HANDSHAKE, epoch, number, &[number; 40]));
            forged.push(record(APPLICATION_DATA, epoch, number, &[number; 60]));
            forged.push(record(ALERT, epoch, number, &[1, 0]));
            forged.push(record(ALERT, epoch, number, &[2, 40]));
        }
        // Unified headers of DTLS 1.3.
        for first in [0x2c, 0x2d, 0x2e, 0x2f] {
            let mut unified = vec![first, 0, number, 0, 40];
            unified.resize(45, number);
            forged.push(unified);
        }
    }
    forged
}

fn survives(dtls: DtlsVersion, offer: fn(String) -> String) {
    let mut call = Call::connected(CallConfig {
        dtls,
        offer,
        ..CallConfig::default()
    });
    for forged in forgeries() {
        call.inject(address(OUTSIDE), &forged);
        assert_eq!(
            call.session.stats().state,
            SessionState::Connected,
            "{dtls:?}: {forged:02x?} ended the call"
        );
    }
    call.say(&opus(1));
    call.run_ms(100);
    assert_eq!(call.said.frames.len(), 1);
    call.close("api", false);
    call.run_ms(100);
    assert_eq!(call.said.closed(), Some("api"));
}

#[test]
fn forged_records_do_not_end_a_call_over_dtls_1_2() {
    survives(DtlsVersion::Dtls12, |offer| offer);
}

#[test]
fn forged_records_do_not_end_a_call_over_dtls_1_3() {
    survives(DtlsVersion::Dtls13, |offer| offer);
}

#[test]
fn forged_records_do_not_end_a_call_whose_dtls_the_edge_started() {
    let passive = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
    survives(DtlsVersion::Dtls12, passive);
    survives(DtlsVersion::Dtls13, passive);
}
