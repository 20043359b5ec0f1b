//! Addresses: a NAT between the caller and the world, and what it does when its mapping changes or the caller roams.

use std::net::SocketAddr;

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it, as the receiver sees it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it carries.
    pub bytes: Vec<u8>,
}

/// Maps one inner address to one outer address.
#[derive(Clone, Copy, Debug)]
pub struct Nat {
    inside: SocketAddr,
    outside: SocketAddr,
}

impl Nat {
    /// Maps `inside` to `outside`.
    #[must_use]
    pub const fn new(inside: SocketAddr, outside: SocketAddr) -> Self {
        Self { inside, outside }
    }

    /// The mapping changes: what goes to the old outer address is lost.
    pub fn rebind(&mut self, outside: SocketAddr) {
        self.outside = outside;
    }

    /// A datagram leaves.
    #[must_use]
    pub fn outward(&self, mut datagram: Datagram) -> Datagram {
        datagram.from = self.outside;
        datagram
    }

    /// A datagram arrives; `None` when no mapping wants it.
    #[must_use]
    pub fn inward(&self, mut datagram: Datagram) -> Option<Datagram> {
        if datagram.to != self.outside {
            return None;
        }
        datagram.to = self.inside;
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::{Datagram, Nat};

    #[test]
    fn a_rebound_nat_knows_the_old_address_no_more() {
        let [inside, old, new, edge] = ["10.0.0.2:1", "192.0.2.1:1", "192.0.2.1:2", "198.51.100.1:4000"]
            .map(|text| text.parse().expect("an address"));
        let mut nat = Nat::new(inside, old);
        let back = Datagram {
            from: edge,
            to: old,
            bytes: vec![1],
        };
        assert_eq!(nat.inward(back.clone()).expect("it is mapped").to, inside);
        nat.rebind(new);
        assert_eq!(nat.inward(back), None);
        assert_eq!(
            nat.outward(Datagram {
                from: inside,
                to: edge,
                bytes: vec![]
            })
            .from,
            new
        );
    }
}
