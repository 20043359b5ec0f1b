//! Prints what reaches the worker for a matrix of networks and means of repair, as tab-separated values; for `make plots`.

#[path = "../tests/support/mod.rs"]
mod support;

use antiphon_netsim::Loss;
use support::loss::{Repair, Scenario, run};

/// Two minutes and a half of speech.
const FRAMES: usize = 7_500;

fn main() {
    let frames = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(FRAMES);
    println!(
        "loss_model\tloss\trtt_ms\tjitter_ms\treorder\trepair\tat_once\treached\twith_fec\tbefore_silence\tbefore_round_trip\t\
         repaired_p50_ms\trepaired_p99_ms\trepaired_max_ms\tagain_per_loss\tneedless"
    );
    for (model, loss_of) in [
        ("random", Loss::Random as fn(f64) -> Loss),
        ("bursts", |share| Loss::bursts(share, 3.0)),
        ("outages", |share| Loss::Outages {
            share,
            longest_us: 200_000,
        }),
    ] {
        for share in [0.01, 0.02, 0.05, 0.1, 0.2] {
            for rtt_ms in [20, 40, 80, 150, 300] {
                for (jitter_ms, reorder) in [(0, 0.0), (20, 0.02)] {
                    for repair in Repair::ALL {
                        let scenario = Scenario {
                            loss: loss_of(share),
                            rtt_ms,
                            jitter_ms,
                            reorder,
                            repair,
                            frames,
                            seed: 11,
                        };
                        let found = run(&scenario);
                        println!(
                            "{model}\t{share}\t{rtt_ms}\t{jitter_ms}\t{reorder}\t{}\t{:.5}\t{:.5}\t{:.5}\t{:.5}\t{:.5}\t{:.0}\t{:.0}\t{:.0}\t{:.2}\t{:.4}",
                            repair.name(),
                            found.at_once,
                            found.reached,
                            found.with_fec,
                            found.before_silence,
                            found.before_round_trip,
                            found.repaired_p50_ms,
                            found.repaired_p99_ms,
                            found.repaired_max_ms,
                            found.again_per_loss,
                            found.needless,
                        );
                    }
                }
            }
        }
    }
}
