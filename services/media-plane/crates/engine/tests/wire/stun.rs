//! STUN, with the sample request of RFC 5769 2.1.

use antiphon_engine::stun::{
    BindingRequest, Check, ErrorCode, Kind, MAX_RESPONSE, Probe, Role, StunError, classify, write_error, write_success,
};
use proptest::prelude::*;

use crate::hex;

const SAMPLE: &str = "
    00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
    00 24 00 04 6e 00 01 ff
    80 29 00 08 93 2f f9 b1 51 26 3b 36
    00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
    00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
    80 28 00 04 e5 7a 3b cf";
const SAMPLE_PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

fn check() -> Check<'static> {
    Check {
        transaction: *b"transaction!",
        username: b"server:client",
        password: b"a password of the server",
        priority: 1_845_501_695,
        use_candidate: true,
        role: Role::Controlling(7),
    }
}

fn written(check: &Check<'_>) -> Vec<u8> {
    let mut buffer = [0; 256];
    let length = check.write(&mut buffer);
    buffer[..length].to_vec()
}

/// Appends an attribute in front of MESSAGE-INTEGRITY, or anywhere else, without mending anything.
fn insert(message: &mut Vec<u8>, at: usize, attribute: &[u8]) {
    message.splice(at..at, attribute.iter().copied());
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

#[test]
fn the_sample_request_of_rfc_5769_is_read_and_verified() {
    let sample = hex(SAMPLE);
    let request = BindingRequest::parse(&sample).unwrap();
    assert_eq!(request.username, Some(&b"evtj:h6vY"[..]));
    assert_eq!(request.local_ufrag(), Some(&b"evtj"[..]));
    assert_eq!(request.remote_ufrag(), Some(&b"h6vY"[..]));
    assert_eq!(request.priority, Some(0x6e00_01ff));
    assert_eq!(request.role, Some(Role::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(request.verify(SAMPLE_PASSWORD));
    assert!(!request.verify(b"VOkJxbRl1RmTxUk/WvJxBT"));
}

#[test]
fn a_check_reads_back() {
    let message = written(&check());
    let request = BindingRequest::parse(&message).unwrap();
    assert!(request.use_candidate);
    assert_eq!(request.transaction, *b"transaction!");
    assert_eq!(request.role, Some(Role::Controlling(7)));
    assert!(request.unknown_attributes().is_empty());
    assert!(request.verify(check().password));
}

#[test]
fn a_changed_byte_is_noticed() {
    let mut sample = hex(SAMPLE);
    sample[30] ^= 1;
    assert_eq!(BindingRequest::parse(&sample).unwrap_err(), StunError::Fingerprint);
}

#[test]
fn without_message_integrity_nothing_verifies() {
    let mut message = hex(SAMPLE);
    message.truncate(20 + 20 + 8 + 12 + 16);
    insert(&mut message, 76, &[]);
    let request = BindingRequest::parse(&message).unwrap();
    assert!(!request.has_integrity());
    assert!(!request.verify(SAMPLE_PASSWORD));
}

#[test]
fn what_follows_message_integrity_does_not_count() {
    let mut message = written(&Check {
        use_candidate: false,
        ..check()
    });
    message.truncate(message.len() - 8);
    let end = message.len();
    insert(&mut message, end, &[0x00, 0x25, 0, 0]);
    let request = BindingRequest::parse(&message).unwrap();
    assert!(request.verify(check().password));
    assert!(!request.use_candidate);
}

#[test]
fn unknown_attributes_that_must_be_understood_are_listed() {
    let mut message = written(&check());
    message.truncate(message.len() - 8);
    insert(&mut message, 20, &[0x7f, 0x01, 0, 0, 0xff, 0x01, 0, 0]);
    let request = BindingRequest::parse(&message).unwrap();
    assert_eq!(request.unknown_attributes(), [0x7f01]);
}

#[test]
fn only_binding_requests_are_taken() {
    let mut buffer = [0; MAX_RESPONSE];
    let length = write_success(&mut buffer, &[1; 12], "192.0.2.1:9".parse().unwrap(), b"password");
    assert_eq!(
        BindingRequest::parse(&buffer[..length]).unwrap_err(),
        StunError::NotBindingRequest
    );
    assert_eq!(
        BindingRequest::parse(&buffer[..length - 1]).unwrap_err(),
        StunError::Malformed
    );
}

#[test]
fn the_mapped_address_is_masked_as_in_rfc_5769() {
    // 2.2 and 2.3: 192.0.2.1:32853 and [2001:db8:1234:5678:11:2233:4455:6677]:32853.
    let transaction = hex("b7e7a701bc34d686fa87dfae").try_into().unwrap();
    let mut buffer = [0; MAX_RESPONSE];
    let _ = write_success(
        &mut buffer,
        &transaction,
        "192.0.2.1:32853".parse().unwrap(),
        SAMPLE_PASSWORD,
    );
    assert_eq!(buffer[20..32], hex("0020 0008 0001 a147 e112a643"));

    let address = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    let _ = write_success(&mut buffer, &transaction, address, SAMPLE_PASSWORD);
    assert_eq!(
        buffer[20..44],
        hex("0020 0014 0002 a147 0113a9faa5d3f179bc25f4b5bed2b9d9")
    );

    let _ = write_success(
        &mut buffer,
        &transaction,
        "[::ffff:192.0.2.1]:32853".parse().unwrap(),
        SAMPLE_PASSWORD,
    );
    assert_eq!(buffer[20..32], hex("0020 0008 0001 a147 e112a643"));
}

#[test]
fn errors_carry_their_code_and_the_unknown_attributes() {
    let mut buffer = [0; MAX_RESPONSE];
    for (code, digits) in [
        (ErrorCode::BadRequest, [4, 0]),
        (ErrorCode::Unauthorized, [4, 1]),
        (ErrorCode::UnknownAttribute, [4, 20]),
        (ErrorCode::RoleConflict, [4, 87]),
    ] {
        let length = write_error(&mut buffer, &[1; 12], code, &[0x7f01; 20], Some(b"password"));
        assert_eq!(classify(&buffer[..length]), Kind::Stun);
        assert_eq!(buffer[26..28], digits);
    }
    let _ = write_error(&mut buffer, &[1; 12], ErrorCode::UnknownAttribute, &[0x7f01], None);
    assert_eq!(buffer[48..56], [0, 0x0a, 0, 2, 0x7f, 0x01, 0, 0]);
}

#[test]
fn datagrams_are_told_apart() {
    assert_eq!(classify(&hex(SAMPLE)), Kind::Stun);
    assert_eq!(classify(&[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Kind::Dtls);
    assert_eq!(classify(&[0x80, 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Kind::Rtp);
    assert_eq!(classify(&[0x80, 128 | 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Kind::Rtp);
    assert_eq!(classify(&[0x80, 200, 0, 0, 0, 0, 0, 0]), Kind::Rtcp);
    assert_eq!(classify(&[0x40; 20]), Kind::Other);
    assert_eq!(classify(&[]), Kind::Other);
}

/// A binding request that names nobody, with so many bytes of SOFTWARE.
fn probe(padding: usize) -> Vec<u8> {
    let mut message = hex("00 01 00 00 21 12 a4 42");
    message.extend(*b"transaction!");
    if padding > 0 {
        let mut attribute = vec![0x80, 0x22, 0, (padding - 4) as u8];
        attribute.resize(padding, b' ');
        insert(&mut message, 20, &attribute);
    }
    message
}

#[test]
fn a_probe_is_answered_with_its_address_where_that_is_no_longer_than_it() {
    let mut answer = [0xff; MAX_RESPONSE];
    let (v4, v6) = (
        "192.0.2.1:32853".parse().unwrap(),
        "[2001:db8::1]:32853".parse().unwrap(),
    );
    let mut length = |padding, address, longer| {
        let probe = Probe::parse(&probe(padding)).expect("a probe");
        let length = probe.answer(&mut answer, address, longer);
        assert_eq!(classify(&answer[..length]), Kind::Stun);
        assert_eq!((&answer[..2], &answer[8..20]), (&[1, 1][..], &b"transaction!"[..]));
        length
    };
    assert_eq!(
        [0, 8, 12, 24].map(|padding| length(padding, v4, false)),
        [20, 20, 32, 32]
    );
    assert_eq!([0, 12, 24].map(|padding| length(padding, v6, false)), [20, 20, 44]);
    assert_eq!((length(0, v4, true), length(0, v6, true)), (32, 44));
    assert_eq!(length(0, "[::ffff:192.0.2.1]:9".parse().unwrap(), true), 32, "as IPv4");
}

#[test]
fn what_names_somebody_or_must_be_understood_is_no_probe() {
    assert_eq!(Probe::parse(&written(&check())), None);
    assert_eq!(Probe::parse(&hex(SAMPLE)), None, "SOFTWARE comes before its name");
    let mut changes = probe(0);
    insert(&mut changes, 20, &[0, 3, 0, 4, 0, 0, 0, 6]); // CHANGE-REQUEST of RFC 5780
    assert_eq!(Probe::parse(&changes), None);
    assert_eq!(Probe::parse(&probe(112)), None, "longer than any probe");
    let mut overruns = probe(8);
    overruns[23] = 5;
    assert_eq!(Probe::parse(&overruns), None);
    let mut indication = probe(0);
    indication[1] = 0x11;
    assert_eq!(Probe::parse(&indication), None);
}

proptest! {
    #[test]
    fn no_probe_is_answered_with_more_than_it_sent(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
        let mut message = [probe(0), bytes].concat();
        message.truncate(message.len() / 4 * 4);
        let length = (message.len() - 20) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        if let Some(probe) = Probe::parse(&message) {
            let answered = probe.answer(&mut [0; MAX_RESPONSE], "[2001:db8::1]:9".parse().unwrap(), false);
            prop_assert!(answered <= message.len());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = classify(&bytes);
        if let Ok(request) = BindingRequest::parse(&bytes) {
            let _ = request.verify(b"password");
        }
    }

    #[test]
    fn any_attributes_are_read_or_refused(
        attributes in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..24)), 0..12)
    ) {
        let mut message = hex("0001 0000 2112a442 000000000000000000000000");
        for (kind, mut value) in attributes {
            let mut attribute = kind.to_be_bytes().to_vec();
            attribute.extend((value.len() as u16).to_be_bytes());
            value.resize(value.len().next_multiple_of(4), 0);
            attribute.extend(value);
            let end = message.len();
            insert(&mut message, end, &attribute);
        }
        if let Ok(request) = BindingRequest::parse(&message) {
            prop_assert!(!request.verify(b"password"));
        }
    }

    #[test]
    fn a_check_verifies_under_its_password_alone(
        transaction in any::<[u8; 12]>(), username in "[a-z]{4,40}:[a-z]{4,40}", password in "[a-z]{22,30}",
        priority in any::<u32>(), use_candidate in any::<bool>(), tie_breaker in any::<u64>(),
    ) {
        let role = Role::Controlling(tie_breaker);
        let (username, password) = (username.as_bytes(), password.as_bytes());
        let check = Check { transaction, username, password, priority, use_candidate, role };
        let message = written(&check);
        let request = BindingRequest::parse(&message).unwrap();
        prop_assert!(request.verify(password));
        prop_assert!(!request.verify(&password[1..]));
        prop_assert_eq!(request.username, Some(username));
        prop_assert_eq!(request.priority, Some(priority));
        prop_assert_eq!(request.use_candidate, use_candidate);
        prop_assert_eq!(request.role, Some(role));
    }
}

/// The least that a valid check is made of: a header, USERNAME with a sealed ufrag and a caller's of four characters, and
/// MESSAGE-INTEGRITY.
const SMALLEST_CHECK: usize = 20 + (4 + 40) + 24;

#[test]
fn no_answer_is_larger_than_what_it_answers() {
    let (transaction, password) = (b"transaction!", Some(&b"a password of the server"[..]));
    let mut buffer = [0; MAX_RESPONSE];
    for address in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
        let mapped = address.parse().unwrap();
        assert!(write_success(&mut buffer, transaction, mapped, b"a password of the server") <= SMALLEST_CHECK);
    }
    let unknown = [0x7777; 9];
    for count in 1..=unknown.len() {
        let length = write_error(
            &mut buffer,
            transaction,
            ErrorCode::UnknownAttribute,
            &unknown[..count],
            password,
        );
        assert!(
            length <= SMALLEST_CHECK + 4 * count,
            "{count} unknown attributes, {length} bytes"
        );
    }
    let controlled = 12;
    let length = write_error(&mut buffer, transaction, ErrorCode::RoleConflict, &[], password);
    assert!(length <= SMALLEST_CHECK + controlled);
}
