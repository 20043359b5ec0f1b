//! Who owns a datagram from an address that is not known yet: only a STUN request says so, by its sealed ufrag.

use antiphon_engine::EngineConfig;
use antiphon_engine::stun::BindingRequest;
use antiphon_engine::ufrag::Ufrag;

use crate::slot::Slot;

/// The edge's number in sealed ufrags: FNV-1a of its id.
pub(crate) fn number_of(edge: &str) -> u32 {
    edge.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Whose a caller's packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A session of this edge.
    Here(Slot),
    /// A session of the edge with this number.
    Elsewhere(u32, Slot),
}

/// Where a STUN request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steer {
    /// Its ufrag is the cluster's and its MESSAGE-INTEGRITY right.
    Owner(Owner),
    /// No request, no ufrag, or one that this cluster did not seal.
    BadUfrag,
    /// Sealed for a session that is over here, or for an owner of before.
    Stale,
    /// Sealed for an edge that is no member.
    UnknownEdge,
    /// The ufrag is the cluster's, the password wrong.
    BadIntegrity,
}

/// What is known of owners without asking them.
pub(crate) trait Whereabouts {
    /// Whether a session of this edge lives in this slot at this epoch.
    fn lives(&self, slot: Slot, epoch: u64) -> bool;
    /// Whether packets can be handed to the edge with this number.
    fn is_member(&self, edge: u32) -> bool;
}

/// Reads the owner out of a request and proves that its sender knows the password. What is cheap comes first: a forged
/// ufrag costs one short HMAC, a stale one nothing more, and only then the message is verified.
pub(crate) fn steer(config: &EngineConfig, datagram: &[u8], known: &impl Whereabouts) -> Steer {
    let Ok(request) = BindingRequest::parse(datagram) else {
        return Steer::BadUfrag;
    };
    let Some(text) = request.local_ufrag() else {
        return Steer::BadUfrag;
    };
    let Ok(ufrag) = config.sealer.open(text) else {
        return Steer::BadUfrag;
    };
    let owner = owner(config, &ufrag);
    match owner {
        Owner::Here(slot) if !known.lives(slot, ufrag.epoch) => return Steer::Stale,
        Owner::Elsewhere(edge, _) if !known.is_member(edge) => return Steer::UnknownEdge,
        _ => {}
    }
    if request.verify(config.sealer.password(text).as_bytes()) {
        Steer::Owner(owner)
    } else {
        Steer::BadIntegrity
    }
}

fn owner(config: &EngineConfig, ufrag: &Ufrag) -> Owner {
    if ufrag.edge == config.edge {
        Owner::Here(Slot(ufrag.slot))
    } else {
        Owner::Elsewhere(ufrag.edge, Slot(ufrag.slot))
    }
}

/// Whether a datagram from a known address names another session than the one known: its address was taken over.
pub(crate) fn names_another(config: &EngineConfig, datagram: &[u8], known: Owner) -> bool {
    BindingRequest::parse(datagram)
        .ok()
        .and_then(|request| request.local_ufrag())
        .and_then(|text| config.sealer.open(text).ok())
        .is_some_and(|ufrag| owner(config, &ufrag) != known)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use antiphon_engine::stun::{Check, Role};

    use super::*;

    const HERE: u32 = 1;
    const NEIGHBOUR: u32 = 2;

    /// One session here at epoch 5, one other edge.
    struct Known;

    impl Whereabouts for Known {
        fn lives(&self, slot: Slot, epoch: u64) -> bool {
            slot == Slot(7) && epoch == 5
        }

        fn is_member(&self, edge: u32) -> bool {
            edge == NEIGHBOUR
        }
    }

    fn config() -> EngineConfig {
        let advertise = [SocketAddr::from(([127, 0, 0, 1], 4000))];
        EngineConfig::new(&[7; 16], HERE, advertise, std::time::Instant::now()).expect("a configuration")
    }

    fn check(config: &EngineConfig, edge: u32, slot: u32, epoch: u64, password: Option<&[u8]>) -> Vec<u8> {
        let ufrag = config.sealer.seal(&Ufrag {
            edge,
            slot,
            restart: 0,
            epoch,
        });
        let right = config.sealer.password(ufrag.as_bytes());
        let username = format!("{}:them", ufrag.as_str());
        let check = Check {
            transaction: [1; 12],
            username: username.as_bytes(),
            password: password.unwrap_or(right.as_bytes()),
            priority: 1,
            use_candidate: true,
            role: Role::Controlling(1),
        };
        let mut buffer = [0; 256];
        let length = check.write(&mut buffer);
        buffer[..length].to_vec()
    }

    #[test]
    fn a_ufrag_says_who_owns_its_sender() {
        let config = config();
        let steered =
            |edge, slot, epoch, password| steer(&config, &check(&config, edge, slot, epoch, password), &Known);
        assert_eq!(steered(HERE, 7, 5, None), Steer::Owner(Owner::Here(Slot(7))));
        assert_eq!(
            steered(NEIGHBOUR, 9, 1, None),
            Steer::Owner(Owner::Elsewhere(NEIGHBOUR, Slot(9)))
        );
        assert_eq!(steered(HERE, 7, 4, None), Steer::Stale, "an owner of before");
        assert_eq!(steered(HERE, 8, 5, None), Steer::Stale, "nobody lives there");
        assert_eq!(steered(3, 7, 5, None), Steer::UnknownEdge);
        assert_eq!(steered(HERE, 7, 5, Some(b"guessed")), Steer::BadIntegrity);
        assert_eq!(steered(NEIGHBOUR, 7, 5, Some(b"guessed")), Steer::BadIntegrity);
    }

    #[test]
    fn a_ufrag_of_another_cluster_is_refused() {
        let advertise = [SocketAddr::from(([127, 0, 0, 1], 4000))];
        let other = EngineConfig::new(&[8; 16], HERE, advertise, std::time::Instant::now()).expect("a configuration");
        assert_eq!(
            steer(&config(), &check(&other, HERE, 7, 5, None), &Known),
            Steer::BadUfrag
        );
    }

    #[test]
    fn a_known_address_is_taken_over_by_another_session_only() {
        let config = config();
        let datagram = check(&config, HERE, 7, 5, None);
        assert!(!names_another(&config, &datagram, Owner::Here(Slot(7))));
        assert!(names_another(&config, &datagram, Owner::Here(Slot(8))));
        assert!(names_another(&config, &datagram, Owner::Elsewhere(NEIGHBOUR, Slot(7))));
        assert!(
            !names_another(&config, &[0; 20], Owner::Here(Slot(8))),
            "junk changes nothing"
        );
    }
}
