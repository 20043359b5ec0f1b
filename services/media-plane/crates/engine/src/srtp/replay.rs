//! The replay window (RFC 3711 3.3.2): a ring of bits behind the highest index that was authenticated.

/// Remembers the last `64 * (WORDS - 1)` indices; one word is the margin that lets it move by whole words.
#[derive(Clone, Debug)]
pub(crate) struct Window<const WORDS: usize> {
    highest: Option<u64>,
    bits: [u64; WORDS],
}

/// Why an index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Replayed,
    TooOld,
}

impl<const WORDS: usize> Window<WORDS> {
    pub(crate) const SIZE: u64 = 64 * (WORDS as u64 - 1);

    pub(crate) const fn new() -> Self {
        Self {
            highest: None,
            bits: [0; WORDS],
        }
    }

    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Reads ahead for the next index: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        self.highest
            .map_or(0, |highest| highest ^ self.bits[Self::place(highest + 1).0])
    }

    /// Whether `index` may be accepted; changes nothing.
    pub(crate) fn check(&self, index: u64) -> Result<(), Refusal> {
        match self.highest {
            Some(highest) if index <= highest => {
                if highest - index >= Self::SIZE {
                    return Err(Refusal::TooOld);
                }
                let (word, bit) = Self::place(index);
                if self.bits[word] & bit == 0 {
                    Ok(())
                } else {
                    Err(Refusal::Replayed)
                }
            }
            _ => Ok(()),
        }
    }

    /// Marks an index that was checked and authenticated.
    pub(crate) fn accept(&mut self, index: u64) {
        let highest = self.highest.unwrap_or(index);
        if index > highest {
            let (old, new) = (highest / 64, index / 64);
            if new > old {
                for block in (old + 1..=new).take(WORDS) {
                    self.bits[(block % WORDS as u64) as usize] = 0;
                }
            }
        }
        self.highest = Some(highest.max(index));
        let (word, bit) = Self::place(index);
        self.bits[word] |= bit;
    }

    fn place(index: u64) -> (usize, u64) {
        ((index / 64 % WORDS as u64) as usize, 1 << (index % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_index_is_accepted_once() {
        let mut window = Window::<17>::new();
        window.accept(5_000);
        assert_eq!(window.check(5_000), Err(Refusal::Replayed));
        assert_eq!(window.check(4_999), Ok(()));
        window.accept(4_999);
        assert_eq!(window.check(4_999), Err(Refusal::Replayed));
    }

    #[test]
    fn it_spans_1024_packets() {
        let mut window = Window::<17>::new();
        window.accept(5_000);
        assert_eq!(window.check(5_000 - 1_023), Ok(()));
        assert_eq!(window.check(5_000 - 1_024), Err(Refusal::TooOld));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(steps in prop::collection::vec((0u64..300, any::<bool>()), 1..400)) {
            let mut window = Window::<3>::new();
            let mut seen = BTreeSet::new();
            let mut highest = 1_000u64;
            for (distance, forward) in steps {
                let index = if forward { highest + distance } else { highest.saturating_sub(distance) };
                let expected = match seen.last() {
                    Some(&last) if last >= index + Window::<3>::SIZE => Err(Refusal::TooOld),
                    _ if seen.contains(&index) => Err(Refusal::Replayed),
                    _ => Ok(()),
                };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() {
                    window.accept(index);
                    seen.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
