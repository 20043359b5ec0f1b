//! RTCP (RFC 3550, RFC 4585): compound packets walked without copying, and built into a caller's buffer.

/// Why bytes are not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTCP packet")]
pub struct RtcpError;

/// One report block of an SR or RR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream that is reported on.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start: 24 bits, signed; clamped when written.
    pub cumulative_lost: i32,
    /// Extended highest sequence number.
    pub highest_sequence: u32,
    /// RFC 3550 A.8, in units of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last SR; 0 for none.
    pub last_sr: u32,
    /// Delay since then in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// The sender's part of an SR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time, 32.32.
    pub ntp: u64,
    /// The same moment on the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// Its clock and counts.
        info: SenderInfo,
        /// What it receives.
        reports: ReportBlocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// The sender.
        ssrc: u32,
        /// What it receives.
        reports: ReportBlocks<'a>,
    },
    /// SDES: the first chunk's SSRC and CNAME.
    Sdes {
        /// The source.
        ssrc: u32,
        /// Its CNAME, if told.
        cname: Option<&'a [u8]>,
    },
    /// BYE.
    Bye {
        /// The sources that leave.
        sources: Sources<'a>,
    },
    /// Generic NACK.
    Nack {
        /// The sender.
        ssrc: u32,
        /// The stream that packets are missing of.
        media_ssrc: u32,
        /// Missing sequence numbers.
        lost: NackList<'a>,
    },
    /// Anything else, skipped.
    Other {
        /// RTCP packet type.
        packet_type: u8,
        /// Count or format field.
        format: u8,
    },
}

/// Walks report blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.0;
        unimplemented!()
    }
}

/// Walks the SSRCs of a BYE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.0;
        unimplemented!()
    }
}

/// Walks the sequence numbers of a NACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NackList<'a> {
    data: &'a [u8],
    base: u16,
    mask: u32,
}

impl Iterator for NackList<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = (self.data, self.base, self.mask);
        unimplemented!()
    }
}

/// Walks a compound packet (or, RFC 5506, a single one). Ends at the first error.
#[must_use]
pub fn compound(packet: &[u8]) -> Compound<'_> {
    Compound { rest: packet }
}

/// Walks a compound packet.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.rest;
        unimplemented!()
    }
}

/// Builds a compound packet in a buffer: reports first, then SDES, then the rest.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// Starts an empty compound. 256 bytes hold all that the engine sends in one.
    ///
    /// # Panics
    /// Its methods panic when the buffer is full.
    #[must_use]
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Appends an SR with at most 31 report blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) -> &mut Self {
        let _ = (ssrc, info, reports, &self.buffer);
        unimplemented!()
    }

    /// Appends an RR with at most 31 report blocks.
    pub fn receiver_report(&mut self, ssrc: u32, reports: &[ReportBlock]) -> &mut Self {
        let _ = (ssrc, reports);
        unimplemented!()
    }

    /// Appends an SDES with one CNAME, at most 255 bytes.
    pub fn sdes(&mut self, ssrc: u32, cname: &[u8]) -> &mut Self {
        let _ = (ssrc, cname);
        unimplemented!()
    }

    /// Appends a BYE.
    pub fn bye(&mut self, ssrc: u32) -> &mut Self {
        let _ = ssrc;
        unimplemented!()
    }

    /// Appends a generic NACK for ascending sequence numbers (16-bit order), packed into PID and BLP.
    pub fn nack(&mut self, ssrc: u32, media_ssrc: u32, lost: &[u16]) -> &mut Self {
        let _ = (ssrc, media_ssrc, lost);
        unimplemented!()
    }

    /// Bytes written.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}
