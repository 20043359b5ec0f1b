//! Keeps chunks out that are too far ahead of what was acknowledged. The SCTP library takes DATA with any transmission
//! sequence number and remembers every gap between them: a caller that skips numbers without end would fill its memory, and
//! an acknowledgement of more gaps than its length can tell.

/// Chunks that a caller may have under way: more than fit into the receive window, unless they are tiny.
const MOST_AHEAD: u32 = 1_024;
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
/// Chunk types (RFC 9260 3.2, RFC 8260 2.1).
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const I_DATA: u8 = 64;

/// How far the caller's chunks are acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    acknowledged: Option<u32>,
}

impl Window {
    /// Whether a packet of the caller may come in.
    pub(crate) fn admits(&mut self, packet: &[u8]) -> bool {
        for chunk in chunks(packet) {
            match (chunk[0], self.acknowledged) {
                // Before the association stands its beginning may be sent again, with the same number.
                (INIT | INIT_ACK, None) => self.acknowledged = number(chunk, 16).map(|first| first.wrapping_sub(1)),
                (DATA | I_DATA, Some(acknowledged)) => {
                    let ahead = number(chunk, 4).map(|number| number.wrapping_sub(acknowledged));
                    if ahead.is_some_and(|ahead| ahead < 1 << 31 && ahead > MOST_AHEAD) {
                        return false;
                    }
                }
                _ => {}
            }
        }
        true
    }

    /// We said this to the caller.
    pub(crate) fn said(&mut self, packet: &[u8]) {
        for chunk in chunks(packet).filter(|chunk| chunk[0] == SACK) {
            self.acknowledged = number(chunk, 4).or(self.acknowledged);
        }
    }
}

fn number(chunk: &[u8], at: usize) -> Option<u32> {
    let bytes = chunk.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Walks a packet's chunks; ends where the packet makes no sense.
fn chunks(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = packet.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        let chunk = rest.get(..length).filter(|chunk| chunk.len() >= CHUNK_HEADER)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(chunks: &[&[u8]]) -> Vec<u8> {
        [&[0; HEADER][..], &chunks.concat()].concat()
    }

    fn data(number: u32) -> Vec<u8> {
        [&[DATA, 3, 0, 20][..], &number.to_be_bytes(), &[0; 12]].concat()
    }

    fn sack(number: u32) -> Vec<u8> {
        [&[SACK, 0, 0, 16][..], &number.to_be_bytes(), &[0; 8]].concat()
    }

    #[test]
    fn chunks_far_ahead_are_kept_out_and_the_window_moves_with_our_acknowledgements() {
        let mut window = Window::default();
        let init = [&[INIT, 0, 0, 20][..], &[0; 12], &u32::MAX.to_be_bytes()].concat();
        assert!(window.admits(&packet(&[&init])));
        assert!(window.admits(&packet(&[&data(u32::MAX), &data(0)])));
        assert!(!window.admits(&packet(&[&data(u32::MAX), &data(5_000)])));
        window.said(&packet(&[&sack(4_500)]));
        assert!(window.admits(&packet(&[&data(5_000)])));
        assert!(
            window.admits(&packet(&[&data(4_000)])),
            "what comes again is the library's business"
        );
    }

    #[test]
    fn what_makes_no_sense_is_left_to_the_library() {
        let mut window = Window::default();
        for junk in [
            &[][..],
            &[0; 5],
            &packet(&[&[DATA, 0, 0, 2]]),
            &packet(&[&[DATA, 0, 255, 255]]),
        ] {
            assert!(window.admits(junk));
            window.said(junk);
        }
    }
}
