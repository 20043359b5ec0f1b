//! STUN as an ICE-lite agent needs it (RFC 8489, RFC 8445): binding requests in, responses out, and the demultiplexing
//! of RFC 7983. Nothing here allocates; who may check what, and when to answer, is the session's business.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};

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
    match datagram {
        // RFC 5761 4: RTCP's packet types 192–223 are no RTP payload types with a marker.
        [128..=191, 192..=223, ..] if datagram.len() >= 8 => Kind::Rtcp,
        [128..=191, ..] if datagram.len() >= 12 => Kind::Rtp,
        [20..=63, ..] if datagram.len() >= 13 => Kind::Dtls,
        [0..=3, ..] if framed(datagram) => Kind::Stun,
        _ => Kind::Other,
    }
}

fn framed(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER
        && datagram.len() - HEADER == usize::from(u16_at(datagram, 2))
        && datagram.len().is_multiple_of(4)
        && datagram[4..8] == MAGIC_COOKIE
}

const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

const INTEGRITY_LEN: usize = 20;
const FINGERPRINT_XOR: u32 = 0x5354_554e;

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
        if !framed(datagram) {
            return Err(StunError::Malformed);
        }
        if u16_at(datagram, 0) != BINDING_REQUEST {
            return Err(StunError::NotBindingRequest);
        }
        let mut request = Self {
            datagram,
            integrity: 0,
            transaction: datagram[8..HEADER].try_into().map_err(|_| StunError::Malformed)?,
            username: None,
            priority: None,
            use_candidate: false,
            role: None,
            unknown: [0; MAX_UNKNOWN],
            unknown_count: 0,
        };
        let mut at = HEADER;
        while at < datagram.len() {
            let kind = u16_at(datagram, at);
            let end = at + 4 + usize::from(u16_at(datagram, at + 2));
            let value = datagram.get(at + 4..end).ok_or(StunError::Malformed)?;
            if kind == FINGERPRINT {
                check_fingerprint(datagram, at, value)?;
                break;
            }
            if request.integrity == 0 {
                request.take(at, kind, value)?;
            }
            at = end.next_multiple_of(4);
        }
        Ok(request)
    }

    fn take(&mut self, at: usize, kind: u16, value: &'a [u8]) -> Result<(), StunError> {
        match kind {
            USERNAME => self.username = Some(value),
            PRIORITY => self.priority = Some(u32::from_be_bytes(exact(value)?)),
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLING => self.role = Some(Role::Controlling(u64::from_be_bytes(exact(value)?))),
            ICE_CONTROLLED => self.role = Some(Role::Controlled(u64::from_be_bytes(exact(value)?))),
            MESSAGE_INTEGRITY => {
                exact::<INTEGRITY_LEN>(value)?;
                self.integrity = at;
            }
            // RFC 8489 14: below 0x8000 an attribute must be understood.
            0..0x8000 if self.unknown_count < MAX_UNKNOWN => {
                self.unknown[self.unknown_count] = kind;
                self.unknown_count += 1;
            }
            _ => {}
        }
        Ok(())
    }

    /// The part of USERNAME before the colon: our ufrag.
    #[must_use]
    pub fn local_ufrag(&self) -> Option<&'a [u8]> {
        self.username?.split(|&byte| byte == b':').next()
    }

    /// The part of USERNAME behind the colon: the sender's ufrag.
    #[must_use]
    pub fn remote_ufrag(&self) -> Option<&'a [u8]> {
        self.username?.splitn(2, |&byte| byte == b':').nth(1)
    }

    /// Whether MESSAGE-INTEGRITY is there at all; without it the answer is 400.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity != 0
    }

    /// Checks MESSAGE-INTEGRITY under our password, in constant time.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        if self.integrity == 0 {
            return false;
        }
        let tag = &self.datagram[self.integrity + 4..][..INTEGRITY_LEN];
        constant_time::verify_slices_are_equal(integrity(self.datagram, self.integrity, password).as_ref(), tag).is_ok()
    }

    /// Unknown comprehension-required attributes (the first few): to be answered with 420 once verified.
    #[must_use]
    pub fn unknown_attributes(&self) -> &[u16] {
        &self.unknown[..self.unknown_count]
    }
}

