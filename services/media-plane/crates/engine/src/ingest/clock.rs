//! Maps the RTP clocks of a session's sources onto one time line: unwrapped, never back, without leaps.
//!
//! The line is the caller's own clock, so that frames abut exactly; how far it drifts from the edge's clock is measured, by the
//! packets that came through the network fastest. A source that begins anew is placed by when it arrived. Whatever a caller
//! says, the line is never far ahead of the time that passed: what lies on it is written, and costs what real time costs.

use std::time::Duration;

use crate::time::{Time, samples};

/// A step further ahead of the time that passed than this is no silence: the source's clock leapt.
const MAX_LEAP: u64 = 2 * 48_000;
/// So far silences and leaps may bring the line ahead of the time that passed since it began. A first packet that the network
/// held back puts what follows it ahead.
const MAX_SILENCE_LEAD: i64 = 5 * SECOND;
/// So far frames that follow each other may: the rest is for who is ahead already and goes on in real time, jitter and all.
const MAX_LEAD: i64 = 10 * SECOND;
/// So much that passed without a packet may be caught up with later; consent ends with a longer stall.
const MAX_LAG: i64 = 30 * SECOND;
/// Who is ahead falls back by one part of so many: no caller's clock runs faster for hours.
const DRIFT: i64 = 1_000;
/// Leads are counted in thousandths of a sample, so that nothing is lost of a microsecond.
const SAMPLE: i64 = 1_000;
const SECOND: i64 = 48_000 * SAMPLE;
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
    /// How far the line was ahead of the time that passed by then.
    lead: i64,
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
            lead: 0,
            tied_at: (sequence, timestamp),
            floor: Floor::new(now, delay(now, timestamp)),
        }
    }

    /// Place of a packet that is not the newest, `duration` being what packets of its source usually have.
    pub(super) fn place(&self, now: Time, sequence: u64, rtp: u32, duration: u32) -> u64 {
        let (first, timestamp) = self.tied_at;
        if sequence < first {
            // Its clock was another.
            return timestamp.saturating_sub((first - sequence).saturating_mul(u64::from(duration)));
        }
        let ahead = i64::try_from(room_of(self.lead_at(now))).unwrap_or(i64::MAX);
        self.timestamp
            .saturating_add_signed(i64::from(self.step(rtp)).min(ahead))
    }

    /// Whether there is time for another frame that is the newest: nobody says more than there was time for.
    pub(super) fn has_time(&self, now: Time, duration: u32) -> bool {
        self.lead_at(now) + i64::from(duration) * SAMPLE <= MAX_LEAD
    }

    /// The newest packet came; the one before lasts for `duration`. Returns its place, and whether the source's clock leapt.
    pub(super) fn advance(&mut self, now: Time, sequence: u64, rtp: u32, duration: u32) -> (u64, bool) {
        let passed = now.samples_since(self.arrived);
        let lead = self.lead_at(now);
        let room = room_of(lead).max(u64::from(duration));
        match u64::try_from(self.step(rtp)) {
            Ok(step @ 1..) if step <= passed.saturating_add(MAX_LEAP).min(room) => {
                self.note(now, lead, rtp, self.timestamp + step);
                (self.timestamp, false)
            }
            _ => (self.tie(now, sequence, rtp, duration), true),
        }
    }

    /// Another clock begins with this packet, whose place its arrival tells. Returns it.
    pub(super) fn tie(&mut self, now: Time, sequence: u64, rtp: u32, duration: u32) -> u64 {
        let lead = self.lead_at(now);
        let by_arrival = u64::try_from(samples_of(now).saturating_sub(self.floor.now)).unwrap_or(0);
        let timestamp = by_arrival
            .min(self.timestamp.saturating_add(room_of(lead)))
            .max(self.timestamp + u64::from(duration));
        self.tied_at = (sequence, timestamp);
        self.note(now, lead, rtp, timestamp);
        timestamp
    }

    fn note(&mut self, now: Time, lead: i64, rtp: u32, timestamp: u64) {
        let step = i64::try_from(timestamp - self.timestamp).unwrap_or(i64::MAX);
        self.lead = lead.saturating_add(step.saturating_mul(SAMPLE)).max(-MAX_LAG);
        self.rtp = rtp;
        self.timestamp = timestamp;
        self.arrived = now;
        self.floor.note(now, delay(now, timestamp));
    }

    /// How far the line is ahead of the time that passed; where it is behind, less than nothing.
    fn lead_at(&self, now: Time) -> i64 {
        let passed = i64::try_from(now.micros_since(self.arrived).saturating_mul(48)).unwrap_or(i64::MAX);
        let lead = self.lead.saturating_sub(passed);
        if lead > 0 { (lead - passed / DRIFT).max(0) } else { lead }
    }

    fn step(&self, rtp: u32) -> i32 {
        rtp.wrapping_sub(self.rtp).cast_signed()
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(super) fn warm(&self) -> u64 {
        self.timestamp ^ self.floor.window_ends.0
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

/// Samples that silences and leaps may take of a line that is so far ahead.
fn room_of(lead: i64) -> u64 {
    u64::try_from(MAX_SILENCE_LEAD.saturating_sub(lead) / SAMPLE).unwrap_or(0)
}

fn delay(now: Time, timestamp: u64) -> i64 {
    samples_of(now).saturating_sub(i64::try_from(timestamp).unwrap_or(i64::MAX))
}

fn samples_of(now: Time) -> i64 {
    i64::try_from(now.samples()).unwrap_or(i64::MAX)
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
        assert_eq!(clock.place(after(20), 10, u32::MAX - 100, 960), first);
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
                clock.place(after(60), 10, 1_000, 960),
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

    #[test]
    fn a_caller_that_claims_a_second_with_each_packet_gains_a_few_seconds_once() {
        let mut clock = Clock::begin(START, 0, 0);
        let first = clock.timestamp();
        let mut taken = 0;
        for packet in 1..=60_000_u32 {
            let now = after(u64::from(packet));
            if clock.has_time(now, 960) {
                clock.advance(now, u64::from(packet), packet * 48_000, 960);
                taken += 1;
            }
        }
        let seconds = (clock.timestamp() - first) as f64 / 48_000.0;
        assert!(seconds < 71.0, "{seconds} in a minute");
        assert!(taken < 3_600, "{taken} of 20 ms");
    }

    #[test]
    fn callers_whose_clocks_run_fast_or_slow_for_a_day_are_never_held_up() {
        for ppm in [-500_i64, -200, 200, 500] {
            let mut clock = Clock::begin(START, 0, 0);
            let mut leaps = 0;
            for packet in 1..24 * 180_000_u64 {
                let sent = (packet * 20_000).saturating_add_signed(-(packet.cast_signed() * 20_000 * ppm / 1_000_000));
                let now = START + Duration::from_micros(sent + packet * 7_919 % 60_011);
                assert!(clock.has_time(now, 960), "{ppm} ppm, packet {packet}");
                leaps += u32::from(clock.advance(now, packet, (packet as u32).wrapping_mul(960), 960).1);
            }
            assert_eq!(leaps, 0, "{ppm} ppm");
        }
    }

    #[test]
    fn what_a_stalled_network_held_back_is_taken_whole() {
        let mut clock = Clock::begin(START, 0, 0);
        let first = clock.timestamp();
        let (mut packet, mut now) = (0, START);
        for stalled in [0, 3_000, 25_000, 0, 8_000] {
            now = now + Duration::from_millis(stalled);
            for _ in 0..stalled / 20 {
                packet += 1;
                assert!(clock.has_time(now, 960));
                assert_eq!(
                    clock.advance(now, packet, packet as u32 * 960, 960),
                    (first + packet * 960, false)
                );
            }
            for _ in 0..500 {
                (packet, now) = (packet + 1, now + Duration::from_millis(20));
                assert!(!clock.advance(now, packet, packet as u32 * 960, 960).1);
            }
        }
    }

    #[test]
    fn an_hour_of_silence_is_an_hour_and_gives_no_credit() {
        let mut clock = Clock::begin(START, 0, 0);
        let first = clock.timestamp();
        let hour = 3_600 * 48_000;
        assert_eq!(
            clock.advance(after(3_600_000), 1, hour, 960),
            (first + u64::from(hour), false)
        );
        let (_, leapt) = clock.advance(after(3_600_020), 2, hour + 6 * 48_000, 960);
        assert!(leapt);

        let mut held = Clock::begin(START, 0, 0);
        held.advance(after(3_600_000), 1, 960, 960);
        let before = held.timestamp();
        for packet in 2..100_u32 {
            held.advance(after(3_600_000), u64::from(packet), packet * 96_000, 960);
        }
        assert!(held.timestamp() - before < 38 * 48_000, "a stall's worth, not an hour");
    }

    proptest! {
        #[test]
        fn the_line_never_goes_back_and_is_never_more_than_a_few_seconds_ahead_of_time(
            packets in prop::collection::vec((any::<u32>(), 0u64..3_000, 0u64..5, any::<bool>()), 1..400),
        ) {
            let mut clock = Clock::begin(START, 0, 0);
            let (first, mut now, mut before) = (clock.timestamp(), 0, clock.timestamp());
            for (sequence, (rtp, wait, kind, longest)) in (1..).zip(packets) {
                // Mostly floods of small steps, else anything.
                let (rtp, wait) = if kind > 0 { (clock.rtp.wrapping_add(rtp % 96_000), wait % 3) } else { (rtp, wait) };
                let duration = if longest { 5_760 } else { 960 };
                now += wait;
                let bound = first + now * 48 + now * 48 / 1_000 + 10 * 48_000;
                prop_assert!(clock.place(after(now), sequence, rtp, duration) <= bound);
                if !clock.has_time(after(now), duration) {
                    continue;
                }
                let timestamp = match kind {
                    1 => clock.tie(after(now), sequence, rtp, duration),
                    _ => clock.advance(after(now), sequence, rtp, duration).0,
                };
                prop_assert!(timestamp > before);
                prop_assert!(timestamp <= bound);
                before = timestamp;
            }
        }
    }
}
