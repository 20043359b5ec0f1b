//! RTCP (RFC 3550, RFC 4585): compound packets walked without copying, and built into a caller's buffer.

/// Why bytes are not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTCP packet")]
pub struct RtcpError;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const GENERIC_NACK: usize = 1;
const END: u8 = 0;
const CNAME: u8 = 1;
const BLOCK: usize = 24;
const MAX_COUNT: usize = 31;

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
        let (block, rest) = self.0.split_first_chunk::<BLOCK>()?;
        self.0 = rest;
        let [_, a, b, c] = word(block, 4).to_be_bytes();
        Some(ReportBlock {
            ssrc: word(block, 0),
            fraction_lost: block[4],
            cumulative_lost: i32::from_be_bytes([a, b, c, 0]) >> 8,
            highest_sequence: word(block, 8),
            jitter: word(block, 12),
            last_sr: word(block, 16),
            delay_since_last_sr: word(block, 20),
        })
    }
}

/// Walks the SSRCs of a BYE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        let (source, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*source))
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
        if self.mask == 0 {
            let (item, rest) = self.data.split_first_chunk::<4>()?;
            self.data = rest;
            self.base = u16::from_be_bytes([item[0], item[1]]);
            self.mask = u32::from(u16::from_be_bytes([item[2], item[3]])) << 1 | 1;
        }
        let offset = self.mask.trailing_zeros();
        self.mask &= self.mask - 1;
        Some(self.base.wrapping_add(offset as u16))
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
        if self.rest.is_empty() {
            return None;
        }
        let parsed = split(self.rest).and_then(|(head, body, rest)| {
            self.rest = rest;
            parse(head, body)
        });
        if parsed.is_err() {
            self.rest = &[];
        }
        Some(parsed)
    }
}

/// A packet's first two octets, its body without padding, and what follows it.
type Parts<'a> = ([u8; 2], &'a [u8], &'a [u8]);

fn split(packet: &[u8]) -> Result<Parts<'_>, RtcpError> {
    let head: &[u8; 4] = packet.first_chunk().ok_or(RtcpError)?;
    let length = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (this, rest) = packet.split_at_checked(length).ok_or(RtcpError)?;
    if head[0] >> 6 != 2 {
        return Err(RtcpError);
    }
    let mut body = &this[4..];
    if head[0] & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(RtcpError)?);
        body = body
            .len()
            .checked_sub(padding)
            .map(|end| &body[..end])
            .ok_or(RtcpError)?;
    }
    Ok(([head[0], head[1]], body, rest))
}

fn parse([first, packet_type]: [u8; 2], body: &[u8]) -> Result<Packet<'_>, RtcpError> {
    let count = usize::from(first & 0x1f);
    let need = |length: usize| if body.len() < length { Err(RtcpError) } else { Ok(()) };
    match packet_type {
        SENDER_REPORT => {
            need(24 + BLOCK * count)?;
            let info = SenderInfo {
                ntp: u64::from(word(body, 4)) << 32 | u64::from(word(body, 8)),
                rtp_timestamp: word(body, 12),
                packets: word(body, 16),
                octets: word(body, 20),
            };
            Ok(Packet::SenderReport {
                ssrc: word(body, 0),
                info,
                reports: ReportBlocks(&body[24..24 + BLOCK * count]),
            })
        }
        RECEIVER_REPORT => {
            need(4 + BLOCK * count)?;
            Ok(Packet::ReceiverReport {
                ssrc: word(body, 0),
                reports: ReportBlocks(&body[4..4 + BLOCK * count]),
            })
        }
        SOURCE_DESCRIPTION if count > 0 => {
            need(4)?;
            Ok(Packet::Sdes {
                ssrc: word(body, 0),
                cname: cname(&body[4..]),
            })
        }
        GOODBYE => {
            need(4 * count)?;
            Ok(Packet::Bye {
                sources: Sources(&body[..4 * count]),
            })
        }
        TRANSPORT_FEEDBACK if count == GENERIC_NACK => {
            need(8)?;
            let lost = NackList {
                data: &body[8..],
                base: 0,
                mask: 0,
            };
            Ok(Packet::Nack {
                ssrc: word(body, 0),
                media_ssrc: word(body, 4),
                lost,
            })
        }
        _ => Ok(Packet::Other {
            packet_type,
            format: first & 0x1f,
        }),
    }
}

fn cname(mut items: &[u8]) -> Option<&[u8]> {
    while let [kind, length, rest @ ..] = items {
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        match *kind {
            CNAME => return Some(text),
            END => return None,
            _ => {}
        }
        items = rest;
    }
    None
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
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
        let reports = &reports[..reports.len().min(MAX_COUNT)];
        self.packet(reports.len() as u8, SENDER_REPORT, |body| {
            body.word(ssrc);
            body.word((info.ntp >> 32) as u32);
            body.word(info.ntp as u32);
            body.word(info.rtp_timestamp);
            body.word(info.packets);
            body.word(info.octets);
            reports.iter().for_each(|report| body.report(report));
        })
    }

    /// Appends an RR with at most 31 report blocks.
    pub fn receiver_report(&mut self, ssrc: u32, reports: &[ReportBlock]) -> &mut Self {
        let reports = &reports[..reports.len().min(MAX_COUNT)];
        self.packet(reports.len() as u8, RECEIVER_REPORT, |body| {
            body.word(ssrc);
            reports.iter().for_each(|report| body.report(report));
        })
    }

    /// Appends an SDES with one CNAME, at most 255 bytes.
    pub fn sdes(&mut self, ssrc: u32, cname: &[u8]) -> &mut Self {
        let cname = &cname[..cname.len().min(255)];
        self.packet(1, SOURCE_DESCRIPTION, |body| {
            body.word(ssrc);
            body.bytes(&[CNAME, cname.len() as u8]);
            body.bytes(cname);
            // RFC 3550 6.5: at least one zero ends the list, and fills the word.
            body.bytes(&[0; 4][..4 - (2 + cname.len()) % 4]);
        })
    }

    /// Appends a BYE.
    pub fn bye(&mut self, ssrc: u32) -> &mut Self {
        self.packet(1, GOODBYE, |body| body.word(ssrc))
    }

    /// Appends a generic NACK for ascending sequence numbers (16-bit order), packed into PID and BLP.
    pub fn nack(&mut self, ssrc: u32, media_ssrc: u32, lost: &[u16]) -> &mut Self {
        self.packet(GENERIC_NACK as u8, TRANSPORT_FEEDBACK, |body| {
            body.word(ssrc);
            body.word(media_ssrc);
            let mut rest = lost;
            while let [first, others @ ..] = rest {
                let follows = |sequence: &&u16| (1..=16).contains(&sequence.wrapping_sub(*first));
                let count = others.iter().take_while(follows).count();
                let mask = others[..count]
                    .iter()
                    .fold(0, |mask, sequence| mask | 1 << (sequence.wrapping_sub(*first) - 1));
                body.word(u32::from(*first) << 16 | mask);
                rest = &others[count..];
            }
        })
    }

    fn packet(&mut self, count: u8, packet_type: u8, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.length;
        self.bytes(&[0x80 | count, packet_type, 0, 0]);
        fill(self);
        let words = ((self.length - start) / 4 - 1) as u16;
        self.buffer[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
        self
    }

    fn report(&mut self, report: &ReportBlock) {
        let lost = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        self.word(report.ssrc);
        self.word(u32::from(report.fraction_lost) << 24 | lost);
        self.word(report.highest_sequence);
        self.word(report.jitter);
        self.word(report.last_sr);
        self.word(report.delay_since_last_sr);
    }

    fn word(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Bytes written.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}
