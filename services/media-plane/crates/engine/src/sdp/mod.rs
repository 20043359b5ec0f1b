//! SDP: offers of browsers and other stacks in, the edge's answer out (RFC 8866, RFC 8829, RFC 9143, RFC 8839, RFC 8842, RFC 8841), and
//! trickle-ICE fragments (RFC 8840).

mod answer;
mod fingerprint;
mod fragment;
mod lines;
mod offer;
mod read;
#[cfg(test)]
mod tests;

pub use answer::{Answer, OwnStream};
pub use fingerprint::{Fingerprint, HashAlgorithm};
pub use fragment::{parse_fragment, write_fragment};
pub use offer::{Audio, Credentials, Data, Direction, Offer, Opus, Section, SectionKind, Setup, SlotLine};

const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// Why an offer or a fragment cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct OfferError {
    /// Line of the offer, from 1; 0 when the whole is meant.
    pub line: usize,
    /// What is wrong, what was expected.
    pub message: String,
}

impl OfferError {
    pub(crate) fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}
