//! An ICE-lite agent (RFC 8445 2.5): answers checks, keeps the paths that passed one, and knows which of them media takes.
//!
//! It is always controlled. Nothing changes before MESSAGE-INTEGRITY is verified.

#[cfg(test)]
mod tests;
mod transactions;

use std::time::Duration;

use crate::few::Few;
use crate::remote::Remote;
use crate::sdp::Credentials;
use crate::stun::{BindingRequest, ErrorCode, MAX_RESPONSE, Role, write_error, write_success};
use crate::time::Time;
use crate::ufrag::{Password, UfragText};

use transactions::Transactions;

/// Most paths that are remembered; the one that was silent longest makes room.
const MAX_PATHS: usize = 8;
/// Within this time of the first nomination a peer may nominate aggressively (RFC 5245 8.1.1.2): the higher priority wins.
const AGGRESSIVE: Duration = Duration::from_secs(2);
/// A selected path that was silent for longer yields to a newly nominated one.
const SILENT: Duration = Duration::from_secs(1);
/// RFC 7675: consent to send expires.
const CONSENT: Duration = Duration::from_secs(30);

/// The edge's half of the credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) ufrag: UfragText,
    pub(crate) password: Password,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    remote: Remote,
    priority: u32,
    checked: Time,
    heard: Time,
}

/// What authentic media led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// It selected another path than before.
    pub(crate) moved: bool,
    /// It is the first that came over the path that was selected last; for so long there was none.
    pub(crate) gap: Option<Duration>,
}

/// What a check led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Bytes of the response; 0 when there is none.
    pub(crate) response: usize,
    /// It was valid.
    pub(crate) valid: bool,
    /// It was sent before, from another address: somebody repeats what they saw.
    pub(crate) replayed: bool,
    /// It selected another path than before.
    pub(crate) moved: bool,
}

const DROPPED: Checked = Checked {
    response: 0,
    valid: false,
    replayed: false,
    moved: false,
};

#[derive(Debug)]
pub(crate) struct Agent {
    local: Local,
    remote_ufrag: String,
    /// Until the first check under new credentials, those before a restart hold.
    previous: Option<(Local, String)>,
    /// The selected one stands first.
    paths: Few<Path>,
    is_selected: bool,
    first_nomination: Option<Time>,
    /// When authentic media came last, over any path.
    media_at: Option<Time>,
    /// The selected path is new, and no media came over it yet.
    awaits_media: bool,
    transactions: Transactions,
}

impl Agent {
    pub(crate) fn new(local: Local, remote: &Credentials) -> Self {
        Self {
            local,
            remote_ufrag: remote.ufrag.clone(),
            previous: None,
            paths: Few::default(),
            is_selected: false,
            first_nomination: None,
            media_at: None,
            awaits_media: false,
            transactions: Transactions::default(),
        }
    }

    /// RFC 8445 9: media goes on over the old path until a check under the new credentials nominates one.
    pub(crate) fn restart(&mut self, local: Local, remote: &Credentials) {
        let old_ufrag = std::mem::replace(&mut self.remote_ufrag, remote.ufrag.clone());
        let old = std::mem::replace(&mut self.local, local);
        self.previous.get_or_insert((old, old_ufrag));
    }

    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    /// Answers a check.
    pub(crate) fn check(
        &mut self,
        now: Time,
        from: Remote,
        datagram: &[u8],
        response: &mut [u8; MAX_RESPONSE],
    ) -> Checked {
        let Ok(request) = BindingRequest::parse(datagram) else {
            return DROPPED;
        };
        let Some((password, renewed)) = self.authenticate(&request) else {
            return DROPPED;
        };
        let transaction = &request.transaction;
        let unknown = request.unknown_attributes();
        if !unknown.is_empty() {
            let length = write_error(
                response,
                transaction,
                ErrorCode::UnknownAttribute,
                unknown,
                Some(password.as_bytes()),
            );
            return Checked {
                response: length,
                ..DROPPED
            };
        }
        // RFC 8445 7.3.1.1: a lite agent never takes the controlling role, so the peer has to change.
        if matches!(request.role, Some(Role::Controlled(_))) {
            let length = write_error(
                response,
                transaction,
                ErrorCode::RoleConflict,
                &[],
                Some(password.as_bytes()),
            );
            return Checked {
                response: length,
                ..DROPPED
            };
        }
        if !self.transactions.accept(transaction, from) {
            return Checked {
                replayed: true,
                ..DROPPED
            };
        }
        if renewed && self.previous.take().is_some() {
            self.first_nomination = None;
        }
        let path = self.remember(now, from, request.priority.unwrap_or(0));
        let moved = request.use_candidate && self.nominate(now, path);
        Checked {
            response: write_success(response, transaction, from.address, password.as_bytes()),
            valid: true,
            replayed: false,
            moved,
        }
    }

