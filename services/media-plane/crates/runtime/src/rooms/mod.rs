//! Rooms: sessions of one edge that hear each other.
//!
//! Each room has a home shard, which alone keeps its members and decides who hears whom ([`home`]). What it decides is a
//! [`Stage`], an immutable value that it sends to the shards that have members. There the stage says of each member to which
//! shards its frames go, and of each listener in which slot whose voice comes ([`local`]). A frame then crosses to another shard once,
//! however many listen there ([`ring`]). Nothing is shared but bounded rings.
//!
//! A source is a number: here a session's handle. Members at other edges will be sources, too, that a link delivers.

mod book;
mod home;
mod local;
mod notice;
mod ring;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use antiphon_engine::room::MAX_SLOTS;

pub(crate) use book::RoomBook;
pub(crate) use home::Home;
pub(crate) use local::{Heard, Local, Meter, Place};
pub(crate) use notice::{is_bye, members_notice, speakers_notice};
pub(crate) use ring::{Parcel, Parcels};

use crate::slot::Slot;

/// Stands for the link of a session that no worker serves.
pub(crate) const NO_LINK: u32 = u32::MAX;
/// Stands for the link of a session whose worker is lost, until another one has it.
pub(crate) const LOST_LINK: u32 = u32::MAX - 1;
/// Most members of a room.
pub(crate) const MOST_MEMBERS: usize = 64;

/// Which room a session is in.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// Of the room's present life; another follows when it was empty.
    pub(crate) room: u32,
    pub(crate) name: Arc<str>,
}

impl Membership {
    pub(crate) fn home(&self, shards: usize) -> usize {
        self.room as usize % shards
    }
}

/// Whom a member wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wants {
    #[default]
    All,
    /// Ids of sessions.
    Only(Arc<[Arc<str>]>),
}

impl Wants {
    pub(crate) fn include(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.iter().any(|wanted| **wanted == *id),
        }
    }
}

/// What is changed of a member.
#[derive(Clone, Debug, Default)]
pub struct MemberChange {
    /// Whether it is to be heard.
    pub muted: Option<bool>,
    /// Whom it hears: all, or only these sessions.
    pub hears: Option<Option<Vec<String>>>,
}

/// Who joins, for the room's home.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) membership: Membership,
    pub(crate) slot: Slot,
    pub(crate) id: Arc<str>,
    pub(crate) link: u32,
    /// How many voices it can be sent.
    pub(crate) voices: usize,
}

/// What shards say to each other about rooms.
#[derive(Debug)]
pub(crate) enum RoomMail {
    Join(Box<Joining>),
    Leave {
        room: u32,
        slot: Slot,
    },
    /// For the member's shard, which hands it to the home.
    Change {
        slot: Slot,
        /// Of the worker that asks; `None` for the API.
        link: Option<u32>,
        change: MemberChange,
        reply: Option<SyncSender<bool>>,
    },
    Changed {
        room: u32,
        slot: Slot,
        change: MemberChange,
    },
    /// Another worker has a member, or none has it any more.
    Served {
        room: u32,
        slot: Slot,
        link: u32,
    },
    Look {
        room: u32,
        reply: SyncSender<Option<Arc<Stage>>>,
    },
    Stage(Arc<Stage>),
}

/// Who hears whom in a room, as its home decided.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) room: u32,
    pub(crate) name: Arc<str>,
    /// The most audible first.
    pub(crate) cards: Vec<Card>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) slot: Slot,
    pub(crate) id: Arc<str>,
    pub(crate) link: u32,
    pub(crate) muted: bool,
    pub(crate) speaking: bool,
    pub(crate) wants: Wants,
    /// Whose voice comes in which of its slots.
    pub(crate) hears: [Option<Slot>; MAX_SLOTS],
    /// Shards that have somebody who hears it, as bits.
    pub(crate) towards: u64,
}

impl Stage {
    pub(crate) fn card(&self, slot: Slot) -> Option<&Card> {
        self.cards.iter().find(|card| card.slot == slot)
    }

    /// Shards that have members, as bits.
    pub(crate) fn shards(&self) -> u64 {
        self.cards
            .iter()
            .fold(0, |shards, card| shards | 1 << card.slot.shard())
    }

    pub(crate) fn view(&self) -> RoomView {
        let id_of = |slot: &Slot| self.card(*slot).map(|card| card.id.to_string());
        let view = |card: &Card| MemberView {
            session: card.id.to_string(),
            muted: card.muted,
            speaking: card.speaking,
            hears: match &card.wants {
                Wants::All => None,
                Wants::Only(ids) => Some(ids.iter().map(ToString::to_string).collect()),
            },
            hearing: card.hears.iter().flatten().filter_map(id_of).collect(),
        };
        RoomView {
            name: self.name.to_string(),
            members: self.cards.iter().map(view).collect(),
        }
    }
}

/// A room as it is told outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// Its name.
    pub name: String,
    /// The most audible first.
    pub members: Vec<MemberView>,
}

/// A member as it is told outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The session's id.
    pub session: String,
    /// Whether nobody hears it.
    pub muted: bool,
    /// Whether it speaks.
    pub speaking: bool,
    /// Whom it wants to hear; `None` for all.
    pub hears: Option<Vec<String>>,
    /// Whose voices are forwarded to it now.
    pub hearing: Vec<String>,
}
