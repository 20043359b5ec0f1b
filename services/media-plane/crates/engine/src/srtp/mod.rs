//! SRTP and SRTCP (RFC 3711, RFC 7714): sealing and opening in place, without allocation once a stream is known.

mod receiver;
mod sender;

pub use receiver::{OpenError, Opened, Receiver};
pub use sender::{SealError, Sender};

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

/// Most bytes that sealing an RTP or RTCP packet adds.
pub const MAX_OVERHEAD: usize = 20;

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

/// Makes both directions' contexts from what DTLS exports (RFC 5764 4.2: client key, server key, client salt, server salt).
///
/// # Errors
/// [`KeyError`] when the material is too short.
pub fn from_dtls(profile: Profile, material: &[u8], side: Side) -> Result<(Sender, Receiver), KeyError> {
    let _ = (profile, material, side);
    unimplemented!()
}
