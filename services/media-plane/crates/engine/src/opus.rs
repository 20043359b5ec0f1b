//! What can be told of an Opus packet (RFC 6716) without decoding it.

/// A 20 ms frame of digital silence (CELT, full band, mono): ends a talk spurt, and fills the caller's buffer after a stop.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Samples at 48 kHz that a packet plays for: 120 to 5,760. `None` when the packet is not valid Opus.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        // Hybrid: 10, 20 ms.
        12..=15 => [480, 960][usize::from(config % 2)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 120 << (config % 4),
    };
    let frames = match toc & 0x03 {
        0 => fits(rest.len()).then_some(1),
        1 => (rest.len() % 2 == 0 && fits(rest.len() / 2)).then_some(2),
        2 => {
            let (first, rest) = frame_length(rest)?;
            let second = rest.len().checked_sub(first)?;
            fits(second).then_some(2)
        }
        _ => frames_of_code_3(rest),
    }?;
    Some(frame * frames).filter(|samples| *samples <= MAX_DURATION)
}

/// Whether a packet is what an encoder in DTX sends: TOC and at most one more byte.
#[must_use]
pub fn is_dtx(packet: &[u8]) -> bool {
    matches!(packet.len(), 1 | 2)
}

const MAX_DURATION: u32 = 5_760;
const MAX_FRAME: usize = 1_275;

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

/// RFC 6716 3.2.5: a count octet, padding, lengths of all frames but the last when they vary.
fn frames_of_code_3(data: &[u8]) -> Option<u32> {
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
        return (length.is_multiple_of(frames) && fits(length / frames)).then_some(frames as u32);
    }
    for _ in 1..frames {
        let before = data.len();
        let (frame, rest) = frame_length(data)?;
        data = rest;
        length = length.checked_sub(before - rest.len())?.checked_sub(frame)?;
    }
    fits(length).then_some(frames as u32)
}
