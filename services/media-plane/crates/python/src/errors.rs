//! The runtime's errors as Python's exceptions.

use antiphon_runtime::{SessionError, StartError};
use pyo3::create_exception;
use pyo3::exceptions::{
    PyBlockingIOError, PyConnectionError, PyKeyError, PyOSError, PyPermissionError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;

create_exception!(
    antiphon.edge._media,
    OfferRejected,
    PyValueError,
    "An offer or fragment cannot be answered. args: (message, line); line 0 means the whole."
);

pub(crate) fn from_session(error: SessionError) -> PyErr {
    let text = error.to_string();
    match error {
        SessionError::Offer(rejected) => OfferRejected::new_err((rejected.message, rejected.line)),
        SessionError::UnknownSession(_) | SessionError::UnknownWorker(_) => PyKeyError::new_err(text),
        SessionError::LinkDown { .. } => PyConnectionError::new_err(text),
        SessionError::Full | SessionError::RoomFull(_) => PyBlockingIOError::new_err(text),
        SessionError::StaleEpoch { .. } => PyPermissionError::new_err(text),
    }
}

pub(crate) fn from_start(error: &StartError) -> PyErr {
    let text = error.to_string();
    match error {
        StartError::Bind { source, .. } | StartError::System(source) => match source.raw_os_error() {
            Some(number) => PyOSError::new_err((number, text)),
            None => PyOSError::new_err(text),
        },
        StartError::Addresses(_) => PyValueError::new_err(text),
        StartError::Engine(_) => PyRuntimeError::new_err(text),
    }
}
