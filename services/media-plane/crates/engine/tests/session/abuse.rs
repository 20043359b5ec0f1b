//! What a hostile caller sends over data channels: whatever it is, memory stays bounded and the channels go on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use antiphon_engine::established::JoinedChannels;

/// More than all buffers of an association may hold.
const MOST_HELD: isize = 1 << 20;
const DATA: u8 = 0;
const BEGINS: u8 = 2;
const ENDS: u8 = 1;
const STRING: u32 = 51;
const DCEP: u32 = 50;
const PIECE: usize = 1_000;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts what a thread holds.
struct Weighing;

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size().cast_signed());
        // SAFETY: the caller's duty is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size().cast_signed());
        // SAFETY: the caller's duty is ours.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.set(HELD.get() + size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's duty is ours.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Weighing = Weighing;

/// An attack, chunk by chunk.
struct Attack {
    joined: JoinedChannels,
    tsn: u32,
    before: isize,
    most: isize,
}

impl Attack {
    fn begin() -> Self {
        let joined = JoinedChannels::new(Instant::now());
        assert_eq!(joined.channels, 1, "the agreed channel is open");
        Self {
            tsn: joined.first_tsn,
            joined,
            before: HELD.get(),
            most: 0,
        }
    }

    fn data(&mut self, flags: u8, stream: u16, sequence: u16, ppid: u32, payload: &[u8]) {
        let length = u16::try_from(16 + payload.len()).expect("short").to_be_bytes();
        let mut chunk = vec![DATA, flags, length[0], length[1]];
        chunk.extend(self.tsn.to_be_bytes());
        chunk.extend(stream.to_be_bytes());
        chunk.extend(sequence.to_be_bytes());
        chunk.extend(ppid.to_be_bytes());
        chunk.extend(payload);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        self.tsn = self.tsn.wrapping_add(1);
        self.joined.inject(&chunk);
        self.most = self.most.max(HELD.get() - self.before);
    }

    fn assert_bounded(&self) {
        assert!(self.most < MOST_HELD, "{} bytes were held", self.most);
    }
}

#[test]
fn fragments_that_never_end_are_bounded() {
    let mut attack = Attack::begin();
    for number in 0..20_000_u32 {
        let stream = (number % 512) as u16 * 2;
        attack.data(BEGINS, stream, (number / 512) as u16, STRING, &[b'x'; PIECE]);
    }
    attack.assert_bounded();
}

#[test]
fn a_message_that_never_ends_is_bounded() {
    let mut attack = Attack::begin();
    attack.data(BEGINS, 2, 0, STRING, &[b'x'; PIECE]);
    for _ in 0..20_000 {
        attack.data(0, 2, 0, STRING, &[b'x'; PIECE]);
    }
    attack.assert_bounded();
}

#[test]
fn messages_on_channels_that_nobody_opened_are_bounded() {
    let mut attack = Attack::begin();
    for number in 0..20_000_u32 {
        attack.data(
            BEGINS | ENDS,
            (number % 1_024) as u16,
            (number / 1_024) as u16,
            STRING,
            &[b'x'; PIECE],
        );
    }
    attack.assert_bounded();
}

#[test]
fn channels_without_end_are_refused() {
    let mut attack = Attack::begin();
    for stream in 1..1_000_u16 {
        let label = format!("channel {stream}");
        let mut open = vec![3, 0, 0, 0, 0, 0, 0, 0];
        open.extend(u16::try_from(label.len()).expect("short").to_be_bytes());
        open.extend([0, 0]);
        open.extend(label.as_bytes());
        attack.data(BEGINS | ENDS, stream * 2, 0, DCEP, &open);
    }
    assert_eq!(attack.joined.channels, 16);
    attack.assert_bounded();
}

#[test]
fn associations_without_end_are_refused() {
    let mut attack = Attack::begin();
    for number in 1..20_000_u32 {
        attack.joined.associate(0x7000_0000 + number);
        attack.most = attack.most.max(HELD.get() - attack.before);
    }
    attack.assert_bounded();
    assert!(attack.joined.say(false, b"still here"));
    attack.joined.pass(Duration::ZERO);
    assert_eq!(attack.joined.messages, 1, "the first association goes on");
}

#[test]
fn gaps_without_end_are_bounded() {
    let mut attack = Attack::begin();
    for number in 0..20_000_u32 {
        attack.tsn = attack.tsn.wrapping_add(1);
        attack.data(BEGINS | ENDS, 0, number as u16, STRING, &[b'x'; PIECE]);
    }
    attack.joined.pass(Duration::from_secs(1));
    assert!(attack.joined.refused > 19_000, "what is too far ahead is kept out");
    attack.assert_bounded();
}
