//! What all sessions of an edge share: addresses, the cluster's secret, the certificate and DTLS settings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::crypto::{CryptoProvider, aws_lc_rs};

use crate::client_hello;
use crate::envelope::EnvelopeKey;
use crate::remote::Candidate;
use crate::sdp::Fingerprint;
use crate::time::Time;
use crate::ufrag::Sealer;

/// First retransmission of a handshake flight: a lost flight of a caller nearby shall not cost a second (RFC 9147 allows less than 1 s).
const FLIGHT_RTO: Duration = Duration::from_millis(120);
/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest DTLS record: below any path's MTU, since handshake flights are not subject to path MTU discovery here.
const DTLS_MTU: usize = 1_150;

/// Why the shared configuration cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no address to put into answers.
    #[error("no address to advertise: expected at least one host and port")]
    NoAddress,
    /// The cryptographic library made no certificate.
    #[error("no certificate could be made")]
    Certificate,
    /// The DTLS library refuses its settings.
    #[error("the DTLS settings were refused")]
    Dtls,
}

/// What all sessions of an edge share. Built once.
pub struct EngineConfig {
    /// This edge's number in sealed ufrags.
    pub edge: u32,
    /// Addresses for candidates, best first; those over UDP come before those over TCP.
    pub advertise: Vec<Candidate>,
    /// Seals ufrags.
    pub sealer: Sealer,
    /// Seals what edges hand to each other.
    pub envelopes: EnvelopeKey,
    pub(crate) certificate: dimpl::DtlsCertificate,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) dtls_as_server: Arc<dimpl::Config>,
    pub(crate) dtls_as_client: Arc<dimpl::Config>,
    origin: Instant,
}

impl EngineConfig {
    /// Makes the certificate (ECDSA P-256) and the DTLS settings.
    ///
    /// `secret` seals ufrags and derives ICE passwords: the same for all edges of a cluster.
    /// `origin` is the moment that `Time(0)` stands for; the libraries below want an `Instant`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(
        secret: &[u8],
        edge: u32,
        advertise: impl IntoIterator<Item = impl Into<Candidate>>,
        origin: Instant,
    ) -> Result<Self, ConfigError> {
        let mut advertise: Vec<Candidate> = advertise.into_iter().map(Into::into).collect();
        advertise.sort_by_key(|candidate| candidate.transport);
        if advertise.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        let certificate =
            dimpl::certificate::generate_self_signed_certificate().map_err(|_| ConfigError::Certificate)?;
        Ok(Self {
            edge,
            advertise,
            sealer: Sealer::new(secret),
            envelopes: EnvelopeKey::new(secret),
            fingerprint: Fingerprint::of(&certificate.certificate),
            certificate,
            dtls_as_server: dtls(client_hello::provider())?,
            // What a server asks of us stands in the transcript as it came.
            dtls_as_client: dtls(aws_lc_rs::default_provider())?,
            origin,
        })
    }

    /// A moment as the libraries below want it.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.origin + Duration::from_micros(time.as_micros())
    }

    /// The inverse of [`Self::instant`], rounded up so that a deadline never comes early.
    pub(crate) fn time(&self, instant: Instant) -> Time {
        let nanos = instant.saturating_duration_since(self.origin).as_nanos();
        Time(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

fn dtls(provider: CryptoProvider) -> Result<Arc<dimpl::Config>, ConfigError> {
    dimpl::Config::builder()
        .with_crypto_provider(provider)
        .mtu(DTLS_MTU)
        .flight_start_rto(FLIGHT_RTO)
        .flight_retries(8)
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        // A cookie proves the sender's address; only addresses that passed an ICE check get here.
        .use_server_cookie(false)
        .build()
        .map(Arc::new)
        .map_err(|_| ConfigError::Dtls)
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("edge", &self.edge)
            .field("advertise", &self.advertise)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl EngineConfig {
    /// An edge at 198.51.100.1:4000.
    pub(crate) fn for_tests() -> Arc<Self> {
        let advertise = [std::net::SocketAddr::from(([198, 51, 100, 1], 4_000))];
        Arc::new(Self::new(&[7; 16], 1, advertise, std::time::Instant::now()).expect("a configuration"))
    }
}
