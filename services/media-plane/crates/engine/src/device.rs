//! What a caller's SDK tells of its device: which sample it plays, and what came of the stream. `proto/antiphon/data/v1` has the
//! layout. Edge and SDK talk in binary messages on the channel that carries the session's text; they stop at the edge.

/// First octet of a playout report.
pub const PLAYOUT_REPORT: u8 = 1;
/// First octet of the edge's word that what was sent shall not be heard.
pub const STOP: u8 = 2;
/// Version of the layout; a later one may only append.
const VERSION: u8 = 1;
const LENGTH: usize = 32;
const SILENCES: u16 = 1 << 0;
const PLAYS: u16 = 1 << 1;

/// Why bytes are no playout report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed playout report")]
pub struct DeviceReportError;

/// One playout report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceReport {
    /// The device falls silent at the edge's word, until what was sent before it is over.
    pub silences: bool,
    /// Something was played: what follows of times is true.
    pub plays: bool,
    /// When the report was made, in milliseconds of the device's clock.
    pub sent_ms: u32,
    /// RTP timestamp of a sample that was played.
    pub timestamp: u32,
    /// How long before the report it was.
    pub age_ms: u16,
    /// How long a sample takes from there to the ear; 0 where that is not known.
    pub output_ms: u16,
    /// Mean delay in the jitter buffer of late, for people.
    pub buffer_ms: u16,
    /// Packets received, since the call began.
    pub received: u32,
    /// Packets that did not come.
    pub lost: u32,
    /// Samples that were made up.
    pub concealed: u32,
}

impl DeviceReport {
    /// Reads a report.
    ///
    /// # Errors
    /// [`DeviceReportError`] when it is too short, of another type or of version 0.
    pub fn parse(message: &[u8]) -> Result<Self, DeviceReportError> {
        let message: &[u8; LENGTH] = message.first_chunk().ok_or(DeviceReportError)?;
        if message[0] != PLAYOUT_REPORT || message[1] < VERSION {
            return Err(DeviceReportError);
        }
        let half = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        let flags = half(2);
        Ok(Self {
            silences: flags & SILENCES != 0,
            plays: flags & PLAYS != 0,
            sent_ms: word(4),
            timestamp: word(8),
            age_ms: half(12),
            output_ms: half(14),
            buffer_ms: half(16),
            received: word(20),
            lost: word(24),
            concealed: word(28),
        })
    }

    /// Writes it as [`DeviceReport::parse`] reads it.
    #[must_use]
    pub fn write(&self) -> [u8; LENGTH] {
        let flags = [(self.silences, SILENCES), (self.plays, PLAYS)];
        let flags = flags
            .iter()
            .filter(|(is, _)| *is)
            .fold(0, |flags, (_, flag)| flags | flag);
        let mut message = [0; LENGTH];
        message[..2].copy_from_slice(&[PLAYOUT_REPORT, VERSION]);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        for (at, half) in [(12, self.age_ms), (14, self.output_ms), (16, self.buffer_ms)] {
            message[at..at + 2].copy_from_slice(&half.to_be_bytes());
        }
        for (at, word) in [
            (4, self.sent_ms),
            (8, self.timestamp),
            (20, self.received),
            (24, self.lost),
            (28, self.concealed),
        ] {
            message[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        message
    }
}

/// The edge's word to the SDK: what it sent before `timestamp` shall not be heard any more.
#[must_use]
pub fn stop(timestamp: u32) -> [u8; 8] {
    let [a, b, c, d] = timestamp.to_be_bytes();
    [STOP, VERSION, 0, 0, a, b, c, d]
}
