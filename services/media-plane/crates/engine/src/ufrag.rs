//! Sealed ufrags: an ICE ufrag that says which edge, shard and session owns it, and that only the cluster can make.
//!
//! `version u8 | edge u32 | slot u32 | restart u8 | epoch u48 | tag 8 bytes`, 24 bytes in ICE's base64 alphabet: 32
//! characters. The tag is HMAC-SHA256 under the cluster's secret over the rest, cut to 8 bytes. The ICE password is
//! derived from the ufrag, so that any shard of any edge can check MESSAGE-INTEGRITY without the session.

use aws_lc_rs::hmac;

/// Characters of a sealed ufrag.
pub const UFRAG_LEN: usize = 32;

/// Characters of a derived password.
pub const PASSWORD_LEN: usize = 24;

/// What a sealed ufrag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ufrag {
    /// The edge's number.
    pub edge: u32,
    /// Shard in the top 8 bits, index below.
    pub slot: u32,
    /// Grows with each ICE restart of the session.
    pub restart: u8,
    /// Fencing token; the low 48 bits.
    pub epoch: u64,
}

/// Why a ufrag is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UfragError {
    /// Wrong length, alphabet or version.
    #[error("not a sealed ufrag")]
    Malformed,
    /// The tag is wrong.
    #[error("ufrag sealed by another cluster")]
    Forged,
}

/// A sealed ufrag as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UfragText([u8; UFRAG_LEN]);

impl UfragText {
    /// As text for SDP.
    #[must_use]
    pub fn as_str(&self) -> &str {
        unimplemented!()
    }

    /// As bytes for STUN.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; UFRAG_LEN] {
        &self.0
    }
}

/// A derived ICE password. Its `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct Password([u8; PASSWORD_LEN]);

impl Password {
    /// As text for SDP.
    #[must_use]
    pub fn as_str(&self) -> &str {
        unimplemented!()
    }

    /// As bytes for STUN.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PASSWORD_LEN] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Seals and opens ufrags under the cluster's secret. One for each shard; no allocation after it is made.
#[derive(Debug)]
pub struct Sealer {
    key: hmac::Key,
}

impl Sealer {
    /// Keys a sealer.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// Seals.
    #[must_use]
    pub fn seal(&self, ufrag: &Ufrag) -> UfragText {
        let _ = (ufrag, &self.key);
        unimplemented!()
    }

    /// Opens a ufrag taken from a USERNAME; the tag is compared in constant time.
    ///
    /// # Errors
    /// [`UfragError`].
    pub fn open(&self, text: &[u8]) -> Result<Ufrag, UfragError> {
        let _ = text;
        unimplemented!()
    }

    /// The password that belongs to a ufrag.
    #[must_use]
    pub fn password(&self, text: &[u8]) -> Password {
        let _ = text;
        unimplemented!()
    }
}
