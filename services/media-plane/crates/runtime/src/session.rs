//! What the runtime knows of a session besides the engine's part.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_engine::{Remote, Session, SessionStats, Time};

use crate::kept::Kept;
use crate::rooms::{Membership, Place};
use crate::slot::Slot;

/// Who a session is, and which link carries it.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) slot: Slot,
    pub(crate) id: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) link: u32,
    /// Which coming-up of the link it was opened on.
    pub(crate) incarnation: u32,
    /// The room that it is in.
    pub(crate) room: Option<Membership>,
    /// How long the answer took to make, in microseconds.
    pub(crate) answer_us: u64,
}

/// Whether a session has a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Its tenant's link, or none where it needs none.
    Served,
    /// Its worker is lost; until then somebody may name another.
    Lost { until: Time },
    /// Another one is asked, and answers until then.
    Asked { link: u32, incarnation: u32, until: Time },
}

/// A session in its shard.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) tenant: Tenant,
    pub(crate) session: Box<Session>,
    /// The deadline that the wheel holds for it; [`Time::NEVER`] when none.
    pub(crate) scheduled: Time,
    /// Its datagrams that wait for their turn, while it is not connected.
    pub(crate) waiting: u8,
    /// Its place in its room, once it is connected.
    pub(crate) place: Option<Place>,
    /// Its handshake was let begin.
    pub(crate) may_begin: bool,
    pub(crate) service: Service,
    /// When its worker was lost.
    pub(crate) lost_at: Time,
    /// How many workers were asked to take it over.
    pub(crate) takeovers: u32,
    /// The caller's frames of the last seconds, for such a worker.
    pub(crate) kept: Kept,
}

impl Seat {
    pub(crate) fn new(tenant: Tenant, session: Box<Session>) -> Self {
        Self {
            tenant,
            session,
            scheduled: Time::NEVER,
            waiting: 0,
            place: None,
            may_begin: false,
            service: Service::Served,
            lost_at: Time(0),
            takeovers: 0,
            kept: Kept::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.session.stats(), self.tenant.answer_us)
    }
}

/// What can be told of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// new, connecting, connected or closed.
    pub state: &'static str,
    /// Steps of the set-up in microseconds since the offer, by name.
    pub setup_us: BTreeMap<&'static str, u64>,
    /// Counts and measurements, by name.
    pub quality: BTreeMap<&'static str, f64>,
    /// The caller's address that media goes to.
    pub remote: Option<Remote>,
    /// DTLS version and SRTP profile, once connected.
    pub security: Option<String>,
}

impl Snapshot {
    fn new(stats: &SessionStats, answer_us: u64) -> Self {
        let mut setup_us: BTreeMap<_, _> = stats.setup.steps().collect();
        setup_us.insert("answer", answer_us);
        Self {
            state: stats.state.as_str(),
            setup_us,
            quality: stats.quality().collect(),
            remote: stats.remote,
            security: stats.security.clone(),
        }
    }
}
