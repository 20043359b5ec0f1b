//! Prints what of an agent's speech is there when a jitter buffer of 60 ms plays it, for a matrix of networks and means of repair, as
//! tab-separated values; for `make plots`.

#[path = "../tests/support/mod.rs"]
mod support;

use antiphon_netsim::Loss;
use support::down::{Mechanism, Outcome, Scenario, bursts, run};

/// Two minutes of speech.
const FRAMES: u32 = 6_000;

fn main() {
    let frames = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(FRAMES);
    println!("loss_model\tloss\trtt_ms\tjitter_ms\treorder\trepair\tin_time\tsettled\tredundancy\tagain");
    for (model, loss_of) in [
        ("random", Loss::Random as fn(f64) -> Loss),
        ("bursts", |share| bursts(share, 3.0)),
    ] {
        for share in [0.01, 0.02, 0.05, 0.1, 0.2] {
            for round_trip_ms in [20, 40, 80, 150, 300] {
                for (jitter_ms, reorder) in [(0, 0.0), (10, 0.01)] {
                    for mechanism in Mechanism::ALL {
                        let Outcome {
                            in_time,
                            settled,
                            redundancy,
                            again,
                        } = run(&Scenario {
                            loss: loss_of(share),
                            round_trip_ms,
                            jitter_ms,
                            reorder,
                            mechanism,
                            device: true,
                            frames,
                            seed: 11,
                        });
                        println!(
                            "{model}\t{share}\t{round_trip_ms}\t{jitter_ms}\t{reorder}\t{}\t{in_time:.5}\t{settled:.5}\t\
                             {redundancy:.3}\t{again:.3}",
                            mechanism.name(),
                        );
                    }
                }
            }
        }
    }
}
