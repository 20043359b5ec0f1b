//! Certificate fingerprints (RFC 8122).

use aws_lc_rs::digest;

use super::OfferError;
use super::lines::Attribute;

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

impl HashAlgorithm {
    /// As in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name))
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
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
        let algorithm = HashAlgorithm::Sha256;
        Self {
            algorithm,
            digest: digest::digest(algorithm.digest(), certificate).as_ref().to_vec(),
        }
    }

    /// Whether a DER certificate has this fingerprint.
    #[must_use]
    pub fn matches(&self, certificate: &[u8]) -> bool {
        digest::digest(self.algorithm.digest(), certificate).as_ref() == self.digest
    }

    /// Reads `a=fingerprint`. `None` for a hash that we don't take.
    pub(super) fn parse(attribute: Attribute<'_>) -> Result<Option<Self>, OfferError> {
        let bad = |what: &str| Err(OfferError::at(attribute.line, format!("a=fingerprint {what}")));
        let Some((name, hex)) = attribute.value.split_once(' ') else {
            return bad("wants a hash and its value, as in `sha-256 AB:CD:…`");
        };
        let Some(algorithm) = HashAlgorithm::from_name(name) else {
            return Ok(None);
        };
        let octet = |pair: &str| {
            if pair.len() == 2 {
                u8::from_str_radix(pair, 16).ok()
            } else {
                None
            }
        };
        let Some(digest) = hex.trim().split(':').map(octet).collect::<Option<Vec<u8>>>() else {
            return bad("is not made of hexadecimal octets with colons between them");
        };
        let expected = algorithm.digest().output_len;
        if digest.len() != expected {
            return bad(&format!(
                "has {} octets, {} has {expected}",
                digest.len(),
                algorithm.name()
            ));
        }
        Ok(Some(Self { algorithm, digest }))
    }
}

impl std::fmt::Display for Fingerprint {
    /// As in SDP: `sha-256 AB:CD:…`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm.name())?;
        for (index, octet) in self.digest.iter().enumerate() {
            let separator = if index == 0 { ' ' } else { ':' };
            write!(f, "{separator}{octet:02X}")?;
        }
        Ok(())
    }
}
