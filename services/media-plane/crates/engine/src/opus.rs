//! What can be told of an Opus packet (RFC 6716) without decoding it.

/// A 20 ms frame of digital silence (CELT, full band, mono): ends a talk spurt, and fills the caller's buffer after a stop.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// A frame of 20 ms that an encoder in DTX sends: nothing but its TOC. A decoder makes comfort noise of it, of what it knows: silence.
pub const COMFORT: [u8; 1] = [0xf8];

const MAX_DURATION: u32 = 5_760;
const MAX_FRAME: usize = 1_275;
/// A SILK frame of the LP layer lasts 20 ms, but for the one of a 10 ms packet.
const SILK_FRAME: u32 = 960;
/// Of 256, an active frame's chances to be unvoiced (RFC 6716 table 9): 24 and 74.
const VOICED_FROM: u16 = 98;

/// Samples at 48 kHz that a packet plays for: 120 to 5,760. `None` when the packet is not valid Opus.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<u32> {
    Some(Packet::parse(packet)?.duration())
}

/// Whether a packet is what an encoder in DTX sends: TOC and at most one more byte.
#[must_use]
pub fn is_dtx(packet: &[u8]) -> bool {
    matches!(packet.len(), 1 | 2)
}

/// Whether a packet carries in-band FEC: its first frame holds the end of the packet before it once more (LBRR).
///
/// The LP layer begins with a bit for each of its frames that tells voice and one that tells LBRR, for each channel
/// (RFC 6716 4.2.3, 4.2.4). Each is coded with even odds, so they are the first bits as they stand.
#[must_use]
pub fn carries_fec(packet: &[u8]) -> bool {
    Packet::parse(packet).is_some_and(|parsed| parsed.carries_fec())
}

/// [`duration`] and [`carries_fec`] of a packet, read once.
#[must_use]
pub fn duration_and_fec(packet: &[u8]) -> Option<(u32, bool)> {
    Packet::parse(packet).map(|parsed| (parsed.duration(), parsed.carries_fec()))
}

/// What the encoder took a frame for (RFC 6716 4.2.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalType {
    /// No voice.
    Inactive,
    /// Noise: a consonant, or a key.
    Unvoiced,
    /// It has a pitch.
    Voiced,
}

/// The signal type of a packet's first SILK frame, or of the frame's LBRR before it; `None` where it cannot be told.
///
/// Behind the bits for voice and LBRR comes the frame's type (RFC 6716 4.2.3, 4.2.7.3). As each of these bits halves the range,
/// what the range decoder compares with the type's probabilities are the next eight bits as they stand.
#[must_use]
pub fn signal_type(packet: &[u8]) -> Option<SignalType> {
    Packet::parse(packet)?.signal_type()
}

/// A packet's framing.
struct Packet<'a> {
    /// RFC 6716 3.1.
    config: u8,
    stereo: bool,
    /// Samples of each of its frames, and how many there are.
    frame: u32,
    frames: u32,
    /// The first; empty for one that was not sent (DTX).
    first: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let (&toc, rest) = packet.split_first()?;
        let config = toc >> 3;
        let (frames, first) = match toc & 0x03 {
            0 => fits(rest.len()).then_some((1, rest)),
            1 => (rest.len() % 2 == 0 && fits(rest.len() / 2)).then_some((2, &rest[..rest.len() / 2])),
            2 => {
                let (length, rest) = frame_length(rest)?;
                let (first, second) = rest.split_at_checked(length)?;
                fits(second.len()).then_some((2, first))
            }
            _ => frames_of_code_3(rest),
        }?;
        let packet = Self {
            config,
            stereo: toc & 0x04 != 0,
            frame: frame_duration(config),
            frames,
            first,
        };
        (packet.duration() <= MAX_DURATION).then_some(packet)
    }

    fn carries_fec(&self) -> bool {
        let Some(&bits) = self.first.first().filter(|_| self.is_lp()) else {
            return false;
        };
        let frames = (self.frame / SILK_FRAME).max(1);
        let set = |at: u32| bits >> (7 - at) & 1 == 1;
        set(frames) || (self.stereo && set(2 * frames + 1))
    }

    fn signal_type(&self) -> Option<SignalType> {
        let [first, second, ..] = *self.first else { return None };
        // Between a stereo frame's flags and its type are predictions; between those of 40 ms with LBRR its flags.
        let frames = (self.frame / SILK_FRAME).max(1);
        let bits = u16::from_be_bytes([first, second]);
        let redundant = bits >> (15 - frames) & 1 == 1;
        if !self.is_lp() || self.stereo || (redundant && frames > 1) {
            return None;
        }
        let active = redundant || bits >> 15 == 1;
        let symbol = bits << (frames + 1) >> 8;
        Some(match (active, symbol < VOICED_FROM) {
            (false, _) => SignalType::Inactive,
            (true, true) => SignalType::Unvoiced,
            (true, false) => SignalType::Voiced,
        })
    }

    fn duration(&self) -> u32 {
        self.frame * self.frames
    }

    /// SILK only, or hybrid.
    fn is_lp(&self) -> bool {
        self.config < 16
    }
}

const fn frame_duration(config: u8) -> u32 {
    match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1_920, 2_880][(config % 4) as usize],
        // Hybrid: 10, 20 ms.
        12..=15 => [480, 960][(config % 2) as usize],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 120 << (config % 4),
    }
}

fn fits(length: usize) -> bool {
    length <= MAX_FRAME
}

/// RFC 6716 3.2.1: one or two octets of length.
fn frame_length(data: &[u8]) -> Option<(usize, &[u8])> {
    match data {
        [first @ 0..=251, rest @ ..] => Some((usize::from(*first), rest)),
        [first, second, rest @ ..] => Some((usize::from(*first) + 4 * usize::from(*second), rest)),
        _ => None,
    }
}

/// RFC 6716 3.2.5: a count octet, padding, lengths of all frames but the last when they vary. Returns the count and the first.
fn frames_of_code_3(data: &[u8]) -> Option<(u32, &[u8])> {
    let (&head, mut data) = data.split_first()?;
    let frames = usize::from(head & 0x3f);
    if frames == 0 {
        return None;
    }
    let mut padding = 0;
    if head & 0x40 != 0 {
        while let [255, rest @ ..] = data {
            padding += 254;
            data = rest;
        }
        let (&last, rest) = data.split_first()?;
        padding += usize::from(last);
        data = rest;
    }
    let mut length = data.len().checked_sub(padding)?;
    if head & 0x80 == 0 {
        let each = length / frames;
        return (length.is_multiple_of(frames) && fits(each)).then_some((frames as u32, &data[..each]));
    }
    let mut first = None;
    for _ in 1..frames {
        let before = data.len();
        let (frame, rest) = frame_length(data)?;
        data = rest;
        length = length.checked_sub(before - rest.len())?.checked_sub(frame)?;
        first = first.or(Some(frame));
    }
    fits(length).then_some((frames as u32, &data[..first.unwrap_or(length)]))
}
