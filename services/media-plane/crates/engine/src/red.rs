//! RED (RFC 2198): redundant audio, read with every length clamped to what is there, and built into a caller's buffer.

/// Why bytes are not RED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RED payload")]
pub struct RedError;

/// Most redundant blocks that are looked at in one packet.
pub const MAX_REDUNDANT: usize = 8;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Payload type of what is inside.
    pub payload_type: u8,
    /// How much older than the packet's timestamp it is, 14 bits; 0 for the primary.
    pub timestamp_offset: u16,
    /// Whether it is the primary block: the last.
    pub primary: bool,
    /// What is inside; may be empty.
    pub payload: &'a [u8],
}

/// Walks the blocks, oldest first, the primary last.
///
/// # Errors
/// [`RedError`] when the headers do not end within the payload. Block lengths that run over the end are clamped.
pub fn blocks(payload: &[u8]) -> Result<Blocks<'_>, RedError> {
    let _ = payload;
    unimplemented!()
}

/// Walks blocks.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    headers: &'a [u8],
    data: &'a [u8],
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = (self.headers, self.data);
        unimplemented!()
    }
}

/// Writes a RED payload of `redundant` blocks (timestamp offset and payload, oldest first) and the primary.
/// Blocks whose offset or length does not fit RFC 2198 (14 and 10 bits) are left out. Returns the length; `None` when `buffer` is too small.
#[must_use]
pub fn write(buffer: &mut [u8], payload_type: u8, redundant: &[(u32, &[u8])], primary: &[u8]) -> Option<usize> {
    let _ = (buffer, payload_type, redundant, primary);
    unimplemented!()
}
