//! A shard: one thread with its own socket, its own sessions, and nothing shared on the way of a packet.

mod handshakes;
mod link;
mod load;
mod mail;
mod run;
mod seats;
mod voice;

pub(crate) use run::{Shard, Surroundings};
