//! What a session does, by behaviour, in virtual time: one program, since each would link all of the engine anew.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod channels;
mod close;
mod consent;
mod echo;
mod forged_records;
mod hold;
mod ice_restart;
mod identity;
mod junk;
mod ledger;
mod loss;
mod loss_down;
mod lossy_setup;
mod playout;
mod publish;
mod red;
mod repair;
mod reports;
mod roaming;
mod room;
mod room_loss;
mod round_trips;
mod setup;
mod source;
mod voice;
