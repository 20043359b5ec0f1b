//! What calls have seen: counts and distributions, merged over threads at the end.

use hdrhistogram::Histogram;

/// Longest time that a distribution holds apart, in us; longer ones count as this.
const LONGEST_US: u64 = 60_000_000;

/// A distribution of times in microseconds.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("constant bounds are valid"))
    }
}

impl Times {
    /// Adds a time in ns.
    pub fn record_ns(&mut self, nanos: u64) {
        self.0.saturating_record((nanos / 1_000).max(1));
    }

    /// The time that a share `quantile` (0 to 1) does not exceed, in ms; 0 if there are none.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.0.is_empty() {
            0.0
        } else {
            self.0.value_at_quantile(quantile) as f64 / 1_000.0
        }
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }
}

/// What a set of calls has seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Probes sent in the measured window.
    pub sent: u64,
    /// Of these, those that came back.
    pub echoed: u64,
    /// Of these, those that came back once more.
    pub duplicates: u64,
    /// Packets that are no probe of the call that got them, at any time.
    pub corrupt: u64,
    /// From a probe's sending to its echo's arrival, in the window.
    pub delay: Times,
    /// From a probe's due time to its sending, in the window.
    pub lateness: Times,
    /// From posting the offer to its answer.
    pub answer: Times,
    /// From posting the offer to media flowing both ways (ICE and DTLS done).
    pub setup: Times,
    /// What the calls' own threads have spent on a CPU in the window, in ns.
    pub cpu_ns: u64,
}

impl Tally {
    /// Adds what others have seen.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.echoed += other.echoed;
        self.duplicates += other.duplicates;
        self.corrupt += other.corrupt;
        self.delay.add(&other.delay);
        self.lateness.add(&other.lateness);
        self.answer.add(&other.answer);
        self.setup.add(&other.setup);
        self.cpu_ns += other.cpu_ns;
    }

    /// Probes of the window that never came back.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent - self.echoed
    }
}

/// Which numbers of one call came back, within the measured window.
#[derive(Debug, Default)]
pub struct Window {
    first: Option<u64>,
    end: Option<u64>,
    seen: Vec<u64>,
    echoed: u64,
    duplicates: u64,
}

impl Window {
    /// Begins with probe `first`.
    pub fn open(&mut self, first: u64) {
        self.first = Some(first);
    }

    /// Ends before probe `end`; its echoes still count when they come later.
    pub fn close(&mut self, end: u64) {
        self.end = Some(end);
    }

    /// Whether a probe belongs to the window.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.first.is_some_and(|first| number >= first) && self.end.is_none_or(|end| number < end)
    }

    /// A probe came back. Returns whether it counts: it is in the window and came for the first time.
    pub fn echo(&mut self, number: u64) -> bool {
        let Some(first) = self.first.filter(|_| self.contains(number)) else {
            return false;
        };
        let at = (number - first) as usize;
        if self.seen.len() <= at / 64 {
            self.seen.resize(at / 64 + 1, 0);
        }
        let (word, bit) = (&mut self.seen[at / 64], 1 << (at % 64));
        let new = *word & bit == 0;
        *word |= bit;
        if new {
            self.echoed += 1
        } else {
            self.duplicates += 1
        }
        new
    }

    /// Adds this call's counts to a tally.
    pub fn count(&self, tally: &mut Tally) {
        if let (Some(first), Some(end)) = (self.first, self.end) {
            tally.sent += end - first;
            tally.echoed += self.echoed;
            tally.duplicates += self.duplicates;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_counts_and_late_echoes_do() {
        let mut window = Window::default();
        assert!(!window.echo(3), "before the window");
        window.open(10);
        assert!(!window.echo(9));
        assert!(window.echo(10));
        window.close(200);
        assert!(window.echo(199), "after its end, but of it");
        assert!(!window.echo(200));
        assert!(!window.echo(10), "a duplicate");

        let mut tally = Tally::default();
        window.count(&mut tally);
        assert_eq!(
            (tally.sent, tally.echoed, tally.duplicates, tally.lost()),
            (190, 2, 1, 188)
        );
    }

    #[test]
    fn a_window_that_never_ended_counts_nothing() {
        let mut window = Window::default();
        window.open(0);
        window.echo(0);
        let mut tally = Tally::default();
        window.count(&mut tally);
        assert_eq!(tally.sent, 0);
    }

    #[test]
    fn times_beyond_the_bounds_saturate() {
        let mut times = Times::default();
        times.record_ns(u64::MAX);
        times.record_ns(0);
        assert_eq!(times.count(), 2);
        assert!(times.quantile_ms(1.0) >= 60_000.0);
    }
}
