//! Events, snapshots and links as Python's tuples and dicts.

use antiphon_runtime::{EdgeEvent, MemberView, RoomView, Snapshot, WorkerStatus};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// (kind, session or worker id, details)
pub(crate) type EventTuple<'py> = (&'static str, String, Bound<'py, PyDict>);

pub(crate) fn event(py: Python<'_>, event: EdgeEvent) -> PyResult<EventTuple<'_>> {
    let details = PyDict::new(py);
    let (kind, id) = match event {
        EdgeEvent::SessionConnected {
            session,
            epoch,
            setup_us,
            security,
            remote,
        } => {
            details.set_item("epoch", epoch)?;
            details.set_item("setup_us", setup_us)?;
            details.set_item("security", security)?;
            details.set_item("remote", remote)?;
            ("session_connected", session)
        }
        EdgeEvent::SessionMoved {
            session,
            epoch,
            remote,
            gap_us,
        } => {
            details.set_item("epoch", epoch)?;
            details.set_item("remote", remote)?;
            details.set_item("gap_us", gap_us)?;
            ("session_moved", session)
        }
        EdgeEvent::SessionClosed {
            session,
            epoch,
            reason,
            setup_us,
            quality,
        } => {
            details.set_item("epoch", epoch)?;
            details.set_item("reason", reason)?;
            details.set_item("setup_us", setup_us)?;
            details.set_item("quality", quality)?;
            ("session_closed", session)
        }
        EdgeEvent::SessionOrphaned { session, epoch, reason } => {
            details.set_item("epoch", epoch)?;
            details.set_item("reason", reason)?;
            ("session_orphaned", session)
        }
        EdgeEvent::SessionTaken {
            session,
            epoch,
            number,
            gap_us,
            frames,
        } => {
            details.set_item("epoch", epoch)?;
            details.set_item("number", number)?;
            details.set_item("gap_us", gap_us)?;
            details.set_item("frames", frames)?;
            ("session_taken", session)
        }
        EdgeEvent::LinkUp { worker } => ("link_up", worker),
        EdgeEvent::LinkDown { worker, reason } => {
            details.set_item("reason", reason)?;
            ("link_down", worker)
        }
    };
    Ok((kind, id, details))
}

pub(crate) fn session(py: Python<'_>, snapshot: Snapshot) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("state", snapshot.state)?;
    dict.set_item("setup_us", snapshot.setup_us)?;
    dict.set_item("quality", snapshot.quality)?;
    dict.set_item("remote", snapshot.remote.map(|remote| remote.to_string()))?;
    dict.set_item("security", snapshot.security)?;
    Ok(dict)
}

pub(crate) fn room(py: Python<'_>, room: RoomView) -> PyResult<Bound<'_, PyDict>> {
    let members: Vec<_> = room
        .members
        .into_iter()
        .map(|one| member(py, one))
        .collect::<PyResult<_>>()?;
    let dict = PyDict::new(py);
    dict.set_item("name", room.name)?;
    dict.set_item("members", members)?;
    Ok(dict)
}

fn member(py: Python<'_>, member: MemberView) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("session", member.session)?;
    dict.set_item("muted", member.muted)?;
    dict.set_item("speaking", member.speaking)?;
    dict.set_item("hears", member.hears)?;
    dict.set_item("hearing", member.hearing)?;
    Ok(dict)
}

pub(crate) fn worker(py: Python<'_>, status: WorkerStatus) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("connected", status.link.connected)?;
    dict.set_item("rtt_ms", status.link.rtt_us.map(|us| us / 1_000.0))?;
    dict.set_item("sessions", status.sessions)?;
    dict.set_item("target", status.target)?;
    dict.set_item("error", status.link.error)?;
    Ok(dict)
}
