//! Prints, as TSV, how much of an agent's speech is there when a jitter buffer of 60 ms plays it: for random and bursty loss, round
//! trips, jitter, and with each mechanism off and on. In virtual time; `make plots` draws it.

#[path = "../tests/support/mod.rs"]
mod support;

use antiphon_netsim::Loss;
use support::down::{Mechanism, Scenario, bursts, run};

const LOSSES: [f64; 6] = [0.0, 0.01, 0.02, 0.05, 0.10, 0.20];
const ROUND_TRIPS_MS: [u64; 6] = [20, 40, 80, 120, 200, 300];
const MEAN_BURST: f64 = 3.0;
/// A minute of speech, twice.
const FRAMES: u32 = 3_000;
const SEEDS: [u64; 2] = [1, 2];

fn main() {
    println!("kind\tloss\trtt_ms\tjitter_ms\tmechanism\tin_time\tsettled\tredundancy\tagain");
    for (kind, bursty) in [("random", false), ("bursts", true)] {
        for loss in LOSSES {
            for round_trip_ms in ROUND_TRIPS_MS {
                for (jitter_ms, reorder) in [(0, 0.0), (10, 0.01)] {
                    for mechanism in Mechanism::ALL {
                        let outcomes = SEEDS.map(|seed| {
                            run(&Scenario {
                                loss: if bursty {
                                    bursts(loss, MEAN_BURST)
                                } else {
                                    Loss::Random(loss)
                                },
                                round_trip_ms,
                                jitter_ms,
                                reorder,
                                mechanism,
                                device: true,
                                frames: FRAMES,
                                seed,
                            })
                        });
                        let mean = |figure: fn(&support::down::Outcome) -> f64| {
                            outcomes.iter().map(figure).sum::<f64>() / SEEDS.len() as f64
                        };
                        println!(
                            "{kind}\t{loss}\t{round_trip_ms}\t{jitter_ms}\t{}\t{:.5}\t{:.5}\t{:.3}\t{:.3}",
                            mechanism.name(),
                            mean(|outcome| outcome.in_time),
                            mean(|outcome| outcome.settled),
                            mean(|outcome| outcome.redundancy),
                            mean(|outcome| outcome.again),
                        );
                    }
                }
            }
        }
    }
}