/// Longest probe that is looked at.
const MAX_PROBE: usize = 128;

/// A binding request that names nobody (RFC 8489's plain usage): its sender measures the way here, or asks where it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    transaction: TransactionId,
    length: usize,
}

impl Probe {
    /// Parses a datagram; `None` when it is a check, or nothing to answer. A check is told by its first attribute, so that looking
    /// costs it nothing, and no checksum is made for strangers.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if datagram.len() > MAX_PROBE || !framed(datagram) || u16_at(datagram, 0) != BINDING_REQUEST {
            return None;
        }
        let mut at = HEADER;
        while at < datagram.len() {
            let end = at + 4 + usize::from(u16_at(datagram, at + 2));
            // What must be understood (RFC 8489 14) makes it a check, or something else.
            if u16_at(datagram, at) < 0x8000 || end > datagram.len() {
                return None;
            }
            at = end.next_multiple_of(4);
        }
        Some(Self {
            transaction: datagram[8..HEADER].try_into().ok()?,
            length: datagram.len(),
        })
    }

    /// Writes the answer into `buffer` and returns its length: 32 bytes for IPv4, 44 for IPv6. Where the request is shorter and the
    /// answer may not be `longer` than it, it is the header alone, which tells the round trip but not the address.
    #[must_use]
    pub fn answer(&self, buffer: &mut [u8; MAX_RESPONSE], mapped: SocketAddr, longer: bool) -> usize {
        let message = Message::new(buffer, BINDING_SUCCESS, &self.transaction).mapped(mapped, &self.transaction);
        if message.length <= self.length || longer {
            return message.length;
        }
        Message::new(buffer, BINDING_SUCCESS, &self.transaction).length
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
    let message = Message::new(buffer, BINDING_SUCCESS, transaction);
    message.mapped(mapped, transaction).finish(Some(password))
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
    let mut message = Message::new(buffer, BINDING_ERROR, transaction);
    let (class, number, reason): (u8, u8, &[u8]) = match code {
        ErrorCode::BadRequest => (4, 0, b"Bad Request"),
        ErrorCode::Unauthorized => (4, 1, b"Unauthorized"),
        ErrorCode::UnknownAttribute => (4, 20, b"Unknown Attribute"),
        ErrorCode::RoleConflict => (4, 87, b"Role Conflict"),
    };
    let mut value = [0; 24];
    value[2] = class;
    value[3] = number;
    value[4..4 + reason.len()].copy_from_slice(reason);
    message.attribute(ERROR_CODE, &value[..4 + reason.len()]);
    if code == ErrorCode::UnknownAttribute {
        let mut list = [0; 2 * MAX_UNKNOWN];
        let count = unknown.len().min(MAX_UNKNOWN);
        for (slot, kind) in list.chunks_exact_mut(2).zip(unknown) {
            slot.copy_from_slice(&kind.to_be_bytes());
        }
        message.attribute(UNKNOWN_ATTRIBUTES, &list[..2 * count]);
    }
    message.finish(password)
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
        let mut message = Message::new(buffer, BINDING_REQUEST, &self.transaction);
        message.attribute(USERNAME, self.username);
        message.attribute(PRIORITY, &self.priority.to_be_bytes());
        if self.use_candidate {
            message.attribute(USE_CANDIDATE, &[]);
        }
        match self.role {
            Role::Controlling(tie_breaker) => message.attribute(ICE_CONTROLLING, &tie_breaker.to_be_bytes()),
            Role::Controlled(tie_breaker) => message.attribute(ICE_CONTROLLED, &tie_breaker.to_be_bytes()),
        }
        message.finish(Some(self.password))
    }
}

