//! A bad network for real programs: the loss, delay, jitter, reordering and duplication of `antiphon-netsim`, in real
//! time and between real sockets, on machines whose kernel has no `netem`.
//!
//! [`udp::Proxy`] stands before one UDP address; [`router::Router`] joins two network namespaces and carries whatever IP
//! carries. What travels is never looked into, apart from its protocol number where UDP is blocked.

pub mod control;
pub mod path;
pub mod qualities;
pub mod router;
pub mod run;
pub mod tun;
pub mod udp;
