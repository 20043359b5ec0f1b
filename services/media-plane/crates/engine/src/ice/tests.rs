//! Nomination, conflicts and bounds, check by check.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Agent, CONSENT, Checked, Local, MAX_PATHS};
use crate::remote::Remote;
use crate::sdp::Credentials;
use crate::stun::{Check, MAX_RESPONSE, Role};
use crate::time::Time;
use crate::ufrag::{Sealer, Ufrag};

const THEIRS: &str = "them";

fn local(restart: u8) -> Local {
    let sealer = Sealer::new(b"secret");
    let ufrag = sealer.seal(&Ufrag {
        edge: 1,
        slot: 2,
        restart,
        epoch: 3,
    });
    Local {
        ufrag,
        password: sealer.password(ufrag.as_bytes()),
    }
}

fn remote(ufrag: &str) -> Credentials {
    Credentials {
        ufrag: ufrag.to_owned(),
        password: "unused".to_owned(),
    }
}

/// Another one for each moment and address.
fn transaction(at_ms: u64, port: u16) -> [u8; 12] {
    let mut bytes = [5; 12];
    bytes[..2].copy_from_slice(&port.to_be_bytes());
    bytes[2..8].copy_from_slice(&at_ms.to_be_bytes()[2..]);
    bytes
}

fn address(port: u16) -> Remote {
    SocketAddr::from(([192, 0, 2, 1], port)).into()
}

/// A check, and what makes it differ from a valid one that nominates nothing.
struct Sent {
    local: Local,
    theirs: &'static str,
    role: Role,
    priority: u32,
    nominates: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            local: local(0),
            theirs: THEIRS,
            role: Role::Controlling(9),
            priority: 100,
            nominates: false,
        }
    }
}

impl Sent {
    fn nominating(priority: u32) -> Self {
        Self {
            priority,
            nominates: true,
            ..Self::default()
        }
    }

    fn to(&self, agent: &mut Agent, at_ms: u64, port: u16) -> (Checked, [u8; MAX_RESPONSE]) {
        let username = format!("{}:{}", self.local.ufrag.as_str(), self.theirs);
        let check = Check {
            transaction: transaction(at_ms, port),
            username: username.as_bytes(),
            password: self.local.password.as_bytes(),
            priority: self.priority,
            use_candidate: self.nominates,
            role: self.role,
        };
        let (mut buffer, mut response) = ([0; 256], [0; MAX_RESPONSE]);
        let length = check.write(&mut buffer);
        let now = Time(at_ms * 1_000);
        (
            agent.check(now, address(port), &buffer[..length], &mut response),
            response,
        )
    }
}

fn agent() -> Agent {
    Agent::new(local(0), &remote(THEIRS))
}

#[test]
fn a_valid_check_is_answered_and_verifies_its_address() {
    let mut agent = agent();
    let (checked, response) = Sent::default().to(&mut agent, 0, 1);
    assert!(checked.valid && checked.response > 0 && !checked.moved);
    assert_eq!(response[..2], [0x01, 0x01], "a success response");
    assert!(agent.is_verified(address(1)) && !agent.is_verified(address(2)));
    assert_eq!(agent.selected(), None);
}

#[test]
fn checks_under_other_credentials_change_nothing() {
    let mut agent = agent();
    let password_of_another = Local {
        password: local(1).password,
        ..local(0)
    };
    for sent in [
        Sent {
            local: local(1),
            ..Sent::nominating(1)
        },
        Sent {
            local: password_of_another,
            ..Sent::nominating(1)
        },
        Sent {
            theirs: "others",
            ..Sent::nominating(1)
        },
    ] {
        let (checked, _) = sent.to(&mut agent, 0, 1);
        assert!(!checked.valid && checked.response == 0);
    }
    assert!(!agent.is_verified(address(1)));
}

#[test]
fn a_peer_that_claims_to_be_controlled_is_told_of_the_conflict() {
    let mut agent = agent();
    let sent = Sent {
        role: Role::Controlled(1),
        ..Sent::nominating(1)
    };
    let (checked, response) = sent.to(&mut agent, 0, 1);
    assert!(!checked.valid && checked.response > 0);
    assert_eq!(response[..2], [0x01, 0x11], "an error response");
    assert_eq!(agent.selected(), None);
}

#[test]
fn of_aggressive_nominations_the_highest_priority_wins() {
    let mut agent = agent();
    assert!(Sent::nominating(10).to(&mut agent, 0, 1).0.moved);
    assert!(!Sent::nominating(5).to(&mut agent, 100, 2).0.moved);
    assert!(Sent::nominating(20).to(&mut agent, 1_900, 3).0.moved);
    assert_eq!(agent.selected(), Some(address(3)));
}

#[test]
fn a_later_nomination_waits_until_the_old_path_is_silent() {
    let mut agent = agent();
    Sent::nominating(10).to(&mut agent, 0, 1);
    Sent::nominating(10).to(&mut agent, 5_000, 1);
    assert!(!Sent::nominating(99).to(&mut agent, 5_900, 2).0.moved);
    assert!(Sent::nominating(99).to(&mut agent, 6_100, 2).0.moved);
}

