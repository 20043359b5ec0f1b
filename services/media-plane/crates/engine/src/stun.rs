//! STUN as an ICE-lite agent needs it (RFC 8489, RFC 8445): binding requests in, responses out, and the demultiplexing of RFC 7983.

use std::net::SocketAddr;

/// What a datagram on the media port is (RFC 7983, RFC 5761).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// STUN: magic cookie and length agree.
    Stun,
    /// A DTLS record.
    Dtls,
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
    /// None of these.
    Other,
}

/// Tells what a datagram is from its first bytes; verifies nothing.
#[must_use]
pub fn classify(datagram: &[u8]) -> Kind {
    let _ = datagram;
    unimplemented!()
}

/// A transaction's 96 bits.
pub type TransactionId = [u8; 12];

/// Bytes that any response fits in.
pub const MAX_RESPONSE: usize = 128;

/// Why a datagram is not a binding request to answer. All of these are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StunError {
    /// Not STUN, or its lengths disagree.
    #[error("malformed STUN message")]
    Malformed,
    /// A STUN message of another class or method; an ICE-lite agent expects none.
    #[error("not a binding request")]
    NotBindingRequest,
    /// FINGERPRINT is there and wrong.
    #[error("wrong STUN fingerprint")]
    Fingerprint,
}

/// The role and tie-breaker that the sender of a check claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ICE-CONTROLLING.
    Controlling(u64),
    /// ICE-CONTROLLED: against a lite agent this is a conflict, answered with 487.
    Controlled(u64),
}

/// A binding request, parsed and not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'a> {
    datagram: &'a [u8],
    integrity: usize,
    /// To be echoed.
    pub transaction: TransactionId,
    /// USERNAME: `receiver's ufrag:sender's ufrag`.
    pub username: Option<&'a [u8]>,
    /// PRIORITY.
    pub priority: Option<u32>,
    /// USE-CANDIDATE.
    pub use_candidate: bool,
    /// ICE-CONTROLLING or ICE-CONTROLLED.
    pub role: Option<Role>,
    unknown: [u16; MAX_UNKNOWN],
    unknown_count: usize,
}

const MAX_UNKNOWN: usize = 8;

impl<'a> BindingRequest<'a> {
    /// Parses a datagram. Attributes behind MESSAGE-INTEGRITY are ignored, as RFC 8489 14.5 demands, except FINGERPRINT.
    ///
    /// # Errors
    /// [`StunError`]; the datagram is to be dropped without an answer.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        let _ = datagram;
        unimplemented!()
    }

    /// The part of USERNAME before the colon: our ufrag.
    #[must_use]
    pub fn local_ufrag(&self) -> Option<&'a [u8]> {
        unimplemented!()
    }

    /// The part of USERNAME behind the colon: the sender's ufrag.
    #[must_use]
    pub fn remote_ufrag(&self) -> Option<&'a [u8]> {
        unimplemented!()
    }

    /// Whether MESSAGE-INTEGRITY is there at all; without it the answer is 400.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity != 0
    }

    /// Checks MESSAGE-INTEGRITY under our password, in constant time.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        let _ = (password, self.datagram);
        unimplemented!()
    }

    /// Unknown comprehension-required attributes (the first few): to be answered with 420 once verified.
    #[must_use]
    pub fn unknown_attributes(&self) -> &[u16] {
        &self.unknown[..self.unknown_count]
    }
}

/// Error codes that an ICE-lite agent answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// USERNAME or MESSAGE-INTEGRITY is missing.
    BadRequest = 400,
    /// MESSAGE-INTEGRITY is wrong.
    Unauthorized = 401,
    /// Unknown comprehension-required attributes.
    UnknownAttribute = 420,
    /// Both claim the same role.
    RoleConflict = 487,
}

/// Writes a success response into `buffer` (at least [`MAX_RESPONSE`]) and returns its length.
#[must_use]
pub fn write_success(buffer: &mut [u8], transaction: &TransactionId, mapped: SocketAddr, password: &[u8]) -> usize {
    let _ = (buffer, transaction, mapped, password);
    unimplemented!()
}

/// Writes an error response into `buffer` (at least [`MAX_RESPONSE`]) and returns its length.
///
/// `unknown` goes with 420 only. `password` protects 420 and 487; 400 and 401 go without integrity.
#[must_use]
pub fn write_error(
    buffer: &mut [u8],
    transaction: &TransactionId,
    code: ErrorCode,
    unknown: &[u16],
    password: Option<&[u8]>,
) -> usize {
    let _ = (buffer, transaction, code, unknown, password);
    unimplemented!()
}

/// A check as a full agent sends it: what tests, probes and seeds of the fuzzer are made of.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The transaction.
    pub transaction: TransactionId,
    /// `receiver's ufrag:sender's ufrag`.
    pub username: &'a [u8],
    /// The receiver's password.
    pub password: &'a [u8],
    /// PRIORITY.
    pub priority: u32,
    /// USE-CANDIDATE.
    pub use_candidate: bool,
    /// The sender's role.
    pub role: Role,
}

impl Check<'_> {
    /// Writes the binding request into `buffer` and returns its length.
    ///
    /// # Panics
    /// When the buffer is too small: it needs 96 bytes and the username.
    #[must_use]
    pub fn write(&self, buffer: &mut [u8]) -> usize {
        let _ = buffer;
        unimplemented!()
    }
}
