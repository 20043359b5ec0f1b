//! A shard: one thread with its own socket, its own sessions, and nothing shared on the way of a packet.

mod arrivals;
mod connections;
mod handshakes;
mod link;
mod listening;
mod load;
mod mail;
mod outgoing;
mod probes;
mod relay;
mod rooms;
mod run;
mod seats;
mod streams;
mod takeover;
mod voice;
mod ways;

pub(crate) use connections::Moving;
pub(crate) use listening::Listening;
pub(crate) use relay::Members;
pub(crate) use run::{Shard, Sockets, Surroundings};
