//! Trickle-ICE fragments (RFC 8840), as PATCH carries them.

use std::net::SocketAddr;

use super::{Credentials, OfferError};

/// Reads a fragment's ICE credentials; `None` when it only trickles candidates, which a lite agent needs not.
///
/// # Errors
/// [`OfferError`] names the line.
pub fn parse_fragment(text: &str) -> Result<Option<Credentials>, OfferError> {
    let _ = text;
    unimplemented!()
}

/// Writes the edge's fragment: credentials, candidates and end-of-candidates under the first m-line's mid.
#[must_use]
pub fn write_fragment(ufrag: &str, password: &str, mid: &str, candidates: &[SocketAddr]) -> String {
    let _ = (ufrag, password, mid, candidates);
    unimplemented!()
}
