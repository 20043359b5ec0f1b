//! The transforms themselves: AEAD_AES_GCM through aws-lc, AES-CM with HMAC-SHA1 through RustCrypto, which keeps a
//! key's schedule in 400 bytes where aws-lc needs 1,700. Both are keyed once and allocate nothing afterwards.

use aes::Aes128Enc;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ctr::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::kdf::{Label, Master};
use super::{ENCRYPTED, Profile, RTCP_HEADER, RTCP_INDEX};

/// Whether keys are for RTP or RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
}

/// The packet is not authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forged;

/// Keys of one direction of RTP or RTCP. Packets are whole and have room for what is appended; lengths are the
/// caller's to check.
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Cm(Box<CounterMode>),
}

pub(super) struct CounterMode {
    aes: Aes128Enc,
    mac: Hmac<Sha1>,
    salt: [u8; 14],
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gcm { .. } => "Gcm",
            Self::Cm(_) => "Cm",
        })
    }
}

const GCM_TAG: usize = 16;
const SHA1_80_TAG: usize = 10;

impl Cipher {
    pub(super) fn new(profile: Profile, master: &Master<'_>, kind: Kind) -> Self {
        let (encryption, authentication, salting) = match kind {
            Kind::Rtp => (Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt),
            Kind::Rtcp => (Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt),
        };
        let mut key = [0; 32];
        let key = &mut key[..profile.key_len()];
        master.derive(encryption, key);
        let algorithm = match profile {
            Profile::AeadAes128Gcm => &AES_128_GCM,
            Profile::AeadAes256Gcm => &AES_256_GCM,
            Profile::Aes128CmSha1_80 => {
                let mut salt = [0; 14];
                let mut mac_key = [0; 20];
                master.derive(salting, &mut salt);
                master.derive(authentication, &mut mac_key);
                let aes = Aes128Enc::new_from_slice(key).expect("the profile's key length");
                let mac = Hmac::new_from_slice(&mac_key).expect("any key length");
                return Self::Cm(Box::new(CounterMode { aes, mac, salt }));
            }
        };
        let mut salt = [0; 12];
        master.derive(salting, &mut salt);
        let key = UnboundKey::new(algorithm, key).expect("the profile's key length");
        Self::Gcm {
            key: LessSafeKey::new(key),
            salt,
        }
    }

    /// From session keys, which the vectors of RFC 7714 give.
    #[cfg(test)]
    pub(super) fn gcm(key: &[u8], salt: [u8; 12]) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        Self::Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap()),
            salt,
        }
    }

    /// Seals `packet`, whose last bytes are room for the tag, behind its `header` bytes.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) {
        match self {
            Self::Gcm { key, salt } => {
                let (aad, body) = packet.split_at_mut(header);
                seal(key, rtp_nonce(salt, ssrc, index), aad, body);
            }
            Self::Cm(cm) => {
                let (content, tag) = packet.split_at_mut(packet.len() - SHA1_80_TAG);
                cm.keystream(ssrc, index, &mut content[header..]);
                tag.copy_from_slice(&cm.tag(&[content, &roc(index)]));
            }
        }
    }

    /// Opens `packet` in place.
    pub(super) fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Result<(), Forged> {
        match self {
            Self::Gcm { key, salt } => {
                let (aad, body) = packet.split_at_mut(header);
                open(key, rtp_nonce(salt, ssrc, index), aad, body)
            }
            Self::Cm(cm) => {
                let (content, tag) = packet.split_at_mut(packet.len() - SHA1_80_TAG);
                cm.verify(&[content, &roc(index)], tag)?;
                cm.keystream(ssrc, index, &mut content[header..]);
                Ok(())
            }
        }
    }

    /// Seals `packet`, whose last bytes are room for index and tag.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) {
        let trailer = (index | ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let (rest, word) = packet.split_at_mut(packet.len() - RTCP_INDEX);
                word.copy_from_slice(&trailer);
                let (header, body) = rest.split_at_mut(RTCP_HEADER);
                seal(key, rtcp_nonce(salt, ssrc, index), &rtcp_aad(header, trailer), body);
            }
            Self::Cm(cm) => {
                let (content, tag) = packet.split_at_mut(packet.len() - SHA1_80_TAG);
                let (rest, word) = content.split_at_mut(content.len() - RTCP_INDEX);
                word.copy_from_slice(&trailer);
                cm.keystream(ssrc, u64::from(index), &mut rest[RTCP_HEADER..]);
                tag.copy_from_slice(&cm.tag(&[content]));
            }
        }
    }

    /// Opens `packet` in place.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<(), Forged> {
        match self {
            Self::Gcm { key, salt } => {
                let end = packet.len() - RTCP_INDEX;
                let (header, body) = packet[..end].split_at_mut(RTCP_HEADER);
                let aad = rtcp_aad(header, (index | ENCRYPTED).to_be_bytes());
                open(key, rtcp_nonce(salt, ssrc, index), &aad, body)
            }
            Self::Cm(cm) => {
                let (content, tag) = packet.split_at_mut(packet.len() - SHA1_80_TAG);
                cm.verify(&[content], tag)?;
                let end = content.len() - RTCP_INDEX;
                cm.keystream(ssrc, u64::from(index), &mut content[RTCP_HEADER..end]);
                Ok(())
            }
        }
    }
}

