//! The last payloads as they were before sealing, for redundancy (RFC 2198). Its memory is borrowed while redundancy is due.

use crate::playout::MAX_PAYLOAD;

/// Most blocks that a packet carries besides its own: the one of 60 ms ago comes when a jitter buffer of 60 ms plays it.
pub(crate) const MAX_DISTANCE: usize = 3;
/// Longer payloads are not repeated: they would not fit a datagram together.
const LONGEST: usize = 384;
/// RFC 2198: the primary's header.
const PRIMARY_HEADER: usize = 1;
/// RFC 2198: the offset has 14 bits.
const MAX_OFFSET: u32 = 1 << 14;

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    timestamp: u32,
    size: usize,
}

#[derive(Debug)]
struct Payloads {
    kept: [Kept; MAX_DISTANCE],
    bytes: [[u8; LONGEST]; MAX_DISTANCE],
    /// Payloads ever kept.
    count: usize,
}

#[derive(Debug, Default)]
pub(crate) struct History(Option<Box<Payloads>>);

/// Blocks for `red::write`, oldest first: timestamp offset and payload.
pub(crate) type Blocks<'a> = [(u32, &'a [u8]); MAX_DISTANCE];

impl History {
    /// Keeps a payload that lies in two pieces.
    pub(crate) fn push(&mut self, timestamp: u32, payload: (&[u8], &[u8])) {
        let payloads = self.0.get_or_insert_with(|| {
            Box::new(Payloads {
                kept: [Kept::default(); MAX_DISTANCE],
                bytes: [[0; LONGEST]; MAX_DISTANCE],
                count: 0,
            })
        });
        let (at, middle) = (payloads.count % MAX_DISTANCE, payload.0.len());
        let length = middle + payload.1.len();
        // Too long a payload takes its place all the same, so that distances stay what they are.
        let size = if length > LONGEST { 0 } else { length };
        if size > 0 {
            payloads.bytes[at][..middle].copy_from_slice(payload.0);
            payloads.bytes[at][middle..size].copy_from_slice(payload.1);
        }
        payloads.kept[at] = Kept { timestamp, size };
        payloads.count += 1;
    }

    /// As [`History::blocks`], for a packet whose own payload has `length` bytes.
    #[inline]
    pub(crate) fn blocks_beside<'a>(
        &'a self,
        timestamp: u32,
        distance: usize,
        length: usize,
        blocks: &mut Blocks<'a>,
    ) -> usize {
        if distance == 0 {
            return 0;
        }
        let room = MAX_PAYLOAD.saturating_sub(length + PRIMARY_HEADER);
        self.blocks(timestamp, distance, room, blocks)
    }

    /// The last `distance` payloads before one at `timestamp`, as far as they fit `room` bytes with their headers; the nearest
    /// count most. Returns how many of `blocks` are filled.
    fn blocks<'a>(&'a self, timestamp: u32, distance: usize, room: usize, blocks: &mut Blocks<'a>) -> usize {
        let Some(payloads) = &self.0 else { return 0 };
        let (mut filled, mut room) = (0, room);
        for back in 1..=distance.min(MAX_DISTANCE).min(payloads.count) {
            let at = (payloads.count - back) % MAX_DISTANCE;
            let Kept {
                timestamp: before,
                size,
            } = payloads.kept[at];
            let offset = timestamp.wrapping_sub(before);
            if size == 0 || offset >= MAX_OFFSET || size + 4 > room {
                break;
            }
            room -= size + 4;
            blocks[filled] = (offset, &payloads.bytes[at][..size]);
            filled += 1;
        }
        blocks[..filled].reverse();
        filled
    }

    /// What comes next stands behind none of these.
    pub(crate) fn forget(&mut self) {
        if let Some(payloads) = &mut self.0 {
            payloads.count = 0;
        }
    }

    /// No redundancy is due.
    pub(crate) fn rest(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(history: &History, timestamp: u32, distance: usize, room: usize) -> Vec<(u32, Vec<u8>)> {
        let mut blocks = Blocks::default();
        let count = history.blocks(timestamp, distance, room, &mut blocks);
        blocks[..count]
            .iter()
            .map(|(offset, block)| (*offset, block.to_vec()))
            .collect()
    }

    fn spoken(frames: u32) -> History {
        let mut history = History::default();
        for number in 0..frames {
            history.push(number * 960, (&[number as u8; 3], &[0xff]));
        }
        history
    }

    #[test]
    fn the_nearest_payloads_are_told_oldest_first() {
        let history = spoken(5);
        let block = |number: u8| vec![number, number, number, 0xff];
        assert_eq!(told(&history, 5 * 960, 1, 1_000), [(960, block(4))]);
        assert_eq!(
            told(&history, 5 * 960, 9, 1_000),
            [(2_880, block(2)), (1_920, block(3)), (960, block(4))]
        );
        assert_eq!(told(&spoken(1), 960, 3, 1_000), [(960, block(0))]);
        assert_eq!(told(&spoken(0), 0, 3, 1_000), []);
    }

    #[test]
    fn what_does_not_fit_is_left_out_the_oldest_first() {
        let history = spoken(5);
        assert_eq!(told(&history, 5 * 960, 3, 17).len(), 2);
        assert_eq!(told(&history, 5 * 960, 3, 7).len(), 0);
    }

    #[test]
    fn what_is_too_old_or_too_long_is_not_repeated() {
        let mut history = spoken(5);
        assert_eq!(told(&history, 4 * 960 + MAX_OFFSET, 3, 1_000), []);
        history.push(5 * 960, (&[7; LONGEST], &[7]));
        assert_eq!(told(&history, 6 * 960, 3, 1_000), []);
        history.push(6 * 960, (&[8; LONGEST], &[]));
        assert_eq!(told(&history, 7 * 960, 3, 1_000).len(), 1);
    }
}
