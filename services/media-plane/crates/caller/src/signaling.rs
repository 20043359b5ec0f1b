//! The step that turns an offer into an answer; anything that takes SDP and answers SDP can stand behind it.

use crate::http::{self, HttpError, Url};

/// An answer to an offer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The SDP.
    pub sdp: String,
    /// What to delete at the end of the call.
    pub location: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    /// No answer came.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The offer was refused.
    #[error("refused with {status}: {body}")]
    Refused {
        /// Status code.
        status: u16,
        /// What the server said.
        body: String,
    },
}

/// Sets calls up and ends them. Called from several threads at once.
pub trait Signaling: Send + Sync {
    /// Sends an offer and waits for the answer.
    ///
    /// # Errors
    /// [`SignalingError`] says who refused what.
    fn offer(&self, sdp: &str) -> Result<Answer, SignalingError>;

    /// Restarts the ICE of the call with this [`Answer::location`]: new credentials as a fragment (RFC 8840), answered
    /// with the server's.
    ///
    /// # Errors
    /// [`SignalingError`]; a server may have none of it.
    fn restart(&self, location: &str, fragment: &str) -> Result<String, SignalingError> {
        let _ = (location, fragment);
        Err(SignalingError::Refused {
            status: 501,
            body: "no ICE restart here".to_owned(),
        })
    }

    /// Ends the call with this [`Answer::location`].
    ///
    /// # Errors
    /// [`SignalingError`], which a caller that leaves may ignore.
    fn end(&self, location: &str) -> Result<(), SignalingError>;
}

/// `POST application/sdp`, answered with 200 or 201; `DELETE` of the `Location` at the end, as in WHIP (RFC 9725).
#[derive(Clone, Debug)]
pub struct HttpSignaling {
    url: Url,
}

impl HttpSignaling {
    /// Posts offers to this URL, for example `http://127.0.0.1:8080/v1/sessions?agent=echo`.
    ///
    /// # Errors
    /// [`HttpError::Url`].
    pub fn new(url: &str) -> Result<Self, HttpError> {
        Ok(Self { url: Url::parse(url)? })
    }
}

impl Signaling for HttpSignaling {
    fn offer(&self, sdp: &str) -> Result<Answer, SignalingError> {
        let response = http::request("POST", &self.url, "application/sdp", sdp)?;
        match response.status {
            200 | 201 => Ok(Answer {
                sdp: response.body,
                location: response.location,
            }),
            status => Err(SignalingError::Refused {
                status,
                body: response.body,
            }),
        }
    }

    fn restart(&self, location: &str, fragment: &str) -> Result<String, SignalingError> {
        let content = "application/trickle-ice-sdpfrag";
        let response = http::request("PATCH", &self.url.join(location)?, content, fragment)?;
        match response.status {
            200 => Ok(response.body),
            status => Err(SignalingError::Refused {
                status,
                body: response.body,
            }),
        }
    }

    fn end(&self, location: &str) -> Result<(), SignalingError> {
        let response = http::request("DELETE", &self.url.join(location)?, "application/sdp", "")?;
        match response.status {
            200..300 => Ok(()),
            status => Err(SignalingError::Refused {
                status,
                body: response.body,
            }),
        }
    }
}
