//! Set-up holds out against a bad network.

use crate::support::{Call, CallConfig, DtlsVersion};
use antiphon_netsim::{LinkConfig, Loss};

fn lossy(share: f64) -> LinkConfig {
    LinkConfig {
        loss: Loss::Random(share),
        jitter_us: 10_000,
        duplicate: 0.05,
        reorder: 0.05,
        reorder_us: 30_000,
        ..CallConfig::default().up
    }
}

#[test]
fn a_caller_connects_though_a_fifth_of_all_packets_is_lost() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        for seed in 0..20 {
            let mut call = Call::new(CallConfig {
                dtls,
                up: lossy(0.2),
                down: lossy(0.2),
                seed,
                ..CallConfig::default()
            });
            call.run_until_connected();
        }
    }
}

/// As OpenSSL does with RSA certificates: what of two transmissions arrives fits together only byte by byte.
#[test]
fn a_caller_that_cuts_each_transmission_otherwise_connects_under_loss() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        for offer in [
            |offer: String| offer,
            |offer: String| offer.replace("a=setup:actpass", "a=setup:passive"),
        ] {
            for seed in 0..20 {
                let mut call = Call::new(CallConfig {
                    dtls,
                    recuts: true,
                    offer,
                    up: lossy(0.15),
                    down: lossy(0.1),
                    seed,
                    ..CallConfig::default()
                });
                call.run_until_connected();
            }
        }
    }
}
