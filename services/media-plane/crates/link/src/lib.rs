//! The edge's side of the media link: a control stream and a few striped media streams to each worker.
//!
//! A [`Link`] dials its worker, keeps dialling, and tells a [`Sink`] what happens. Frames go out through [`Outlet`]s in
//! columnar [`Batch`]es that are encoded as they are. This crate knows neither sessions' insides nor sockets of callers.

mod backoff;
mod batch;
mod codec;
mod connection;
mod control;
mod counters;
mod credentials;
mod link;
mod outlet;
pub mod proto;
mod round_trip;

pub use batch::{Batch, BatchPool, Forgotten, Hint, Ingest, Playout, Quality, columns_agree};
pub use control::{ControlQueue, Refused};
pub use counters::{Counter, LinkCounters};
pub use credentials::{BadTls, LinkTls};
pub use link::{Identity, Link, LinkStatus, Links, Sink, Up};
pub use outlet::Outlet;

use rustix::time::{ClockId, clock_gettime};

/// Microseconds of this process's monotonic clock (`CLOCK_MONOTONIC`, as Python's `time.monotonic`).
#[must_use]
pub fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1_000
}
