//! Sockets, and waking and sleeping around them: all that is asked of the operating system, and the only unsafe code.

mod address;
mod tcp;
mod thread;
mod udp;
mod wake;

pub(crate) use tcp::{Poller, Ready, accept, listen_shards, tcp_port_is_taken};
pub(crate) use thread::{pin_to_core, sleep_until};
pub(crate) use udp::{BATCH, Inbox, Outbox, Sent, bind_shards, port_is_taken};
pub(crate) use wake::{MOST_WATCHED, Signal, wait};
