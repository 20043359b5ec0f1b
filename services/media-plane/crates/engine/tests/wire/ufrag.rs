//! Sealed ufrags.

use antiphon_engine::ufrag::{PASSWORD_LEN, Sealer, UFRAG_LEN, Ufrag, UfragError};
use proptest::prelude::*;

const UFRAG: Ufrag = Ufrag {
    edge: 0xdead_beef,
    slot: 0x0300_002a,
    restart: 2,
    epoch: 1_795_000_000_123,
};

#[test]
fn what_is_sealed_opens() {
    let sealer = Sealer::new(b"secret of a cluster");
    let text = sealer.seal(&UFRAG);
    assert_eq!(text.as_str().len(), UFRAG_LEN);
    assert_eq!(sealer.open(text.as_bytes()), Ok(UFRAG));
}

#[test]
fn another_cluster_cannot_open_it() {
    let text = Sealer::new(b"secret of a cluster").seal(&UFRAG);
    assert_eq!(
        Sealer::new(b"another secret").open(text.as_bytes()),
        Err(UfragError::Forged)
    );
}

#[test]
fn a_changed_character_is_noticed() {
    let sealer = Sealer::new(b"secret");
    let text = *sealer.seal(&UFRAG).as_bytes();
    for at in 0..UFRAG_LEN {
        let mut changed = text;
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(sealer.open(&changed).is_err(), "character {at}");
    }
}

#[test]
fn the_password_belongs_to_one_ufrag_and_one_secret() {
    let sealer = Sealer::new(b"secret");
    let text = sealer.seal(&UFRAG);
    let restarted = sealer.seal(&Ufrag { restart: 3, ..UFRAG });
    let password = sealer.password(text.as_bytes());
    assert_eq!(password.as_str().len(), PASSWORD_LEN);
    assert_eq!(sealer.password(text.as_bytes()).as_str(), password.as_str());
    assert_ne!(sealer.password(restarted.as_bytes()).as_str(), password.as_str());
    assert_ne!(
        Sealer::new(b"other").password(text.as_bytes()).as_str(),
        password.as_str()
    );
}

#[test]
fn debug_output_shows_no_password() {
    let password = Sealer::new(b"secret").password(b"ufrag");
    assert!(!format!("{password:?}").contains(password.as_str()));
}

proptest! {
    #[test]
    fn any_ufrag_survives_sealing(edge: u32, slot: u32, restart: u8, epoch in 0u64..1 << 48) {
        let sealer = Sealer::new(b"secret");
        let ufrag = Ufrag { edge, slot, restart, epoch };
        let text = sealer.seal(&ufrag);
        prop_assert!(text.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte)));
        prop_assert_eq!(sealer.open(text.as_bytes()), Ok(ufrag));
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[A-Za-z0-9+/]{32}") {
        let sealer = Sealer::new(b"secret");
        prop_assert!(sealer.open(&bytes).is_err());
        prop_assert!(sealer.open(text.as_bytes()).is_err());
    }
}
