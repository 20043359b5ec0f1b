//! RTP headers (RFC 3550) and their extensions (RFC 8285): one- and two-byte, read without copying.

use std::ops::Range;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTP packet")]
pub struct RtpError;

/// Largest header that [`HeaderWriter`] makes.
pub const MAX_WRITTEN_HEADER: usize = 36;

const FIXED: usize = 12;
const MAX_WRITTEN_MID: usize = 16;

/// A parsed header. Offsets are into the packet that it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Last octet counts padding.
    pub padding: bool,
    /// Starts a talk spurt.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// 16 bits of the sequence number.
    pub sequence: u16,
    /// Media clock.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Number of contributing sources.
    pub csrc_count: u8,
    extension: Option<Extension>,
    /// Bytes up to the payload.
    pub length: usize,
}

impl Header {
    /// Parses the header at the start of `packet`. The payload may still be sealed.
    ///
    /// # Errors
    /// [`RtpError`] when the version is not 2 or the packet is shorter than its header says.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let fixed: &[u8; FIXED] = packet.first_chunk().ok_or(RtpError)?;
        if fixed[0] >> 6 != 2 {
            return Err(RtpError);
        }
        let csrc_count = fixed[0] & 0x0f;
        let mut length = FIXED + 4 * usize::from(csrc_count);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let head = packet.get(length..length + 4).ok_or(RtpError)?;
            let words = u16::from_be_bytes([head[2], head[3]]);
            extension = Some(Extension {
                profile: u16::from_be_bytes([head[0], head[1]]),
                start: u16::try_from(length + 4).map_err(|_| RtpError)?,
                words,
            });
            length += 4 + 4 * usize::from(words);
        }
        if packet.len() < length {
            return Err(RtpError);
        }
        Ok(Self {
            padding: fixed[0] & 0x20 != 0,
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            csrc_count,
            extension,
            length,
        })
    }

    /// Where the payload stands in an opened packet, without padding.
    ///
    /// # Errors
    /// [`RtpError`] when the padding is longer than the payload, or zero.
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, RtpError> {
        let payload = packet.get(self.length..).ok_or(RtpError)?;
        let padding = match payload.last() {
            Some(&count) if self.padding && count > 0 => usize::from(count),
            _ if self.padding => return Err(RtpError),
            _ => 0,
        };
        let length = payload.len().checked_sub(padding).ok_or(RtpError)?;
        Ok(self.length..self.length + length)
    }

    /// The header's extension elements, one- or two-byte; malformed data ends the walk.
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let none = Extensions {
            data: &[],
            two_byte: false,
        };
        let Some(extension) = self.extension else { return none };
        let start = usize::from(extension.start);
        let Some(data) = packet.get(start..start + 4 * usize::from(extension.words)) else {
            return none;
        };
        match extension.profile {
            0xbede => Extensions { data, two_byte: false },
            0x1000..=0x100f => Extensions { data, two_byte: true },
            _ => none,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extension {
    profile: u16,
    start: u16,
    words: u16,
}

/// Walks extension elements.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    data: &'a [u8],
    two_byte: bool,
}

impl<'a> Iterator for Extensions<'a> {
    /// Element id and data.
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // RFC 8285 4.1: zero bytes between elements are padding.
        while let [0, rest @ ..] = self.data {
            self.data = rest;
        }
        let (id, length, rest) = match self.data {
            [id, length, rest @ ..] if self.two_byte => (*id, usize::from(*length), rest),
            // RFC 8285 4.2: id 15 ends the walk.
            [head, rest @ ..] if !self.two_byte && head >> 4 != 15 => (head >> 4, usize::from(head & 0x0f) + 1, rest),
            _ => (0, 0, self.data),
        };
        let Some((element, rest)) = rest.split_at_checked(length).filter(|_| id != 0) else {
            self.data = &[];
            return None;
        };
        self.data = rest;
        Some((id, element))
    }
}

/// RFC 6464 in the engine's form: `0x100 | voice << 7 | level`, 0 when the element is empty.
#[must_use]
pub fn audio_level(element: &[u8]) -> u16 {
    element.first().map_or(0, |&octet| 0x100 | u16::from(octet))
}

/// What a sent packet's header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderWriter<'a> {
    /// Starts a talk spurt.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// 16 bits of the sequence number.
    pub sequence: u16,
    /// Media clock.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Extension id (1–14) and value of `mid`, at most 16 bytes; longer ones are left out.
    pub mid: Option<(u8, &'a [u8])>,
    /// Extension id (1–14) and RFC 6464 octet of `ssrc-audio-level`.
    pub level: Option<(u8, u8)>,
}

impl HeaderWriter<'_> {
    /// Writes the header and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`MAX_WRITTEN_HEADER`].
    #[must_use]
    pub fn write(&self, buffer: &mut [u8]) -> usize {
        let buffer: &mut [u8] = &mut buffer[..MAX_WRITTEN_HEADER];
        let mut at = FIXED + 4;
        if let Some((id, octet)) = self.level {
            buffer[at..at + 2].copy_from_slice(&[id << 4, octet]);
            at += 2;
        }
        if let Some((id, mid)) = self.mid
            && let 1..=MAX_WRITTEN_MID = mid.len()
        {
            buffer[at] = id << 4 | (mid.len() - 1) as u8;
            buffer[at + 1..=at + mid.len()].copy_from_slice(mid);
            at += 1 + mid.len();
        }
        let extended = at > FIXED + 4;
        let length = if extended { at.next_multiple_of(4) } else { FIXED };
        if extended {
            buffer[at..length].fill(0);
            buffer[FIXED..FIXED + 4].copy_from_slice(&[0xbe, 0xde, 0, (length / 4 - 4) as u8]);
        }
        buffer[0] = 0x80 | u8::from(extended) << 4;
        buffer[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        buffer[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        buffer[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        buffer[8..FIXED].copy_from_slice(&self.ssrc.to_be_bytes());
        length
    }
}