#[test]
fn authentic_media_moves_to_a_verified_path_only_and_only_with_the_newest_packet() {
    let mut agent = agent();
    Sent::nominating(10).to(&mut agent, 0, 1);
    Sent::default().to(&mut agent, 0, 2);
    let now = Time(10_000_000);
    assert!(!agent.media(now, address(3), true).moved);
    assert!(!agent.media(now, address(2), false).moved);
    assert!(agent.media(now, address(2), true).moved);
    assert_eq!(agent.selected(), Some(address(2)));
}

#[test]
fn verified_paths_are_bounded_and_the_selected_one_stays() {
    let mut agent = agent();
    Sent::nominating(10).to(&mut agent, 0, 1);
    for port in 2..100 {
        Sent::default().to(&mut agent, u64::from(port), port);
    }
    assert_eq!(agent.paths.len(), MAX_PATHS);
    assert_eq!(agent.selected(), Some(address(1)));
    assert!(agent.is_verified(address(99)) && !agent.is_verified(address(2)));
}

#[test]
fn after_a_restart_the_old_credentials_hold_until_the_new_are_used() {
    let mut agent = agent();
    Sent::nominating(10).to(&mut agent, 0, 1);
    agent.restart(local(1), &remote("again"));
    assert!(Sent::nominating(10).to(&mut agent, 10, 1).0.valid);
    let renewed = Sent {
        local: local(1),
        theirs: "again",
        ..Sent::nominating(1)
    };
    assert!(
        renewed.to(&mut agent, 20, 2).0.moved,
        "a first nomination, whatever its priority"
    );
    assert!(!Sent::nominating(10).to(&mut agent, 30, 1).0.valid);
}

#[test]
fn consent_is_given_by_checks_on_the_selected_path() {
    let mut agent = agent();
    assert_eq!(agent.consent_expires(), None);
    Sent::nominating(10).to(&mut agent, 1_000, 1);
    Sent::default().to(&mut agent, 9_000, 2);
    assert_eq!(agent.consent_expires(), Some(Time(1_000_000) + Duration::from_secs(30)));
}

#[test]
fn media_that_moves_a_session_gives_consent_to_its_path() {
    let mut agent = agent();
    Sent::default().to(&mut agent, 0, 2);
    Sent::nominating(100).to(&mut agent, 0, 1);
    Sent::nominating(100).to(&mut agent, 29_000, 1);
    let now = Time(40_000_000);
    assert!(agent.media(now, address(2), true).moved);
    assert_eq!(agent.consent_expires(), Some(now + CONSENT), "its check was 40 s ago");
}

#[test]
fn a_caller_that_nominates_nothing_gives_consent_by_its_checks() {
    let mut agent = agent();
    assert_eq!(agent.consent_expires(), None);
    Sent::default().to(&mut agent, 1_000, 1);
    Sent::default().to(&mut agent, 5_000, 2);
    assert_eq!(agent.consent_expires(), Some(Time(5_000_000) + CONSENT));
}

#[test]
fn the_gap_of_a_move_is_from_the_last_media_to_the_first_over_the_new_path() {
    let mut agent = agent();
    Sent::nominating(10).to(&mut agent, 0, 1);
    let at = |ms: u64| Time(ms * 1_000);
    assert_eq!(
        agent.media(at(100), address(1), true).gap,
        None,
        "the first path is no move"
    );
    assert_eq!(agent.media(at(120), address(1), true).gap, None);
    // Media moves before a nomination.
    Sent::default().to(&mut agent, 800, 2);
    assert_eq!(
        agent.media(at(820), address(2), true).gap,
        Some(Duration::from_millis(700))
    );
    assert_eq!(agent.media(at(840), address(2), true).gap, None);
    // A nomination comes before the media.
    assert!(Sent::nominating(10).to(&mut agent, 5_000, 3).0.moved);
    assert_eq!(
        agent.media(at(5_010), address(2), false).gap,
        None,
        "a straggler of the old path"
    );
    assert_eq!(
        agent.media(at(5_050), address(3), true).gap,
        Some(Duration::from_millis(40))
    );
    assert_eq!(agent.media(at(5_070), address(3), true).gap, None);
}

#[test]
fn a_check_that_is_repeated_from_elsewhere_opens_no_path() {
    let mut agent = agent();
    let local = local(0);
    let username = format!("{}:{THEIRS}", local.ufrag.as_str());
    let check = Check {
        transaction: [9; 12],
        username: username.as_bytes(),
        password: local.password.as_bytes(),
        priority: 1,
        use_candidate: true,
        role: Role::Controlling(9),
    };
    let (mut buffer, mut response) = ([0; 256], [0; MAX_RESPONSE]);
    let length = check.write(&mut buffer);
    let mut send = |port| agent.check(Time(0), address(port), &buffer[..length], &mut response);
    assert!(send(1).valid && send(1).valid, "retransmissions are answered");
    let repeated = send(2);
    assert!(repeated.replayed && !repeated.valid && repeated.response == 0);
    assert!(!agent.is_verified(address(2)));
}
