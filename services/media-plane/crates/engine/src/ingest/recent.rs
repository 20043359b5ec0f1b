//! Where the last packets stand, by which a redundant block (RFC 2198) is placed: it tells its time, not its sequence number.

/// Blocks reach back 341 ms at most, and 32 of them.
const KEPT: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    sequence: u64,
    timestamp: u64,
    duration: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent([Known; KEPT]);

impl Recent {
    pub(super) fn note(&mut self, sequence: u64, timestamp: u64, duration: u32) {
        let known = &mut self.0[(sequence % KEPT as u64) as usize];
        if sequence >= known.sequence {
            *known = Known {
                sequence,
                timestamp,
                duration,
            };
        }
    }

    /// Which packet before `newest` plays at `timestamp` for `duration`; `distance` is how many packets before it a block at
    /// its place usually stands. `None` when it is one of those that are known, or fits nowhere.
    pub(super) fn sequence_of(&self, newest: u64, timestamp: u64, duration: u32, distance: u64) -> Option<u64> {
        let (mut before, mut behind) = (None::<Known>, None::<Known>);
        for known in self
            .0
            .iter()
            .filter(|known| known.duration > 0 && known.sequence <= newest)
        {
            if known.timestamp == timestamp && known.sequence < newest {
                return None;
            }
            if known.timestamp < timestamp && before.is_none_or(|best| best.sequence < known.sequence) {
                before = Some(*known);
            }
            if known.timestamp > timestamp && behind.is_none_or(|best| known.sequence < best.sequence) {
                behind = Some(*known);
            }
        }
        let steps = |ticks: u64, each: u32| {
            ticks
                .is_multiple_of(u64::from(each.max(1)))
                .then(|| ticks / u64::from(each.max(1)))
        };
        let from_behind = behind.and_then(|known| {
            let steps = steps(known.timestamp - timestamp, duration)?;
            known.sequence.checked_sub(steps)
        });
        let from_before =
            before.and_then(|known| Some(known.sequence + steps(timestamp - known.timestamp, known.duration)?));
        let fits = |sequence: &u64| {
            before.is_none_or(|known| known.sequence < *sequence)
                && behind.is_none_or(|known| *sequence < known.sequence)
        };
        // Where a silence lies between, both ways may miss: then it is where a block at its place usually is.
        let usual = newest.checked_sub(distance);
        [from_behind, from_before, usual].into_iter().flatten().find(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    /// Packets 100, 101, … of 20 ms, less those that are missing.
    fn but(missing: &[u64], newest: u64) -> Recent {
        let mut recent = Recent::default();
        for sequence in (100..=newest).filter(|sequence| !missing.contains(sequence)) {
            recent.note(sequence, sequence * 960, 960);
        }
        recent
    }

    #[test]
    fn a_block_of_any_distance_finds_its_packet() {
        for distance in 1..=9 {
            let recent = but(&[110 - distance], 110);
            // Whatever place the block has in its packet: redundancy may leave some out.
            for place in 1..=3 {
                assert_eq!(
                    recent.sequence_of(110, (110 - distance) * 960, 960, place),
                    Some(110 - distance)
                );
            }
        }
    }

    #[test]
    fn a_block_of_a_packet_that_came_is_known() {
        assert_eq!(but(&[109], 110).sequence_of(110, 108 * 960, 960, 2), None);
    }

    #[test]
    fn a_block_before_a_silence_finds_its_packet() {
        let mut recent = but(&[109], 108);
        recent.note(110, 110 * 960 + 9_600, 960);
        assert_eq!(recent.sequence_of(110, 109 * 960, 960, 1), Some(109));
    }

    #[test]
    fn a_block_that_fits_between_no_two_packets_is_none() {
        assert_eq!(but(&[], 110).sequence_of(110, 109 * 960 + 480, 960, 1), None);
    }
}
