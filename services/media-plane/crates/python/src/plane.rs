//! `MediaPlane`: the runtime's `Plane`, call for call.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use antiphon_runtime::{
    Answer, Candidate, LinkTls, MemberChange, OpenRequest, Plane, PlaneConfig, StunProbe, TakeOverRequest, Transport,
};
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
    /// Binds the ports and starts the shards. secret: 16 bytes. Raises OSError, ValueError.
    #[new]
    #[pyo3(signature = (*, edge, region, secret, hosts, port, tcp_port, advertise, steering, shards, capacity, stun_probe="padded"))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn new(
        py: Python<'_>,
        edge: String,
        region: String,
        secret: &[u8],
        hosts: Vec<String>,
        port: u16,
        tcp_port: Option<u16>,
        advertise: Vec<(String, String, u16)>,
        steering: Option<(String, u16)>,
        shards: usize,
        capacity: usize,
        stun_probe: &str,
    ) -> PyResult<Self> {
        let secret = secret
            .try_into()
            .map_err(|_| PyValueError::new_err("secret: 16 bytes are expected"))?;
        if !(1..=MOST_SHARDS).contains(&shards) {
            return Err(PyValueError::new_err(format!(
                "shards: 1 to {MOST_SHARDS} are expected, not {shards}"
            )));
        }
        let stun_probe = probing(stun_probe)?;
        py.detach(|| {
            let bind = hosts.iter().map(|host| resolve(host, port)).collect::<PyResult<_>>()?;
            let advertise = advertise.iter().map(candidate).collect::<PyResult<_>>()?;
            let steering = steering.map(|(host, port)| resolve(&host, port)).transpose()?;
            let config = PlaneConfig {
                edge,
                region,
                secret,
                bind,
                tcp_port,
                advertise,
                steering,
                stun_probe,
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

    /// The bound TCP port; None without one.
    #[getter]
    fn tcp_port(&self) -> Option<u16> {
        self.plane.tcp_port()
    }

    /// The bound UDP port for other edges' envelopes; None without one.
    #[getter]
    fn steering_port(&self) -> Option<u16> {
        self.plane.steering().map(|address| address.port())
    }

    /// What answers name, best first: (udp or tcp, address, port).
    #[getter]
    fn candidates(&self) -> Vec<(&'static str, String, u16)> {
        let candidates = self.plane.candidates().iter();
        candidates
            .map(|Candidate { address, transport }| (name_of(*transport), address.ip().to_string(), address.port()))
            .collect()
    }

    /// Takes where other edges take envelopes (address:port by edge id) as the whole truth; it holds until the next time.
    /// Addresses that make no sense are passed over and returned.
    fn set_edges(&self, py: Python<'_>, edges: BTreeMap<String, String>) -> Vec<String> {
        let mut refused = Vec::new();
        let mut known = Vec::new();
        for (edge, address) in edges {
            match address.parse() {
                Ok(parsed) => known.push((edge, parsed)),
                Err(_) => refused.push(edge),
            }
        }
        py.detach(|| self.plane.set_edges(known));
        refused
    }

    /// An eventfd that is readable while take_events has something.
    #[getter]
    fn event_fd(&self) -> i32 {
        self.plane.event_fd()
    }

    /// Returns (SDP answer, ufrag). The worker must be connected.
    #[pyo3(signature = (session, *, epoch, offer, agent, worker, metadata, caller, data_channel=None, room=None))]
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
        room: Option<&str>,
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
            room,
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

    /// Asks the caller of a session that no worker serves to come to another edge; False when the session is gone. Raises
    /// PermissionError, BlockingIOError.
    #[pyo3(signature = (session, *, epoch))]
    fn ask_to_move(&self, py: Python<'_>, session: &str, epoch: u64) -> PyResult<bool> {
        py.detach(|| self.plane.ask_to_move(session, epoch))
            .map_err(from_session)
    }

    /// Asks another worker to take over a session that has lost its own; False when the session is gone. Raises KeyError,
    /// ConnectionError, PermissionError, BlockingIOError.
    #[pyo3(signature = (session, *, epoch, agent, worker, metadata, caller))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn take_over(
        &self,
        py: Python<'_>,
        session: &str,
        epoch: u64,
        agent: &str,
        worker: &str,
        metadata: &str,
        caller: &str,
    ) -> PyResult<bool> {
        let request = TakeOverRequest {
            session,
            epoch,
            agent,
            worker,
            metadata,
            caller,
        };
        py.detach(|| self.plane.take_over(&request)).map_err(from_session)
    }

    /// A live session: state, setup_us (dict), quality (dict of floats), remote, security; None when gone.
    fn session_stats<'py>(&self, py: Python<'py>, session: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        py.detach(|| self.plane.session(session))
            .map(|snapshot| events::session(py, snapshot))
            .transpose()
    }

    /// Rooms with connected members: name, members (session, muted, speaking, hears, hearing).
    fn rooms<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let rooms = py.detach(|| self.plane.rooms());
        rooms.into_iter().map(|room| events::room(py, room)).collect()
    }

    /// Changes a member of a room; False when the session is in none. Raises PermissionError.
    #[pyo3(signature = (session, *, epoch, muted=None, hears_all=false, hears_only=None))]
    fn change_member(
        &self,
        py: Python<'_>,
        session: &str,
        epoch: u64,
        muted: Option<bool>,
        hears_all: bool,
        hears_only: Option<Vec<String>>,
    ) -> PyResult<bool> {
        let hears = if hears_all { Some(None) } else { hears_only.map(Some) };
        let change = MemberChange { muted, hears };
        py.detach(|| self.plane.change_member(session, epoch, change))
            .map_err(from_session)
    }

    /// Ids of live sessions.
    fn sessions(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.plane.sessions())
    }

    /// Dials workers with mutual TLS from now on. Raises ValueError where it cannot be used; then nothing changed.
    #[pyo3(signature = (*, certificate, key, authority, server_name))]
    fn set_link_tls(
        &self,
        py: Python<'_>,
        certificate: Vec<u8>,
        key: Vec<u8>,
        authority: Vec<u8>,
        server_name: String,
    ) -> PyResult<()> {
        let tls = LinkTls {
            certificate,
            key,
            authority,
            server_name,
        };
        py.detach(|| self.plane.set_link_tls(&tls))
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Signs what is dialled from now on with a secret that workers know.
    fn set_link_secret(&self, secret: &[u8]) {
        self.plane.set_link_secret(secret);
    }

    /// Keeps a link to a worker at host:port, redialling with back-off until disconnect_worker.
    fn connect_worker(&self, py: Python<'_>, worker: &str, target: &str) {
        py.detach(|| self.plane.connect_worker(worker, target));
    }

    /// Drops the link; its sessions are orphaned.
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

fn probing(policy: &str) -> PyResult<StunProbe> {
    match policy {
        "off" => Ok(StunProbe::Off),
        "padded" => Ok(StunProbe::Padded),
        "any" => Ok(StunProbe::Any),
        other => Err(PyValueError::new_err(format!(
            "stun_probe: off, padded or any is expected, not {other:?}"
        ))),
    }
}

fn candidate((transport, address, port): &(String, String, u16)) -> PyResult<Candidate> {
    let transport = match transport.as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        other => {
            return Err(PyValueError::new_err(format!(
                "advertise: {other:?} is neither udp nor tcp"
            )));
        }
    };
    let ip: IpAddr = address
        .parse()
        .map_err(|_| PyValueError::new_err(format!("advertise: {address:?} is no IP address")))?;
    Ok(Candidate {
        address: SocketAddr::new(ip, *port),
        transport,
    })
}

fn name_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}
