//! Cuts a caller's handshake messages as OpenSSL does: each transmission anew, into fragments of another size, packed otherwise.

use antiphon_netsim::Random;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;

/// Sizes and numbers of the records that a caller makes.
pub struct Recut {
    random: Random,
    record: u32,
}

impl Recut {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            record: 0,
        }
    }

    /// The datagrams in place of one: its handshakes in the clear in pieces, then the rest.
    pub fn cut(&mut self, mut datagram: &[u8]) -> Vec<Vec<u8>> {
        let size = 60 + self.random.below(400) as usize;
        let mut pieces = Vec::new();
        while let Some((header, rest)) = datagram.split_first_chunk::<RECORD_HEADER>() {
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            if header[..2] != [22, 254] || header[3..5] != [0, 0] || rest.len() < length {
                break;
            }
            let (mut body, behind) = rest.split_at(length);
            while !body.is_empty() {
                let (head, parts) = body.split_at(HANDSHAKE_HEADER);
                let length = u32::from_be_bytes([0, head[9], head[10], head[11]]) as usize;
                let offset = u32::from_be_bytes([0, head[6], head[7], head[8]]) as usize;
                let (part, next) = parts.split_at(length);
                for start in (0..length.max(1)).step_by(size) {
                    let piece = &part[start..length.min(start + size)];
                    pieces.push(self.piece(&header[..3], head, offset + start, piece));
                }
                body = next;
            }
            datagram = behind;
        }
        let mut packed = self.pack(pieces);
        if !datagram.is_empty() {
            packed.push(datagram.to_vec());
        }
        packed
    }

    fn piece(&mut self, start: &[u8], head: &[u8], offset: usize, part: &[u8]) -> Vec<u8> {
        self.record += 1;
        let three = |number: usize| u32::try_from(number).expect("short").to_be_bytes()[1..].to_vec();
        let length = u16::try_from(HANDSHAKE_HEADER + part.len()).expect("short");
        [
            start,
            &[0, 0, 0, 0],
            &self.record.to_be_bytes(),
            &length.to_be_bytes(),
            &head[..6],
            &three(offset),
            &three(part.len()),
            part,
        ]
        .concat()
    }

    /// One or two records a datagram.
    fn pack(&mut self, pieces: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut packed: Vec<Vec<u8>> = Vec::new();
        for piece in pieces {
            match packed.last_mut().filter(|_| self.random.chance(0.5)) {
                Some(last) if last.len() + piece.len() < 1_200 => last.extend(piece),
                _ => packed.push(piece),
            }
        }
        packed
    }
}
