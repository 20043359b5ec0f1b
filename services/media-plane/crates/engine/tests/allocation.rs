//! An established packet costs no allocation, and a session little memory.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use antiphon_engine::room::Forwarded;
use antiphon_engine::{PlayoutFrame, Session};
use antiphon_netsim::{LinkConfig, Loss};
use str0m::channel::ChannelConfig;
use support::browser::{Browser, BrowserConfig};
use support::{AT_WORK, Call, CallConfig, DtlsVersion, frame, opus};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts what the engine allocates, thread by thread.
struct Counting;

impl Counting {
    fn count(allocations: usize, bytes: isize) {
        if AT_WORK.get() {
            ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
            HELD.set(HELD.get() + bytes);
        }
    }
}

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(1, layout.size().cast_signed());
        // SAFETY: the caller's duty is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(0, -layout.size().cast_signed());
        // SAFETY: the caller's duty is ours.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(1, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's duty is ours.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn echo(call: &mut Call, packets: usize, live: bool) {
    for _ in 0..packets {
        call.say(&opus(1));
        for heard in call.said.frames.split_off(0) {
            call.play(PlayoutFrame {
                live,
                ..frame(1, &heard.payload)
            });
        }
    }
}

#[test]
fn established_packets_cost_no_allocation() {
    for (live, listens) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut call = Call::connected(CallConfig::default());
        call.hold_on_voice(listens);
        echo(&mut call, 100, live);
        let before = ALLOCATIONS.get();
        echo(&mut call, 1_000, live);
        let allocated = ALLOCATIONS.get() - before;
        assert_eq!(allocated, 0, "live: {live}, hold on voice: {listens}");
        assert!(call.session.stats().counters.packets_out > 1_000);
    }
}

/// All slots are in use: one that is not for two seconds gives its memory back.
fn forward(call: &mut Call, packets: u64) {
    for number in 0..packets {
        // Sources take turns, and each loses a packet now and then.
        let frame = Forwarded {
            source: (number / 100 % 3) as u32,
            sequence: 5_000 + number + number / 20,
            timestamp: 960 * (5_000 + number + number / 20),
            duration: 960,
            level: 0,
            marker: false,
            payload: &opus(1),
        };
        for slot in 0..call.session.voices() {
            assert!(call.forward(slot, &frame));
        }
        call.run_ms(20);
    }
}

#[test]
fn forwarded_packets_cost_no_allocation() {
    for slots in [0, 2] {
        let mut call = Call::connected(CallConfig {
            slots: Some(slots),
            ..CallConfig::default()
        });
        forward(&mut call, 300);
        let before = ALLOCATIONS.get();
        forward(&mut call, 300);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{slots} slots");
    }
}

#[test]
fn loss_and_its_repair_cost_no_allocation() {
    for red in [0, 1] {
        let link = LinkConfig {
            delay_us: 40_000,
            loss: Loss::Random(0.1),
            reorder: 0.02,
            reorder_us: 25_000,
            ..LinkConfig::default()
        };
        let mut browser = Browser::connected(BrowserConfig {
            up: link,
            down: link,
            red,
            ..BrowserConfig::default()
        });
        // The table of missing packets grows to what the network demands.
        (0..2_000).for_each(|_| browser.say(&opus(1)));
        let before = ALLOCATIONS.get();
        (0..1_000).for_each(|_| browser.say(&opus(1)));
        assert_eq!(ALLOCATIONS.get() - before, 0, "RED: {red}");
        assert!(browser.session.stats().counters.asked > 20);
    }
}

#[test]
fn a_session_is_small() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        for channels in [vec![], vec![ChannelConfig::default()]] {
            let with_channel = !channels.is_empty();
            HELD.set(0);
            let mut call = Call::connected(CallConfig {
                dtls,
                channels,
                ..CallConfig::default()
            });
            call.hold_on_voice(true);
            echo(&mut call, 500, true);
            let held = HELD.get().unsigned_abs() + size_of::<Session>();
            assert!(held < 40 * 1024, "{dtls}, data channel: {with_channel}: {held} bytes");
        }
    }
}
