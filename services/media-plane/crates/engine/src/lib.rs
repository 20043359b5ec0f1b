//! A sans-IO WebRTC session for voice AI: bytes and time in, bytes and deadlines out.
//!
//! No sockets, no clock, no threads: whoever drives a [`Session`] hands it datagrams and the time, and takes what it
//! says through an [`Output`]. So a test can run an hour of a call in milliseconds.

pub mod output;
pub mod session;
pub mod time;

pub use output::{Event, Gap, GapState, IngestFrame, Output, PlayoutReport, PlayoutState};
pub use session::{EngineConfig, OfferError, OpenSession, PlayoutFrame, Session, SessionStats};
pub use time::Time;
