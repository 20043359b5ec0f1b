//! The engine's ear for voice on traces of levels, for benchmarks that know the truth beside them.

use std::io::BufRead;

use antiphon_engine::Time;
use antiphon_engine::opus::signal_type;
use antiphon_engine::voice::{Change, Detector, Heard};
use serde::Serialize;

/// Frames after which a worker has judged an onset: 300 ms.
const VERDICT: usize = 15;
/// An onset this many frames behind speech is of it.
const BEHIND: usize = 3;
const FRAME_US: u64 = 20_000;
const FRAME_SAMPLES: u32 = 960;

/// One trace: a level for each 20 ms frame, in -dBov.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Whether the caller speaks.
    pub speech: Vec<u8>,
    /// What was played to the caller.
    pub played: Vec<u8>,
    /// What the caller's device hears.
    pub heard: Vec<u8>,
    /// The first octets of the packets that it sends; empty where DTX sends none.
    pub sent: Vec<Vec<u8>>,
}

/// What the detector made of a trace.
#[derive(Clone, Debug, Serialize)]
pub struct Onsets {
    /// Numbers of the frames that an onset was noticed by.
    pub onsets: Vec<usize>,
    /// The echo's path in ms and its loss in dB, where one was found.
    pub echo: Option<(f64, u8)>,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("trace {line}: expected columns of one length, divided by semicolons: three of numbers, one of packets in hex")]
pub struct BadTrace {
    line: usize,
}

/// Reads traces, one a line: `speech;played;heard;sent`, numbers and packets divided by commas.
///
/// # Errors
/// [`BadTrace`], or that of the input.
pub fn read(input: impl BufRead) -> Result<Vec<Trace>, Box<dyn std::error::Error>> {
    let mut traces = Vec::new();
    for (at, line) in input.lines().enumerate() {
        let bad = || BadTrace { line: at + 1 };
        let line = line?;
        let columns: Vec<&str> = line.split(';').collect();
        let [speech, played, heard, sent] = columns.try_into().map_err(|_| bad())?;
        let numbers = |column: &str| {
            column
                .split(',')
                .map(|number| number.parse().ok())
                .collect::<Option<Vec<u8>>>()
        };
        let trace = Trace {
            speech: numbers(speech).ok_or_else(bad)?,
            played: numbers(played).ok_or_else(bad)?,
            heard: numbers(heard).ok_or_else(bad)?,
            sent: sent.split(',').map(octets).collect::<Option<_>>().ok_or_else(bad)?,
        };
        let frames = trace.heard.len();
        if [trace.speech.len(), trace.played.len(), trace.sent.len()] != [frames; 3] {
            return Err(bad().into());
        }
        traces.push(trace);
    }
    Ok(traces)
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let octet = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(octet).collect()
}

/// Runs a trace in virtual time, with a worker that tells mistakes from voice after 300 ms.
#[must_use]
pub fn run(trace: &Trace) -> Onsets {
    let mut detector = Detector::new();
    let mut onsets: Vec<usize> = Vec::new();
    for (at, level) in trace.heard.iter().enumerate() {
        let begins = Time(1_000_000_000 + at as u64 * FRAME_US);
        detector.played(begins, FRAME_SAMPLES, trace.played[at]);
        let heard = Heard {
            at: Time(begins.0 + FRAME_US),
            timestamp: at as u64 * u64::from(FRAME_SAMPLES),
            duration: FRAME_SAMPLES,
            level: *level,
            signal: signal_type(&trace.sent[at]),
        };
        if !trace.sent[at].is_empty() && detector.hear(&heard) == Some(Change::Onset) {
            onsets.push(at);
        }
        if let Some(onset) = onsets.last().filter(|onset| *onset + VERDICT == at)
            && trace.speech[onset.saturating_sub(BEHIND)..=at]
                .iter()
                .all(|speech| *speech == 0)
        {
            detector.mistaken();
        }
    }
    let echo = detector
        .echo_path()
        .found()
        .map(|(path, loss)| (path.as_secs_f64() * 1_000.0, loss));
    Onsets { onsets, echo }
}
