//! Seals what we send, and sees to it that no nonce is used twice.

use super::cipher::{Cipher, Kind};
use super::kdf::Master;
use super::{KeyError, MAX_STREAMS, Profile, RTCP_HEADER, RTCP_INDEX};
use crate::few::Few;
use crate::rtp::Header;

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not an RTP or RTCP packet, or the buffer has no room for the tag.
    #[error("malformed packet, or no room for the tag")]
    Malformed,
    /// The sequence number was used, or is too old to tell: a nonce is never used twice. Send the cached ciphertext again instead.
    #[error("sequence number was used already")]
    Reused,
    /// Too many streams, or the key is used up.
    #[error("key is used up")]
    Exhausted,
}

/// Seals RTP and RTCP under one master key. It keeps each stream's roll-over counter itself.
#[derive(Debug)]
pub struct Sender {
    tag_len: usize,
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
    streams: Few<Stream>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    last: u64,
    /// Bit n: the nth index below `last` was used; what is before the first counts as used.
    used: u64,
}

impl Sender {
    /// Derives session keys.
    ///
    /// # Errors
    /// [`KeyError`] when key or salt has the wrong length.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let master = Master::new(profile, key, salt)?;
        Ok(Self {
            tag_len: profile.tag_len(),
            rtp: Cipher::new(profile, &master, Kind::Rtp),
            rtcp: Cipher::new(profile, &master, Kind::Rtcp),
            rtcp_index: 0,
            streams: Few::default(),
        })
    }

    /// Seals the RTP packet `buffer[..length]` in place and returns the new length; `buffer` has
    /// [`super::MAX_OVERHEAD`] bytes to spare. Each sequence number of a stream is sealed once: above the highest by less than
    /// 2^15, or among the 63 below it, where one was left out.
    ///
    /// # Errors
    /// [`SealError`]; the packet is then not to be sent.
    pub fn seal_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SealError> {
        let header = buffer
            .get(..length)
            .and_then(|packet| Header::parse(packet).ok())
            .ok_or(SealError::Malformed)?;
        self.seal_behind(header.length, (header.ssrc, header.sequence), buffer, length)
    }

    /// As [`Sender::seal_rtp`], for a packet whose header was just written: so long, of this SSRC, with this sequence number.
    #[inline]
    pub(crate) fn seal_behind(
        &mut self,
        header: usize,
        (ssrc, sequence): (u32, u16),
        buffer: &mut [u8],
        length: usize,
    ) -> Result<usize, SealError> {
        let sealed = length + self.tag_len;
        let packet = buffer.get_mut(..sealed).ok_or(SealError::Malformed)?;
        let index = self.next_index(ssrc, sequence)?;
        self.rtp.seal_rtp(packet, header, ssrc, index);
        Ok(sealed)
    }

    /// Seals the compound RTCP packet `buffer[..length]` in place and returns the new length.
    ///
    /// # Errors
    /// [`SealError`]; the packet is then not to be sent.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SealError> {
        if length < RTCP_HEADER {
            return Err(SealError::Malformed);
        }
        let sealed = length + self.tag_len + RTCP_INDEX;
        let packet = buffer.get_mut(..sealed).ok_or(SealError::Malformed)?;
        if self.rtcp_index >= 1 << 31 {
            return Err(SealError::Exhausted);
        }
        let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        self.rtcp.seal_rtcp(packet, ssrc, self.rtcp_index);
        self.rtcp_index += 1;
        Ok(sealed)
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        self.streams.first().map_or(0, |stream| stream.last ^ stream.used) ^ self.tag_len as u64
    }

    fn next_index(&mut self, ssrc: u32, sequence: u16) -> Result<u64, SealError> {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) else {
            if self.streams.len() == MAX_STREAMS {
                return Err(SealError::Exhausted);
            }
            let last = u64::from(sequence);
            self.streams.push(Stream {
                ssrc,
                last,
                used: u64::MAX,
            });
            return Ok(last);
        };
        let ahead = sequence.wrapping_sub(stream.last as u16);
        if ahead >= 1 << 15 {
            return stream.fill(u64::from(ahead.wrapping_neg()));
        }
        let index = stream.last + u64::from(ahead);
        if ahead == 0 {
            return Err(SealError::Reused);
        }
        if index >= 1 << 48 {
            return Err(SealError::Exhausted);
        }
        stream.last = index;
        stream.used = stream.used.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
        Ok(index)
    }
}

impl Stream {
    /// Takes an index below the highest that was left out.
    fn fill(&mut self, behind: u64) -> Result<u64, SealError> {
        let bit = 1_u64
            .checked_shl(u32::try_from(behind).unwrap_or(u32::MAX))
            .unwrap_or(0);
        match self.last.checked_sub(behind) {
            Some(index) if bit != 0 && self.used & bit == 0 => {
                self.used |= bit;
                Ok(index)
            }
            _ => Err(SealError::Reused),
        }
    }
}
