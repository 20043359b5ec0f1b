//! Maps the RTP clocks of a session's sources onto one time line: unwrapped, never back, without leaps.
//!
//! The line is the caller's own clock, so that frames abut exactly; how far it drifts from the edge's clock is measured, by the
//! packets that came through the network fastest. A source that begins anew is placed by when it arrived.

use std::time::Duration;

use crate::time::Time;

/// A step further ahead of the time that passed than this is no silence: the source's clock leapt.
const MAX_LEAP: u64 = 2 * 48_000;
/// In each window the packet with the least delay tells where the clocks stand.
const WINDOW: Duration = Duration::from_secs(10);
/// Drift is told of a longer stretch only: one window's least delay is as wrong as the network is busy.
const TELLING: Duration = Duration::from_secs(60);
/// Where the line begins: room for packets from before the first.
const ORIGIN: u64 = 1 << 32;

/// The time line of one session, at its newest packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// RTP timestamp of the newest packet, its place on the line, its session sequence number and its arrival.
    rtp: u32,
    timestamp: u64,
    arrived: Time,
    /// Where the source's clock was last tied to the line.
    tied_at: (u64, u64),
    floor: Floor,
}

/// Least arrival less place, in samples.
#[derive(Clone, Copy, Debug)]
struct Floor {
    now: i64,
    window: i64,
    window_ends: Time,
    /// The first whole window's, and when it ended.
    base: Option<(i64, Time)>,
    drift_ppm: Option<f64>,
}

impl Clock {
    /// The session's first packet.
    pub(super) fn begin(now: Time, sequence: u64, rtp: u32) -> Self {
        let timestamp = ORIGIN + u64::from(rtp);
        Self {
            rtp,
            timestamp,
            arrived: now,
            tied_at: (sequence, timestamp),
            floor: Floor::new(now, delay(now, timestamp)),
        }
    }

    /// Place of a packet that is not the newest, `duration` being what packets of its source usually have.
    pub(super) fn place(&self, sequence: u64, rtp: u32, duration: u32) -> u64 {
        let (first, timestamp) = self.tied_at;
        if sequence < first {
            // Its clock was another.
            return timestamp.saturating_sub((first - sequence).saturating_mul(u64::from(duration)));
        }
        self.timestamp.saturating_add_signed(i64::from(self.step(rtp)))
    }

    /// The newest packet came; the one before lasts for `duration`. Returns its place, and whether the source's clock leapt.
    pub(super) fn advance(&mut self, now: Time, sequence: u64, rtp: u32, duration: u32) -> (u64, bool) {
        let passed = samples(now.since(self.arrived));
        match u64::try_from(self.step(rtp)) {
            Ok(step @ 1..) if step <= passed.saturating_add(MAX_LEAP) => {
                self.note(now, rtp, self.timestamp + step);
                (self.timestamp, false)
            }
            _ => (self.tie(now, sequence, rtp, duration), true),
        }
    }

    /// Another clock begins with this packet, whose place its arrival tells. Returns it.
    pub(super) fn tie(&mut self, now: Time, sequence: u64, rtp: u32, duration: u32) -> u64 {
        let by_arrival = u64::try_from(samples_of(now).saturating_sub(self.floor.now)).unwrap_or(0);
        let timestamp = by_arrival.max(self.timestamp + u64::from(duration));
        self.tied_at = (sequence, timestamp);
        self.note(now, rtp, timestamp);
        timestamp
    }

    fn note(&mut self, now: Time, rtp: u32, timestamp: u64) {
        self.rtp = rtp;
        self.timestamp = timestamp;
        self.arrived = now;
        self.floor.note(now, delay(now, timestamp));
    }

    fn step(&self, rtp: u32) -> i32 {
        rtp.wrapping_sub(self.rtp).cast_signed()
    }

    pub(super) fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// How much slower the caller's clock runs than the edge's, in parts of a million; `None` in the first minute.
    pub(super) fn drift_ppm(&self) -> Option<f64> {
        self.floor.drift_ppm
    }
}

impl Floor {
    fn new(now: Time, delay: i64) -> Self {
        Self {
            now: delay,
            window: i64::MAX,
            window_ends: now + WINDOW,
            base: None,
            drift_ppm: None,
        }
    }

