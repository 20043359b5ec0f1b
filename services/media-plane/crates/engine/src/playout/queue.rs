//! Frames that wait to leave, and those that left a moment ago: they lie one behind the other in one byte queue that is recycled,
//! so that an established frame costs no allocation.

use std::collections::VecDeque;

/// Hard bounds of what waits; the worker's credit is about 2 s.
const MAX_FRAMES: usize = 512;
const MAX_BYTES: usize = 128 * 1024;
const MAX_SAMPLES: u64 = 10 * 48_000;
/// Most frames that are kept after they left.
const MAX_TAIL: usize = 32;
/// Above this, an idle queue gives its memory back.
const KEEP_BYTES: usize = 4 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) utterance: u32,
    pub(super) generation: u32,
    pub(super) duration: u32,
    /// Loudness in -dBov; 0 when unknown.
    pub(super) level: u8,
    size: usize,
    /// When it left: on the media clock.
    timestamp: u64,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<Frame>,
    bytes: VecDeque<u8>,
    /// Frames at the front that left, and their bytes.
    gone: usize,
    gone_bytes: usize,
    /// Of what waits.
    samples: u64,
}

impl Queue {
    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.len() == self.gone
    }

    pub(super) fn is_full(&self, size: usize) -> bool {
        self.frames.len() - self.gone >= MAX_FRAMES
            || self.bytes.len() + size > MAX_BYTES
            || self.samples >= MAX_SAMPLES
    }

    pub(super) fn push(&mut self, utterance: u32, generation: u32, duration: u32, level: u8, payload: &[u8]) {
        self.frames.push_back(Frame {
            utterance,
            generation,
            duration,
            level,
            size: payload.len(),
            timestamp: 0,
        });
        self.bytes.extend(payload);
        self.samples += u64::from(duration);
    }

    /// Takes the first frame that waits; its payload is told by [`Queue::last`].
    pub(super) fn leave(&mut self, timestamp: u64) -> Option<Frame> {
        let frame = self.frames.get_mut(self.gone)?;
        frame.timestamp = timestamp;
        self.gone += 1;
        self.gone_bytes += frame.size;
        self.samples -= u64::from(frame.duration);
        Some(*frame)
    }

    /// The payload of the frame that left last, in two pieces.
    pub(super) fn last(&self) -> (&[u8], &[u8]) {
        let size = self.gone.checked_sub(1).map_or(0, |last| self.frames[last].size);
        let (begin, end) = (self.gone_bytes - size, self.gone_bytes);
        let (head, tail) = self.bytes.as_slices();
        let cut = |at: usize| at.min(head.len());
        let behind = |at: usize| at.saturating_sub(head.len());
        (&head[cut(begin)..cut(end)], &tail[behind(begin)..behind(end)])
    }

    /// Forgets what left and was over by `timestamp`.
    pub(super) fn forget(&mut self, timestamp: u64) {
        while let Some(first) = self.frames.front().filter(|_| self.gone > 0) {
            if self.gone <= MAX_TAIL && first.timestamp + u64::from(first.duration) > timestamp {
                return;
            }
            self.gone -= 1;
            self.gone_bytes -= first.size;
            self.bytes.drain(..first.size);
            self.frames.pop_front();
        }
        if self.frames.is_empty() && self.bytes.capacity() > KEEP_BYTES {
            self.bytes.shrink_to(KEEP_BYTES);
            self.frames.shrink_to(MAX_TAIL);
        }
    }

    /// The utterance of the frame that left last, if that was at `timestamp` or later.
    pub(super) fn left_since(&self, timestamp: u64) -> Option<u32> {
        let frame = self.frames.get(self.gone.checked_sub(1)?)?;
        (frame.timestamp >= timestamp).then_some(frame.utterance)
    }

    /// The frame that left last waits again.
    pub(super) fn come_back(&mut self) -> Option<Frame> {
        let last = self.gone.checked_sub(1)?;
        let frame = self.frames[last];
        self.gone = last;
        self.gone_bytes -= frame.size;
        self.samples += u64::from(frame.duration);
        Some(frame)
    }

    /// Drops frames older than `generation`. Returns how many of them waited.
    pub(super) fn flush(&mut self, generation: u32) -> u64 {
        self.forget(u64::MAX);
        let mut dropped = 0;
        while let Some(frame) = self.frames.front().filter(|frame| frame.generation < generation) {
            self.bytes.drain(..frame.size);
            self.samples -= u64::from(frame.duration);
            self.frames.pop_front();
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(frames: u8) -> Queue {
        let mut queue = Queue::default();
        for mark in 0..frames {
            queue.push(1, u32::from(mark / 5), 960, 0, &[mark; 7]);
        }
        queue
    }

    fn leaves(queue: &mut Queue, timestamp: u64) -> Option<Vec<u8>> {
        queue.leave(timestamp)?;
        let (head, tail) = queue.last();
        Some([head, tail].concat())
    }

    #[test]
    fn frames_leave_in_order_however_often_the_bytes_wrap() {
        let mut queue = Queue::default();
        for mark in 0..200_u8 {
            queue.push(1, 0, 960, 0, &vec![mark; usize::from(mark) + 1]);
            if mark >= 3 {
                let before = mark - 3;
                assert_eq!(leaves(&mut queue, 0), Some(vec![before; usize::from(before) + 1]));
                queue.forget(u64::MAX);
            }
        }
    }

    #[test]
    fn what_left_comes_back_from_the_latest_on() {
        let mut queue = queue(10);
        for number in 0..5 {
            leaves(&mut queue, 1_000 + number * 960);
        }
        queue.forget(1_000 + 960);
        assert_eq!(queue.left_since(1_000 + 4 * 960), Some(1));
        assert!(queue.come_back().is_some());
        assert_eq!(queue.left_since(1_000 + 4 * 960), None);
        assert!(queue.come_back().is_some());
        assert_eq!(leaves(&mut queue, 9_000), Some(vec![3; 7]));
        while queue.come_back().is_some() {}
        assert_eq!(leaves(&mut queue, 9_000), Some(vec![1; 7]), "the first is forgotten");
    }

    #[test]
    fn a_flush_drops_what_is_older_and_counts_what_waited() {
        let mut queue = queue(10);
        leaves(&mut queue, 1_000);
        assert_eq!(queue.flush(1), 4);
        assert_eq!(leaves(&mut queue, 2_000), Some(vec![5; 7]));
        assert_eq!(queue.samples, 4 * 960);
    }

    #[test]
    fn it_is_bounded() {
        let mut queue = Queue::default();
        let mut taken = 0;
        while !queue.is_full(100) {
            queue.push(1, 0, 960, 0, &[0; 100]);
            taken += 1;
        }
        assert_eq!(taken, 500, "ten seconds");
        for number in 0..100 {
            queue.leave(number);
        }
        queue.forget(0);
        assert_eq!(queue.gone, MAX_TAIL);
    }
}
