//! What an edge proves itself with when it dials, and how it knows workers: certificates, a secret, both or neither.
//! `services/antiphon/worker/link/door.py` is the other side.

use std::fmt::{self, Write};
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity as Shown};
use tonic::{Request, transport};

/// So that no signature of a link is one of anything else that is signed with the same secret.
const LABEL: &[u8] = b"antiphon link 1";
const SEAL: &str = "antiphon-link-seal";

/// Mutual TLS, as PEM.
#[derive(Clone)]
pub struct LinkTls {
    /// The chain that this edge shows.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// Whose certificates workers must have.
    pub authority: Vec<u8>,
    /// The name in workers' certificates; empty where each carries the address that is dialled.
    pub server_name: String,
}

impl fmt::Debug for LinkTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("LinkTls");
        fields.field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// A certificate, key or authority that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadTls(String);

/// What all links of an edge dial with. A change holds for what is dialled from then on.
#[derive(Default)]
pub(crate) struct Credentials {
    tls: RwLock<Option<ClientTlsConfig>>,
    secret: RwLock<Option<Key>>,
}

impl Credentials {
    pub(crate) fn set_tls(&self, tls: &LinkTls) -> Result<(), BadTls> {
        let mut config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&tls.authority))
            .identity(Shown::from_pem(&tls.certificate, &tls.key));
        if !tls.server_name.is_empty() {
            config = config.domain_name(&tls.server_name);
        }
        // Only an endpoint reads them.
        let read = Endpoint::from_static("https://worker").tls_config(config.clone());
        read.map_err(|error| BadTls(crate::connection::root_cause(&error)))?;
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
        Ok(())
    }

    pub(crate) fn set_secret(&self, secret: &[u8]) {
        let derived = sign(&Key::new(HMAC_SHA256, secret), LABEL);
        let key = Key::new(HMAC_SHA256, derived.as_ref());
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// An endpoint at host:port.
    pub(crate) fn endpoint(&self, target: &str) -> Result<Endpoint, transport::Error> {
        match self.tls.read().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(tls) => Endpoint::from_shared(format!("https://{target}"))?.tls_config(tls),
            None => Endpoint::from_shared(format!("http://{target}")),
        }
    }

    /// Signs the opening of a stream, where there is a secret: who opens which link to whom, and when.
    pub(crate) fn seal<T>(&self, request: &mut Request<T>, edge: &str, worker: &str, link: u64) {
        let secret = self.secret.read().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = secret.as_ref() else { return };
        let now_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let tag = sign(key, format!("{edge} {worker} {link} {now_s}").as_bytes());
        let mut seal = format!("{now_s}.");
        for byte in tag.as_ref() {
            let _to_a_string = write!(seal, "{byte:02x}");
        }
        if let Ok(value) = seal.parse::<MetadataValue<Ascii>>() {
            request.metadata_mut().insert(MetadataKey::from_static(SEAL), value);
        }
    }
}
