//! A caller's frames of the last seconds, for the worker that takes the session over should its own be lost. They lie in chunks that a
//! shard's sessions share, borrowed while there is something in them: who is done with the frames is the worker's to say.

use std::collections::VecDeque;

use antiphon_link::Ingest;

/// What is older is let go, whatever became of it.
const LONGEST_US: u64 = 10_000_000;
/// One holds the largest Opus packet, and what a caller says in a third of a second: a chunk that is begun costs all of it.
const CHUNK: usize = 1_536;
/// Most chunks of one session: ten seconds at 64 kbit/s.
const MOST_OF_ONE: usize = 64;
/// Most chunks of all sessions of a shard: 32 MiB.
const MOST_OF_ALL: usize = 32 * 1024 * 1024 / CHUNK;
/// Chunks that are not given back to the system while nobody needs them.
const SPARE: usize = 256;
/// What lies before each payload.
const HEADER: usize = 17;
/// `IngestFrames.flags`: it came while the session had another worker, or none.
pub(crate) const KEPT: u32 = 32;

#[derive(Debug)]
struct Chunk {
    bytes: Box<[u8; CHUNK]>,
    used: usize,
    base: Base,
}

/// What a chunk's frames are told apart from: its first frame's numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    sequence: u64,
    timestamp: u64,
    arrival_us: u64,
}

impl Base {
    fn of(frame: &Ingest<'_>) -> Self {
        Self {
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            arrival_us: frame.arrival_us,
        }
    }

    /// How far the frame is from here, unless it is too far: sequence, timestamp, arrival.
    fn away(self, frame: &Ingest<'_>) -> Option<(i16, i32, i32)> {
        Some((
            i16::try_from(frame.sequence.wrapping_sub(self.sequence).cast_signed()).ok()?,
            i32::try_from(frame.timestamp.wrapping_sub(self.timestamp).cast_signed()).ok()?,
            i32::try_from(frame.arrival_us.wrapping_sub(self.arrival_us).cast_signed()).ok()?,
        ))
    }
}

/// The chunks of one shard.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    spare: Vec<Chunk>,
    lent: usize,
}

impl Chunks {
    /// Chunks that sessions have.
    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    fn lend(&mut self) -> Option<Chunk> {
        if self.lent == MOST_OF_ALL {
            return None;
        }
        self.lent += 1;
        let mut chunk = self.spare.pop().unwrap_or_else(|| Chunk {
            bytes: Box::new([0; CHUNK]),
            used: 0,
            base: Base::default(),
        });
        chunk.used = 0;
        Some(chunk)
    }

    fn take_back(&mut self, chunk: Chunk) {
        self.lent -= 1;
        if self.spare.len() < SPARE {
            self.spare.push(chunk);
        }
    }
}

/// One session's.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    chunks: VecDeque<Chunk>,
    /// Where the first frame begins in the first chunk.
    begin: usize,
    wanted: bool,
}

