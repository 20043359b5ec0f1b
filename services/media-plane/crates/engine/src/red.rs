//! RED (RFC 2198): redundant audio, read with every length clamped to what is there, and built into a caller's buffer.

/// Why bytes are not RED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed RED payload")]
pub struct RedError;

/// Most redundant blocks in one packet; more are malformed.
pub const MAX_REDUNDANT: usize = 32;

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
    let redundant = payload.chunks(4).take_while(|header| header[0] & 0x80 != 0).count();
    let (headers, data) = payload.split_at_checked(4 * redundant + 1).ok_or(RedError)?;
    if redundant > MAX_REDUNDANT {
        return Err(RedError);
    }
    Ok(Blocks { headers, data })
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
        if let Some((&[first, high, middle, low], rest)) = self.headers.split_first_chunk() {
            let length = usize::from(middle & 0x03) << 8 | usize::from(low);
            let (payload, data) = self.data.split_at(length.min(self.data.len()));
            self.headers = rest;
            self.data = data;
            let timestamp_offset = u16::from(high) << 6 | u16::from(middle >> 2);
            return Some(Block {
                payload_type: first & 0x7f,
                timestamp_offset,
                primary: false,
                payload,
            });
        }
        let (&first, rest) = self.headers.split_first()?;
        self.headers = rest;
        Some(Block {
            payload_type: first & 0x7f,
            timestamp_offset: 0,
            primary: true,
            payload: self.data,
        })
    }
}

/// Writes a RED payload of `redundant` blocks (timestamp offset and payload, oldest first) and the primary.
/// Blocks whose offset or length does not fit RFC 2198 (14 and 10 bits) are left out. Returns the length; `None` when `buffer` is too small.
#[must_use]
pub fn write(buffer: &mut [u8], payload_type: u8, redundant: &[(u32, &[u8])], primary: &[u8]) -> Option<usize> {
    let fitting = || {
        redundant
            .iter()
            .filter(|(offset, block)| *offset < 1 << 14 && block.len() < 1 << 10)
    };
    let headers = fitting().count() * 4 + 1;
    let length = headers + fitting().map(|(_, block)| block.len()).sum::<usize>() + primary.len();
    let buffer = buffer.get_mut(..length)?;
    let mut at = headers;
    for (index, (offset, block)) in fitting().enumerate() {
        let packed = *offset << 10 | block.len() as u32;
        let [_, high, middle, low] = packed.to_be_bytes();
        buffer[4 * index..4 * index + 4].copy_from_slice(&[0x80 | payload_type, high, middle, low]);
        buffer[at..at + block.len()].copy_from_slice(block);
        at += block.len();
    }
    buffer[headers - 1] = payload_type & 0x7f;
    buffer[at..].copy_from_slice(primary);
    Some(length)
}
