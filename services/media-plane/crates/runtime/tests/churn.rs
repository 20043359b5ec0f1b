//! Sessions that come and go leave nothing behind: places, memory and descriptors return to what they were.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use antiphon_caller::load::Plan;
use antiphon_link::proto::control_request::Message;
use support::{Edge, Manner, SESSION_LIMIT};

/// Rounds of as many calls as the edge takes.
const ROUNDS: usize = 30;
/// Sessions a round whose callers never come.
const NEVER_CAME: usize = 20;
/// An ended session's id and epoch are remembered for a while.
const REMEMBERED: isize = 256;
/// Threads' buffers and the allocations of what is under way: much less than one session's memory.
const SLACK: isize = 64 * 1024;

/// Bytes that all threads hold.
static HELD: AtomicIsize = AtomicIsize::new(0);

struct Weighing;

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's duty is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's duty is ours.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size.cast_signed() - layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's duty is ours.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Weighing = Weighing;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// Calls that connect, and sessions whose callers never come. Returns how many sessions there were.
fn round(edge: &Edge, number: usize) -> usize {
    let plan = Plan {
        calls: SESSION_LIMIT as u32,
        rate: 400.0,
        settle: Duration::from_millis(10),
        window: Duration::from_millis(10),
        silent: true,
        ..Plan::default()
    };
    let report = edge.run(&plan);
    assert_eq!((report.up, report.failed), (plan.calls, 0), "{:?}", report.failure);
    edge.until(|| edge.plane.sessions().is_empty());
    for session in 0..NEVER_CAME {
        let session = format!("{number}-{session}");
        edge.open_silent(&session);
        assert_eq!(edge.plane.close_session(&session, 1, "api"), Ok(true));
        edge.until(|| edge.plane.sessions().is_empty());
    }
    let sessions = SESSION_LIMIT + NEVER_CAME;
    let mut ends = 0;
    while ends < sessions {
        ends += usize::from(matches!(edge.heard(), Message::Closed(_)));
    }
    let _told = edge.plane.take_events();
    sessions
}

#[test]
fn what_sessions_took_is_given_back() {
    let edge = Edge::start(2, Manner::default());
    // Tables grow to their size, and rings fill with buffers.
    round(&edge, 0);
    round(&edge, 1);
    let (held, open) = (HELD.load(Ordering::Relaxed), descriptors());

    let sessions: usize = (2..2 + ROUNDS).map(|number| round(&edge, number)).sum();

    let grown = HELD.load(Ordering::Relaxed) - held;
    let allowed = SLACK + sessions.cast_signed() * REMEMBERED;
    assert!(
        grown < allowed,
        "{grown} bytes more after {sessions} sessions, {allowed} allowed"
    );
    assert_eq!(descriptors(), open);
    let counters = edge.plane.counters();
    for drop in ["drop_events", "session_faults", "drop_ring_full"] {
        assert_eq!(counters[drop], 0, "{drop}: {counters:?}");
    }
}