    /// The password that the check holds under, and whether it is of the newest credentials.
    fn authenticate(&self, request: &BindingRequest<'_>) -> Option<(Password, bool)> {
        let (local, remote) = (request.local_ufrag()?, request.remote_ufrag()?);
        let current = (&self.local, &self.remote_ufrag, true);
        let previous = self.previous.as_ref().map(|(local, remote)| (local, remote, false));
        std::iter::once(current)
            .chain(previous)
            .find(|(ours, theirs, _)| ours.ufrag.as_bytes() == local && theirs.as_bytes() == remote)
            .filter(|(ours, ..)| request.verify(ours.password.as_bytes()))
            .map(|(ours, _, renewed)| (ours.password, renewed))
    }

    fn remember(&mut self, now: Time, from: Remote, priority: u32) -> usize {
        let known = self.paths.position(|path| path.remote == from);
        let path = Path {
            remote: from,
            priority,
            checked: now,
            heard: now,
        };
        match known {
            Some(index) => {
                self.paths[index] = path;
                index
            }
            None if self.paths.len() < MAX_PATHS => self.paths.push(path),
            None => {
                let oldest = (usize::from(self.is_selected)..self.paths.len())
                    .min_by_key(|index| self.paths[*index].heard)
                    .unwrap_or(0);
                self.paths[oldest] = path;
                oldest
            }
        }
    }

    fn nominate(&mut self, now: Time, path: usize) -> bool {
        if !self.is_selected {
            return self.select(now, path);
        }
        if path == 0 {
            self.first_nomination.get_or_insert(now);
            return false;
        }
        let wins = match self.first_nomination {
            None => true,
            Some(first) if now.since(first) <= AGGRESSIVE => self.paths[path].priority > self.paths[0].priority,
            Some(_) => now.since(self.paths[0].heard) > SILENT,
        };
        wins && self.select(now, path)
    }

    fn select(&mut self, now: Time, path: usize) -> bool {
        self.first_nomination.get_or_insert(now);
        let moved = !std::mem::replace(&mut self.is_selected, true) || path != 0;
        self.paths.put_first(path);
        self.awaits_media |= moved && self.media_at.is_some();
        moved
    }

    /// Whether media and DTLS are taken from this address.
    pub(crate) fn is_verified(&self, from: Remote) -> bool {
        self.paths.position(|path| path.remote == from).is_some()
    }

    /// When an authentic check, or media, last came from there.
    pub(crate) fn heard_from(&self, remote: Remote) -> Option<Time> {
        let path = self.paths.iter().find(|path| path.remote == remote);
        path.map(|path| path.heard)
    }

    /// Authentic media came from a verified address; the `newest` packet of the stream moves the session there.
    pub(crate) fn media(&mut self, now: Time, from: Remote, newest: bool) -> Heard {
        let before = self.media_at.replace(now);
        let moved = self.follow(now, from, newest);
        let arrived = self.awaits_media && self.selected() == Some(from);
        self.awaits_media &= !arrived;
        Heard {
            moved,
            gap: before.filter(|_| arrived).map(|before| now.since(before)),
        }
    }

    fn follow(&mut self, now: Time, from: Remote, newest: bool) -> bool {
        let Some(index) = self.paths.position(|path| path.remote == from) else {
            return false;
        };
        self.paths[index].heard = now;
        if !newest || (self.is_selected && index == 0) {
            return false;
        }
        // The caller is there and wants media there, whenever it checked this path last.
        self.paths[index].checked = now;
        self.select(now, index)
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        let path = self.paths.first();
        path.map_or(0, |path| path.heard.0 ^ u64::from(path.remote.address.port())) ^ self.media_at.map_or(0, |at| at.0)
    }

    fn selected_path(&self) -> Option<&Path> {
        self.paths.first().filter(|_| self.is_selected)
    }

    /// Where to send: the selected path.
    pub(crate) fn selected(&self) -> Option<Remote> {
        self.selected_path().map(|path| path.remote)
    }

    /// When consent to send expires, unless another check comes: over the selected path, or over any while none is selected.
    pub(crate) fn consent_expires(&self) -> Option<Time> {
        let checked = match self.selected_path() {
            Some(path) => Some(path.checked),
            None => self.paths.iter().map(|path| path.checked).max(),
        };
        checked.map(|at| at + CONSENT)
    }
}
