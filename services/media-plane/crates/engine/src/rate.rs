//! How much one caller may ask of an edge in a second: what is beyond is dropped before any work, and counted. No caller
//! that sends audio comes near; one that floods costs its neighbours no time.

use std::time::Duration;

use crate::time::Time;

/// RTP: 2.5 ms frames, each sent again once, and bursts after a path that stood still for two seconds.
const RTP: Rate = Rate {
    interval_us: 1_000,
    burst: 2_000,
};
/// RTCP: a NACK for each packet of usual audio, and more.
const RTCP: Rate = Rate {
    interval_us: 10_000,
    burst: 100,
};
/// Messages on data channels.
const MESSAGES: Rate = Rate {
    interval_us: 5_000,
    burst: 400,
};
/// Their bytes: 1 MB/s.
const MESSAGE_BYTES: Rate = Rate {
    interval_us: 1,
    burst: 512 * 1024,
};

/// So many in a row, then one an interval.
#[derive(Clone, Copy, Debug)]
struct Rate {
    interval_us: u64,
    burst: u64,
}

/// The generic cell rate algorithm (ITU-T I.371): one moment is all that it remembers.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    /// When all that was taken is paid for.
    paid: Time,
}

impl Meter {
    #[inline]
    fn allows(self, now: Time, rate: Rate) -> bool {
        self.paid.0 < now.0.saturating_add(rate.burst * rate.interval_us)
    }

    #[inline]
    fn take(&mut self, now: Time, rate: Rate, amount: u64) {
        self.paid = self.paid.max(now) + Duration::from_micros(amount.saturating_mul(rate.interval_us));
    }
}

/// What one caller has used up. Asking costs nothing, so that packets that nobody vouches for use up nothing; what was
/// authentic is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    rtp: Meter,
    rtcp: Meter,
    messages: Meter,
    bytes: Meter,
}

impl Limits {
    #[inline]
    pub(crate) fn allow_rtp(&self, now: Time) -> bool {
        self.rtp.allows(now, RTP)
    }

    #[inline]
    pub(crate) fn took_rtp(&mut self, now: Time) {
        self.rtp.take(now, RTP, 1);
    }

    pub(crate) fn allow_rtcp(&self, now: Time) -> bool {
        self.rtcp.allows(now, RTCP)
    }

    pub(crate) fn took_rtcp(&mut self, now: Time) {
        self.rtcp.take(now, RTCP, 1);
    }

    /// Takes a message of so many bytes, if it may come in.
    pub(crate) fn take_message(&mut self, now: Time, bytes: usize) -> bool {
        let allowed = self.messages.allows(now, MESSAGES) && self.bytes.allows(now, MESSAGE_BYTES);
        if allowed {
            self.messages.take(now, MESSAGES, 1);
            self.bytes.take(now, MESSAGE_BYTES, bytes as u64);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_does() {
        let mut limits = Limits::default();
        let start = Time(1_000_000);
        let mut take = |now: Time| {
            let allowed = limits.allow_rtcp(now);
            if allowed {
                limits.took_rtcp(now);
            }
            allowed
        };
        assert_eq!((0..1_000).filter(|_| take(start)).count(), 100);
        let second = (1..=1_000)
            .filter(|ms| take(start + Duration::from_millis(*ms)))
            .count();
        assert_eq!(second, 100, "one each 10 ms");
        assert!(take(Time(1_000_000_000)), "it recovers");
    }

    #[test]
    fn asking_uses_up_nothing() {
        let limits = Limits::default();
        assert!((0..10_000).all(|_| limits.allow_rtp(Time(5))));
    }

    #[test]
    fn messages_are_bounded_in_number_and_in_bytes() {
        let mut limits = Limits::default();
        assert_eq!((0..1_000).filter(|_| limits.take_message(Time(0), 1)).count(), 400);
        let mut limits = Limits::default();
        assert_eq!((0..100).filter(|_| limits.take_message(Time(0), 64 * 1024)).count(), 8);
    }
}
