//! What the caller's side tells of what comes and is played: round trips, receiver reports, NACKs, and its device's own reports.

use std::time::Duration;

use super::delay::Delay;
use super::ledger::Ledger;
use super::missing::Missing;
use super::utterance::Place;
use super::{Line, Playout, samples};
use crate::device::DeviceReport;
use crate::output::HeardBasis;
use crate::rtcp::ReportBlock;
use crate::time::Time;

/// What may lie between a packet's usual time and its coming: jitter, a batch of the caller's.
const TOLERANCE: Duration = Duration::from_millis(40);

/// Most packets of a cut that are looked through.
const LONGEST_CUT: u64 = 512;

/// What the last receiver report says came, on the media clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Confirmed {
    /// Speech up to the frame that begins here came, less what is known to be lost.
    to: u64,
    /// Up to here it ought to have come when the report was made: what lies between has not.
    due: u64,
    /// The report's highest sequence number, and the packets that it has lost since the call began.
    highest: u64,
    lost: i32,
}

/// The caller's side of the stream, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct FarEnd {
    pub(super) ledger: Ledger,
    pub(super) delay: Delay,
    missing: Missing,
    confirmed: Confirmed,
}

impl FarEnd {
    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(super) fn warm(&self) -> u64 {
        self.ledger.warm()
            ^ u64::from(self.delay.device_silences())
            ^ u64::from(self.delay.to_the_ear().0.subsec_nanos())
    }

    /// How far the stream is there.
    pub(super) fn place(&self, line: Line, now: Time) -> Place<'_> {
        let (to_the_ear, basis) = self.delay.to_the_ear();
        let at = line.at(now);
        let arrived = at.saturating_sub(samples(self.delay.way())).max(self.confirmed.to);
        Place {
            ledger: &self.ledger,
            missing: &self.missing,
            now,
            heard: at.saturating_sub(samples(to_the_ear)),
            arrived,
            confirmed: self.confirmed.highest,
            absent: (self.confirmed.to, self.confirmed.due.min(arrived)),
            basis,
            way: self.delay.way(),
            to_the_ear,
        }
    }
}

impl Playout {
    /// The way to the caller: round trip and jitter.
    pub(crate) fn set_path(&mut self, round_trip: Duration, jitter: Duration) {
        self.far.delay.path(round_trip, jitter);
    }

    /// The caller's device reports. Returns false where that makes no sense.
    pub(crate) fn device_report(&mut self, now: Time, report: &DeviceReport) -> bool {
        self.far.delay.report(now, report, self.line.at(now))
    }

    /// From a frame's leaving to the caller's ear, and how that is known.
    pub(crate) fn delay(&self) -> (Duration, HeardBasis) {
        self.far.delay.to_the_ear()
    }

    /// The sequence number that ends in these bits and was sent last; `None` when none was.
    pub(crate) fn sequence_of(&self, low: u16) -> Option<u64> {
        let last = self.last_sequence()?;
        #[expect(clippy::cast_possible_truncation, reason = "the wire's 16 bits")]
        let back = (last as u16).wrapping_sub(low);
        last.checked_sub(u64::from(back))
            .filter(|sequence| *sequence >= self.first_sequence)
    }

    /// Of the packet that left last.
    pub(crate) fn last_sequence(&self) -> Option<u64> {
        (self.sequence > self.first_sequence).then(|| self.sequence - 1)
    }

    /// A receiver report tells the highest sequence number that came (of which the low 16 bits matter), and what was lost.
    pub(crate) fn confirm(&mut self, now: Time, report: &ReportBlock) {
        #[expect(clippy::cast_possible_truncation, reason = "the wire's 16 bits")]
        let Some(highest) = self.sequence_of(report.highest_sequence as u16) else {
            return;
        };
        let Some(to) = self.far.ledger.reached(highest) else {
            return;
        };
        let before = self.far.confirmed;
        if before.due > before.to && highest > before.highest {
            // The way was cut, and is no more. What was lost in it is what came behind the last that came.
            let lost = u64::try_from(report.cumulative_lost.saturating_sub(before.lost)).unwrap_or(0);
            let end = highest.min(before.highest + LONGEST_CUT).min(before.highest + 1 + lost);
            for sequence in before.highest + 1..end {
                self.miss(sequence, Time::NEVER);
            }
        }
        // The report was made one way ago, and what came then had left one way before.
        let ago = samples(self.far.delay.way() * 2 + TOLERANCE);
        self.far.confirmed = Confirmed {
            to: before.to.max(to),
            due: self.line.at(now).saturating_sub(ago),
            highest: before.highest.max(highest),
            lost: report.cumulative_lost,
        };
    }

    /// The caller misses a packet; `answered` says whether it goes again.
    pub(crate) fn missed(&mut self, now: Time, sequence: u64, answered: bool) {
        if answered {
            self.miss(sequence, now + self.far.delay.way());
        } else if !self.far.missing.knows(sequence) {
            self.miss(sequence, Time::NEVER);
        }
    }

    fn miss(&mut self, sequence: u64, comes: Time) {
        let Some((utterance, samples)) = self.far.ledger.frame(sequence) else {
            return;
        };
        if let Some((settled, samples)) = self.far.missing.ask(sequence, utterance, samples, comes)
            && let Some(settled) = self.utterances.iter_mut().find(|known| known.id == settled)
        {
            settled.missing += samples;
        }
    }
}
