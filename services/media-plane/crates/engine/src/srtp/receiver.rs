//! Opens what we receive. An unauthenticated packet changes nothing: neither roll-over counter nor replay window.

use super::cipher::{Cipher, Forged, Kind};
use super::kdf::Master;
use super::replay::{Refusal, Window};
use super::{ENCRYPTED, KeyError, MAX_STREAMS, Profile, RTCP_HEADER, RTCP_INDEX};
use crate::few::Few;
use crate::rtp::Header;

/// Why a packet was not opened. Each is a reason to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not an SRTP packet, or not an encrypted SRTCP packet.
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

impl From<Forged> for OpenError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Replayed => Self::Replayed,
            Refusal::TooOld => Self::TooOld,
        }
    }
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
    tag_len: usize,
    rtp: Cipher,
    rtcp: Cipher,
    streams: Few<Stream>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    rtp: Window<17>,
    rtcp: Window<3>,
}

impl Receiver {
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
            streams: Few::default(),
        })
    }

    /// Opens an RTP packet in place. Only an authentic packet changes any state.
    ///
    /// # Errors
    /// [`OpenError`]; what `packet` then holds is undefined.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<Opened, OpenError> {
        let header = Header::parse(packet).map_err(|_| OpenError::Malformed)?;
        if packet.len() < header.length + self.tag_len {
            return Err(OpenError::Malformed);
        }
        let known = self.stream(header.ssrc)?;
        let index = match known.and_then(|at| self.streams[at].rtp.highest()) {
            Some(highest) => estimate(highest, header.sequence)?,
            None => u64::from(header.sequence),
        };
        if let Some(at) = known {
            self.streams[at].rtp.check(index)?;
        }
        self.rtp.open_rtp(packet, header.length, header.ssrc, index)?;
        self.keep(known, header.ssrc).rtp.accept(index);
        Ok(Opened {
            header,
            index,
            length: packet.len() - self.tag_len,
        })
    }

    /// Opens an RTCP packet in place and returns its length without index and tag.
    ///
    /// # Errors
    /// [`OpenError`]; what `packet` then holds is undefined.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let length = packet
            .len()
            .checked_sub(self.tag_len + RTCP_INDEX)
            .ok_or(OpenError::Malformed)?;
        if length < RTCP_HEADER || packet[0] >> 6 != 2 {
            return Err(OpenError::Malformed);
        }
        let ssrc = word(packet, 4);
        // RFC 7714 9.3 puts the index behind the tag, RFC 3711 3.4 before it.
        let trailer = match self.rtcp {
            Cipher::Gcm { .. } => word(packet, length + self.tag_len),
            Cipher::Cm(_) => word(packet, length),
        };
        // All profiles of DTLS-SRTP encrypt.
        if trailer & ENCRYPTED == 0 {
            return Err(OpenError::Malformed);
        }
        let index = trailer & !ENCRYPTED;
        let known = self.stream(ssrc)?;
        if let Some(at) = known {
            self.streams[at].rtcp.check(u64::from(index))?;
        }
        self.rtcp.open_rtcp(packet, ssrc, index)?;
        self.keep(known, ssrc).rtcp.accept(u64::from(index));
        Ok(length)
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        let stream = self.streams.first();
        stream.map_or(0, |stream| u64::from(stream.ssrc) ^ stream.rtp.warm()) ^ self.tag_len as u64
    }

    fn stream(&self, ssrc: u32) -> Result<Option<usize>, OpenError> {
        match self.streams.position(|stream| stream.ssrc == ssrc) {
            None if self.streams.len() == MAX_STREAMS => Err(OpenError::TooManyStreams),
            found => Ok(found),
        }
    }

    fn keep(&mut self, known: Option<usize>, ssrc: u32) -> &mut Stream {
        let at = known.unwrap_or_else(|| {
            self.streams.push(Stream {
                ssrc,
                rtp: Window::new(),
                rtcp: Window::new(),
            })
        });
        &mut self.streams[at]
    }
}

/// RFC 3711 3.3.1: the index nearest to the highest one that has this sequence number.
fn estimate(highest: u64, sequence: u16) -> Result<u64, OpenError> {
    let distance = i64::from(sequence.wrapping_sub(highest as u16) as i16);
    highest
        .checked_add_signed(distance)
        .filter(|index| *index < 1 << 48)
        .ok_or(OpenError::TooOld)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
