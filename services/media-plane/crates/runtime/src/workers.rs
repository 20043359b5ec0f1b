//! The workers that an edge keeps links to, and the way from a link to the shards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use antiphon_link::proto::control_response::Message;
use antiphon_link::proto::{MediaResponse, SessionAccepted, SessionRefused};
use antiphon_link::{Identity, Link, LinkStatus, Links, Sink, Up};

use crate::counters::ShardCounters;
use crate::events::{EdgeEvent, Events};
use crate::mailbox::{Mail, Mailbox};
use crate::rooms::{MemberChange, RoomMail};
use crate::slot::Slot;

/// What can be told of a link.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    /// Up, round trip, last error.
    pub link: LinkStatus,
    /// Sessions that it carries.
    pub sessions: usize,
    /// host:port.
    pub target: String,
}

/// All links of an edge.
#[derive(Debug)]
pub(crate) struct Workers {
    identity: Identity,
    mailboxes: Arc<[Mailbox]>,
    events: Arc<Events>,
    counters: Arc<ShardCounters>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: BTreeMap<String, Worker>,
    next: u32,
}

#[derive(Debug)]
struct Worker {
    number: u32,
    link: Link,
    route: Arc<Route>,
}

/// A link that takes sessions.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) number: u32,
    pub(crate) incarnation: u32,
    pub(crate) up: Up,
}

/// Why a worker takes no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotStanding {
    Unknown,
    Down(String),
}

