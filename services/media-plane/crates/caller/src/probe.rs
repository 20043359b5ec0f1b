//! The payload of a probe: an Opus packet to all who look at its first byte, and a numbered, dated, checkable
//! message to the caller that gets it back.

/// Opus TOC of a 20 ms hybrid full-band mono packet with one frame (RFC 6716, section 3.1).
const TOC: u8 = 15 << 3;
const MAGIC: [u8; 3] = *b"ap1";
const HEAD: usize = 24;

/// Smallest payload that carries a probe.
pub const SMALLEST: usize = HEAD;

/// What a probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The call that sent it.
    pub call: u32,
    /// Its number in that call, from 0.
    pub number: u64,
    /// When it was sent, in ns of the sender's monotonic clock.
    pub sent_ns: u64,
}

/// Why a payload is no probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a probe, or changed on its way")]
pub struct Corrupt;

impl Probe {
    /// Fills `payload` with this probe.
    ///
    /// # Panics
    /// If `payload` is shorter than [`SMALLEST`].
    pub fn write(&self, payload: &mut [u8]) {
        payload[0] = TOC;
        payload[1..4].copy_from_slice(&MAGIC);
        payload[4..8].copy_from_slice(&self.call.to_be_bytes());
        payload[8..16].copy_from_slice(&self.number.to_be_bytes());
        payload[16..HEAD].copy_from_slice(&self.sent_ns.to_be_bytes());
        let mut filler = Filler::of(self);
        payload[HEAD..].fill_with(|| filler.next());
    }

    /// Reads a probe and checks every byte of it.
    ///
    /// # Errors
    /// [`Corrupt`] if any byte is not what [`Probe::write`] wrote.
    pub fn read(payload: &[u8]) -> Result<Self, Corrupt> {
        let (head, rest) = payload.split_first_chunk::<HEAD>().ok_or(Corrupt)?;
        if head[0] != TOC || head[1..4] != MAGIC {
            return Err(Corrupt);
        }
        let number = |at: usize| {
            head[at..at + 8]
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        let probe = Self {
            call: (number(4) >> 32) as u32,
            number: number(8),
            sent_ns: number(16),
        };
        let mut filler = Filler::of(&probe);
        if rest.iter().all(|byte| *byte == filler.next()) {
            Ok(probe)
        } else {
            Err(Corrupt)
        }
    }
}

/// Bytes that differ from packet to packet, so that a mixed-up payload shows (xorshift64).
struct Filler(u64);

impl Filler {
    fn of(probe: &Probe) -> Self {
        let seed = probe.sent_ns ^ probe.number.rotate_left(32) ^ u64::from(probe.call) << 17;
        Self(if seed == 0 { u64::MAX } else { seed })
    }

    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let probe = Probe {
            call: 7,
            number: 1 << 40,
            sent_ns: 123_456_789,
        };
        let mut payload = [0; 160];
        probe.write(&mut payload);
        assert_eq!(Probe::read(&payload), Ok(probe));
    }

    #[test]
    fn one_changed_bit_shows_wherever_it_is() {
        let mut payload = [0; 160];
        Probe {
            call: 7,
            number: 42,
            sent_ns: 99,
        }
        .write(&mut payload);
        for bit in 0..payload.len() * 8 {
            let mut changed = payload;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Probe::read(&changed), Err(Corrupt), "bit {bit}");
        }
    }

    #[test]
    fn a_short_payload_is_no_probe() {
        assert_eq!(Probe::read(&[TOC; SMALLEST - 1]), Err(Corrupt));
    }
}
