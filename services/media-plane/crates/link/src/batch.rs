//! One media message in the making: columns for frames, gaps, playout and drops, recycled so that a flush allocates nothing.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::proto::{
    IngestDrops, IngestFrames, IngestGaps, IngestQuality, MediaHello, MediaRequest, MediaResponse, PlayoutReports,
    VoiceHints,
};

/// Messages kept for reuse by a stripe.
const KEPT: usize = 64;
/// Messages that a stripe has from its start: as many are seldom on their way at once.
const PREPARED: usize = 16;
/// Rows that a message has room for from its start, and bytes of their payloads.
const ROWS: usize = 32;
const PAYLOAD: usize = ROWS * 128;
/// State of a playout report that a later one replaces.
const PLAYING: u32 = 0;
/// State of a gap that will not be filled.
const LOST: u32 = 1;
/// Rows of a kind that a message takes over from those that were never sent: a worker that reads nothing for ever must
/// not make it grow for ever.
const MOST_CARRIED: usize = 512;

/// One frame as columns want it; see `IngestFrames` in the proto.
#[derive(Clone, Copy, Debug)]
pub struct Ingest<'a> {
    /// Handle of the session.
    pub session: u32,
    /// Unwrapped sequence number.
    pub sequence: u64,
    /// Unwrapped timestamp.
    pub timestamp: u64,
    /// When the edge read it.
    pub arrival_us: u64,
    /// In 48 kHz samples.
    pub duration: u32,
    /// RFC 6464, as the proto has it.
    pub level: u32,
    /// Bits, as the proto has them.
    pub flags: u32,
    /// The Opus packet.
    pub payload: &'a [u8],
}

/// What came of a session's packets, as columns want it; see `IngestQuality` in the proto.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quality {
    /// Handle of the session.
    pub session: u32,
    /// Round trip; 0 while unknown.
    pub rtt_us: u32,
    /// Interarrival jitter.
    pub jitter_us: u32,
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that did not come by themselves.
    pub lost_before_repair: u64,
    /// Repaired by RED.
    pub repaired_red: u64,
    /// Repaired by NACK.
    pub repaired_nack: u64,
    /// Came after they were given up.
    pub late: u64,
    /// Came behind a later one.
    pub reordered: u64,
    /// Came twice.
    pub duplicates: u64,
    /// Given up.
    pub lost: u64,
    /// Whether the agent's voice comes back, as the proto has it.
    pub echo: u32,
}

/// One playout report as columns want it; see `PlayoutReports` in the proto.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Playout {
    /// Handle of the session.
    pub session: u32,
    /// The utterance.
    pub utterance: u32,
    /// Samples accepted.
    pub queued: u64,
    /// Samples sent.
    pub sent: u64,
    /// Samples that came.
    pub received: u64,
    /// Samples heard.
    pub heard: u64,
    /// How that is known, as the proto has it.
    pub basis: u32,
    /// State, as the proto has it.
    pub state: u32,
    /// Under-runs.
    pub underruns: u32,
    /// When its first frame left, 0 while none has.
    pub began_us: u64,
    /// From leaving to the caller's device.
    pub way_us: u32,
    /// From leaving to the caller's ear.
    pub to_the_ear_us: u32,
}

/// One hint as columns want it; see `VoiceHints` in the proto.
#[derive(Clone, Copy, Debug)]
pub struct Hint {
    /// Handle of the session.
    pub session: u32,
    /// When it was noticed.
    pub at_us: u64,
    /// Unwrapped timestamp of the frame.
    pub timestamp: u64,
    /// The caller begins to speak, rather than stops.
    pub onset: bool,
    /// In -dBov.
    pub level: u32,
    /// Whether playout is held because of it.
    pub held: bool,
}

#[derive(Clone, Copy, Debug)]
struct GapRow {
    session: u32,
    first: u64,
    count: u32,
    state: u32,
}

/// A message, and the columns that it may need besides frames.
#[derive(Debug, Default)]
struct Parts {
    message: MediaRequest,
    gaps: IngestGaps,
    playout: PlayoutReports,
    drops: IngestDrops,
    hints: VoiceHints,
    quality: IngestQuality,
}

/// What was lost of a message that was never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Frames. The worker is told how many.
    pub frames: u64,
    /// Gaps and playout reports beyond what a message carries, the oldest first.
    pub reports: u64,
}

/// Columns of one length.
trait Columns {
    /// Makes room for a usual flush's rows.
    fn reserve(&mut self);
    /// No rows; the room stays.
    fn clear(&mut self);
}

/// Columns that are named as the fields of their rows.
trait Table: Columns {
    type Row;
    fn push(&mut self, row: &Self::Row);
    fn row(&self, at: usize) -> Self::Row;
}

