//! Writes the edge's answer.

use std::net::SocketAddr;

use super::{Fingerprint, Offer};

/// The stream that the edge sends.
#[derive(Clone, Copy, Debug)]
pub struct OwnStream<'a> {
    /// SSRC.
    pub ssrc: u32,
    /// CNAME.
    pub cname: &'a str,
    /// MediaStream id.
    pub stream: &'a str,
    /// MediaStreamTrack id.
    pub track: &'a str,
}

/// What the answer says besides the offer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// For the o-line; unique for the session.
    pub session_id: u64,
    /// The edge's ufrag.
    pub ufrag: &'a str,
    /// The edge's ICE password.
    pub password: &'a str,
    /// The edge's certificate.
    pub fingerprint: &'a Fingerprint,
    /// The edge's addresses, best first.
    pub candidates: &'a [SocketAddr],
    /// What the edge sends.
    pub stream: OwnStream<'a>,
    /// The largest data-channel message that the edge takes.
    pub max_message_size: u32,
}

impl Answer<'_> {
    /// Writes the answer to `offer`.
    #[must_use]
    pub fn write(&self, offer: &Offer) -> String {
        let _ = offer;
        unimplemented!()
    }
}
