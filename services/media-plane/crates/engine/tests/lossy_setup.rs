//! Set-up holds out against a bad network.

mod support;

use antiphon_netsim::{LinkConfig, Loss};
use support::{Call, CallConfig, DtlsVersion};

#[test]
fn a_caller_connects_though_a_fifth_of_all_packets_is_lost() {
    let lossy = LinkConfig {
        loss: Loss::Random(0.2),
        jitter_us: 10_000,
        duplicate: 0.05,
        reorder: 0.05,
        reorder_us: 30_000,
        ..CallConfig::default().up
    };
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        for seed in 0..20 {
            let mut call = Call::new(CallConfig {
                dtls,
                up: lossy,
                down: lossy,
                seed,
                ..CallConfig::default()
            });
            call.run_until_connected();
        }
    }
}
