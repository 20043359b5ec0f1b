//! How long a frame takes from leaving the edge to the caller's ear: told by the device where its SDK reports, else estimated.
//!
//! A report says which sample the device played when, on its own clock. The least that a report ever took to come here relates the
//! clocks, so that reports that were resent or waited in a queue are as good as others; half the round trip is taken for the way.

use std::time::Duration;

use crate::device::DeviceReport;
use crate::output::HeardBasis;
use crate::time::Time;

/// What a device's jitter buffer and output take on a good path.
const USUAL: Duration = Duration::from_millis(60);
/// A jitter buffer grows by about twice the mean deviation, to a limit.
const MOST_JITTER: Duration = Duration::from_millis(100);
/// A device that was silent for longer may have gone.
const CURRENT: Duration = Duration::from_secs(10);
/// Delays beyond this are no delays but another time line.
const SHORTEST_US: i64 = -50_000;
const LONGEST_US: i64 = 3_000_000;
/// What was played longer ago says nothing of now.
const MOST_AGE_MS: u16 = 2_000;
/// The clocks of edge and device drift apart by at most 500 ppm.
const DRIFT: i64 = 2_000;

#[derive(Clone, Copy, Debug)]
struct Device {
    /// The device's clock at its first report, and the least way of a report in microseconds, the clocks' difference included.
    first_ms: u32,
    least_us: i64,
    at: Time,
    /// From the edge to the ear, and when it was last told.
    delay_us: Option<(i64, Time)>,
    /// How much of that is behind the jitter buffer.
    output: Duration,
    silences: bool,
}

#[derive(Debug, Default)]
pub(super) struct Delay {
    round_trip: Duration,
    /// What way and jitter add to the usual.
    more: Duration,
    device: Option<Device>,
    /// What the device told, while that is current.
    told: Option<Duration>,
}

impl Delay {
    pub(super) fn path(&mut self, round_trip: Duration, jitter: Duration) {
        self.round_trip = round_trip;
        self.more = round_trip / 2 + (jitter * 2).min(MOST_JITTER);
    }

    /// From the edge to the device, one way.
    pub(super) fn way(&self) -> Duration {
        self.round_trip / 2
    }

    /// From the edge to the ear, and how that is known.
    pub(super) fn to_the_ear(&self) -> (Duration, HeardBasis) {
        match self.told {
            Some(told) => (told, HeardBasis::Device),
            None => (USUAL + self.more, HeardBasis::Estimate),
        }
    }

    /// From the device's jitter buffer to the ear: what is there is heard, whatever the device is told.
    pub(super) fn output(&self) -> Duration {
        self.device.map_or(Duration::ZERO, |device| device.output)
    }

    /// Whether the device falls silent at our word.
    pub(super) fn device_silences(&self) -> bool {
        self.device.is_some_and(|device| device.silences)
    }

    /// Time passes: a device that fell silent is not believed any more.
    pub(super) fn expire(&mut self, now: Time) {
        let Some(device) = &self.device else { return };
        let current = |at: Time| now.since(at) <= CURRENT;
        self.told = device
            .delay_us
            .filter(|(_, told)| current(*told))
            .map(|(delay, _)| Duration::from_micros(delay.max(0).unsigned_abs()));
        if !current(device.at) {
            self.device = None;
        }
    }

