//! Round trip and clock offset of a link, from its pings.

/// Smoothed over about 32 pings, which is eight seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RoundTrip {
    /// Smoothed round trip in microseconds.
    pub(crate) smoothed_us: f64,
    /// The worker's clock less ours, in microseconds, from the quickest ping of late.
    pub(crate) offset_us: i64,
    quickest_us: f64,
}

impl RoundTrip {
    /// A ping that left at `sent_us` was received by the worker at `received_us` of its clock and answered by `now_us`.
    pub(crate) fn measured(previous: Option<Self>, sent_us: u64, received_us: u64, now_us: u64) -> Self {
        let sample = now_us.saturating_sub(sent_us);
        #[allow(clippy::cast_precision_loss)] // a round trip is far below 2^52 us
        let sample_us = sample as f64;
        let offset_us = received_us.cast_signed() - (sent_us + sample / 2).cast_signed();
        match previous {
            None => Self {
                smoothed_us: sample_us,
                offset_us,
                quickest_us: sample_us,
            },
            Some(previous) => {
                let aged = previous.quickest_us * 1.0125; // so that a new path is believed in the end
                let quicker = sample_us <= aged;
                Self {
                    smoothed_us: previous.smoothed_us + (sample_us - previous.smoothed_us) / 32.0,
                    offset_us: if quicker { offset_us } else { previous.offset_us },
                    quickest_us: if quicker { sample_us } else { aged },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_comes_from_the_quickest_ping() {
        let first = RoundTrip::measured(None, 1_000, 501_500, 2_000);
        assert_eq!((first.smoothed_us, first.offset_us), (1_000.0, 500_000));
        let slow = RoundTrip::measured(Some(first), 10_000, 518_000, 18_000);
        assert_eq!(slow.offset_us, 500_000);
        assert!(slow.smoothed_us > 1_000.0 && slow.smoothed_us < 2_000.0);
    }
}
