//! How far one utterance is: queued, sent, and heard as well as can be told.

use std::time::Duration;

use super::samples;
use crate::output::{PlayoutReport, PlayoutState};
use crate::time::Time;

/// While an utterance plays.
const REPORT: Duration = Duration::from_millis(100);
/// Live audio has no credit that waits for reports.
const REPORT_LIVE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Utterance {
    pub(super) id: u32,
    pub(super) generation: u32,
    pub(super) queued: u64,
    pub(super) sent: u64,
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

    pub(super) fn heard(&self, now: Time, delay: Duration) -> u64 {
        let outstanding = samples((self.ends + delay).since(now));
        self.sent - outstanding.min(self.sent)
    }

    pub(super) fn report(&mut self, now: Time, delay: Duration) -> PlayoutReport {
        self.report_at = now + if self.live { REPORT_LIVE } else { REPORT };
        PlayoutReport {
            utterance: self.id,
            queued: self.queued,
            sent: self.sent,
            heard: self.heard(now, delay),
            state: self.state,
            underruns: self.underruns,
        }
    }

    /// When it has something to say next, besides its frames.
    pub(super) fn next(&self, due: Time, delay: Duration) -> Time {
        match self.state {
            PlayoutState::Playing if self.complete && self.drained() => self.report_at.min(self.ends + delay),
            // Held or starved when its end came.
            _ if self.complete && self.drained() => self.ends + delay,
            PlayoutState::Playing if self.drained() && !self.live => self.report_at.min(due),
            PlayoutState::Playing => self.report_at,
            _ => Time::NEVER,
        }
    }
}