impl Kept {
    /// The worker is done with frames that begin before this timestamp. Its first word of this is why any are kept: nobody knows what
    /// a worker that says nothing is done with.
    pub(crate) fn done(&mut self, before: u64, chunks: &mut Chunks) {
        self.wanted = true;
        while self.first().is_some_and(|first| first.timestamp < before) {
            self.forget_first(chunks);
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Keeps a frame, where that is wanted. Returns how many were let go: older ones for it, or because they are too old, or itself.
    pub(crate) fn keep(&mut self, frame: &Ingest<'_>, chunks: &mut Chunks) -> u64 {
        let size = HEADER + frame.payload.len();
        if !self.wanted {
            return 0;
        }
        if size > CHUNK {
            return 1; // no network carries it in one packet
        }
        let mut forgotten = 0;
        let oldest = frame.arrival_us.saturating_sub(LONGEST_US);
        while self.first().is_some_and(|first| first.arrival_us < oldest) {
            self.forget_first(chunks);
            forgotten += 1;
        }
        let fits = |last: &Chunk| last.used + size <= CHUNK && last.base.away(frame).is_some();
        if !self.chunks.back().is_some_and(fits) {
            while self.chunks.len() >= MOST_OF_ONE {
                self.forget_first(chunks);
                forgotten += 1;
            }
            let mut chunk = chunks.lend();
            while chunk.is_none() && !self.chunks.is_empty() {
                self.forget_first(chunks);
                forgotten += 1;
                chunk = chunks.lend();
            }
            let Some(mut chunk) = chunk else {
                return forgotten + 1; // this one
            };
            chunk.base = Base::of(frame);
            self.chunks.push_back(chunk);
        }
        if let Some(last) = self.chunks.back_mut() {
            let away = last.base.away(frame).unwrap_or_default(); // a new chunk's is zero
            write(away, frame, &mut last.bytes[last.used..last.used + size]);
            last.used += size;
        }
        forgotten
    }

    /// What is kept, in the order in which it came.
    pub(crate) fn frames(&self, session: u32) -> impl Iterator<Item = Ingest<'_>> {
        self.chunks.iter().enumerate().flat_map(move |(number, chunk)| {
            let mut rest = &chunk.bytes[if number == 0 { self.begin } else { 0 }..chunk.used];
            std::iter::from_fn(move || {
                let (mut frame, size) = read(chunk.base, rest)?;
                frame.session = session;
                rest = &rest[size..];
                Some(frame)
            })
        })
    }

    /// Gives all of it back.
    pub(crate) fn clear(&mut self, chunks: &mut Chunks) {
        for chunk in self.chunks.drain(..) {
            chunks.take_back(chunk);
        }
        self.begin = 0;
    }

    fn first(&self) -> Option<Ingest<'_>> {
        let chunk = self.chunks.front()?;
        read(chunk.base, &chunk.bytes[self.begin..chunk.used]).map(|(frame, _)| frame)
    }

    fn forget_first(&mut self, chunks: &mut Chunks) {
        let Some(chunk) = self.chunks.front() else { return };
        let size = read(chunk.base, &chunk.bytes[self.begin..chunk.used]).map_or(CHUNK, |(_, size)| size);
        self.begin += size;
        if self.begin >= chunk.used {
            self.begin = 0;
            if let Some(chunk) = self.chunks.pop_front() {
                chunks.take_back(chunk);
            }
        }
    }
}

fn write((sequence, timestamp, arrival_us): (i16, i32, i32), frame: &Ingest<'_>, into: &mut [u8]) {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        into[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&sequence.to_le_bytes());
    put(&timestamp.to_le_bytes());
    put(&arrival_us.to_le_bytes());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 120 ms, nine bits, less than a chunk, and six bits"
    )]
    {
        for short in [frame.duration as u16, frame.level as u16, frame.payload.len() as u16] {
            put(&short.to_le_bytes());
        }
        put(&[frame.flags as u8]);
    }
    put(frame.payload);
}

