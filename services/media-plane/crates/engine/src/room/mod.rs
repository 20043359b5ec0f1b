//! What a room needs of a session: receive slots for other members' voices, and the policy that says who is heard. Who is in a
//! room, and the way of a frame from one member to the others, is the runtime's business.

mod command;
mod order;
mod slot;
#[cfg(test)]
mod tests;

pub use command::{Command, HEAR, MAX_NAMED, MUTE, Named};
pub use order::{Order, OrderPolicy};
pub(crate) use slot::Slot;
pub use slot::{Forwarded, Loudness, MAX_SLOTS};
