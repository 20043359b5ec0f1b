//! Rates that are held to, and how much one caller may ask of an edge in a second: what is beyond is dropped before any work,
//! and counted. No caller that sends audio comes near; one that floods costs its neighbours no time.

use crate::time::Time;

/// RTP: 2.5 ms frames, each sent again once, and bursts after a path that stood still for two seconds.
const RTP: Rate = Rate::new(1_000, 2_000);
/// RTCP: a NACK for each packet of usual audio, and more.
const RTCP: Rate = Rate::new(100, 100);
/// Messages on data channels.
const MESSAGES: Rate = Rate::new(200, 400);
/// Their bytes.
const MESSAGE_BYTES: Rate = Rate::new(1_000_000, 512 * 1024);

/// So many in a row, then so many a second.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    interval_us: u64,
    brim_us: u64,
}

impl Rate {
    /// `per_second` is a million at most.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = 1_000_000 / per_second as u64;
        Self {
            interval_us,
            brim_us: interval_us * burst as u64,
        }
    }
}

/// The generic cell rate algorithm (ITU-T I.371): one moment is all that it remembers. A new one has its whole burst.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// When all that was taken is paid for.
    paid: Time,
}

impl Allowance {
    /// Whether there is room for so many.
    #[must_use]
    #[inline]
    pub fn holds(self, now: Time, rate: Rate, amount: u32) -> bool {
        let owed = self.paid.0.saturating_sub(now.0);
        owed + u64::from(amount) * rate.interval_us <= rate.brim_us
    }

    /// Whether there is room for one more.
    #[must_use]
    #[inline]
    pub fn allows(self, now: Time, rate: Rate) -> bool {
        self.holds(now, rate, 1)
    }

    /// Takes so many, whether there is room or not.
    #[inline]
    pub fn take(&mut self, now: Time, rate: Rate, amount: u64) {
        let cost = amount.saturating_mul(rate.interval_us);
        self.paid = Time(self.paid.max(now).0.saturating_add(cost));
    }

    /// Takes one, where there is room.
    #[inline]
    pub fn try_take(&mut self, now: Time, rate: Rate) -> bool {
        let allowed = self.allows(now, rate);
        if allowed {
            self.take(now, rate, 1);
        }
        allowed
    }

    /// Whether it is as new: nothing is owed.
    #[must_use]
    pub fn is_paid(self, now: Time) -> bool {
        self.paid <= now
    }
}

/// What one caller has used up. Asking costs nothing, so that packets that nobody vouches for use up nothing; what was
/// authentic is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    rtp: Allowance,
    rtcp: Allowance,
    messages: Allowance,
    bytes: Allowance,
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
    use std::time::Duration;

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
    fn room_for_many_is_room_for_as_many() {
        const RATE: Rate = Rate::new(10, 20);
        let mut allowance = Allowance::default();
        let now = Time(5_000_000);
        allowance.take(now, RATE, 15);
        assert!(allowance.holds(now, RATE, 5) && !allowance.holds(now, RATE, 6));
        assert_eq!((0..100).filter(|_| allowance.try_take(now, RATE)).count(), 5);
        assert!(
            !allowance.is_paid(now + Duration::from_millis(1_999)) && allowance.is_paid(now + Duration::from_secs(2))
        );
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
