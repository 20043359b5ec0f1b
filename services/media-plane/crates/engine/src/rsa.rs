//! Callers with RSA certificates over DTLS 1.2, as GStreamer 1.22 makes them. dimpl 0.9 knows ECDSA only.
//!
//! Its CertificateRequest offers `ecdsa_secp256r1_sha256` and `ecdsa_secp384r1_sha384`. On its way out the second becomes
//! `rsa_pkcs1_sha256`, which a P-384 key does not need, and whatever the library hashes is changed alike, since both ends
//! have to see the same transcript. All of this holds for an edge that is the server; as the client it leaves what comes as
//! it is. A caller without an ECDSA certificate then sends its own, instead of none. The library
//! asks our verifier about any signature, and [`verify`] answers for RSA.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use dimpl::{CryptoError, HashAlgorithm, SignatureAlgorithm};

const ECDSA_SHA384: [u8; 2] = [5, 3];
const RSA_SHA256: [u8; 2] = [4, 1];
/// The library's two requests, by the caller's preference (RFC 5246 7.4.4): certificate types, algorithms, no authorities.
const REQUESTS: [[u8; 10]; 2] = [[1, 64, 0, 4, 4, 3, 5, 3, 0, 0], [1, 64, 0, 4, 5, 3, 4, 3, 0, 0]];
const ALGORITHMS: std::ops::Range<usize> = 4..8;
const HANDSHAKE: u8 = 22;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// Serial number, signature algorithm, issuer, validity and subject stand before the key (RFC 5280 4.1).
const BEFORE_KEY: usize = 5;

/// Offers RSA in a CertificateRequest: in a datagram of ours before there are keys, or in a transcript. Says whether there
/// was one.
pub(crate) fn offer(bytes: &mut [u8]) -> bool {
    let (mut at, mut offered) = (0, false);
    while let Some(found) = request(&bytes[at..]) {
        at += found;
        for algorithm in bytes[at..][ALGORITHMS].as_chunks_mut::<2>().0 {
            if *algorithm == ECDSA_SHA384 {
                *algorithm = RSA_SHA256;
            }
        }
        offered = true;
    }
    offered
}

fn request(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(REQUESTS[0].len())
        .position(|window| REQUESTS.iter().any(|request| window == request))
}

/// Whether [`offer`] would change something.
pub(crate) fn has_request(bytes: &[u8]) -> bool {
    request(bytes).is_some()
}

/// Whether a datagram of ours is a flight of the handshake in the clear.
pub(crate) fn may_hold_request(datagram: &[u8]) -> bool {
    datagram.first() == Some(&HANDSHAKE) && datagram.get(3..5) == Some(&[0, 0])
}

/// Checks an RSA signature (PKCS#1 1.5 with SHA-256, keys of 2,048 bits and more) by a certificate's key.
pub(crate) fn verify(
    certificate: &[u8],
    data: &[u8],
    signature: &[u8],
    hash: HashAlgorithm,
) -> Result<(), CryptoError> {
    let refused = CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::RSA);
    if hash != HashAlgorithm::SHA256 {
        return Err(refused);
    }
    let key = public_key(certificate).ok_or(CryptoError::CertificateParseFailed)?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    key.verify(data, signature)
        .map_err(|_| CryptoError::InvalidSubjectPublicKey)
}

/// The `SubjectPublicKeyInfo` of a certificate (RFC 5280), with its header; none where it is no certificate.
#[must_use]
pub fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (tag, certificate, _) = element(certificate)?;
    let (inner, to_be_signed, _) = element(certificate)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let mut rest = to_be_signed;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..BEFORE_KEY {
        rest = element(rest)?.2;
    }
    let (tag, _, behind) = element(rest)?;
    (tag == SEQUENCE).then(|| &rest[..rest.len() - behind.len()])
}

/// The first element of DER (X.690 8.1): its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::{REQUESTS, element, has_request, may_hold_request, offer, public_key, verify};
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use dimpl::HashAlgorithm;
    use proptest::prelude::{any, proptest};

    #[test]
    fn a_request_offers_rsa_in_place_of_what_nobody_needs() {
        let mut flight = [&[9, 9][..], &REQUESTS[0], &[7], &REQUESTS[1]].concat();
        assert!(has_request(&flight) && offer(&mut flight));
        assert_eq!(
            flight,
            [9, 9, 1, 64, 0, 4, 4, 3, 4, 1, 0, 0, 7, 1, 64, 0, 4, 4, 1, 4, 3, 0, 0]
        );
        assert!(!has_request(&flight) && !offer(&mut flight), "once is enough");
    }

    #[test]
    fn only_handshakes_in_the_clear_are_looked_into() {
        assert!(may_hold_request(&[22, 254, 253, 0, 0, 0]));
        assert!(!may_hold_request(&[22, 254, 253, 0, 1, 0]));
        assert!(!may_hold_request(&[23, 254, 253, 0, 0, 0]));
        assert!(!may_hold_request(&[]));
    }

    #[test]
    fn a_certificate_gives_its_key() {
        let key = [0x30, 3, 2, 1, 5];
        let fields = [2, 1, 1, 0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0];
        for version in [&[0xa0, 3, 2, 1, 2][..], &[]] {
            let inner = [version, &fields, &key, &[0xa3, 0]].concat();
            let inner = [
                &[0x30, u8::try_from(inner.len()).expect("short")][..],
                &inner,
                &[0x30, 0],
            ]
            .concat();
            let whole = [&[0x30, 0x81, u8::try_from(inner.len()).expect("short")][..], &inner].concat();
            assert_eq!(public_key(&whole), Some(&key[..]));
            for end in 0..whole.len() {
                assert_eq!(public_key(&whole[..end]), None, "cut short at {end}");
            }
        }
    }

    /// As little as a certificate can be around a key.
    fn certificate(key: &[u8]) -> Vec<u8> {
        let wrap = |inner: &[u8]| {
            let length = u16::try_from(inner.len()).expect("short").to_be_bytes();
            [&[0x30, 0x82], &length[..], inner].concat()
        };
        wrap(&wrap(&[&[2, 1, 1, 0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0], key].concat()))
    }

    #[test]
    fn a_signature_is_checked_by_the_certificates_key() {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("it has a form");
        let certificate = certificate(der.as_ref());
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), b"transcript", &mut signature)
            .expect("it signs");
        let checked =
            |data: &[u8], signature: &[u8]| verify(&certificate, data, signature, HashAlgorithm::SHA256).is_ok();
        assert!(checked(b"transcript", &signature));
        assert!(!checked(b"another", &signature));
        signature[7] ^= 1;
        assert!(!checked(b"transcript", &signature));
        assert!(verify(b"none", b"transcript", &signature, HashAlgorithm::SHA256).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_within_its_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some((_, content, rest)) = element(&bytes) {
                assert!(content.len() + rest.len() < bytes.len());
            }
            if let Some(key) = public_key(&bytes) {
                assert!(key.len() < bytes.len());
            }
        }
    }
}
