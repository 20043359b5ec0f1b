//! A sans-IO WebRTC session for voice AI: bytes and time in, bytes and deadlines out.
//!
//! No sockets, no clock, no threads: whoever drives a [`Session`] hands it datagrams and the time, and takes what it
//! says through an [`Output`]. So a test can run an hour of a call in milliseconds.

mod channels;
mod client_hello;
pub mod config;
pub mod device;
mod dtls;
mod egress;
pub mod envelope;
#[cfg(any(test, feature = "known-keys"))]
pub mod established;
mod few;
pub mod fragments;
pub mod framing;
mod ice;
mod ingest;
mod last_flight;
pub mod opus;
pub mod output;
mod playout;
pub mod rate;
pub mod red;
pub mod remote;
mod report;
pub mod room;
pub mod rsa;
pub mod rtcp;
pub mod rtp;
mod sctp_window;
pub mod sdp;
pub mod session;
pub mod srtp;
pub mod stats;
pub mod stun;
pub mod time;
pub mod ufrag;
pub mod voice;

pub use config::{ConfigError, EngineConfig};
pub use output::{
    EchoPath, Event, Gap, GapState, HeardBasis, HoldOutcome, IngestFrame, IngestQuality, Output, PlayoutReport,
    PlayoutState, VoiceEvent,
};
pub use remote::{Candidate, Remote, Transport, Via};
pub use sdp::OfferError;
pub use session::{OpenSession, PlayoutFrame, Session};
pub use stats::{Counters, PathGaps, SessionState, SessionStats, SetupTimes};
pub use time::Time;
