//! Joins the fragments of handshake messages in the clear (RFC 6347 4.2.3, RFC 9147 5.5), however each transmission cuts
//! and packs them, and hands on whole messages, in order, one a datagram. What the messages say is the DTLS library's.
//!
//! dimpl 0.9 keeps datagrams by the first fragment in them, so that it joins a message only if a retransmission cuts and packs
//! it as the first transmission did. The transcript sees no difference: both ends hash messages as if they were never cut.
//! Only what came from a verified address gets here, and what is held is bounded. A message that comes whole needs nothing of
//! what is held, so that forged fragments cannot keep the caller's own from being taken when it sends it again.

/// DTLS record and handshake headers.
const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
/// A record's header without its length.
const RECORD_START: usize = 11;
const HANDSHAKE: u8 = 22;
/// High octet of DTLS 1.0 and 1.2 in records; those of 1.3 say 1.2.
const VERSION: u8 = 0xfe;
/// Room for a chain of certificates with keys of 4,096 bits.
const MAX_MESSAGE: usize = 8_192;
/// Bodies held for one session, in bytes.
const MAX_HELD: usize = 16_384;
/// Messages that may be begun before the one that is next is there: more than any flight has.
const MAX_AHEAD: u16 = 8;

/// What a datagram came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Datagrams for the library, in order: whole messages, then whatever is no handshake in the clear.
    pub datagrams: Vec<Vec<u8>>,
    /// Fragments that are malformed, too far ahead or too large, and what else came before the first message.
    pub refused: u32,
}

/// The messages of one handshake that are not whole yet, or whole before their turn.
#[derive(Debug, Default)]
pub struct Fragments {
    next: u16,
    held: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    record: [u8; RECORD_START],
    kind: u8,
    number: u16,
    body: Vec<u8>,
    came: Vec<bool>,
    missing: usize,
}

struct Fragment<'a> {
    record: [u8; RECORD_START],
    kind: u8,
    whole: usize,
    number: u16,
    offset: usize,
    part: &'a [u8],
}

impl Fragments {
    /// Takes a datagram of the caller.
    pub fn join(&mut self, mut datagram: &[u8]) -> Joined {
        let mut joined = Joined::default();
        let mut others = Vec::new();
        while let Some((record, body, rest)) = first_record(datagram) {
            match record {
                Record::Handshake(start) => self.take_all(start, body, &mut joined),
                Record::Other => others.extend_from_slice(&datagram[..datagram.len() - rest.len()]),
            }
            datagram = rest;
        }
        others.extend_from_slice(datagram);
        if others.is_empty() {
            return joined;
        }
        // Keys and alerts before the first message: as a client, the library would give up.
        match self.next {
            0 => joined.refused += 1,
            _ => joined.datagrams.push(others),
        }
        joined
    }

    /// Bytes of bodies that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.iter().map(|message| message.body.len()).sum()
    }

    /// Takes all that is in a record.
    fn take_all(&mut self, record: [u8; RECORD_START], mut body: &[u8], joined: &mut Joined) {
        while !body.is_empty() {
            let Some((fragment, behind)) = Fragment::read(record, body) else {
                joined.refused += 1;
                return;
            };
            self.take(&fragment, joined);
            body = behind;
        }
    }

    fn take(&mut self, fragment: &Fragment<'_>, joined: &mut Joined) {
        let Some(ahead) = fragment.number.checked_sub(self.next) else {
            // The first fragment of what was taken tells the library that its answer was lost.
            if fragment.offset == 0 {
                joined.datagrams.push(fragment.datagram());
            }
            return;
        };
        if ahead >= MAX_AHEAD || fragment.whole > MAX_MESSAGE || !self.place(fragment) {
            joined.refused += 1;
            return;
        }
        while let Some(at) = self
            .held
            .iter()
            .position(|held| held.number == self.next && held.missing == 0)
        {
            joined.datagrams.push(self.held.swap_remove(at).datagram());
            self.next = self.next.saturating_add(1);
        }
    }

    /// Keeps a fragment; says whether there was room.
    fn place(&mut self, fragment: &Fragment<'_>) -> bool {
        let same =
            |held: &Message| !fragment.is_whole() && held.kind == fragment.kind && held.body.len() == fragment.whole;
        self.held.retain(|held| held.number != fragment.number || same(held));
        if let Some(held) = self.held.iter_mut().find(|held| held.number == fragment.number) {
            held.fill(fragment);
            return true;
        }
        if fragment.number == self.next && self.held() + fragment.whole > MAX_HELD {
            // What is next is never kept out by what comes behind it.
            self.held.clear();
        }
        if self.held() + fragment.whole > MAX_HELD {
            return false;
        }
        let mut message = Message::new(fragment);
        message.fill(fragment);
        self.held.push(message);
        true
    }
}

