//! As much of HTTP/1.0 as set-up needs: one request a connection, answered until the connection closes.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 1 << 20;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL is not one that this client knows.
    #[error("{0}: expected http://host:port/path")]
    Url(String),
    /// The connection failed.
    #[error("{authority}: {source}")]
    Connection {
        /// Host and port.
        authority: String,
        /// What failed.
        source: io::Error,
    },
    /// The answer is no HTTP.
    #[error("{0}: not an HTTP answer")]
    Malformed(String),
}

/// An `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    authority: String,
    path: String,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`HttpError::Url`] if it is not `http://host:port/path`; port and path may be left out.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| HttpError::Url(text.to_owned()))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains(char::is_whitespace) || path.contains(char::is_whitespace) {
            return Err(HttpError::Url(text.to_owned()));
        }
        let port = if authority.contains(':') { "" } else { ":80" };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            authority: format!("{authority}{port}"),
            path: path.to_owned(),
        })
    }

    /// What a `Location` names: a URL, or a path on the same host.
    ///
    /// # Errors
    /// [`HttpError::Url`] if it is neither.
    pub fn join(&self, location: &str) -> Result<Self, HttpError> {
        if location.starts_with('/') && !location.contains(char::is_whitespace) {
            Ok(Self {
                authority: self.authority.clone(),
                path: location.to_owned(),
            })
        } else {
            Self::parse(location)
        }
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Sends a request and waits for its answer.
///
/// # Errors
/// [`HttpError`]; a status that means failure is an answer, not an error.
pub fn request(method: &str, url: &Url, content_type: &str, body: &str) -> Result<Response, HttpError> {
    let answer = exchange(method, url, content_type, body).map_err(|source| HttpError::Connection {
        authority: url.authority.clone(),
        source,
    })?;
    parse(&answer).ok_or_else(|| HttpError::Malformed(url.authority.clone()))
}

fn exchange(method: &str, url: &Url, content_type: &str, body: &str) -> io::Result<Vec<u8>> {
    let address = url
        .authority
        .to_socket_addrs()?
        .next()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (path, authority, length) = (&url.path, &url.authority, body.len());
    // RFC 9725 4.4.1: an ICE restart comes with a condition.
    let condition = if method == "PATCH" { "If-Match: *\r\n" } else { "" };
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: {content_type}\r\n{condition}\
         Content-Length: {length}\r\nAccept: {content_type}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Option<Response> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let status = status_line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let location = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("location"))
        .map(|(_, value)| value.trim().to_owned());
    Some(Response {
        status,
        location,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_defaults_and_locations_are_joined() {
        let url = Url::parse("http://127.0.0.1:8080/v1/sessions?agent=echo").unwrap();
        assert_eq!(
            url.join("/v1/sessions/a").unwrap(),
            Url::parse("http://127.0.0.1:8080/v1/sessions/a").unwrap()
        );
        assert_eq!(
            Url::parse("http://host").unwrap(),
            Url::parse("http://host:80/").unwrap()
        );
        assert_eq!(url.join("http://host/x").unwrap(), Url::parse("http://host/x").unwrap());
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "https://host/",
            "host:80",
            "http://",
            "http://a b/",
            "http://host/a\r\nX: y",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_is_read() {
        let answer = b"HTTP/1.1 201 Created\r\nserver: x\r\nlocation: /v1/sessions/1\r\n\r\nv=0\r\n";
        let expected = Response {
            status: 201,
            location: Some("/v1/sessions/1".into()),
            body: "v=0\r\n".into(),
        };
        assert_eq!(parse(answer), Some(expected));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 201 Created\r\nno end"), None);
    }
}
