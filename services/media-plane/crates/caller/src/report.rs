//! What a run found, for machines (JSON) and for people (a few lines).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::load::Plan;
use crate::procfs::Memory;
use crate::tally::{Tally, Times};

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    /// Half do not exceed it.
    pub p50: f64,
    /// 90 % do not exceed it.
    pub p90: f64,
    /// 99 % do not exceed it.
    pub p99: f64,
    /// None exceeds it.
    pub max: f64,
}

impl Quantiles {
    /// Sums a distribution up.
    #[must_use]
    pub fn of(times: &Times) -> Self {
        let at = |quantile| times.quantile_ms(quantile);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} / {:.2} / {:.2} / {:.2}",
            self.p50, self.p90, self.p99, self.max
        )
    }
}

/// What a server process cost.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// CPU time for one packet in from a caller and one out to a caller, in us; absent if none flowed.
    pub cpu_us_per_pair: Option<f64>,
    /// Cores that were busy in the window.
    pub cores: f64,
    /// CPU time of a set-up, in ms, less what the process used meanwhile just by standing there (as in the window, with
    /// all sessions up and silent); absent if media flowed during set-ups.
    pub cpu_ms_per_setup: Option<f64>,
    /// Memory that a session of this run added, in KiB; what earlier ones left behind is used again.
    pub kib_per_session: f64,
    /// Memory before the first call, in KiB (PSS: shared pages counted by their share).
    pub kib_before: u64,
    /// Memory with all calls, at the end of the window, in KiB (PSS).
    pub kib_after: u64,
    /// CPU time by thread name: us a pair, or us a second if none flowed.
    pub threads: BTreeMap<String, f64>,
}

impl ServerReport {
    /// Divides what a process used by what it carried.
    #[must_use]
    pub fn of(
        window: &BTreeMap<String, u64>,
        setup: (u64, Duration),
        before: Memory,
        after: Memory,
        report: &Report,
    ) -> Self {
        let total: u64 = window.values().sum();
        let pairs = (report.echoed > 0).then_some(report.echoed as f64);
        let sessions = f64::from(report.up);
        let unit = pairs.unwrap_or(report.window_s);
        let (setup_ns, setup_time) = setup;
        let standing_ns = total as f64 / report.window_s * setup_time.as_secs_f64();
        let setup_ms = (setup_ns as f64 - standing_ns).max(0.0) / 1e6 / sessions;
        Self {
            cpu_us_per_pair: pairs.map(|pairs| total as f64 / 1e3 / pairs),
            cores: total as f64 / 1e9 / report.window_s,
            cpu_ms_per_setup: report.silent.then_some(setup_ms),
            kib_per_session: (after.pss_kib as f64 - before.pss_kib as f64) / sessions,
            kib_before: before.pss_kib,
            kib_after: after.pss_kib,
            threads: window
                .iter()
                .map(|(name, spent)| (name.clone(), *spent as f64 / 1e3 / unit))
                .collect(),
        }
    }
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls that were asked for.
    pub calls: u32,
    /// Calls that came up.
    pub up: u32,
    /// Calls that failed, before or after they came up.
    pub failed: u32,
    /// Why the first failed.
    pub failure: Option<String>,
    /// Whether they sent nothing.
    pub silent: bool,
    /// Length of the measured window, in s.
    pub window_s: f64,
    /// From the first offer to the last call that came up, in s.
    pub ramp_s: f64,
    /// Offer to answer, in ms.
    pub answer_ms: Quantiles,
    /// Offer to connected, in ms.
    pub setup_ms: Quantiles,
    /// Probe to echo, in ms.
    pub delay_ms: Quantiles,
    /// Probes of the window.
    pub sent: u64,
    /// Those that came back.
    pub echoed: u64,
    /// Those that did not.
    pub lost: u64,
    /// Those that came back once more.
    pub duplicates: u64,
    /// Packets that were no probe of the call that got them.
    pub corrupt: u64,
    /// How late probes left, 99th percentile, in ms.
    pub lateness_p99_ms: f64,
    /// The load's own CPU time a pair, in us; absent if none flowed.
    pub own_cpu_us_per_pair: Option<f64>,
    /// Cores that were busy in the window with neither the load nor a watched process: figures of a machine that has
    /// other work are not to be trusted.
    pub other_cores: f64,
    /// What the watched processes cost, by name.
    pub servers: BTreeMap<String, ServerReport>,
}

impl Report {
    /// Sums up what calls have seen.
    #[must_use]
    pub fn of(tally: &Tally, plan: &Plan, up: u32, failed: u32, failure: Option<String>, ramp: Duration) -> Self {
        Self {
            calls: plan.calls,
            up,
            failed,
            failure,
            silent: plan.silent,
            window_s: plan.window.as_secs_f64(),
            ramp_s: ramp.as_secs_f64(),
            answer_ms: Quantiles::of(&tally.answer),
            setup_ms: Quantiles::of(&tally.setup),
            delay_ms: Quantiles::of(&tally.delay),
            sent: tally.sent,
            echoed: tally.echoed,
            lost: tally.lost(),
            duplicates: tally.duplicates,
            corrupt: tally.corrupt,
            lateness_p99_ms: tally.lateness.quantile_ms(0.99),
            own_cpu_us_per_pair: (tally.echoed > 0).then(|| tally.cpu_ns as f64 / 1e3 / tally.echoed as f64),
            other_cores: 0.0,
            servers: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} calls up, {} failed", self.up, self.calls, self.failed)?;
        if let Some(failure) = &self.failure {
            write!(f, " ({failure})")?;
        }
        write!(
            f,
            "\nset-up ms, p50 / p90 / p99 / max: answer {}, connected {}",
            self.answer_ms, self.setup_ms
        )?;
        if self.sent > 0 {
            write!(
                f,
                "\necho ms, p50 / p90 / p99 / max: {}; sent {}",
                self.delay_ms, self.sent
            )?;
            write!(
                f,
                ", lost {}, duplicates {}, corrupt {}",
                self.lost, self.duplicates, self.corrupt
            )?;
            write!(f, "\nload: {:.2} ms late (p99)", self.lateness_p99_ms)?;
            write!(
                f,
                ", {:.1} us of CPU a pair",
                self.own_cpu_us_per_pair.unwrap_or_default()
            )?;
        }
        write!(f, "\nother work on this machine: {:.2} cores", self.other_cores)?;
        for (name, server) in &self.servers {
            write!(f, "\n{name}: {:.2} cores", server.cores)?;
            if let Some(cost) = server.cpu_us_per_pair {
                write!(f, ", {cost:.1} us a pair")?;
            }
            if let Some(cost) = server.cpu_ms_per_setup {
                write!(f, ", {cost:.2} ms a set-up")?;
            }
            write!(f, ", {:.0} KiB a session", server.kib_per_session)?;
        }
        Ok(())
    }
}