impl Message {
    fn new(fragment: &Fragment<'_>) -> Self {
        Self {
            record: fragment.record,
            kind: fragment.kind,
            number: fragment.number,
            body: vec![0; fragment.whole],
            came: vec![false; fragment.whole],
            missing: fragment.whole,
        }
    }

    fn fill(&mut self, fragment: &Fragment<'_>) {
        let range = fragment.offset..fragment.offset + fragment.part.len();
        self.body[range.clone()].copy_from_slice(fragment.part);
        for came in &mut self.came[range] {
            self.missing -= usize::from(!*came);
            *came = true;
        }
        self.record = fragment.record;
    }

    fn datagram(&self) -> Vec<u8> {
        let whole = Fragment {
            record: self.record,
            kind: self.kind,
            whole: self.body.len(),
            number: self.number,
            offset: 0,
            part: &self.body,
        };
        whole.datagram()
    }
}

impl<'a> Fragment<'a> {
    fn read(record: [u8; RECORD_START], bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<HANDSHAKE_HEADER>()?;
        let [kind, w2, w1, w0, n1, n0, o2, o1, o0, l2, l1, l0] = *header;
        let number = |high, middle, low| u32::from_be_bytes([0, high, middle, low]) as usize;
        let (whole, offset) = (number(w2, w1, w0), number(o2, o1, o0));
        let (part, behind) = rest.split_at_checked(number(l2, l1, l0))?;
        let fragment = Self {
            record,
            kind,
            whole,
            number: u16::from_be_bytes([n1, n0]),
            offset,
            part,
        };
        let fits = offset + part.len() <= whole && (fragment.is_whole() || !part.is_empty());
        fits.then_some((fragment, behind))
    }

    fn is_whole(&self) -> bool {
        self.part.len() == self.whole
    }

    /// This fragment alone, in a record of its own.
    fn datagram(&self) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(RECORD_HEADER + HANDSHAKE_HEADER + self.part.len());
        let number = |datagram: &mut Vec<u8>, number: usize, octets: usize| {
            let octets = size_of::<usize>() - octets;
            datagram.extend_from_slice(&number.to_be_bytes()[octets..]);
        };
        datagram.extend_from_slice(&self.record);
        number(&mut datagram, HANDSHAKE_HEADER + self.part.len(), 2);
        datagram.push(self.kind);
        number(&mut datagram, self.whole, 3);
        datagram.extend_from_slice(&self.number.to_be_bytes());
        number(&mut datagram, self.offset, 3);
        number(&mut datagram, self.part.len(), 3);
        datagram.extend_from_slice(self.part);
        datagram
    }
}

enum Record {
    /// In the clear, with the start of its header.
    Handshake([u8; RECORD_START]),
    Other,
}

/// The first record, its body, and what follows; none where the header is not DTLS 1.2's (1.3 has another once there are keys).
fn first_record(datagram: &[u8]) -> Option<(Record, &[u8], &[u8])> {
    let (header, rest) = datagram.split_first_chunk::<RECORD_HEADER>()?;
    let [kind, major, _, epoch1, epoch0, .., length1, length0] = *header;
    let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([length1, length0])))?;
    if major != VERSION {
        return None;
    }
    let record = match (kind, epoch1, epoch0) {
        (HANDSHAKE, 0, 0) => Record::Handshake(*header.first_chunk()?),
        _ => Record::Other,
    };
    Some((record, body, rest))
}

#[cfg(test)]
mod tests;
