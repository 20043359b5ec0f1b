//! SRTP and SRTCP (RFC 3711, RFC 7714): sealing and opening in place, without allocation once a stream is known.

mod cipher;
mod kdf;
mod receiver;
mod replay;
mod sender;

pub use receiver::{OpenError, Opened, Receiver};
pub(crate) use replay::{Refusal, Window};
pub use sender::{SealError, Sender};

/// The last 1,024 numbers.
pub(crate) type ReplayWindow = replay::Window<17>;

/// A protection profile (RFC 5764, RFC 7714).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`.
    AeadAes256Gcm,
    /// `SRTP_AES128_CM_SHA1_80`.
    Aes128CmSha1_80,
}

impl Profile {
    /// Bytes of a master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }

    /// Bytes of an authentication tag.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }
}

/// Most bytes that sealing an RTP or RTCP packet adds.
pub const MAX_OVERHEAD: usize = 20;

/// Most streams (SSRCs) that a context keeps state for.
pub const MAX_STREAMS: usize = 32;

/// Bytes of an RTCP packet that are never encrypted: the first header and its sender.
const RTCP_HEADER: usize = 8;
/// Bytes of the SRTCP index with its E flag.
const RTCP_INDEX: usize = 4;
const ENCRYPTED: u32 = 1 << 31;

/// Which side of the DTLS handshake we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We sent the ClientHello.
    Client,
    /// We answered it.
    Server,
}

/// Keying material of the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keying material has {got} bytes, the profile needs {expected}")]
pub struct KeyError {
    /// What the profile needs.
    pub expected: usize,
    /// What was given.
    pub got: usize,
}

/// Makes both directions' contexts from what DTLS exports (RFC 5764 4.2: client key, server key, client salt, server
/// salt).
///
/// # Errors
/// [`KeyError`] when the material is not as long as the profile says.
pub fn from_dtls(profile: Profile, material: &[u8], side: Side) -> Result<(Sender, Receiver), KeyError> {
    let expected = 2 * (profile.key_len() + profile.salt_len());
    if material.len() != expected {
        return Err(KeyError {
            expected,
            got: material.len(),
        });
    }
    let (keys, salts) = material.split_at(2 * profile.key_len());
    let (client_key, server_key) = keys.split_at(profile.key_len());
    let (client_salt, server_salt) = salts.split_at(profile.salt_len());
    let client = (client_key, client_salt);
    let server = (server_key, server_salt);
    let (ours, theirs) = match side {
        Side::Client => (client, server),
        Side::Server => (server, client),
    };
    Ok((
        Sender::new(profile, ours.0, ours.1)?,
        Receiver::new(profile, theirs.0, theirs.1)?,
    ))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
