//! The runtime of an edge: shards (pinned threads with their own sockets, timers and sessions), joined to workers by links.
//!
//! [`Plane`] is the whole of it for its user. A session is made on the caller's thread, moves to its shard, and stays there;
//! a shard shares nothing with others but bounded rings.

mod counters;
mod epochs;
mod events;
mod flows;
mod gate;
mod kept;
mod mailbox;
mod plane;
mod registry;
mod rooms;
mod session;
mod shard;
mod slot;
mod socket;
mod steering;
mod uplinks;
mod wheel;
mod workers;

pub use antiphon_engine::{Candidate, Transport};
pub use antiphon_link::{BadTls, LinkTls};
pub use counters::ShardCounters;
pub use events::EdgeEvent;
pub use plane::{Answer, OpenRequest, Plane, PlaneConfig, SessionError, StartError, StunProbe, TakeOverRequest};
pub use rooms::{MemberChange, MemberView, RoomView};
pub use session::Snapshot;
pub use workers::WorkerStatus;
