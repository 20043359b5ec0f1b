//! One utterance's own figures and state; what of it is under way stands in the ledger.

use std::time::Duration;

use super::ledger::Ledger;
use super::missing::Missing;
use crate::output::{HeardBasis, PlayoutReport, PlayoutState};
use crate::time::Time;

/// While an utterance plays.
const REPORT: Duration = Duration::from_millis(100);
/// Live audio has no credit that waits for reports.
const REPORT_LIVE: Duration = Duration::from_secs(1);

/// How far the stream is at the caller, on the media clock.
pub(super) struct Place<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) missing: &'a Missing,
    pub(super) now: Time,
    /// What the ear hears.
    pub(super) heard: u64,
    /// What arrives.
    pub(super) arrived: u64,
    /// The highest sequence number that a report says came.
    pub(super) confirmed: u64,
    /// Frames that begin behind the first and no later than the second have not come, though they should have.
    pub(super) absent: (u64, u64),
    pub(super) basis: HeardBasis,
    /// From the edge to the device, and to the ear.
    pub(super) way: Duration,
    pub(super) to_the_ear: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Utterance {
    pub(super) id: u32,
    pub(super) generation: u32,
    pub(super) queued: u64,
    pub(super) sent: u64,
    /// When the first frame left.
    pub(super) began: Option<Time>,
    /// Samples that the caller misses for good, besides those that `Missing` knows.
    pub(super) missing: u64,
    /// When the last frame that was sent ends.
    pub(super) ends: Time,
    /// No more frames will come.
    pub(super) complete: bool,
    pub(super) live: bool,
    pub(super) underruns: u32,
    pub(super) state: PlayoutState,
    pub(super) report_at: Time,
}

impl Utterance {
    pub(super) fn new(id: u32, generation: u32, live: bool, now: Time) -> Self {
        Self {
            id,
            generation,
            queued: 0,
            sent: 0,
            began: None,
            missing: 0,
            ends: now,
            complete: false,
            live,
            underruns: 0,
            state: PlayoutState::Playing,
            report_at: Time::NEVER,
        }
    }

    pub(super) fn drained(&self) -> bool {
        self.sent == self.queued
    }

    pub(super) fn over(&self) -> bool {
        self.complete && self.drained()
    }

    pub(super) fn report(&mut self, now: Time, place: &Place<'_>) -> PlayoutReport {
        self.report_at = now + if self.live { REPORT_LIVE } else { REPORT };
        let behind = |timestamp| place.ledger.under_way(self.id, timestamp);
        let absent = behind(place.absent.0).saturating_sub(behind(place.absent.1.max(place.absent.0)));
        let (asked, asked_behind) = place.missing.of(self.id, place.now, place.confirmed);
        let missing = self.missing + asked + absent.max(asked_behind);
        PlayoutReport {
            utterance: self.id,
            queued: self.queued,
            sent: self.sent,
            received: self.sent.saturating_sub(behind(place.arrived) + missing),
            heard: self.sent - place.ledger.unplayed(self.id, place.heard).min(self.sent),
            basis: place.basis,
            state: self.state,
            underruns: self.underruns,
            began: self.began,
            way: place.way,
            to_the_ear: place.to_the_ear,
        }
    }

    /// When it has something to say next, besides its frames.
    pub(super) fn next(&self, due: Time, delay: Duration) -> Time {
        match self.state {
            PlayoutState::Playing if self.over() => self.report_at.min(self.ends + delay),
            // Held or starved when its end came.
            _ if self.over() => self.ends + delay,
            PlayoutState::Playing if self.drained() && !self.live => self.report_at.min(due),
            PlayoutState::Playing => self.report_at,
            _ => Time::NEVER,
        }
    }
}
