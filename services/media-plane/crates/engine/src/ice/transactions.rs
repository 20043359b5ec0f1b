//! Which checks were answered lately. A check says nothing of where it was sent from, so that whoever sees one can send it
//! again from anywhere: it is taken from the first address only.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use crate::remote::Remote;
use crate::stun::TransactionId;

/// Over a minute of a browser's checks.
const REMEMBERED: usize = 32;

/// The last transactions and where each came from first.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Half of the transaction's random bits, and a hash of the address.
    seen: [(u64, u32); REMEMBERED],
    next: usize,
}

impl Transactions {
    /// Takes note of an authentic check. Returns false when it was seen before from elsewhere.
    pub(super) fn accept(&mut self, transaction: &TransactionId, from: Remote) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *transaction;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let source = hash(from);
        if let Some((_, first)) = self.seen.iter().find(|(known, _)| *known == number) {
            return *first == source;
        }
        self.seen[self.next] = (number, source);
        self.next = (self.next + 1) % REMEMBERED;
        true
    }
}

/// Never zero, which stands for none.
fn hash(from: Remote) -> u32 {
    let mut hasher = FxHasher::default();
    from.hash(&mut hasher);
    (hasher.finish() >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn from(port: u16) -> Remote {
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    #[test]
    fn a_check_may_come_again_from_where_it_came_but_from_nowhere_else() {
        let mut transactions = Transactions::default();
        assert!(transactions.accept(&[1; 12], from(1)));
        assert!(transactions.accept(&[1; 12], from(1)), "a retransmission");
        assert!(!transactions.accept(&[1; 12], from(2)), "a replay");
        assert!(transactions.accept(&[2; 12], from(2)));
        for number in 3..=u8::try_from(REMEMBERED).expect("few") {
            assert!(transactions.accept(&[number; 12], from(1)));
        }
        assert!(!transactions.accept(&[1; 12], from(2)), "the last ones are remembered");
    }
}
