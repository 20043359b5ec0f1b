//! Callers that talk: real voice in talk spurts and DTX between them, what agents answer judged by when it is heard.
//!
//! [`Callers`] is the whole: it owns the threads that carry the calls, takes commands, and gathers what happened until it is
//! asked. The step from offer to answer is left to whoever asks for offers.

mod call;
mod callers;
mod carrier;
mod clip;
mod ear;
mod mouth;
mod network;
mod totals;

pub use call::Happened;
pub use callers::{Callers, Happening, Wish};
pub use clip::{Clip, Frame};
pub use network::Impairment;
pub use totals::{Totals, Traffic};
