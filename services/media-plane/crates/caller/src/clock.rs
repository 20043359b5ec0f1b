//! One origin for all times of a run: `Instant` for str0m, nanoseconds for schedules and payloads.

use std::time::{Duration, Instant};

use crate::sys;

/// Nanoseconds since the run's origin.
pub type Nanos = u64;

/// Later than any deadline.
pub const NEVER: Nanos = u64::MAX;

/// The run's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.nanos(Instant::now())
    }

    /// An instant as nanoseconds; 0 if it was before the origin.
    #[must_use]
    pub fn nanos(&self, instant: Instant) -> Nanos {
        u64::try_from(instant.saturating_duration_since(self.origin).as_nanos()).unwrap_or(NEVER)
    }

    /// Nanoseconds as an instant.
    #[must_use]
    pub fn instant(&self, nanos: Nanos) -> Instant {
        self.origin + Duration::from_nanos(nanos)
    }

    /// What to subtract from [`sys::realtime_ns`] to get this clock's time; good until the wall clock is set.
    #[must_use]
    pub fn realtime_offset(&self) -> u64 {
        sys::realtime_ns().wrapping_sub(self.now())
    }
}
