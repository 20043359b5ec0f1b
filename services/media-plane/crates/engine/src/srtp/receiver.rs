//! Opens what we receive.

use super::{KeyError, Profile};
use crate::rtp::Header;

/// Why a packet was not opened. Each is a reason to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not an SRTP or SRTCP packet.
    #[error("malformed packet")]
    Malformed,
    /// Seen already.
    #[error("packet was seen already")]
    Replayed,
    /// Older than the replay window.
    #[error("packet is older than the replay window")]
    TooOld,
    /// The tag is wrong.
    #[error("packet is not authentic")]
    Forged,
    /// The peer uses more streams than we keep state for.
    #[error("too many streams")]
    TooManyStreams,
}

/// An opened RTP packet: the header, and its place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The header, parsed. Its `payload` wants `&packet[..length]`.
    pub header: Header,
    /// Roll-over counter and sequence number: 48 bits.
    pub index: u64,
    /// Length of the packet without the tag.
    pub length: usize,
}

/// Opens RTP and RTCP under one master key, with a replay window of 1,024 packets for each stream.
#[derive(Debug)]
pub struct Receiver {
    profile: Profile,
}

impl Receiver {
    /// Derives session keys.
    ///
    /// # Errors
    /// [`KeyError`] when key or salt has the wrong length.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let _ = (key, salt);
        Ok(Self { profile })
    }

    /// Opens an RTP packet in place. Only an authentic packet changes any state.
    ///
    /// # Errors
    /// [`OpenError`]; what `packet` then holds is undefined.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<Opened, OpenError> {
        let _ = (packet, self.profile);
        unimplemented!()
    }

    /// Opens an RTCP packet in place and returns its length without index and tag.
    ///
    /// # Errors
    /// [`OpenError`]; what `packet` then holds is undefined.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let _ = packet;
        unimplemented!()
    }
}
