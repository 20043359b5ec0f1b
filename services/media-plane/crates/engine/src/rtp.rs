//! RTP headers (RFC 3550) and their extensions (RFC 8285): one- and two-byte, read without copying.

use std::ops::Range;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTP packet")]
pub struct RtpError;

/// Largest header that [`HeaderWriter`] makes.
pub const MAX_WRITTEN_HEADER: usize = 32;

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
    /// The extension's profile word and where its data stands.
    extension: Option<(u16, u16, u16)>,
    /// Bytes up to the payload.
    pub length: usize,
}

impl Header {
    /// Parses the header at the start of `packet`. The payload may still be sealed.
    ///
    /// # Errors
    /// [`RtpError`] when the version is not 2 or the packet is shorter than its header says.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let _ = packet;
        unimplemented!()
    }

    /// Where the payload stands in an opened packet, without padding.
    ///
    /// # Errors
    /// [`RtpError`] when the padding is longer than the payload, or zero.
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, RtpError> {
        let _ = packet;
        unimplemented!()
    }

    /// The header's extension elements, one- or two-byte; malformed data ends the walk.
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let _ = (packet, self.extension);
        unimplemented!()
    }
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
        let _ = (self.data, self.two_byte);
        unimplemented!()
    }
}

/// RFC 6464 in the engine's form: `0x100 | voice << 7 | level`, 0 when the element is empty.
#[must_use]
pub fn audio_level(element: &[u8]) -> u16 {
    let _ = element;
    unimplemented!()
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
        let _ = buffer;
        unimplemented!()
    }
}
