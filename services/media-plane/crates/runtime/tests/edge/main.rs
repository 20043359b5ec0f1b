//! What an edge's media plane does with real sockets, by behaviour. What measures its whole process is a program of its own beside this one.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod calls;
mod floods;
mod rooms;
mod takeover;
