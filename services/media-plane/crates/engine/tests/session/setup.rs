//! A caller gets from its offer to media, over each version of DTLS.

use crate::support::{Call, CallConfig, DtlsVersion, OUTSIDE, address, opus};
use antiphon_engine::{Event, SessionState};

#[test]
fn a_caller_connects_over_dtls_1_2() {
    let call = Call::connected(CallConfig {
        dtls: DtlsVersion::Dtls12,
        ..CallConfig::default()
    });
    assert_eq!(call.said.security(), Some("DTLS1.2 AEAD_AES_128_GCM"));
}

#[test]
fn a_caller_connects_over_dtls_1_3() {
    let call = Call::connected(CallConfig {
        dtls: DtlsVersion::Dtls13,
        ..CallConfig::default()
    });
    assert_eq!(call.said.security(), Some("DTLS1.3 AEAD_AES_128_GCM"));
}

#[test]
fn the_steps_of_a_set_up_are_timed() {
    let mut call = Call::connected(CallConfig::default());
    call.say(&opus(1));
    call.run_ms(100);
    let stats = call.session.stats();
    assert_eq!(stats.state, SessionState::Connected);
    assert_eq!(stats.remote, Some(address(OUTSIDE).into()));
    let steps: Vec<_> = stats.setup.steps().collect();
    let names: Vec<_> = steps.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["first_check", "nominated", "dtls", "first_packet"]);
    assert!(steps.is_sorted_by_key(|(_, at)| *at), "{steps:?}");
    // One way is 20 ms: the first check can not be sooner.
    assert!(steps[0].1 >= 20_000, "{steps:?}");
    assert!(matches!(call.said.events[0].1, Event::PathSelected { .. }));
}

#[test]
fn the_edge_starts_dtls_when_the_offer_waits() {
    // Then str0m, as the server, chooses the profile.
    let versions = [
        (DtlsVersion::Dtls12, "DTLS1.2 AEAD_AES_256_GCM"),
        (DtlsVersion::Dtls13, "DTLS1.3 AEAD_AES_256_GCM"),
    ];
    for (dtls, security) in versions {
        let mut call = Call::connected(CallConfig {
            dtls,
            offer: |offer| offer.replace("a=setup:actpass", "a=setup:passive"),
            ..CallConfig::default()
        });
        call.say(&opus(1));
        call.run_ms(100);
        assert_eq!(call.said.frames.len(), 1);
        assert_eq!(call.said.security(), Some(security));
    }
}
