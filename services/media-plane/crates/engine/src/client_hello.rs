//! What happens to a ClientHello before the DTLS library sees it: only what may be one is let in, and its `use_srtp` is
//! changed, so that `AEAD_AES_128_GCM` is chosen where the caller offers it. That costs a third of CM with SHA-1.
//!
//! dimpl 0.9 has no setting for profiles. Its 1.3 server takes the first profile of the offer that it knows (Chromium lists
//! `AES128_CM_SHA1_80` first), its 1.2 server prefers AES-256. So the other profiles of a ClientHello get numbers that
//! nobody has assigned on their way into the library, and their own ones back wherever it hashes or verifies the
//! transcript, which both ends have to see alike. A `use_srtp` that is split over two datagrams is left as it is.

use std::borrow::Cow;

use dimpl::crypto::{Buf, CryptoProvider, HashContext, HashProvider, SignatureVerifier, aws_lc_rs};
use dimpl::{CryptoError, HashAlgorithm, SignatureAlgorithm};

use crate::rsa;

/// DTLS record and handshake headers (RFC 9147 4, 5.2).
const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// `use_srtp` (RFC 5764 4.1.1): type, length, length of the list.
const USE_SRTP: [u8; 2] = [0x00, 0x0e];
const EXTENSION_HEADER: usize = 6;
const MAX_PROFILES: usize = 16;
/// `SRTP_AEAD_AES_128_GCM`; the others that the library knows.
const WANTED: [u8; 2] = [0x00, 0x07];
const OTHERS: [u8; 2] = [0x01, 0x08];
/// High octet of a hidden profile's number.
const HIDDEN: u8 = 0xfa;

/// The library's cryptography, with hashes and verification that see what the caller sent.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        hash_provider: &Hashes,
        signature_verification: &Verifier,
        ..aws_lc_rs::default_provider()
    }
}

/// Hides the other profiles of a ClientHello that offers the wanted one.
pub(crate) fn hide(mut datagram: &mut [u8]) {
    while let Some((header, rest)) = datagram.split_at_mut_checked(RECORD_HEADER) {
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some((body, next)) = rest.split_at_mut_checked(length) else {
            return;
        };
        let plain = header[0] == HANDSHAKE && header[3..5] == [0, 0];
        if plain && body.len() > HANDSHAKE_HEADER && body[0] == CLIENT_HELLO {
            rewrite(&mut body[HANDSHAKE_HEADER..], 0, HIDDEN);
        }
        datagram = next;
    }
}

/// Whether a datagram may be a ClientHello, or a part of one: its headers agree with each other and with its length.
pub(crate) fn is_client_hello(datagram: &[u8]) -> bool {
    let Some((header, rest)) = datagram.split_at_checked(RECORD_HEADER) else {
        return false;
    };
    let body = rest.get(..usize::from(u16::from_be_bytes([header[11], header[12]])));
    let Some(body) = body.filter(|body| body.len() > HANDSHAKE_HEADER) else {
        return false;
    };
    let number = |at: usize| u32::from_be_bytes([0, body[at], body[at + 1], body[at + 2]]);
    let (whole, offset, length) = (number(1), number(6), number(9));
    header[..2] == [HANDSHAKE, 0xfe]
        && header[3..5] == [0, 0]
        && body[0] == CLIENT_HELLO
        && offset + length <= whole
        && length as usize <= body.len() - HANDSHAKE_HEADER
}

/// The transcript as the caller sent and saw it.
fn restore(transcript: &[u8]) -> Cow<'_, [u8]> {
    if !transcript.contains(&HIDDEN) && !rsa::has_request(transcript) {
        return Cow::Borrowed(transcript);
    }
    let mut restored = transcript.to_vec();
    rewrite(&mut restored, HIDDEN, 0);
    rsa::offer(&mut restored);
    Cow::Owned(restored)
}

/// Changes the high octet of the other profiles in every `use_srtp` that offers the wanted one.
fn rewrite(bytes: &mut [u8], from: u8, to: u8) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(2).position(|pair| pair == USE_SRTP) {
        at += found;
        if let Some(profiles) = list(&mut bytes[at..]) {
            let others = profiles.as_chunks_mut::<2>().0.iter_mut();
            for profile in others.filter(|profile| profile[0] == from && OTHERS.contains(&profile[1])) {
                profile[0] = to;
            }
        }
        at += USE_SRTP.len();
    }
}

/// The list of profiles, if this is a whole `use_srtp` without MKI that offers the wanted one.
fn list(extension: &mut [u8]) -> Option<&mut [u8]> {
    let (header, rest) = extension.split_at_mut_checked(EXTENSION_HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let whole = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let (profiles, behind) = rest.split_at_mut_checked(length)?;
    let pairs = profiles.as_chunks::<2>().0;
    let plausible = whole == length + 3
        && length.is_multiple_of(2)
        && pairs.len() <= MAX_PROFILES
        && pairs
            .iter()
            .all(|[high, low]| matches!(*high, 0 | HIDDEN) && *low < 0x20);
    (plausible && behind.first() == Some(&0) && pairs.contains(&WANTED)).then_some(profiles)
}

#[derive(Debug)]
struct Hashes;

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(aws_lc_rs::default_provider().hash_provider.create_hash(algorithm)))
    }
}

#[derive(Debug)]
struct Hash(Box<dyn HashContext>);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(&restore(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

#[derive(Debug)]
struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        if algorithm == SignatureAlgorithm::RSA {
            return rsa::verify(certificate, &restore(data), signature, hash);
        }
        let verifier = aws_lc_rs::default_provider().signature_verification;
        verifier.verify_signature(certificate, &restore(data), signature, hash, algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::{hide, restore};

    /// A ClientHello's record around these bytes.
    fn record(body: &[u8]) -> Vec<u8> {
        let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend(u16::try_from(body.len() + 12).expect("short").to_be_bytes());
        record.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        record.extend(body);
        record
    }

    #[test]
    fn other_profiles_are_hidden_and_restored() {
        let chromium = [9, 9, 0, 14, 0, 9, 0, 6, 0, 1, 0, 8, 0, 7, 0, 5, 5];
        let sent = record(&chromium);
        let mut seen = sent.clone();
        hide(&mut seen);
        assert_eq!(seen[25..], [9, 9, 0, 14, 0, 9, 0, 6, 0xfa, 1, 0xfa, 8, 0, 7, 0, 5, 5]);
        assert_eq!(*restore(&seen), *sent);
    }

    #[test]
    fn an_offer_without_the_wanted_profile_stays() {
        let sent = record(&[0, 14, 0, 5, 0, 2, 0, 1, 0]);
        let mut seen = sent.clone();
        hide(&mut seen);
        assert_eq!(seen, sent);
    }

    #[test]
    fn what_is_cut_short_stays() {
        let whole = record(&[0, 14, 0, 9, 0, 6, 0, 1, 0, 8, 0, 7, 0]);
        for end in 0..whole.len() {
            let mut seen = whole[..end].to_vec();
            hide(&mut seen);
            assert_eq!(seen, whole[..end]);
        }
    }
}
