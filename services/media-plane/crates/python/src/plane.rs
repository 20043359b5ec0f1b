//! `MediaPlane`: the runtime's `Plane`, call for call.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use antiphon_runtime::{Answer, OpenRequest, Plane, PlaneConfig};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{from_session, from_start};
use crate::events::{self, EventTuple};

const MOST_SHARDS: usize = 64;

/// Shards, sessions and links of one edge process.
#[pyclass(frozen, module = "antiphon.edge._media")]
pub(crate) struct MediaPlane {
    plane: Plane,
}

#[pymethods]
impl MediaPlane {
    /// Binds the UDP port and starts the shards. secret: 16 bytes. Raises OSError.
    #[new]
    #[pyo3(signature = (*, edge, region, secret, host, port, advertise, shards, capacity))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn new(
        py: Python<'_>,
        edge: String,
        region: String,
        secret: &[u8],
        host: &str,
        port: u16,
        advertise: Vec<String>,
        shards: usize,
        capacity: usize,
    ) -> PyResult<Self> {
        let secret = secret
            .try_into()
            .map_err(|_| PyValueError::new_err("secret: 16 bytes are expected"))?;
        if !(1..=MOST_SHARDS).contains(&shards) {
            return Err(PyValueError::new_err(format!(
                "shards: 1 to {MOST_SHARDS} are expected, not {shards}"
            )));
        }
        py.detach(|| {
            let bind = resolve(host, port)?;
            let advertise = advertise
                .iter()
                .map(|text| parse_advertised(text))
                .collect::<PyResult<_>>()?;
            let config = PlaneConfig {
                edge,
                region,
                secret,
                bind,
                advertise,
                shards,
                capacity,
            };
            Ok(Self {
                plane: Plane::start(&config).map_err(|error| from_start(&error))?,
            })
        })
    }

    /// The bound UDP port.
    #[getter]
    fn port(&self) -> u16 {
        self.plane.address().port()
    }

    /// An eventfd that is readable while take_events has something.
    #[getter]
    fn event_fd(&self) -> i32 {
        self.plane.event_fd()
    }

    /// Returns (SDP answer, ufrag). The worker must be connected.
    #[pyo3(signature = (session, *, epoch, offer, agent, worker, metadata, caller, data_channel=None))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn open_session(
        &self,
        py: Python<'_>,
        session: &str,
        epoch: u64,
        offer: &str,
        agent: &str,
        worker: &str,
        metadata: &str,
        caller: &str,
        data_channel: Option<u16>,
    ) -> PyResult<(String, String)> {
        let request = OpenRequest {
            session,
            epoch,
            offer,
            agent,
            worker,
            metadata,
            caller,
            data_channel,
        };
        py.detach(|| self.plane.open(&request)).map(pair).map_err(from_session)
    }

    /// Returns (sdpfrag, ufrag). Raises KeyError, OfferRejected, PermissionError.
    #[pyo3(signature = (session, *, epoch, sdpfrag))]
    fn restart_ice(&self, py: Python<'_>, session: &str, epoch: u64, sdpfrag: &str) -> PyResult<(String, String)> {
        py.detach(|| self.plane.restart_ice(session, epoch, sdpfrag))
            .map(pair)
            .map_err(from_session)
    }

    /// Ends a session; False when it is gone already. Raises PermissionError.
    #[pyo3(signature = (session, *, epoch, reason))]
    fn close_session(&self, py: Python<'_>, session: &str, epoch: u64, reason: &str) -> PyResult<bool> {
        py.detach(|| self.plane.close_session(session, epoch, reason))
            .map_err(from_session)
    }

    /// A live session: state, setup_us (dict), quality (dict of floats), remote, security; None when gone.
    fn session_stats<'py>(&self, py: Python<'py>, session: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        py.detach(|| self.plane.session(session))
            .map(|snapshot| events::session(py, snapshot))
            .transpose()
    }

    /// Ids of live sessions.
    fn sessions(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.plane.sessions())
    }

    /// Keeps a link to a worker at host:port, redialling with back-off until disconnect_worker.
    fn connect_worker(&self, py: Python<'_>, worker: &str, target: &str) {
        py.detach(|| self.plane.connect_worker(worker, target));
    }

    /// Drops the link; its sessions close with reason worker.
    fn disconnect_worker(&self, py: Python<'_>, worker: &str) {
        py.detach(|| self.plane.disconnect_worker(worker));
    }

    /// Links by worker id.
    fn workers<'py>(&self, py: Python<'py>) -> PyResult<BTreeMap<String, Bound<'py, PyDict>>> {
        let workers = py.detach(|| self.plane.workers());
        workers
            .into_iter()
            .map(|(name, status)| Ok((name, events::worker(py, status)?)))
            .collect()
    }

    /// Events since the last call: (kind, session or worker id, details).
    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Vec<EventTuple<'py>>> {
        let events = py.detach(|| self.plane.take_events());
        events.into_iter().map(|event| events::event(py, event)).collect()
    }

    /// All counters of shards and links, summed, by name.
    fn counters(&self, py: Python<'_>) -> BTreeMap<&'static str, u64> {
        py.detach(|| self.plane.counters())
    }

    /// Entries of the shards' tables, summed, by name; some seconds old.
    fn tables(&self, py: Python<'_>) -> BTreeMap<&'static str, usize> {
        py.detach(|| self.plane.tables())
    }

    /// Closes all sessions with BYE and stops the threads. Blocks up to a second.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.plane.close());
    }
}

fn pair(answer: Answer) -> (String, String) {
    (answer.sdp, answer.ufrag)
}

fn resolve(host: &str, port: u16) -> PyResult<SocketAddr> {
    let unknown = |why: String| PyOSError::new_err(format!("cannot receive media on {host}: {why}"));
    let mut addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?;
    addresses
        .next()
        .ok_or_else(|| unknown("the name has no address".into()))
}

/// `address:port`, or an address alone for the bound port.
fn parse_advertised(text: &str) -> PyResult<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = text
        .parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)));
    address.map_err(|_| PyValueError::new_err(format!("advertise: {text:?} is no address, or address:port")))
}
