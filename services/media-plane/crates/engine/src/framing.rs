//! RFC 4571 frames: how datagrams travel in a TCP stream, each behind its length in 16 bits. Reading and writing without
//! a socket: whoever owns the connection feeds bytes in and carries bytes away.

use std::collections::VecDeque;

/// Longer frames are no datagrams of WebRTC's, which stay below 1,500 bytes.
pub const LARGEST_FRAME: usize = 2_048;
const LENGTH: usize = 2;

/// A stream that carries no frames of WebRTC's. It cannot be read further, since no frame begins at a known place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes, at most {LARGEST_FRAME} are expected")]
pub struct FrameTooLong {
    /// What it claims.
    pub length: usize,
}

/// Cuts a stream into frames. It keeps at most one frame that has not come whole, and nothing while there is none.
#[derive(Debug, Default)]
pub struct Deframer {
    partial: Vec<u8>,
}

impl Deframer {
    /// Takes the next bytes of the stream, of any number, and hands out each frame that is whole. Empty frames are passed
    /// over: RFC 4571 allows them, and they say nothing. `take` returns whether it wants more: once it does not, the
    /// rest is kept for a reader who comes after.
    ///
    /// # Errors
    /// [`FrameTooLong`]; the connection is to be closed.
    pub fn push(&mut self, mut bytes: &mut [u8], mut take: impl FnMut(&mut [u8]) -> bool) -> Result<(), FrameTooLong> {
        while !self.partial.is_empty() {
            let missing = missing(&self.partial)?.min(bytes.len());
            if missing == 0 && bytes.is_empty() {
                return Ok(());
            }
            let (head, rest) = bytes.split_at_mut(missing);
            self.partial.extend_from_slice(head);
            bytes = rest;
            if whole(&self.partial)? {
                let end = LENGTH + length(&self.partial);
                let wants_more = end == LENGTH || take(&mut self.partial[LENGTH..end]);
                self.partial.drain(..end);
                if !wants_more {
                    self.partial.extend_from_slice(bytes);
                    return Ok(());
                }
            }
        }
        while whole(bytes)? {
            let end = LENGTH + length(bytes);
            let (frame, rest) = bytes.split_at_mut(end);
            bytes = rest;
            if end > LENGTH && !take(&mut frame[LENGTH..]) {
                break;
            }
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Bytes of the stream that were kept and belong to no frame that was handed out.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        self.partial
    }

    /// How many those are.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.partial.len()
    }
}

fn length(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Whether a frame is there in full.
fn whole(bytes: &[u8]) -> Result<bool, FrameTooLong> {
    if bytes.len() < LENGTH {
        return Ok(false);
    }
    match length(bytes) {
        length if length > LARGEST_FRAME => Err(FrameTooLong { length }),
        length => Ok(bytes.len() >= LENGTH + length),
    }
}

/// How many bytes a frame lacks, or its length does.
fn missing(partial: &[u8]) -> Result<usize, FrameTooLong> {
    match partial.len() {
        0 | 1 => Ok(LENGTH - partial.len()),
        _ if whole(partial)? => Ok(0),
        have => Ok(LENGTH + length(partial) - have),
    }
}

/// Frames that wait for a slow receiver: bounded, and the oldest whole frame goes first when there is no room, since old
/// audio is worth the least. What has begun to leave is finished, lest the stream be lost.
#[derive(Debug)]
pub struct FrameQueue {
    bytes: VecDeque<u8>,
    /// What is left of each frame, its length field included.
    frames: VecDeque<usize>,
    /// The first frame has begun to leave.
    begun: bool,
    most: usize,
}

impl FrameQueue {
    /// A queue for so many bytes, at least one largest frame.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            frames: VecDeque::new(),
            begun: false,
            most: most.max(LENGTH + LARGEST_FRAME),
        }
    }

    /// Adds a datagram; returns how many frames were dropped for it, itself among them when it does not fit at all.
    pub fn push(&mut self, datagram: &[u8]) -> usize {
        let Some(length) = u16::try_from(datagram.len())
            .ok()
            .filter(|_| datagram.len() <= LARGEST_FRAME)
        else {
            return 1;
        };
        let size = LENGTH + datagram.len();
        let mut dropped = 0;
        while self.bytes.len() + size > self.most {
            if !self.drop_oldest() {
                return dropped + 1;
            }
            dropped += 1;
        }
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(datagram);
        self.frames.push_back(size);
        dropped
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = usize::from(self.begun);
        let Some(size) = self.frames.remove(oldest) else {
            return false;
        };
        let start = if self.begun { self.frames[0] } else { 0 };
        self.bytes.drain(start..start + size);
        true
    }

    /// What waits, as two runs of bytes.
    #[must_use]
    pub fn waiting(&self) -> (&[u8], &[u8]) {
        self.bytes.as_slices()
    }

    /// So many bytes have left.
    pub fn sent(&mut self, mut count: usize) {
        count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        while let Some(left) = self.frames.front_mut().filter(|_| count > 0) {
            let gone = count.min(*left);
            *left -= gone;
            count -= gone;
            self.begun = *left > 0;
            if *left == 0 {
                self.frames.pop_front();
            }
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
