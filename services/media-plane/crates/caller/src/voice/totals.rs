//! What callers have sent and heard, by groups of them.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

const LONGEST_US: u64 = 60_000_000;

/// What one group of callers counted.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Packets sent.
    pub sent: u64,
    /// Of these, frames of voice.
    pub voice: u64,
    /// Packets received.
    pub received: u64,
    /// Packets that should have come, by their numbers.
    pub expected: u64,
    /// Frames of voice that came back.
    pub echoed: u64,
    /// Frames of voice that did not come back within 5 s.
    pub unechoed: u64,
    /// From sending a frame of voice to hearing it, in us.
    pub delay_us: Histogram<u64>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            sent: 0,
            voice: 0,
            received: 0,
            expected: 0,
            echoed: 0,
            unechoed: 0,
            delay_us: times(),
        }
    }
}

/// What a thread's callers have counted since the beginning.
#[derive(Clone, Debug)]
pub struct Totals {
    /// By name of the group.
    pub groups: BTreeMap<String, Traffic>,
    /// How late packets left, in us: whether the load kept its own schedule.
    pub lateness_us: Histogram<u64>,
    /// What the callers' threads have spent on a CPU, in ns.
    pub cpu_ns: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            lateness_us: times(),
            cpu_ns: 0,
        }
    }
}

impl Totals {
    /// Adds what others have counted.
    ///
    /// # Panics
    /// Never: all distributions have the same bounds.
    pub fn add(&mut self, other: &Self) {
        const SAME: &str = "all have the same bounds";
        for (name, traffic) in &other.groups {
            let sum = self.groups.entry(name.clone()).or_default();
            sum.sent += traffic.sent;
            sum.voice += traffic.voice;
            sum.received += traffic.received;
            sum.expected += traffic.expected;
            sum.echoed += traffic.echoed;
            sum.unechoed += traffic.unechoed;
            sum.delay_us.add(&traffic.delay_us).expect(SAME);
        }
        self.lateness_us.add(&other.lateness_us).expect(SAME);
        self.cpu_ns += other.cpu_ns;
    }
}

fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 2).expect("constant bounds are valid")
}

/// Adds a time in ns.
pub(crate) fn record(times: &mut Histogram<u64>, nanos: u64) {
    times.saturating_record((nanos / 1_000).max(1));
}

/// (upper bound in us, how many) of each bin that has any.
type Bins = Vec<(u64, u64)>;

fn bins(times: &Histogram<u64>) -> Bins {
    times
        .iter_recorded()
        .map(|bin| (bin.value_iterated_to(), bin.count_since_last_iteration()))
        .collect()
}

impl Traffic {
    /// The distribution of delays: (upper bound in us, how many).
    #[must_use]
    pub fn delay_bins(&self) -> Bins {
        bins(&self.delay_us)
    }
}

impl Totals {
    /// The distribution of lateness: (upper bound in us, how many).
    #[must_use]
    pub fn lateness_bins(&self) -> Bins {
        bins(&self.lateness_us)
    }
}
