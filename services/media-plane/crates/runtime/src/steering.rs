//! Who owns a datagram from an address that is not known yet: only a STUN request says so, by its sealed ufrag.

use antiphon_engine::EngineConfig;
use antiphon_engine::stun::BindingRequest;

use crate::slot::Slot;

/// Where a STUN request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steer {
    /// Its ufrag is ours and its MESSAGE-INTEGRITY right.
    Owner(Slot),
    /// No request, no ufrag, or one that this cluster did not seal.
    BadUfrag,
    /// Sealed for another edge.
    OtherEdge,
    /// The ufrag is ours, the password wrong.
    BadIntegrity,
}

/// Reads the owner out of a request and proves that its sender knows the password.
pub(crate) fn steer(config: &EngineConfig, datagram: &[u8]) -> Steer {
    let Ok(request) = BindingRequest::parse(datagram) else {
        return Steer::BadUfrag;
    };
    let Some(text) = request.local_ufrag() else {
        return Steer::BadUfrag;
    };
    let Ok(ufrag) = config.sealer.open(text) else {
        return Steer::BadUfrag;
    };
    if ufrag.edge != config.edge {
        return Steer::OtherEdge;
    }
    if !request.verify(config.sealer.password(text).as_bytes()) {
        return Steer::BadIntegrity;
    }
    Steer::Owner(Slot(ufrag.slot))
}

/// Whether a datagram from a known address names another session than the one known: its address was taken over.
pub(crate) fn names_another(config: &EngineConfig, datagram: &[u8], known: Slot) -> bool {
    BindingRequest::parse(datagram)
        .ok()
        .and_then(|request| request.local_ufrag())
        .and_then(|text| config.sealer.open(text).ok())
        .is_some_and(|ufrag| ufrag.edge == config.edge && ufrag.slot != known.0)
}