impl CounterMode {
    /// RFC 3711 4.1.1. Packets are far shorter than 2^16 blocks, so a 32-bit counter does.
    fn keystream(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut iv = [0; 16];
        iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
        iv[6..14]
            .iter_mut()
            .zip(index.to_be_bytes())
            .for_each(|(byte, index)| *byte ^= index);
        iv.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        let core = CtrCore::<&Aes128Enc, flavors::Ctr32BE>::inner_iv_init(&self.aes, &iv.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; SHA1_80_TAG] {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        let mut tag = [0; SHA1_80_TAG];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..SHA1_80_TAG]);
        tag
    }

    fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), Forged> {
        if bool::from(self.tag(parts).ct_eq(tag)) {
            Ok(())
        } else {
            Err(Forged)
        }
    }
}

/// Encrypts all of `body` but the room for the tag at its end.
fn seal(key: &LessSafeKey, nonce: Nonce, aad: &[u8], body: &mut [u8]) {
    let (content, room) = body.split_at_mut(body.len() - GCM_TAG);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(aad), content)
        .expect("a packet is never too long");
    room.copy_from_slice(tag.as_ref());
}

fn open(key: &LessSafeKey, nonce: Nonce, aad: &[u8], body: &mut [u8]) -> Result<(), Forged> {
    key.open_in_place(nonce, Aad::from(aad), body)
        .map(drop)
        .map_err(|_| Forged)
}

/// RFC 7714 8.1: two zero octets, SSRC, roll-over counter, sequence number, under the salt.
fn rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    nonce(salt, ssrc, index & 0xffff_ffff_ffff)
}

/// RFC 7714 9.1: two zero octets, SSRC, two zero octets, index, under the salt.
fn rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    nonce(salt, ssrc, u64::from(index))
}

fn nonce(salt: &[u8; 12], ssrc: u32, low: u64) -> Nonce {
    let value = u128::from(ssrc) << 48 | u128::from(low);
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&value.to_be_bytes()[4..]);
    bytes.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    Nonce::assume_unique_for_key(bytes)
}

/// RFC 7714 9.2: the header, then E flag and index.
fn rtcp_aad(header: &[u8], trailer: [u8; RTCP_INDEX]) -> [u8; RTCP_HEADER + RTCP_INDEX] {
    let mut aad = [0; RTCP_HEADER + RTCP_INDEX];
    aad[..RTCP_HEADER].copy_from_slice(header);
    aad[RTCP_HEADER..].copy_from_slice(&trailer);
    aad
}

/// RFC 3711 4.2: the roll-over counter is authenticated behind the packet.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