impl Workers {
    pub(crate) fn new(
        identity: Identity,
        mailboxes: Arc<[Mailbox]>,
        events: Arc<Events>,
        counters: Arc<ShardCounters>,
    ) -> Self {
        Self {
            identity,
            mailboxes,
            events,
            counters,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dials, unless a link to that target is kept already. A new target replaces the old link.
    pub(crate) fn connect(&self, links: &Links, name: &str, target: &str) {
        let mut known = self.known();
        if known
            .by_name
            .get(name)
            .is_some_and(|worker| worker.link.target() == target)
        {
            return;
        }
        let number = known.next;
        known.next = number.wrapping_add(1);
        let route = Arc::new(Route {
            name: name.into(),
            number,
            mailboxes: self.mailboxes.clone(),
            events: self.events.clone(),
            counters: self.counters.clone(),
            standing: Mutex::default(),
        });
        let link = links.connect(self.identity.clone(), name.into(), target.into(), route.clone());
        let replaced = known.by_name.insert(name.into(), Worker { number, link, route });
        drop(known);
        if let Some(worker) = replaced {
            worker.end();
        }
    }

    /// Returns false when the worker is not known.
    pub(crate) fn disconnect(&self, name: &str) -> bool {
        let removed = self.known().by_name.remove(name);
        removed.map(Worker::end).is_some()
    }

    pub(crate) fn standing(&self, name: &str) -> Result<Standing, NotStanding> {
        let known = self.known();
        let worker = known.by_name.get(name).ok_or(NotStanding::Unknown)?;
        let state = worker.route.state();
        match &state.up {
            Some(up) => Ok(Standing {
                number: worker.number,
                incarnation: state.incarnation,
                up: up.clone(),
            }),
            None => {
                let reason = worker.link.status().error;
                Err(NotStanding::Down(
                    reason.unwrap_or_else(|| "it is being dialled".into()),
                ))
            }
        }
    }

    pub(crate) fn status(&self, sessions: impl Fn(u32) -> usize) -> BTreeMap<String, WorkerStatus> {
        let known = self.known();
        let status = |worker: &Worker| WorkerStatus {
            link: worker.link.status(),
            sessions: sessions(worker.number),
            target: worker.link.target().into(),
        };
        known
            .by_name
            .iter()
            .map(|(name, worker)| (name.clone(), status(worker)))
            .collect()
    }

    /// Whether all that was to be said on the links is on its way.
    pub(crate) fn all_said(&self) -> bool {
        let known = self.known();
        known
            .by_name
            .values()
            .all(|worker| worker.route.state().up.as_ref().is_none_or(|up| up.control.is_empty()))
    }
}

impl Worker {
    fn end(self) {
        drop(self.link);
        if self.route.state().up.take().is_some() {
            self.route.post_all(|| Mail::LinkDown {
                link: self.route.number,
            });
        }
    }
}

/// From one link to the shards.
#[derive(Debug)]
struct Route {
    name: String,
    number: u32,
    mailboxes: Arc<[Mailbox]>,
    events: Arc<Events>,
    counters: Arc<ShardCounters>,
    standing: Mutex<RouteState>,
}

#[derive(Debug, Default)]
struct RouteState {
    up: Option<Up>,
    incarnation: u32,
}

impl Route {
    fn state(&self) -> MutexGuard<'_, RouteState> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Links come and go seldom: these messages wait for room rather than get lost.
    fn post_all(&self, mail: impl Fn() -> Mail) {
        for mailbox in self.mailboxes.iter() {
            mailbox.post_patiently(mail());
        }
    }

    fn announce(&self, event: EdgeEvent) {
        if !self.events.push(event) {
            self.counters.drop_events.add_shared(1);
        }
    }

    fn mailbox(&self, session: u32) -> Option<&Mailbox> {
        self.mailboxes.get(Slot(session).shard())
    }

    /// Which shards a message concerns, as bits.
    fn shards_of(&self, message: &MediaResponse) -> u64 {
        if self.mailboxes.len() == 1 {
            return 1;
        }
        let frames = message.frames.iter().flat_map(|columns| &columns.session);
        let commands = message.commands.iter().flat_map(|columns| &columns.session);
        let receipts = message.receipts.iter().flat_map(|columns| &columns.session);
        frames.chain(commands).chain(receipts).fold(0, |shards, session| {
            shards | 1_u64.checked_shl(session >> 24).unwrap_or(0)
        })
    }
}

impl Sink for Route {
    fn up(&self, up: Up) {
        let mut state = self.state();
        state.incarnation = state.incarnation.wrapping_add(1);
        state.up = Some(up.clone());
        let incarnation = state.incarnation;
        drop(state);
        self.post_all(|| Mail::LinkUp {
            link: self.number,
            incarnation,
            up: up.clone(),
        });
        self.announce(EdgeEvent::LinkUp {
            worker: self.name.clone(),
        });
    }

    fn down(&self, reason: &str) {
        self.state().up = None;
        self.post_all(|| Mail::LinkDown { link: self.number });
        self.announce(EdgeEvent::LinkDown {
            worker: self.name.clone(),
            reason: reason.into(),
        });
    }

    fn pace(&self, gather_us: u32) {
        self.post_all(|| Mail::Pace {
            link: self.number,
            gather_us,
        });
    }

    fn control(&self, message: &Message) -> bool {
        let (session, mail) = match message {
            Message::Refused(SessionRefused { session, .. }) | Message::Accepted(SessionAccepted { session }) => (
                *session,
                Mail::Answered {
                    slot: Slot(*session),
                    link: self.number,
                    accepted: matches!(message, Message::Accepted(_)),
                },
            ),
            Message::HangUp(hang_up) => (
                hang_up.session,
                Mail::HangUp {
                    slot: Slot(hang_up.session),
                    link: self.number,
                    reason: hang_up_reason(&hang_up.reason),
                    after_playout: hang_up.after_playout,
                },
            ),
            Message::Data(data) => (
                data.session,
                Mail::Data {
                    slot: Slot(data.session),
                    link: self.number,
                    label: data.label.clone(),
                    binary: data.binary,
                    payload: data.payload.clone(),
                },
            ),
            Message::Policy(policy) => (
                policy.session,
                Mail::Policy {
                    slot: Slot(policy.session),
                    link: self.number,
                    hold_on_voice: policy.hold_on_voice,
                },
            ),
            Message::Member(member) => (
                member.session,
                Mail::Room(RoomMail::Change {
                    slot: Slot(member.session),
                    link: Some(self.number),
                    change: MemberChange {
                        muted: member.muted,
                        hears: None,
                    },
                    reply: None,
                }),
            ),
            Message::Welcome(_) | Message::Ping(_) | Message::Pong(_) | Message::Pace(_) => return true,
        };
        // A handle of a shard that doesn't exist is nobody's: nothing to wait for.
        self.mailbox(session).is_none_or(|mailbox| mailbox.post(mail).is_ok())
    }

    fn media(&self, message: &Arc<MediaResponse>) -> bool {
        let shards = self.shards_of(message);
        let concerned = || {
            let mailboxes = self.mailboxes.iter().enumerate();
            mailboxes
                .filter(move |(number, _)| shards & 1 << number != 0)
                .map(|(_, mailbox)| mailbox)
        };
        if !concerned().all(Mailbox::has_room) {
            return false;
        }
        for mailbox in concerned() {
            // Room was just seen, and links share it with few others; waiting here is for the improbable.
            mailbox.post_patiently(Mail::Media {
                link: self.number,
                message: message.clone(),
            });
        }
        true
    }
}

/// What the end of a session is called when its worker asks for it. An agent's own words are a `hangup` like any other.
fn hang_up_reason(said: &str) -> &'static str {
    // A caller's bye reaches the edge as data, which only the worker reads.
    ["bye", "error", "worker"]
        .into_iter()
        .find(|known| *known == said)
        .unwrap_or("hangup")
}
