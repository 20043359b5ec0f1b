//! Seals what we send.

use super::{KeyError, Profile};

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not an RTP or RTCP packet, or the buffer has no room for the tag.
    #[error("malformed packet, or no room for the tag")]
    Malformed,
    /// The sequence number does not grow: a nonce is never used twice. Send the cached ciphertext again instead.
    #[error("sequence number was used already")]
    Reused,
    /// Too many streams, or the key is used up.
    #[error("key is used up")]
    Exhausted,
}

/// Seals RTP and RTCP under one master key. It keeps each stream's roll-over counter itself.
#[derive(Debug)]
pub struct Sender {
    profile: Profile,
}

impl Sender {
    /// Derives session keys.
    ///
    /// # Errors
    /// [`KeyError`] when key or salt has the wrong length.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let _ = (key, salt);
        Ok(Self { profile })
    }

    /// Seals the RTP packet `buffer[..length]` in place and returns the new length; `buffer` has [`super::MAX_OVERHEAD`] bytes to spare.
    /// Sequence numbers of a stream must grow, by less than 2^15 at a time.
    ///
    /// # Errors
    /// [`SealError`]; the packet is then not to be sent.
    pub fn seal_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SealError> {
        let _ = (buffer, length, self.profile);
        unimplemented!()
    }

    /// Seals the compound RTCP packet `buffer[..length]` in place and returns the new length.
    ///
    /// # Errors
    /// [`SealError`]; the packet is then not to be sent.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SealError> {
        let _ = (buffer, length);
        unimplemented!()
    }
}
