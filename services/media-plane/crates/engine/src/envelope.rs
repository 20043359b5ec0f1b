//! Envelopes: how an edge hands a caller's datagram to the edge that owns its session, and gets the answer back to send
//! it from the address that the caller knows. Authentic under the cluster's secret, for one receiver, once.
//!
//! `version u8 | flags u8 | way u16 | shard u8 | 0 u8 | port u16 | from u32 | to u32 | slot u32 | incarnation u64 |
//! number u64 | address 16 bytes | datagram | tag 16 bytes`. Flag 1: outward, from the owner; flag 2: the caller's
//! transport is TCP. The tag is HMAC-SHA256 under a key derived from the secret, over all before it, cut to 16 bytes:
//! what is inside is encrypted already, or a STUN message.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};
use rustc_hash::FxHashMap;

use crate::remote::Transport;
use crate::srtp::ReplayWindow;

/// Bytes around the datagram.
pub const ENVELOPE_OVERHEAD: usize = HEADER + TAG;

const VERSION: u8 = 1;
const HEADER: usize = 52;
const TAG: usize = 16;
const OUTWARD: u8 = 1;
const OVER_TCP: u8 = 2;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the caller to the edge that owns its session.
    Inward,
    /// From the owner to the edge that the caller's packets reach.
    Outward,
}

/// What stands on an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Which way it goes.
    pub direction: Direction,
    /// The number of the edge that sends it.
    pub from: u32,
    /// The sender's thread, which counts its envelopes for itself.
    pub shard: u8,
    /// The number of the edge that it is for.
    pub to: u32,
    /// The session's slot at its owner.
    pub slot: u32,
    /// The caller's address.
    pub address: SocketAddr,
    /// The caller's transport.
    pub transport: Transport,
    /// What the edge that the caller's packets reach calls the way that they come by.
    pub way: u16,
    /// When the sender was started, by its wall clock in microseconds: newer ones replace older ones.
    pub incarnation: u64,
    /// Grows by one with each envelope of the thread.
    pub number: u64,
}

/// Why an envelope is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short, another version, or a field that makes no sense.
    #[error("not an envelope")]
    Malformed,
    /// For another edge, or of one that is no member.
    #[error("an envelope for another edge, or of a stranger")]
    Misdirected,
    /// The tag is wrong.
    #[error("an envelope of another cluster")]
    Forged,
    /// Seen before, too old to tell, or of a sender that was restarted since.
    #[error("an envelope that came before")]
    Replayed,
}

/// Seals and opens envelopes.
#[derive(Debug)]
pub struct EnvelopeKey(hmac::Key);

impl EnvelopeKey {
    /// Derives the key from the cluster's secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        // Neither a sealed ufrag's body nor a password's begins so: the uses of the secret stay apart.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"envelopes between edges");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Writes an envelope around a datagram into `buffer`, whose contents are replaced.
    pub fn seal(&self, envelope: &Envelope, datagram: &[u8], buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&header(envelope));
        buffer.extend_from_slice(datagram);
        let tag = hmac::sign(&self.0, buffer);
        buffer.extend_from_slice(&tag.as_ref()[..TAG]);
    }

    /// Opens an envelope for the edge with the number `to`: what stands on it, and the datagram.
    ///
    /// # Errors
    /// [`EnvelopeError`]. Nothing is computed for one that is for somebody else, or of somebody who is no member.
    pub fn open<'a>(
        &self,
        to: u32,
        is_member: impl FnOnce(u32) -> bool,
        bytes: &'a mut [u8],
    ) -> Result<(Envelope, &'a mut [u8]), EnvelopeError> {
        let end = bytes.len().checked_sub(TAG).ok_or(EnvelopeError::Malformed)?;
        let (body, tag) = bytes.split_at_mut(end);
        let envelope = read(body).ok_or(EnvelopeError::Malformed)?;
        if envelope.to != to || !is_member(envelope.from) {
            return Err(EnvelopeError::Misdirected);
        }
        let expected = hmac::sign(&self.0, body);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG], tag).map_err(|_| EnvelopeError::Forged)?;
        Ok((envelope, &mut body[HEADER..]))
    }
}

fn header(envelope: &Envelope) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = VERSION;
    header[1] = match envelope.direction {
        Direction::Inward => 0,
        Direction::Outward => OUTWARD,
    };
    if envelope.transport == Transport::Tcp {
        header[1] |= OVER_TCP;
    }
    let ip = match envelope.address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    header[2..4].copy_from_slice(&envelope.way.to_be_bytes());
    header[4] = envelope.shard;
    header[6..8].copy_from_slice(&envelope.address.port().to_be_bytes());
    header[8..12].copy_from_slice(&envelope.from.to_be_bytes());
    header[12..16].copy_from_slice(&envelope.to.to_be_bytes());
    header[16..20].copy_from_slice(&envelope.slot.to_be_bytes());
    header[20..28].copy_from_slice(&envelope.incarnation.to_be_bytes());
    header[28..36].copy_from_slice(&envelope.number.to_be_bytes());
    header[36..].copy_from_slice(&ip.octets());
    header
}

fn read(body: &[u8]) -> Option<Envelope> {
    let header: &[u8; HEADER] = body.first_chunk()?;
    let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
    let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    if header[0] != VERSION || header[1] & !(OUTWARD | OVER_TCP) != 0 || header[5] != 0 || body.len() == HEADER {
        return None;
    }
    let ip: [u8; 16] = header[36..].try_into().ok()?;
    Some(Envelope {
        direction: match header[1] & OUTWARD {
            0 => Direction::Inward,
            _ => Direction::Outward,
        },
        from: word(8),
        shard: header[4],
        to: word(12),
        slot: word(16),
        address: SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), short(6)),
        transport: match header[1] & OVER_TCP {
            0 => Transport::Udp,
            _ => Transport::Tcp,
        },
        way: short(2),
        incarnation: long(20),
        number: long(28),
    })
}

/// Which envelopes were seen, thread by thread of each sender. Asked only about authentic ones, so that its size is the
/// cluster's.
#[derive(Debug, Default)]
pub struct Seen(FxHashMap<(u32, u8), (u64, ReplayWindow)>);

impl Seen {
    /// Takes note of an authentic envelope.
    ///
    /// # Errors
    /// [`EnvelopeError::Replayed`].
    pub fn accept(&mut self, envelope: &Envelope) -> Result<(), EnvelopeError> {
        let (incarnation, window) = self
            .0
            .entry((envelope.from, envelope.shard))
            .or_insert_with(|| (envelope.incarnation, ReplayWindow::new()));
        if envelope.incarnation > *incarnation {
            (*incarnation, *window) = (envelope.incarnation, ReplayWindow::new());
        }
        if envelope.incarnation < *incarnation || window.check(envelope.number).is_err() {
            return Err(EnvelopeError::Replayed);
        }
        window.accept(envelope.number);
        Ok(())
    }

    /// Forgets edges that are no longer members.
    pub fn keep(&mut self, is_member: impl Fn(u32) -> bool) {
        self.0.retain(|(edge, _), _| is_member(*edge));
    }
}
