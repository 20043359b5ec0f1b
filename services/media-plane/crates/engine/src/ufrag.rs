//! Sealed ufrags: an ICE ufrag that says which edge, shard and session owns it, and that only the cluster can make.
//!
//! `version u8 | edge u32 | slot u32 | restart u8 | epoch u48 | tag 8 bytes`, 24 bytes in ICE's base64 alphabet: 32
//! characters. The tag is HMAC-SHA256 under the cluster's secret over the rest, cut to 8 bytes. The ICE password is
//! derived from the ufrag, so that any shard of any edge can check MESSAGE-INTEGRITY without the session.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Characters of a sealed ufrag.
pub const UFRAG_LEN: usize = 32;

const VERSION: u8 = 1;
const BODY: usize = 16;
const SEALED: usize = 24;

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
        ascii(&self.0)
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
        ascii(&self.0)
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
        let mut sealed = [0; SEALED];
        sealed[0] = VERSION;
        sealed[1..5].copy_from_slice(&ufrag.edge.to_be_bytes());
        sealed[5..9].copy_from_slice(&ufrag.slot.to_be_bytes());
        sealed[9] = ufrag.restart;
        sealed[10..BODY].copy_from_slice(&ufrag.epoch.to_be_bytes()[2..]);
        let tag = hmac::sign(&self.key, &sealed[..BODY]);
        sealed[BODY..].copy_from_slice(&tag.as_ref()[..SEALED - BODY]);
        UfragText(encode(&sealed))
    }

    /// Opens a ufrag taken from a USERNAME; the tag is compared in constant time.
    ///
    /// # Errors
    /// [`UfragError`].
    pub fn open(&self, text: &[u8]) -> Result<Ufrag, UfragError> {
        let mut sealed = [0; SEALED];
        if text.len() != UFRAG_LEN
            || STANDARD_NO_PAD.decode_slice(text, &mut sealed) != Ok(SEALED)
            || sealed[0] != VERSION
        {
            return Err(UfragError::Malformed);
        }
        let (body, tag) = sealed.split_at(BODY);
        let expected = hmac::sign(&self.key, body);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..SEALED - BODY], tag)
            .map_err(|_| UfragError::Forged)?;
        let word = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let epoch = body[10..].iter().fold(0, |epoch, &byte| epoch << 8 | u64::from(byte));
        Ok(Ufrag {
            edge: word(1),
            slot: word(5),
            restart: body[9],
            epoch,
        })
    }

    /// The password that belongs to a ufrag.
    #[must_use]
    pub fn password(&self, text: &[u8]) -> Password {
        // A sealed body begins with the version, never with 'p': the two uses of the key stay apart.
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"pwd");
        context.update(text);
        let tag = context.sign();
        let mut bytes = [0; PASSWORD_LEN / 4 * 3];
        bytes.copy_from_slice(&tag.as_ref()[..PASSWORD_LEN / 4 * 3]);
        Password(encode(&bytes))
    }
}

fn encode<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [0; N];
    let written = STANDARD_NO_PAD.encode_slice(bytes, &mut text);
    debug_assert_eq!(written.ok(), Some(N));
    text
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}
