//! What the engine costs without sockets: one packet opened and handed on, one frame sealed and handed out, against the
//! open and the seal of AES-128-GCM alone. str0m is the caller; both live in memory and in virtual time.

mod forward;
mod pair;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_engine::EngineConfig;
use serde::Serialize;

use crate::call::{CallConfig, CallError};
use crate::floor::Cipher;
use pair::{Pair, Sink, Virtual, is_media};

const PACKET: Duration = Duration::from_millis(20);
/// Packets in one timed stretch: long enough for the clock, short enough to miss most interruptions.
const STRETCH: usize = 50;

/// What the engine cost.
#[derive(Clone, Debug, Serialize)]
pub struct EngineReport {
    /// Sessions that took turns: with many, each finds its state out of the nearest cache.
    pub sessions: usize,
    /// Packet pairs that were timed.
    pub pairs: usize,
    /// Time of a pair through the engine, in ns: median over stretches of 50 pairs or more.
    pub engine_ns: f64,
    /// Time of an open and a seal of AES-128-GCM alone, in ns, likewise.
    pub cipher_ns: f64,
    /// The first over the second.
    pub ratio: f64,
    /// Time of a forwarded frame of a room for each listener, in ns, likewise.
    pub forwarded_ns: f64,
}

/// Why the engine could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// str0m failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The engine refused the offer, or its settings.
    #[error("the engine refused: {0}")]
    Refused(String),
    /// The two did not connect.
    #[error("str0m and the engine did not connect within 5 s of virtual time")]
    NotConnected,
    /// Packets went missing, so that the time is not that of a pair.
    #[error("{frames} frames and {transmitted} packets for {pairs} packets of the caller")]
    Incomplete {
        /// Packets of the caller.
        pairs: usize,
        /// Frames that came out.
        frames: usize,
        /// Media packets that went back.
        transmitted: usize,
    },
}

/// Times about `pairs` packet pairs through `sessions` sessions that take turns.
///
/// # Errors
/// [`EngineError`].
pub fn run(sessions: usize, pairs: usize, payload: usize) -> Result<EngineReport, EngineError> {
    let refused = |error: antiphon_engine::ConfigError| EngineError::Refused(error.to_string());
    let config = EngineConfig::new(
        &[1; 32],
        1,
        vec![SocketAddr::from(([127, 0, 0, 1], 9_999))],
        Instant::now(),
    )
    .map_err(refused)?;
    let config = Arc::new(config);
    let calls = CallConfig::new(
        [127, 0, 0, 1].into(),
        payload,
        false,
        str0m::crypto::dtls::DtlsVersion::Dtls12,
    )?;
    let mut clock = Virtual {
        base: Instant::now(),
        passed: Duration::ZERO,
    };
    let mut all = (0..sessions.max(1) as u32)
        .map(|slot| Pair::connect(&config, calls.rtc(), slot, &mut clock))
        .collect::<Result<Vec<_>, _>>()?;

    // As in SRTP, each direction has a key of its own.
    let ciphers: Vec<_> = all.iter().map(|_| [Cipher::default(), Cipher::default()]).collect();
    let sealed: Vec<_> = (0..all.len())
        .map(|index| ciphers[index][0].packet(index as u32, payload))
        .collect();
    let rounds = STRETCH.div_ceil(all.len());
    // The first stretches fill caches and buffers.
    let warm_up = 4;
    let stretches = pairs.div_ceil(rounds * all.len()) + warm_up;
    let (mut engine, mut cipher) = (Vec::new(), Vec::new());
    let mut carried = 0;
    let mut sink = Sink::default();
    let bytes = vec![0x78; payload];
    for stretch in 0..stretches {
        let mut packets = Vec::with_capacity(rounds * all.len());
        for _ in 0..rounds {
            clock.passed += PACKET;
            for (index, pair) in all.iter_mut().enumerate() {
                let pt = pair.caller.pt.expect("connected");
                pair.caller.send(clock.instant(), pt, &bytes)?;
                let media: Vec<_> = pair
                    .caller
                    .outbox
                    .extract_if(.., |datagram| is_media(datagram))
                    .collect();
                packets.extend(media.into_iter().map(|datagram| (index, clock.time(), datagram)));
            }
        }
        for pair in &mut all {
            pair.exchange(clock)?;
            pair.sink.frames = 0;
        }

        // Fresh copies, as the kernel would just have made them.
        let mut fresh: Vec<_> = packets.iter().map(|(.., datagram)| datagram.clone()).collect();
        let begin = Instant::now();
        for (at, ((index, now, _), datagram)) in packets.iter().zip(&mut fresh).enumerate() {
            // As a shard does with what it has read.
            if let Some((next, ..)) = packets.get(at + 1) {
                all[*next].warm();
            }
            all[*index].echo(*now, datagram, &mut sink);
        }
        let spent = begin.elapsed();
        let frames = sink.frames;
        let transmitted = sink.datagrams().iter().filter(|datagram| is_media(datagram)).count();
        if frames != packets.len() || transmitted != packets.len() {
            return Err(EngineError::Incomplete {
                pairs: packets.len(),
                frames,
                transmitted,
            });
        }
        for (slot, datagram) in sink.take() {
            all[slot as usize].hear(clock, datagram)?;
        }
        for pair in &mut all {
            pair.exchange(clock)?;
        }

        let mut copies: Vec<_> = packets
            .iter()
            .map(|(index, ..)| (*index, sealed[*index].clone()))
            .collect();
        let begin = Instant::now();
        for (index, packet) in &mut copies {
            let [theirs, ours] = &ciphers[*index];
            let opened = theirs.open(packet);
            ours.seal(packet);
            black_box(opened);
        }
        let alone = begin.elapsed();
        if stretch >= warm_up {
            carried += packets.len();
            engine.push(spent.as_nanos() as f64 / packets.len() as f64);
            cipher.push(alone.as_nanos() as f64 / packets.len() as f64);
        }
    }
    let forwarded_ns = forward::run(&config, calls.rtc(), sessions, pairs, payload)?;
    let (engine_ns, cipher_ns) = (median(&mut engine), median(&mut cipher));
    Ok(EngineReport {
        sessions: all.len(),
        pairs: carried,
        engine_ns,
        cipher_ns,
        ratio: engine_ns / cipher_ns,
        forwarded_ns,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_makes_a_frame_and_each_frame_a_packet() {
        let report = run(3, 600, 160).unwrap();
        assert_eq!(report.sessions, 3);
        assert!(report.pairs >= 600, "{report:?}");
        assert!(
            report.engine_ns > 0.0 && report.cipher_ns > 0.0 && report.forwarded_ns > 0.0,
            "{report:?}"
        );
    }
}
