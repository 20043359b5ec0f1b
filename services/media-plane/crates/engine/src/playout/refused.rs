//! Why playout refuses a frame of the worker's, and which counter says so.

use crate::stats::Counters;

/// The reasons.
pub(super) enum Refused {
    Invalid,
    Generation,
    NotReady,
    Full,
}

impl Refused {
    pub(super) fn counter(self, counters: &mut Counters) -> &mut u64 {
        match self {
            Self::Invalid => &mut counters.refused_invalid,
            Self::Generation => &mut counters.refused_generation,
            Self::NotReady => &mut counters.refused_not_ready,
            Self::Full => &mut counters.refused_full,
        }
    }
}
