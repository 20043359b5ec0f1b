//! What can be told of an Opus packet (RFC 6716) without decoding it.

/// A 20 ms frame of digital silence (CELT, full band, mono): ends a talk spurt, and fills the caller's buffer after a stop.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Samples at 48 kHz that a packet plays for: 120 to 5,760. `None` when the packet is not valid Opus.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<u32> {
    let _ = packet;
    unimplemented!()
}

/// Whether a packet is what an encoder in DTX sends: TOC and at most one more byte.
#[must_use]
pub fn is_dtx(packet: &[u8]) -> bool {
    packet.len() <= 2
}
