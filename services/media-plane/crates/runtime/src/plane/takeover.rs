//! Naming another worker for a session that has lost its own: who that is, was decided elsewhere.

use antiphon_link::proto::SessionOpened;

use super::{Plane, SessionError};
use crate::mailbox::Mail;

/// A session, and the worker that shall have it.
#[derive(Clone, Debug)]
pub struct TakeOverRequest<'a> {
    /// The session's id.
    pub session: &'a str,
    /// Fencing token: the session's own.
    pub epoch: u64,
    /// The agent that shall talk.
    pub agent: &'a str,
    /// The worker that runs it, as named to [`Plane::connect_worker`].
    pub worker: &'a str,
    /// The application's metadata, a JSON object.
    pub metadata: &'a str,
    /// The caller's address as signaling saw it.
    pub caller: &'a str,
}

impl Plane {
    /// Asks another worker to take over a session whose own is lost. What comes of it is an event: [`SessionTaken`] or, again,
    /// [`SessionOrphaned`]; none where the session has a worker. Returns false when it is gone.
    ///
    /// [`SessionTaken`]: crate::EdgeEvent::SessionTaken
    /// [`SessionOrphaned`]: crate::EdgeEvent::SessionOrphaned
    ///
    /// # Errors
    /// [`SessionError`]
    pub fn take_over(&self, request: &TakeOverRequest<'_>) -> Result<bool, SessionError> {
        let Some(live) = self.find(request.session, request.epoch)? else {
            return Ok(false);
        };
        let standing = self.link_of(request.worker)?;
        let opened = SessionOpened {
            session: live.slot.0,
            id: request.session.into(),
            epoch: request.epoch,
            agent: request.agent.into(),
            metadata: request.metadata.into(),
            caller: request.caller.into(),
            room: String::new(), // its shard knows
            takeover: None,      // and this
        };
        let mail = Mail::TakeOver {
            slot: live.slot,
            link: standing.number,
            incarnation: standing.incarnation,
            opened: Box::new(opened),
        };
        self.post(live.slot, mail).map_err(|()| SessionError::Full)?;
        Ok(true)
    }
}
