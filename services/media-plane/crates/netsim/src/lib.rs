//! A seeded network in virtual time: loss, delay, jitter, reordering, duplicates, and a NAT that changes its mind.
//!
//! It knows nothing of what it carries, and reads no clock: who drives it says what time it is, in microseconds. The
//! same seed and the same sends give the same network.

mod link;
mod nat;
mod random;

pub use link::{Counts, Fate, Link, LinkConfig, Loss};
pub use nat::{Datagram, Nat};
pub use random::{Random, Seed};