    /// The device reports. `timestamp` is that of now. Returns false where the report makes no sense.
    pub(super) fn report(&mut self, now: Time, report: &DeviceReport, timestamp: u64) -> bool {
        let way = micros(self.way());
        let device = self.device.get_or_insert(Device {
            first_ms: report.sent_ms,
            least_us: i64::MAX,
            at: now,
            delay_us: None,
            output: Duration::ZERO,
            silences: false,
        });
        let Some(waited) = device.waited(now, report.sent_ms) else {
            (self.device, self.told) = (None, None);
            return false;
        };
        device.silences = report.silences;
        if !report.plays || report.age_ms > MOST_AGE_MS {
            return true;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
        let since = (timestamp as u32).wrapping_sub(report.timestamp).cast_signed();
        let left_ago = i64::from(since) * 1_000 / 48;
        let played_ago = waited + way + (i64::from(report.age_ms) - i64::from(report.output_ms)) * 1_000;
        let delay = left_ago - played_ago;
        if !(SHORTEST_US..=LONGEST_US).contains(&delay) {
            return false;
        }
        let smooth = device.delay_us.map_or(delay, |(known, _)| (known + delay) / 2);
        device.delay_us = Some((smooth, now));
        device.output = Duration::from_millis(u64::from(report.output_ms));
        self.expire(now);
        true
    }
}

impl Device {
    /// Microseconds that a report took beyond the least; `None` where the clock leapt.
    fn waited(&mut self, now: Time, sent_ms: u32) -> Option<i64> {
        let device_us = i64::from(sent_ms.wrapping_sub(self.first_ms).cast_signed()) * 1_000;
        let way = i64::try_from(now.as_micros()).unwrap_or(i64::MAX) - device_us;
        let drifted = micros(now.since(self.at)) / DRIFT;
        self.least_us = way.min(self.least_us.saturating_add(drifted));
        self.at = now;
        Some(way - self.least_us).filter(|waited| *waited <= LONGEST_US)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Time = Time(5_000_000);
    const FIRST: u32 = u32::MAX - 20_000;

    /// A device that plays each sample `delay_ms` after it left, whose clock began `clock_ms` ago at 0.
    fn report(at_ms: u64, delay_ms: u64, age_ms: u16) -> DeviceReport {
        let timestamp = (at_ms as i64 - delay_ms as i64 - i64::from(age_ms)) * 48;
        DeviceReport {
            silences: true,
            plays: true,
            sent_ms: at_ms as u32 + 777,
            timestamp: FIRST.wrapping_add(timestamp as u32),
            age_ms,
            ..DeviceReport::default()
        }
    }

    /// Takes a report made at `made_ms` that takes `way_ms` to come.
    fn take(delay: &mut Delay, report: &DeviceReport, made_ms: u64, way_ms: u64) -> bool {
        let ms = made_ms + way_ms;
        delay.report(at(ms), report, (1 << 32) + u64::from(FIRST) + ms * 48)
    }

    fn at(ms: u64) -> Time {
        BEGAN + Duration::from_millis(ms)
    }

    fn told(delay: &mut Delay, ms: u64) -> i64 {
        delay.expire(at(ms));
        let (told, basis) = delay.to_the_ear();
        assert_eq!(basis, HeardBasis::Device);
        told.as_millis() as i64
    }

    #[test]
    fn without_a_device_it_is_estimated() {
        let mut delay = Delay::default();
        delay.path(Duration::from_millis(80), Duration::from_millis(10));
        assert_eq!(delay.to_the_ear(), (Duration::from_millis(120), HeardBasis::Estimate));
        assert!(!delay.device_silences());
    }

    #[test]
    fn the_device_tells_it_whatever_its_clock() {
        let mut delay = Delay::default();
        delay.path(Duration::from_millis(80), Duration::ZERO);
        for round in 0..20 {
            let made = 1_000 + round * 250;
            assert!(take(&mut delay, &report(made, 130, 7), made, 40));
        }
        assert!((told(&mut delay, 5_800) - 130).abs() <= 1);
        assert!(delay.device_silences());
    }

    #[test]
    fn reports_that_come_late_change_nothing() {
        let mut delay = Delay::default();
        delay.path(Duration::from_millis(80), Duration::ZERO);
        for round in 0..20 {
            let made = 1_000 + round * 250;
            let way = if round % 3 == 1 { 290 } else { 40 };
            take(&mut delay, &report(made, 130, 7), made, way);
            assert!(round == 0 || (told(&mut delay, made + way) - 130).abs() <= 2, "{round}");
        }
    }

    #[test]
    fn what_the_output_takes_is_added() {
        let mut delay = Delay::default();
        let late = DeviceReport {
            output_ms: 45,
            ..report(1_000, 100, 0)
        };
        take(&mut delay, &late, 1_000, 0);
        assert_eq!(told(&mut delay, 1_000), 145);
        assert_eq!(delay.output(), Duration::from_millis(45));
    }

    #[test]
    fn a_jitter_buffer_that_grows_is_followed() {
        let mut delay = Delay::default();
        for round in 0..12 {
            let made = 1_000 + round * 250;
            take(&mut delay, &report(made, if round < 6 { 80 } else { 160 }, 0), made, 20);
        }
        assert!((told(&mut delay, 4_000) - 180).abs() <= 4, "the way is not known here");
    }

    #[test]
    fn a_device_that_fell_silent_is_not_believed_any_more() {
        let mut delay = Delay::default();
        take(&mut delay, &report(1_000, 300, 0), 1_000, 0);
        assert_eq!(told(&mut delay, 10_000), 300);
        delay.expire(at(11_001));
        assert_eq!(delay.to_the_ear().1, HeardBasis::Estimate);
        assert!(!delay.device_silences());
    }

    #[test]
    fn nonsense_is_refused() {
        let mut delay = Delay::default();
        assert!(!take(&mut delay, &report(10_000, 8_000, 0), 10_000, 0));
        assert_eq!(delay.to_the_ear().1, HeardBasis::Estimate);
        assert!(take(&mut delay, &report(11_000, 100, 0), 11_000, 0));
        let leapt = DeviceReport {
            sent_ms: 1_000_000_000,
            ..report(11_250, 100, 0)
        };
        take(&mut delay, &leapt, 11_250, 0);
        assert!(
            !take(&mut delay, &report(11_500, 100, 0), 11_500, 0),
            "its clock leaps about"
        );
        assert!(take(&mut delay, &report(11_750, 100, 0), 11_750, 0));
        assert_eq!(told(&mut delay, 11_750), 100);
    }
}
