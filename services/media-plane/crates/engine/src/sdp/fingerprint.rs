//! Certificate fingerprints (RFC 8122).

/// A hash that fingerprints are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// sha-256.
    Sha256,
    /// sha-384.
    Sha384,
    /// sha-512.
    Sha512,
}

/// A certificate's fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash.
    pub algorithm: HashAlgorithm,
    /// Its value.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// The sha-256 fingerprint of a DER certificate.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let _ = certificate;
        unimplemented!()
    }

    /// Whether a DER certificate has this fingerprint.
    #[must_use]
    pub fn matches(&self, certificate: &[u8]) -> bool {
        let _ = certificate;
        unimplemented!()
    }
}

impl std::fmt::Display for Fingerprint {
    /// As in SDP: `sha-256 AB:CD:…`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        unimplemented!()
    }
}
