//! What crosses from shard to shard for each packet of a room: levels, to the room's home, and frames, to whoever hears them.
//! A bounded ring and buffers that go round, so that crossing allocates nothing.

use std::fmt;

use antiphon_engine::room::{Forwarded, Loudness};
use crossbeam_queue::ArrayQueue;

use crate::slot::Slot;

/// What may wait for a shard: 20 voices for two seconds.
const DEPTH: usize = 2_048;

/// Something of one member.
pub(crate) enum Parcel {
    Level {
        room: u32,
        slot: Slot,
        loudness: Loudness,
    },
    Frame {
        room: u32,
        meta: FrameMeta,
        payload: Vec<u8>,
    },
}

/// A frame without its packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameMeta {
    source: u32,
    sequence: u64,
    timestamp: u64,
    duration: u32,
    level: u16,
    marker: bool,
}

impl FrameMeta {
    pub(crate) fn with<'a>(&self, payload: &'a [u8]) -> Forwarded<'a> {
        Forwarded {
            source: self.source,
            sequence: self.sequence,
            timestamp: self.timestamp,
            duration: self.duration,
            level: self.level,
            marker: self.marker,
            payload,
        }
    }
}

impl From<&Forwarded<'_>> for FrameMeta {
    fn from(frame: &Forwarded<'_>) -> Self {
        Self {
            source: frame.source,
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            duration: frame.duration,
            level: frame.level,
            marker: frame.marker,
        }
    }
}

/// One shard's ring.
pub(crate) struct Parcels {
    waiting: ArrayQueue<Parcel>,
    /// Buffers of frames that were dealt with.
    spare: ArrayQueue<Vec<u8>>,
}

impl Default for Parcels {
    fn default() -> Self {
        Self {
            waiting: ArrayQueue::new(DEPTH),
            spare: ArrayQueue::new(DEPTH),
        }
    }
}

impl fmt::Debug for Parcels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Parcels")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Parcels {
    /// Leaves a copy of a frame. Returns false when the ring is full.
    pub(crate) fn frame(&self, room: u32, frame: &Forwarded<'_>) -> bool {
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        payload.extend_from_slice(frame.payload);
        let parcel = Parcel::Frame {
            room,
            meta: frame.into(),
            payload,
        };
        self.waiting.push(parcel).is_ok()
    }

    /// Leaves a level. Returns false when the ring is full.
    pub(crate) fn level(&self, room: u32, slot: Slot, loudness: Loudness) -> bool {
        self.waiting.push(Parcel::Level { room, slot, loudness }).is_ok()
    }

    pub(crate) fn next(&self) -> Option<Parcel> {
        self.waiting.pop()
    }

    /// Returns the buffer of a frame that was dealt with.
    pub(crate) fn take_back(&self, buffer: Vec<u8>) {
        let _enough_of_them = self.spare.push(buffer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_crosses_whole_and_its_buffer_comes_back() {
        let parcels = Parcels::default();
        let frame = Forwarded {
            source: 3,
            sequence: 4,
            timestamp: 5,
            duration: 960,
            level: 0,
            marker: true,
            payload: b"voice",
        };
        assert!(parcels.frame(9, &frame));
        let Some(Parcel::Frame { room: 9, meta, payload }) = parcels.next() else {
            panic!("expected the frame")
        };
        assert_eq!(format!("{:?}", meta.with(&payload)), format!("{frame:?}"));
        let buffer = payload.as_ptr();
        parcels.take_back(payload);
        assert!(parcels.frame(9, &frame));
        let Some(Parcel::Frame { payload, .. }) = parcels.next() else {
            panic!("expected the frame")
        };
        assert_eq!(payload.as_ptr(), buffer);
    }

    #[test]
    fn a_full_ring_refuses() {
        let parcels = Parcels::default();
        let loudness = Loudness::of(0, 960, &[]);
        let taken = (0..2 * DEPTH).filter(|_| parcels.level(1, Slot(0), loudness)).count();
        assert_eq!(taken, DEPTH);
    }
}
