//! The Python surface of the native callers: `antiphon.callers._callers`, as `_callers.pyi` describes it.
//!
//! Calls release the GIL and return at once. No media packet comes by here.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use antiphon_caller::connection::CallError;
use antiphon_caller::voice::{self, Clip, Frame, Happened, Impairment, Totals, Wish};
use pyo3::exceptions::{PyConnectionError, PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

const MOST_THREADS: usize = 64;

/// (call, kind, ms, text)
type EventTuple = (u32, &'static str, f64, String);

/// Callers that talk, on threads of their own.
#[pyclass(frozen, module = "antiphon.callers._callers")]
struct Callers {
    callers: voice::Callers,
    clips: Mutex<Vec<Arc<Clip>>>,
}

#[pymethods]
impl Callers {
    /// Starts the threads. bind: the IPv4 address of the callers' sockets. Raises OSError, ValueError.
    #[new]
    #[pyo3(signature = (*, bind, threads))]
    fn new(py: Python<'_>, bind: &str, threads: usize) -> PyResult<Self> {
        let bind: IpAddr = bind
            .parse()
            .ok()
            .filter(IpAddr::is_ipv4)
            .ok_or_else(|| PyValueError::new_err(format!("bind: {bind:?} is no IPv4 address")))?;
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(PyValueError::new_err(format!(
                "threads: 1 to {MOST_THREADS} are expected, not {threads}"
            )));
        }
        let callers = py
            .detach(|| voice::Callers::start(bind, threads))
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self {
            callers,
            clips: Mutex::default(),
        })
    }

    /// Takes something to say: Opus packets of 20 ms with levels (0 to 127, in -dBov). Returns its number. Raises ValueError.
    fn add_clip(&self, frames: Vec<(Vec<u8>, u8)>) -> PyResult<usize> {
        let frames = frames.into_iter().map(|(payload, level)| Frame { payload, level });
        let clip = Clip::new(frames.collect()).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut clips = self.clips.lock().expect("no holder panics");
        clips.push(Arc::new(clip));
        Ok(clips.len() - 1)
    }

    /// Makes a caller and its SDP offer: (call, offer). Raises ConnectionError, OSError.
    #[pyo3(signature = (group, *, echoes, impairment=None))]
    fn offer(
        &self,
        py: Python<'_>,
        group: &str,
        echoes: bool,
        impairment: Option<(f64, f64, f64)>,
    ) -> PyResult<(u32, String)> {
        let impairment = impairment.map(|(delay_ms, jitter_ms, loss)| Impairment {
            delay_ms,
            jitter_ms,
            loss,
        });
        py.detach(|| self.callers.offer(group, echoes, impairment))
            .map_err(|error| match error {
                CallError::Socket { .. } => PyOSError::new_err(error.to_string()),
                other => PyConnectionError::new_err(other.to_string()),
            })
    }

    /// Takes the SDP answer.
    fn answer(&self, py: Python<'_>, call: u32, sdp: String) {
        py.detach(|| self.callers.wish(call, Wish::Answer(sdp)));
    }

    /// Says a clip; what was being said is broken off. Raises KeyError.
    fn speak(&self, py: Python<'_>, call: u32, clip: usize) -> PyResult<()> {
        let found = self.clips.lock().expect("no holder panics").get(clip).cloned();
        let clip = found.ok_or_else(|| PyKeyError::new_err(format!("there is no clip {clip}")))?;
        py.detach(|| self.callers.wish(call, Wish::Speak(clip)));
        Ok(())
    }

    /// Falls silent.
    fn hush(&self, py: Python<'_>, call: u32) {
        py.detach(|| self.callers.wish(call, Wish::Hush));
    }

    /// Goes on by another address.
    fn roam(&self, py: Python<'_>, call: u32) {
        py.detach(|| self.callers.wish(call, Wish::Roam));
    }

    /// Begins an ICE restart: an event `restarts` has the fragment to ask with.
    fn restart(&self, py: Python<'_>, call: u32) {
        py.detach(|| self.callers.wish(call, Wish::Restart));
    }

    /// Goes on with the fragment that answered.
    fn restarted(&self, py: Python<'_>, call: u32, sdpfrag: String) {
        py.detach(|| self.callers.wish(call, Wish::Restarted(sdpfrag)));
    }

    /// Is gone without a word, as who loses its network.
    fn vanish(&self, py: Python<'_>, call: u32) {
        py.detach(|| self.callers.wish(call, Wish::Vanish));
    }

    /// Says good-bye, and is gone.
    fn hang_up(&self, py: Python<'_>, call: u32) {
        py.detach(|| self.callers.wish(call, Wish::HangUp));
    }

    /// The time on the callers' clock in ms.
    fn now(&self) -> f64 {
        self.callers.now() as f64 / 1e6
    }

    /// Events since the last call, in order: (call, kind, ms, text).
    fn poll(&self, py: Python<'_>) -> Vec<EventTuple> {
        let happenings = py.detach(|| self.callers.poll());
        happenings
            .into_iter()
            .map(|happening| {
                let (kind, nanos, text) = described(happening.what);
                (happening.call, kind, nanos as f64 / 1e6, text)
            })
            .collect()
    }

    /// What was counted since the beginning: groups, lateness_us, cpu_s.
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let totals = py.detach(|| self.callers.totals());
        counted(py, &totals)
    }

    /// Hangs all up and ends the threads. Blocks for some ms. Raises OSError.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.callers.close())
            .map_err(|error| PyOSError::new_err(error.to_string()))
    }
}

fn described(what: Happened) -> (&'static str, u64, String) {
    match what {
        Happened::Ice(after) => ("ice", after, String::new()),
        Happened::Dtls(after) => ("dtls", after, String::new()),
        Happened::Connected(after) => ("connected", after, String::new()),
        Happened::FirstAudio(after) => ("first_audio", after, String::new()),
        Happened::AgentSpeaks => ("agent_speaks", 0, String::new()),
        Happened::AgentSilent => ("agent_silent", 0, String::new()),
        Happened::Turn(after) => ("turn", after, String::new()),
        Happened::BargeIn(after) => ("barge_in", after, String::new()),
        Happened::WentOn => ("went_on", 0, String::new()),
        Happened::Began(at) => ("began", at, String::new()),
        Happened::Said => ("said", 0, String::new()),
        Happened::Roamed(after) => ("roamed", after, String::new()),
        Happened::Restarts(fragment) => ("restarts", 0, fragment),
        Happened::Ended(reason) => ("ended", 0, reason),
    }
}

fn counted<'py>(py: Python<'py>, totals: &Totals) -> PyResult<Bound<'py, PyDict>> {
    let groups = PyDict::new(py);
    for (name, traffic) in &totals.groups {
        let group = PyDict::new(py);
        group.set_item("sent", traffic.sent)?;
        group.set_item("voice", traffic.voice)?;
        group.set_item("received", traffic.received)?;
        group.set_item("expected", traffic.expected)?;
        group.set_item("echoed", traffic.echoed)?;
        group.set_item("unechoed", traffic.unechoed)?;
        group.set_item("delay_us", traffic.delay_bins())?;
        groups.set_item(name, group)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("groups", groups)?;
    dict.set_item("lateness_us", totals.lateness_bins())?;
    dict.set_item("cpu_s", totals.cpu_ns as f64 / 1e9)?;
    Ok(dict)
}

/// Callers for load tests, in Rust. Every call releases the GIL and returns at once unless it says otherwise.
#[pymodule]
mod _callers {
    #[pymodule_export]
    use super::Callers;
}
