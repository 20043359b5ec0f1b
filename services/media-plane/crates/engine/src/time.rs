//! Time as a number of microseconds since an origin that the driver chooses.

use std::time::Duration;

/// A moment on the driver's monotonic clock, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later than any deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Samples of a 48 kHz clock that began at the origin, rounded down.
    #[must_use]
    #[inline]
    pub(crate) const fn samples(self) -> u64 {
        samples_of_micros(self.0)
    }

    /// Samples of a 48 kHz clock since `earlier`; zero if it is not in the past.
    #[must_use]
    #[inline]
    pub(crate) const fn samples_since(self, earlier: Self) -> u64 {
        samples_of_micros(self.0.saturating_sub(earlier.0))
    }

    /// Microseconds since `earlier`; zero if it is not in the past.
    #[must_use]
    #[inline]
    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long ago `earlier` was; zero if it is not in the past.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

/// Microseconds of a duration, without the 128 bits of [`Duration::as_micros`]: dividing those takes a function call.
#[inline]
fn micros(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(duration.subsec_micros()))
}

/// Samples of the 48 kHz media clock in a duration, rounded down.
#[inline]
pub(crate) fn samples(duration: Duration) -> u64 {
    samples_of_micros(micros(duration))
}

/// 48 samples in 1,000 microseconds, so that nothing overflows.
#[inline]
const fn samples_of_micros(micros: u64) -> u64 {
    micros / 125 * 6 + micros % 125 * 6 / 125
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_those_of_the_exact_product() {
        for micros in (0..5_000).chain([20_000, 999_999_999_999, u64::MAX]) {
            let exact = u128::from(micros) * 48 / 1_000;
            assert_eq!(u128::from(Time(micros).samples()), exact, "{micros}");
            assert_eq!(u128::from(samples(Duration::from_micros(micros))), exact, "{micros}");
        }
    }

    #[test]
    fn a_moment_beyond_all_is_never() {
        assert_eq!(Time(5) + Duration::MAX, Time::NEVER);
        assert_eq!(Time::NEVER + Duration::from_micros(1), Time::NEVER);
        assert_eq!(Time(5) + Duration::new(2, 1_999), Time(2_000_006));
    }
}