/// The frame at the front of these octets, of no session, and how many of them it takes.
fn read(base: Base, octets: &[u8]) -> Option<(Ingest<'_>, usize)> {
    let (header, rest) = octets.split_at_checked(HEADER)?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let away = |at: usize| Some(i64::from(header[at..at + 4].try_into().map(i32::from_le_bytes).ok()?));
    let size = usize::from(short(14));
    let frame = Ingest {
        session: 0,
        sequence: base.sequence.wrapping_add_signed(i64::from(short(0).cast_signed())),
        timestamp: base.timestamp.wrapping_add_signed(away(2)?),
        arrival_us: base.arrival_us.wrapping_add_signed(away(6)?),
        duration: u32::from(short(10)),
        level: u32::from(short(12)),
        flags: u32::from(header[16]),
        payload: rest.get(..size)?,
    };
    Some((frame, HEADER + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_US: u64 = 20_000;

    fn frame(number: u64, payload: &[u8]) -> Ingest<'_> {
        Ingest {
            session: 0,
            sequence: 1_000 + number,
            timestamp: number * 960,
            arrival_us: number * FRAME_US,
            duration: 960,
            level: 0x1b2,
            flags: 17,
            payload,
        }
    }

    /// One whose worker has spoken.
    fn kept(chunks: &mut Chunks) -> Kept {
        let mut kept = Kept::default();
        kept.done(0, chunks);
        kept
    }

    fn sequences(kept: &Kept) -> Vec<u64> {
        kept.frames(7).map(|frame| frame.sequence - 1_000).collect()
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let (mut chunks, payload) = (Chunks::default(), [5; 120]);
        let mut kept = kept(&mut chunks);
        for number in 0..100 {
            kept.keep(&frame(number, &payload[..number as usize]), &mut chunks);
        }
        for (number, kept) in (0..).zip(kept.frames(7)) {
            let expected = frame(number, &payload[..number as usize]);
            assert_eq!(kept.session, 7);
            assert_eq!(
                (kept.sequence, kept.timestamp, kept.arrival_us, kept.duration),
                (
                    expected.sequence,
                    expected.timestamp,
                    expected.arrival_us,
                    expected.duration
                )
            );
            assert_eq!((kept.level, kept.flags, kept.payload), (0x1b2, 17, expected.payload));
        }
        assert_eq!(sequences(&kept), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_the_worker_is_done_with_goes_and_an_idle_session_has_no_memory() {
        let mut chunks = Chunks::default();
        let mut kept = kept(&mut chunks);
        for number in 0..200 {
            kept.keep(&frame(number, &[1; 100]), &mut chunks);
        }
        assert!(chunks.lent() > 1);
        kept.done(150 * 960, &mut chunks);
        assert_eq!(sequences(&kept), (150..200).collect::<Vec<_>>());
        kept.done(200 * 960, &mut chunks);
        assert_eq!((chunks.lent(), sequences(&kept).len()), (0, 0));
        kept.keep(&frame(200, &[1; 100]), &mut chunks);
        assert_eq!(sequences(&kept), [200]);
    }

    #[test]
    fn it_is_bounded_in_time_and_in_bytes() {
        let mut chunks = Chunks::default();
        let mut kept = kept(&mut chunks);
        let mut forgotten = 0;
        for number in 0..2_000 {
            forgotten += kept.keep(&frame(number, &[1; 60]), &mut chunks);
        }
        assert_eq!(sequences(&kept).first(), Some(&(1_999 - 500)), "ten seconds");
        assert_eq!(forgotten as usize + sequences(&kept).len(), 2_000);

        for number in 2_000..4_000 {
            kept.keep(&frame(number, &[1; 1_275]), &mut chunks);
            assert!(chunks.lent() <= MOST_OF_ONE);
        }
        assert_eq!(sequences(&kept).last(), Some(&3_999));
        kept.clear(&mut chunks);
        assert_eq!(chunks.lent(), 0);
    }

    #[test]
    fn late_ones_and_those_after_a_leap_come_out_as_they_went_in() {
        let mut chunks = Chunks::default();
        let mut kept = kept(&mut chunks);
        let numbers = [70_000, 69_990, 70_001, 5, 140_000, 70_002];
        for number in numbers {
            let late = Ingest {
                arrival_us: 9_000_000,
                ..frame(number, &[2; 40])
            };
            kept.keep(&late, &mut chunks);
        }
        assert_eq!(sequences(&kept), numbers);
        let timestamps: Vec<_> = kept.frames(7).map(|frame| frame.timestamp).collect();
        assert_eq!(timestamps, numbers.map(|number| number * 960));
        assert!(kept.frames(7).all(|frame| frame.arrival_us == 9_000_000));
    }

    #[test]
    fn a_shard_lends_so_much_and_no_more() {
        let mut chunks = Chunks::default();
        let mut sessions: Vec<_> = (0..=MOST_OF_ALL).map(|_| kept(&mut chunks)).collect();
        let forgotten: u64 = sessions
            .iter_mut()
            .map(|kept| kept.keep(&frame(0, &[1; 60]), &mut chunks))
            .sum();
        assert_eq!((chunks.lent(), forgotten), (MOST_OF_ALL, 1));
        let last = sessions.last_mut().expect("many");
        assert_eq!(
            last.keep(&frame(1, &[1; 60]), &mut chunks),
            1,
            "there is nothing of its own to let go"
        );
    }

    #[test]
    fn nothing_is_kept_for_a_worker_that_never_says_what_it_is_done_with() {
        let mut chunks = Chunks::default();
        let mut kept = Kept::default();
        kept.keep(&frame(0, &[1; 60]), &mut chunks);
        assert_eq!((sequences(&kept).len(), chunks.lent()), (0, 0));
    }
}