/// Names the columns of a table, once.
macro_rules! columns {
    ($table:ident of $row:ident: $($column:ident),+) => {
        columns!($table: $($column),+);

        impl Table for $table {
            type Row = $row;

            fn push(&mut self, row: &$row) {
                $(self.$column.push(row.$column);)+
            }

            fn row(&self, at: usize) -> $row {
                $row { $($column: self.$column[at],)+ }
            }
        }
    };
    ($table:ident: $($column:ident),+) => {
        impl Columns for $table {
            fn reserve(&mut self) {
                $(self.$column.reserve(ROWS);)+
            }

            fn clear(&mut self) {
                $(self.$column.clear();)+
            }
        }
    };
}

columns!(IngestFrames: session, sequence, timestamp, arrival_us, duration, level, flags, size, payload);
columns!(IngestGaps of GapRow: session, first, count, state);
columns!(IngestDrops: session, count);
columns!(PlayoutReports of Playout: session, utterance, queued, sent, received, heard, basis, state, underruns,
    began_us, way_us, to_the_ear_us);
columns!(IngestQuality of Quality: session, rtt_us, jitter_us, expected, lost_before_repair, repaired_red,
    repaired_nack, late, reordered, duplicates, lost, echo);
columns!(VoiceHints: session, at_us, timestamp, kind, level, held);

/// A table of the message, put there where it is not yet.
fn in_use<'a, T: Columns + Default>(table: &'a mut Option<T>, spare: &mut T) -> &'a mut T {
    table.get_or_insert_with(|| std::mem::take(spare))
}

/// Takes a table out of a message that was sent: its room is for the next.
fn put_away<T: Columns>(table: &mut Option<T>, spare: &mut T) {
    if let Some(mut columns) = table.take() {
        columns.clear();
        *spare = columns;
    }
}

impl Parts {
    /// With room for a usual flush.
    fn roomy() -> Self {
        let mut parts = Self::default();
        let frames = parts.message.frames.get_or_insert_default();
        frames.reserve();
        frames.payload.reserve(PAYLOAD);
        parts.gaps.reserve();
        parts.playout.reserve();
        parts.drops.reserve();
        parts.hints.reserve();
        parts.quality.reserve();
        parts
    }

    /// With no rows.
    fn clear(&mut self) {
        let message = &mut self.message;
        message.hello = None;
        if let Some(frames) = &mut message.frames {
            frames.clear();
        }
        put_away(&mut message.gaps, &mut self.gaps);
        put_away(&mut message.playout, &mut self.playout);
        put_away(&mut message.drops, &mut self.drops);
        put_away(&mut message.quality, &mut self.quality);
        put_away(&mut message.hints, &mut self.hints);
    }
}

/// Where a stripe's messages return to after they were sent.
#[derive(Clone, Debug)]
pub struct BatchPool(Arc<ArrayQueue<Parts>>);

impl Default for BatchPool {
    fn default() -> Self {
        let kept = ArrayQueue::new(KEPT);
        for _ in 0..PREPARED {
            let _room = kept.push(Parts::roomy());
        }
        Self(Arc::new(kept))
    }
}

impl BatchPool {
    /// An empty batch.
    #[must_use]
    pub fn take(&self) -> Batch {
        Batch {
            parts: self.0.pop().unwrap_or_else(Parts::roomy),
            pool: self.clone(),
        }
    }
}

/// A media message that returns to its pool when dropped.
#[derive(Debug)]
pub struct Batch {
    parts: Parts,
    pool: BatchPool,
}

impl Batch {
    /// Adds a frame.
    pub fn push_frame(&mut self, frame: &Ingest<'_>) {
        let columns = self.parts.message.frames.get_or_insert_default();
        columns.session.push(frame.session);
        columns.sequence.push(frame.sequence);
        columns.timestamp.push(frame.timestamp);
        columns.arrival_us.push(frame.arrival_us);
        columns.duration.push(frame.duration);
        columns.level.push(frame.level);
        columns.flags.push(frame.flags);
        columns
            .size
            .push(u32::try_from(frame.payload.len()).unwrap_or(u32::MAX));
        columns.payload.extend_from_slice(frame.payload);
    }

    /// Adds a gap: 0 announced, 1 lost.
    pub fn push_gap(&mut self, session: u32, first: u64, count: u32, state: u32) {
        self.gaps().push(&GapRow {
            session,
            first,
            count,
            state,
        });
    }

    fn gaps(&mut self) -> &mut IngestGaps {
        in_use(&mut self.parts.message.gaps, &mut self.parts.gaps)
    }

    /// Adds a playout report.
    pub fn push_playout(&mut self, report: &Playout) {
        in_use(&mut self.parts.message.playout, &mut self.parts.playout).push(report);
    }

