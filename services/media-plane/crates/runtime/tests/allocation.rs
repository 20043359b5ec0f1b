//! A shard's packets cost no allocation: neither what comes from callers and leaves for the link, nor what comes back and
//! leaves for callers. Counted on the shard's own thread, with real sockets and a real link.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use antiphon_caller::load::Plan;
use support::{Edge, Manner};

const CALLS: u32 = 8;
/// Frames until buffers have their size.
const WARM_UP: u64 = 600;
const COUNTED: u64 = 800;
/// A table of timers may still grow to its size meanwhile; packets may not cost any.
const GROWTH: u64 = COUNTED / 100;
/// Longest name of a thread, with its end.
const NAME: usize = 16;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is a shard's; unknown at first.
    static SHARD: Cell<Option<bool>> = const { Cell::new(None) };
}

struct Counting;

impl Counting {
    fn count() {
        let is_shard = SHARD.get().unwrap_or_else(|| {
            let named = name();
            // A thread gets its name a moment after its birth.
            if named.starts_with(b"shard-") {
                SHARD.set(Some(true));
            }
            named.starts_with(b"shard-")
        });
        ALLOCATIONS.fetch_add(u64::from(is_shard), Ordering::Relaxed);
    }
}

/// The kernel's name of this thread; asking for it allocates nothing.
fn name() -> [u8; NAME] {
    let mut name = [0_u8; NAME];
    // SAFETY: PR_GET_NAME writes at most 16 bytes to the buffer, which has them.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's duty is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty is ours.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's duty is ours.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn packets_of_established_calls_cost_a_shard_no_allocation() {
    let edge = Edge::start(
        1,
        Manner {
            stripes: 2,
            // Few messages are under way, however busy the machine is: only what is prepared is used.
            gather_us: 10_000,
            echo: true,
            deaf: false,
        },
    );
    let plane = edge.plane.clone();
    let watch = thread::spawn(move || {
        let after = |frames: u64| {
            while plane.counters()["playout_frames"] < frames {
                thread::sleep(Duration::from_millis(5));
            }
            ALLOCATIONS.load(Ordering::Relaxed)
        };
        let before = after(WARM_UP);
        after(WARM_UP + COUNTED) - before
    });
    let report = edge.run(&Plan {
        calls: CALLS,
        rate: 100.0,
        settle: Duration::from_millis(300),
        window: Duration::from_secs(6),
        ..Plan::default()
    });
    assert_eq!(report.up, CALLS);
    let counted = watch.join().expect("enough frames came");
    assert!(
        ALLOCATIONS.load(Ordering::Relaxed) > 0,
        "set-ups are counted, so packets would be"
    );
    assert!(
        counted <= GROWTH,
        "{counted} allocations while {COUNTED} frames went both ways"
    );
}
