//! Load on a WebRTC server by a native caller on str0m, and the benchmarks that need one.
//!
//! [`load::run`] sets many calls up, lets each send 50 numbered packets a second, and judges what comes back; the
//! server only has to take an SDP offer and echo audio. str0m, so that both ends of a measurement are not the same code.

pub mod answer;
pub mod call;
pub mod clock;
pub mod connection;
pub mod engine;
pub mod flood;
pub mod floor;
pub mod hold;
pub mod http;
pub mod lives;
pub mod load;
pub mod peer;
pub mod pool;
pub mod probe;
pub mod procfs;
pub mod report;
pub mod saturated;
pub mod signaling;
pub mod sys;
pub mod tally;
pub mod voice;