struct Message<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Message<'a> {
    fn new(buffer: &'a mut [u8], kind: u16, transaction: &TransactionId) -> Self {
        buffer[..2].copy_from_slice(&kind.to_be_bytes());
        buffer[4..8].copy_from_slice(&MAGIC_COOKIE);
        buffer[2..4].fill(0);
        buffer[8..HEADER].copy_from_slice(transaction);
        Self { buffer, length: HEADER }
    }

    /// With XOR-MAPPED-ADDRESS.
    fn mapped(mut self, mapped: SocketAddr, transaction: &TransactionId) -> Self {
        let port = mapped.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
        let [port_high, port_low] = port.to_be_bytes();
        let mut value = [
            0, 1, port_high, port_low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let mask = MAGIC_COOKIE.iter().chain(transaction);
        let xor = |address: &mut [u8]| address.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        // A dual-stack socket shows IPv4 callers as ::ffff:a.b.c.d; they want to see a.b.c.d.
        match mapped.ip().to_canonical() {
            IpAddr::V4(ip) => {
                value[4..8].copy_from_slice(&ip.octets());
                xor(&mut value[4..8]);
                self.attribute(XOR_MAPPED_ADDRESS, &value[..8]);
            }
            IpAddr::V6(ip) => {
                value[1] = 2;
                value[4..20].copy_from_slice(&ip.octets());
                xor(&mut value[4..20]);
                self.attribute(XOR_MAPPED_ADDRESS, &value);
            }
        }
        self
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let padded = value.len().next_multiple_of(4);
        let slot = &mut self.buffer[self.length..self.length + 4 + padded];
        slot[..2].copy_from_slice(&kind.to_be_bytes());
        slot[2..4].copy_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        slot[4..4 + value.len()].copy_from_slice(value);
        slot[4 + value.len()..].fill(0);
        self.length += slot.len();
        let body = u16::try_from(self.length - HEADER).unwrap_or(u16::MAX);
        self.buffer[2..4].copy_from_slice(&body.to_be_bytes());
    }

    fn finish(mut self, password: Option<&[u8]>) -> usize {
        if let Some(password) = password {
            let tag = integrity(&self.buffer[..self.length], self.length, password);
            self.attribute(MESSAGE_INTEGRITY, tag.as_ref());
        }
        let at = self.length;
        self.attribute(FINGERPRINT, &[0; 4]);
        let checksum = crc32(&self.buffer[..at]) ^ FINGERPRINT_XOR;
        self.buffer[at + 4..at + 8].copy_from_slice(&checksum.to_be_bytes());
        self.length
    }
}

/// HMAC-SHA1 over what stands before `at`, with a header whose length ends behind MESSAGE-INTEGRITY (RFC 8489 14.5).
fn integrity(message: &[u8], at: usize, password: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
    let length = u16::try_from(at - HEADER + 4 + INTEGRITY_LEN).unwrap_or(u16::MAX);
    let mut context = hmac::Context::with_key(&key);
    context.update(&message[..2]);
    context.update(&length.to_be_bytes());
    context.update(&message[4..at]);
    context.sign()
}

fn check_fingerprint(datagram: &[u8], at: usize, value: &[u8]) -> Result<(), StunError> {
    let claimed = u32::from_be_bytes(exact(value)?);
    if at + 8 != datagram.len() {
        return Err(StunError::Malformed);
    }
    if crc32(&datagram[..at]) ^ FINGERPRINT_XOR == claimed {
        Ok(())
    } else {
        Err(StunError::Fingerprint)
    }
}

fn exact<const N: usize>(value: &[u8]) -> Result<[u8; N], StunError> {
    value.try_into().map_err(|_| StunError::Malformed)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// CRC-32 as in V.42, which FINGERPRINT is made of.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
