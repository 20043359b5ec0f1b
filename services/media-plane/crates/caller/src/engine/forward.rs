//! What a forwarded frame of a room costs its listener's session: placed in a slot's stream, sealed, handed out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_engine::EngineConfig;
use antiphon_engine::room::Forwarded;
use str0m::RtcConfig;

use super::pair::{Pair, Virtual};
use super::{EngineError, PACKET, STRETCH, median};

/// Stretches that fill caches and buffers.
const WARM_UP: usize = 4;

/// Forwards about `frames` frames of one member to `listeners` sessions that take turns. Returns the time of each copy in ns: the
/// median over stretches.
pub(super) fn run(
    config: &Arc<EngineConfig>,
    calls: &RtcConfig,
    listeners: usize,
    frames: usize,
    payload: usize,
) -> Result<f64, EngineError> {
    let mut clock = Virtual {
        base: Instant::now(),
        passed: Duration::ZERO,
    };
    let mut all = (0..listeners.max(1) as u32)
        .map(|slot| Pair::in_room(config, calls, slot, &mut clock))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = vec![0x78; payload];
    let rounds = STRETCH.div_ceil(all.len());
    let stretches = frames.div_ceil(rounds * all.len()) + WARM_UP;
    let mut times = Vec::new();
    let mut number = 0;
    for stretch in 0..stretches {
        let mut spent = Duration::ZERO;
        for _ in 0..rounds {
            clock.passed += PACKET;
            number += 1;
            let frame = Forwarded {
                source: 7,
                sequence: 1_000 + number,
                timestamp: number * 960,
                duration: 960,
                level: 0,
                marker: false,
                payload: &bytes,
            };
            let begin = Instant::now();
            for pair in &mut all {
                pair.forward(clock.time(), &frame);
            }
            spent += begin.elapsed();
            for pair in &mut all {
                pair.exchange(clock)?;
            }
        }
        if stretch >= WARM_UP {
            times.push(spent.as_nanos() as f64 / (rounds * all.len()) as f64);
        }
    }
    let forwarded: u64 = all.iter().map(Pair::forwarded).sum();
    let expected = (stretches * rounds * all.len()) as u64;
    if forwarded != expected {
        return Err(EngineError::Incomplete {
            pairs: expected as usize,
            frames: forwarded as usize,
            transmitted: forwarded as usize,
        });
    }
    Ok(median(&mut times))
}
