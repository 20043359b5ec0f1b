//! Who holds a session's playout: the worker by command, the edge because it doubts that the agent may go on. Pure.
//!
//! The edge's doubt is a question to the worker, which answers with a flush (it was voice) or a release (it was none). Where no
//! answer comes the doubt ends by itself, so that no agent falls silent for good because of a lost message.

use std::time::Duration;

use crate::output::HoldOutcome;
use crate::time::Time;

/// An answer that takes longer does not come.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_500);

/// The state: nobody, either, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holds {
    #[default]
    Nobody,
    Worker,
    /// The edge, since when.
    Edge(Time),
    Both(Time),
}

/// What may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The caller began to speak while an utterance plays.
    Doubt,
    /// The worker's commands.
    Hold,
    Resume,
    Release,
    Flush,
    /// Time passed.
    Time,
}

/// What follows for the playout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Pause,
    GoOn,
}

/// How a doubt of the edge ended, and how long it lasted.
pub(super) type Settled = Option<(HoldOutcome, Duration)>;

impl Holds {
    /// Moves on.
    pub(super) fn advance(self, now: Time, cause: Cause) -> (Self, Step, Settled) {
        use Holds::{Both, Edge, Nobody, Worker};
        let over = |outcome, since: Time| Some((outcome, now.since(since)));
        match (self, cause) {
            (Nobody, Cause::Doubt) => (Edge(now), Step::Pause, None),
            (Worker, Cause::Doubt) => (Both(now), Step::Stay, None),
            (Nobody, Cause::Hold) => (Worker, Step::Pause, None),
            (Edge(since), Cause::Hold) => (Both(since), Step::Stay, None),
            (Worker, Cause::Resume) => (Nobody, Step::GoOn, None),
            (Both(since), Cause::Resume) => (Edge(since), Step::Stay, None),
            (Edge(since), Cause::Release) => (Nobody, Step::GoOn, over(HoldOutcome::Released, since)),
            (Both(since), Cause::Release) => (Worker, Step::Stay, over(HoldOutcome::Released, since)),
            (Edge(since), Cause::Time) if self.is_due(now) => (Nobody, Step::GoOn, over(HoldOutcome::Expired, since)),
            (Both(since), Cause::Time) if self.is_due(now) => (Worker, Step::Stay, over(HoldOutcome::Expired, since)),
            (Edge(since) | Both(since), Cause::Flush) => (Nobody, Step::Stay, over(HoldOutcome::Confirmed, since)),
            (_, Cause::Flush) => (Nobody, Step::Stay, None),
            _ => (self, Step::Stay, None),
        }
    }

    /// When a doubt of the edge ends by itself.
    pub(super) fn deadline(self) -> Time {
        match self {
            Self::Edge(since) | Self::Both(since) => since + PATIENCE,
            Self::Nobody | Self::Worker => Time::NEVER,
        }
    }

    fn is_due(self, now: Time) -> bool {
        self.deadline() <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(5_000_000);
    const STATES: [Holds; 4] = [Holds::Nobody, Holds::Worker, Holds::Edge(NOW), Holds::Both(NOW)];
    const CAUSES: [Cause; 6] = [
        Cause::Doubt,
        Cause::Hold,
        Cause::Resume,
        Cause::Release,
        Cause::Flush,
        Cause::Time,
    ];

    #[test]
    fn playout_is_paused_exactly_while_somebody_holds_it() {
        for state in STATES {
            for cause in CAUSES {
                for now in [NOW, NOW + PATIENCE] {
                    let (next, step, _) = state.advance(now, cause);
                    let (held, holds) = (state != Holds::Nobody, next != Holds::Nobody);
                    match step {
                        Step::Pause => assert!(!held && holds, "{state:?} {cause:?}"),
                        Step::GoOn => assert!(held && !holds, "{state:?} {cause:?}"),
                        // A flush lets go of the playout by itself.
                        Step::Stay => assert!(held == holds || cause == Cause::Flush, "{state:?} {cause:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_doubt_ends_once_however_it_ends() {
        for (cause, outcome) in [
            (Cause::Flush, HoldOutcome::Confirmed),
            (Cause::Release, HoldOutcome::Released),
            (Cause::Time, HoldOutcome::Expired),
        ] {
            for state in [Holds::Edge(NOW), Holds::Both(NOW)] {
                let (next, _, settled) = state.advance(NOW + PATIENCE, cause);
                assert_eq!(settled, Some((outcome, PATIENCE)));
                assert_eq!(next.deadline(), Time::NEVER);
                assert_eq!(next.advance(NOW + PATIENCE, cause).2, None);
            }
        }
    }

    #[test]
    fn the_worker_s_resume_leaves_the_edge_s_doubt_and_a_release_leaves_the_worker_s_hold() {
        assert_eq!(Holds::Both(NOW).advance(NOW, Cause::Resume).0, Holds::Edge(NOW));
        assert_eq!(Holds::Both(NOW).advance(NOW, Cause::Release).0, Holds::Worker);
    }
}
