//! What ingest tells of itself: quality to the worker, report blocks to the caller, figures to the stats.

use std::time::Duration;

use super::{Ingest, QUALITY};
use crate::output::IngestQuality;
use crate::rtcp::ReportBlock;
use crate::stats::Counters;
use crate::time::Time;
use crate::voice::Detector;

impl Ingest {
    /// What came of the caller's packets, when it is time to tell.
    pub(crate) fn quality(
        &mut self,
        now: Time,
        counters: &Counters,
        detector: Option<&Detector>,
    ) -> Option<IngestQuality> {
        if now < self.tell_at {
            return None;
        }
        self.tell_at = now + QUALITY;
        let round_trip = self.patience.round_trip().unwrap_or_default();
        let (source, _) = self.source.as_ref()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a jitter is no more than what the media clock wraps in"
        )]
        let jitter_us = (source.jitter_ms() * 1_000.0) as u32;
        Some(IngestQuality {
            round_trip_us: u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX),
            jitter_us,
            expected: self.expected_before + source.expected(),
            lost: self.lost(),
            repaired_red: counters.repaired_red,
            repaired_nack: counters.repaired_nack,
            late: counters.late,
            reordered: counters.reordered,
            duplicates: counters.duplicates,
            given_up: self.holes.given_up,
            echo: detector.map(Detector::echo_path),
        })
    }

    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.source.map(|(source, _)| source.ssrc)
    }

    /// Packets that should have come.
    pub(crate) fn expected(&self) -> u64 {
        self.expected_before + self.source.map_or(0, |(source, _)| source.expected())
    }

    /// Packets that did not come by themselves.
    pub(crate) fn lost(&self) -> u64 {
        self.lost_before + self.source.map_or(0, |(source, _)| source.lost())
    }

    /// Packets that were given up.
    pub(crate) fn given_up(&self) -> u64 {
        self.holes.given_up
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.patience.round_trip()
    }

    pub(crate) fn jitter_ms(&self) -> f64 {
        self.source.map_or(0.0, |(source, _)| source.jitter_ms())
    }

    pub(crate) fn drift_ppm(&self) -> Option<f64> {
        self.source.and_then(|(_, clock)| clock.drift_ppm())
    }

    /// The report block for an SR or RR. Loss is told before repair, else the caller's Opus would stop its FEC.
    pub(crate) fn report(&mut self) -> Option<ReportBlock> {
        self.source.as_mut().map(|(source, _)| source.report())
    }
}
