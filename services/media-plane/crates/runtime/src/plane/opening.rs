//! Opening a session: its place, its room, its worker, its answer.

use std::sync::Arc;

use antiphon_engine::{OpenSession, Session, Time};
use antiphon_link::monotonic_us;
use antiphon_link::proto::control_request::Message;
use antiphon_link::proto::{SessionClosed, SessionOpened};

use super::{Plane, SessionError, stale};
use crate::mailbox::Mail;
use crate::registry::{Live, NoPlace};
use crate::rooms::NO_LINK;
use crate::session::Tenant;
use crate::slot::Slot;
use crate::workers::{NotStanding, Standing};

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct OpenRequest<'a> {
    /// The session's id.
    pub session: &'a str,
    /// Fencing token.
    pub epoch: u64,
    /// SDP.
    pub offer: &'a str,
    /// The agent that shall talk.
    pub agent: &'a str,
    /// The worker that runs it, as named to [`Plane::connect_worker`]; empty for a session in a room without an agent.
    pub worker: &'a str,
    /// The application's metadata, a JSON object.
    pub metadata: &'a str,
    /// The caller's address as signaling saw it.
    pub caller: &'a str,
    /// Stream id of a negotiated data channel.
    pub data_channel: Option<u16>,
    /// The room that it joins.
    pub room: Option<&'a str>,
}

/// An answer, and the ufrag in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// SDP, or a fragment of it.
    pub sdp: String,
    /// The sealed ufrag.
    pub ufrag: String,
}

impl Answer {
    pub(super) fn new(sdp: String) -> Self {
        let ufrag = sdp
            .lines()
            .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
            .unwrap_or_default()
            .trim()
            .into();
        Self { sdp, ufrag }
    }
}

impl Plane {
    /// Answers an offer. The session lives from here on, and its worker knows it.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn open(&self, request: &OpenRequest<'_>) -> Result<Answer, SessionError> {
        let standing = self.standing(request)?;
        let link = standing.as_ref().map_or(NO_LINK, |standing| standing.number);
        let id: Arc<str> = request.session.into();
        let (slot, replaced) = self.registry.admit(&id, request.epoch, link).map_err(|why| match why {
            NoPlace::Full => SessionError::Full,
            NoPlace::Stale(seen) => stale(request.session, request.epoch, seen),
        })?;
        let opened = self.enter(request, slot, &id, standing.as_ref());
        if opened.is_err() {
            self.registry.withdraw(&id, slot);
        }
        if let Some(Live { slot, .. }) = replaced {
            self.close_slot(slot, "moved");
        }
        opened
    }

    /// The link of a session's worker; `None` where it needs none.
    fn standing(&self, request: &OpenRequest<'_>) -> Result<Option<Standing>, SessionError> {
        if request.worker.is_empty() && request.room.is_some() {
            return Ok(None);
        }
        self.link_of(request.worker).map(Some)
    }

    /// The link of a worker, which must be up.
    pub(super) fn link_of(&self, worker: &str) -> Result<Standing, SessionError> {
        self.workers.standing(worker).map_err(|why| match why {
            NotStanding::Unknown => SessionError::UnknownWorker(worker.into()),
            NotStanding::Down(reason) => SessionError::LinkDown {
                worker: worker.into(),
                reason,
            },
        })
    }

    /// Makes the session, and its place in its room.
    fn enter(
        &self,
        request: &OpenRequest<'_>,
        slot: Slot,
        id: &Arc<str>,
        standing: Option<&Standing>,
    ) -> Result<Answer, SessionError> {
        let (session, sdp, answer_us) = self.answer(request, slot)?;
        let full = |name: &str| SessionError::RoomFull(name.into());
        let join = |name| self.rooms.join(name).ok_or_else(|| full(name));
        let membership = request.room.map(join).transpose()?;
        let tenant = Tenant {
            slot,
            id: id.clone(),
            epoch: request.epoch,
            link: standing.map_or(NO_LINK, |standing| standing.number),
            incarnation: standing.map_or(0, |standing| standing.incarnation),
            room: membership.clone(),
            answer_us,
        };
        let entered = self.introduce(request, slot, standing).and_then(|()| {
            let opened = self.post(slot, Mail::Open(Box::new(tenant), Box::new(session)));
            opened.map_err(|()| {
                // Its worker has heard of it already.
                let over = SessionClosed {
                    session: slot.0,
                    reason: "error".into(),
                };
                let _down = standing.map(|standing| standing.up.control.push(Message::Closed(over)));
                SessionError::Full
            })
        });
        if let (Err(_), Some(membership)) = (&entered, &membership) {
            self.rooms.leave(membership);
        }
        entered.map(|()| Answer::new(sdp))
    }

    /// Tells the session's worker of it.
    fn introduce(
        &self,
        request: &OpenRequest<'_>,
        slot: Slot,
        standing: Option<&Standing>,
    ) -> Result<(), SessionError> {
        let Some(standing) = standing else { return Ok(()) };
        let hello = SessionOpened {
            session: slot.0,
            id: request.session.into(),
            epoch: request.epoch,
            agent: request.agent.into(),
            metadata: request.metadata.into(),
            caller: request.caller.into(),
            room: request.room.unwrap_or_default().into(),
            takeover: None,
        };
        let told = standing.up.control.push(Message::Opened(hello));
        told.map_err(|_| SessionError::LinkDown {
            worker: request.worker.into(),
            reason: "it just went down".into(),
        })
    }

    fn answer(&self, request: &OpenRequest<'_>, slot: Slot) -> Result<(Session, String, u64), SessionError> {
        let open = OpenSession {
            offer: request.offer,
            slot: slot.0,
            epoch: request.epoch,
            data_channel: request.data_channel,
            room: request.room.is_some(),
        };
        let begun = monotonic_us();
        let (session, sdp) = Session::accept(&self.config, &open, Time(begun))?;
        Ok((session, sdp, monotonic_us() - begun))
    }
}
