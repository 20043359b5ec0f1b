//! Trickle-ICE fragments (RFC 8840), as PATCH carries them.

use std::fmt::Write as _;

use super::lines::{Attribute, split};
use super::{Credentials, OfferError, answer};
use crate::remote::Candidate;

/// Reads a fragment's ICE credentials; `None` when it only trickles candidates, which a lite agent needs not.
///
/// # Errors
/// [`OfferError`] names the line.
pub fn parse_fragment(text: &str) -> Result<Option<Credentials>, OfferError> {
    let parts = split(text)?;
    let find = |name| parts.iter().find_map(|part| part.first(name));
    match (find("ice-ufrag"), find("ice-pwd")) {
        (None, None) => Ok(None),
        (Some(ufrag), Some(password)) => credentials(ufrag, password).map(Some),
        (Some(alone), None) => Err(OfferError::at(alone.line, "a=ice-ufrag without a=ice-pwd")),
        (None, Some(alone)) => Err(OfferError::at(alone.line, "a=ice-pwd without a=ice-ufrag")),
    }
}

/// Writes the edge's fragment: credentials, candidates and end-of-candidates under the first m-line's mid.
#[must_use]
pub fn write_fragment(ufrag: &str, password: &str, mid: &str, candidates: &[Candidate]) -> String {
    let mut text = String::with_capacity(512);
    text.push_str("a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n");
    if !mid.is_empty() {
        let _ = write!(text, "a=mid:{mid}\r\n");
    }
    let _ = write!(text, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n");
    answer::write_candidates(&mut text, candidates);
    text
}

/// Checks credentials against RFC 8839 5.4. The password is not part of any message.
pub(super) fn credentials(ufrag: Attribute<'_>, password: Attribute<'_>) -> Result<Credentials, OfferError> {
    for (attribute, least) in [(ufrag, 4), (password, 22)] {
        let length = attribute.value.len();
        if !(least..=256).contains(&length) {
            let message = format!("a={} has {length} characters, {least} to 256 are right", attribute.name);
            return Err(OfferError::at(attribute.line, message));
        }
        // Some stacks use base64url or other printable characters: what must not be there is a colon or a space.
        if attribute
            .value
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b':')
        {
            let message = format!("a={} has characters outside ICE's alphabet", attribute.name);
            return Err(OfferError::at(attribute.line, message));
        }
    }
    Ok(Credentials {
        ufrag: ufrag.value.to_owned(),
        password: password.value.to_owned(),
    })
}