    /// Adds what came of a session's packets; an older row of it is of no use any more.
    pub fn push_quality(&mut self, quality: &Quality) {
        in_use(&mut self.parts.message.quality, &mut self.parts.quality).push(quality);
    }

    /// Adds what the edge noticed of a caller's voice: kind 0 onset, 1 offset.
    pub fn push_hint(&mut self, hint: &Hint) {
        let columns = in_use(&mut self.parts.message.hints, &mut self.parts.hints);
        columns.session.push(hint.session);
        columns.at_us.push(hint.at_us);
        columns.timestamp.push(hint.timestamp);
        columns.kind.push(u32::from(!hint.onset));
        columns.level.push(hint.level);
        columns.held.push(u32::from(hint.held));
    }

    /// Says that frames of a session were dropped.
    pub fn push_drops(&mut self, session: u32, count: u32) {
        let columns = in_use(&mut self.parts.message.drops, &mut self.parts.drops);
        if let Some(at) = columns.session.iter().position(|known| *known == session) {
            columns.count[at] = columns.count[at].saturating_add(count);
        } else {
            columns.session.push(session);
            columns.count.push(count);
        }
    }

    /// Takes over what must not be lost of a message that is too old to send: which frames are missing, and how
    /// utterances ended. A hint that comes late is of no use: a hold that nobody answers ends by itself. Of gaps that are beyond the bound only the number of lost frames remains.
    pub fn absorb(&mut self, old: &Self) -> Forgotten {
        let old = &old.parts.message;
        let mut forgotten = Forgotten::default();
        if let Some(frames) = &old.frames {
            forgotten.frames = frames.session.len() as u64;
            for session in &frames.session {
                self.push_drops(*session, 1);
            }
        }
        if let Some(columns) = &old.drops {
            for (session, count) in columns.session.iter().zip(&columns.count) {
                self.push_drops(*session, *count);
            }
        }
        if let Some(columns) = &old.gaps {
            forgotten.reports += self.absorb_gaps(columns);
        }
        if let Some(columns) = &old.playout {
            forgotten.reports += self.absorb_playout(columns);
        }
        forgotten
    }

    fn absorb_gaps(&mut self, old: &IngestGaps) -> u64 {
        let excess = old.session.len().saturating_sub(MOST_CARRIED);
        for at in 0..old.session.len() {
            let gap = old.row(at);
            if at >= excess {
                self.gaps().push(&gap);
            } else if gap.state == LOST {
                self.push_drops(gap.session, gap.count);
            }
        }
        excess as u64
    }

    fn absorb_playout(&mut self, old: &PlayoutReports) -> u64 {
        let ended = || (0..old.session.len()).filter(|at| old.state[*at] != PLAYING);
        let excess = ended().count().saturating_sub(MOST_CARRIED);
        ended().skip(excess).for_each(|at| self.push_playout(&old.row(at)));
        excess as u64
    }

    /// Frames in it.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.parts
            .message
            .frames
            .as_ref()
            .map_or(0, |frames| frames.session.len())
    }

    /// Nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let message = &self.parts.message;
        self.frames() == 0
            && message.gaps.is_none()
            && message.playout.is_none()
            && message.drops.is_none()
            && message.quality.is_none()
            && message.hints.is_none()
            && message.hello.is_none()
    }

    /// The message as it is encoded.
    #[must_use]
    pub fn message(&self) -> &MediaRequest {
        &self.parts.message
    }

    pub(crate) fn hello(hello: MediaHello) -> Self {
        let message = MediaRequest {
            hello: Some(hello),
            ..MediaRequest::default()
        };
        Self {
            parts: Parts {
                message,
                ..Parts::default()
            },
            pool: BatchPool(Arc::new(ArrayQueue::new(1))),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        let _full = self.pool.0.push(parts);
    }
}

/// Whether the columns of a worker's message have one length each and the sizes add up to the payload.
#[must_use]
pub fn columns_agree(message: &MediaResponse) -> bool {
    let frames = message.frames.as_ref().is_none_or(|columns| {
        let rows = columns.session.len();
        [
            &columns.utterance,
            &columns.generation,
            &columns.duration,
            &columns.flags,
            &columns.size,
        ]
        .iter()
        .all(|column| column.len() == rows)
            && (columns.level.is_empty() || columns.level.len() == rows)
            && columns.size.iter().map(|size| u64::from(*size)).sum::<u64>() == columns.payload.len() as u64
    });
    let commands = message.commands.as_ref().is_none_or(|columns| {
        columns.command.len() == columns.session.len() && columns.generation.len() == columns.session.len()
    });
    let receipts = message
        .receipts
        .as_ref()
        .is_none_or(|columns| columns.timestamp.len() == columns.session.len());
    frames && commands && receipts
}