    fn note(&mut self, now: Time, delay: i64) {
        self.now = self.now.min(delay);
        self.window = self.window.min(delay);
        if now < self.window_ends {
            return;
        }
        // What was fastest long ago says nothing of clocks that have drifted, or of a path that has changed, since.
        self.now = self.window;
        let (base, since) = *self.base.get_or_insert((self.window, now));
        let passed = now.since(since);
        if passed >= TELLING {
            #[expect(clippy::cast_precision_loss, reason = "samples of a call stay far below 2^53")]
            let ratio = (self.window - base) as f64 / samples(passed) as f64;
            self.drift_ppm = Some(ratio * 1e6);
        }
        self.window = i64::MAX;
        self.window_ends = now + WINDOW;
    }
}

fn delay(now: Time, timestamp: u64) -> i64 {
    samples_of(now).saturating_sub(i64::try_from(timestamp).unwrap_or(i64::MAX))
}

fn samples_of(now: Time) -> i64 {
    i64::try_from(u128::from(now.as_micros()) * 48 / 1_000).unwrap_or(i64::MAX)
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros() * 48 / 1_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Time = Time(5_000_000);

    fn after(milliseconds: u64) -> Time {
        START + Duration::from_millis(milliseconds)
    }

    #[test]
    fn frames_abut_and_silences_keep_their_length() {
        let mut clock = Clock::begin(START, 10, 1_000);
        let first = clock.timestamp();
        assert_eq!(clock.advance(after(20), 11, 1_960, 960), (first + 960, false));
        assert_eq!(
            clock.advance(after(1_020), 12, 1_960 + 48_000, 960),
            (first + 48_960, false)
        );
    }

    #[test]
    fn the_line_goes_on_over_a_wrap_of_the_rtp_timestamp() {
        let mut clock = Clock::begin(START, 10, u32::MAX - 100);
        let first = clock.timestamp();
        assert_eq!(clock.advance(after(20), 11, 859, 960), (first + 960, false));
        assert_eq!(clock.place(10, u32::MAX - 100, 960), first);
    }

    #[test]
    fn a_clock_that_leaps_or_goes_back_is_tied_to_the_line_by_arrival() {
        for rtp in [500_u32, 1_000 + 48_000 * 3_600] {
            let mut clock = Clock::begin(START, 10, 1_000);
            let first = clock.timestamp();
            assert_eq!(clock.advance(after(40), 11, rtp, 960), (first + 1_920, true));
            assert_eq!(
                clock.advance(after(60), 12, rtp.wrapping_add(960), 960),
                (first + 2_880, false)
            );
            assert_eq!(
                clock.place(10, 1_000, 960),
                first + 960,
                "one from before the leap keeps near it"
            );
        }
    }

    #[test]
    fn another_clock_is_placed_as_the_fastest_packets_were() {
        let mut clock = Clock::begin(after(0), 0, 0);
        let first = clock.timestamp();
        clock.advance(after(80), 1, 960, 960);
        // 60 ms late by the network; the next source's packet is on time.
        assert_eq!(clock.tie(after(100), 2, 77, 960), first + 4_800);
    }

    #[test]
    fn drift_is_measured_through_jitter_and_loss() {
        for ppm in [-200_i64, 50] {
            let mut clock = Clock::begin(START, 0, 0);
            for packet in 1..30_000_u64 {
                let jitter = packet * 7_919 % 30_011;
                let sent = (packet * 20_000).saturating_add_signed(packet.cast_signed() * 20_000 * ppm / 1_000_000);
                clock.advance(
                    START + Duration::from_micros(sent + jitter),
                    packet,
                    packet as u32 * 960,
                    960,
                );
            }
            let drift = clock.drift_ppm().expect("ten minutes passed");
            assert!((drift - ppm as f64).abs() < 5.0, "{drift} of {ppm}");
        }
    }

    proptest! {
        #[test]
        fn the_line_never_goes_back_and_never_outruns_time_by_more_than_a_leap(
            packets in prop::collection::vec((any::<u32>(), 0u64..3_000), 1..200),
        ) {
            let mut clock = Clock::begin(START, 0, 0);
            let (mut now, mut before) = (0, clock.timestamp());
            for (sequence, (rtp, wait)) in (1..).zip(packets) {
                now += wait;
                let (timestamp, _) = clock.advance(after(now), sequence, rtp, 960);
                prop_assert!(timestamp > before);
                prop_assert!(timestamp - before <= wait * 48 + MAX_LEAP + 2 * MAX_LEAP);
                before = timestamp;
            }
        }
    }
}
