//! Session keys from master keys: the AES-CM pseudo-random function of RFC 3711 4.3, with a key derivation rate of zero.

use aes::{Aes128Enc, Aes256Enc};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use super::{KeyError, Profile};

/// What a session key is for (RFC 3711 4.3.1, 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// A master key and salt of the right lengths.
pub(super) struct Master<'a> {
    key: &'a [u8],
    salt: [u8; 14],
}

impl<'a> Master<'a> {
    pub(super) fn new(profile: Profile, key: &'a [u8], salt: &[u8]) -> Result<Self, KeyError> {
        let expected = profile.key_len() + profile.salt_len();
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(KeyError {
                expected,
                got: key.len() + salt.len(),
            });
        }
        // RFC 7714 11: the 96-bit salt is extended with zeros on the right.
        let mut padded = [0; 14];
        padded[..salt.len()].copy_from_slice(salt);
        Ok(Self { key, salt: padded })
    }

    /// Fills `output` with the session key for `label`.
    pub(super) fn derive(&self, label: Label, output: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        output.fill(0);
        if let Ok(mut keystream) = Ctr128BE::<Aes128Enc>::new_from_slices(self.key, &iv) {
            keystream.apply_keystream(output);
        } else if let Ok(mut keystream) = Ctr128BE::<Aes256Enc>::new_from_slices(self.key, &iv) {
            keystream.apply_keystream(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::testing::hex;

    #[test]
    fn session_keys_are_those_of_rfc_3711_b_3() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let master = Master::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
        let mut derived = [0; 16];

        master.derive(Label::RtpEncryption, &mut derived);
        assert_eq!(derived[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));

        master.derive(Label::RtpSalt, &mut derived[..14]);
        assert_eq!(derived[..14], hex("30CBBC08863D8C85D49DB34A9AE1"));

        let mut long = [0; 94];
        master.derive(Label::RtpAuthentication, &mut long);
        let expected = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
                        E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
                        6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2DC68";
        assert_eq!(long[..], hex(expected)[..94]);
    }

    #[test]
    fn keys_of_the_wrong_length_are_refused() {
        let refused = Master::new(Profile::AeadAes256Gcm, &[0; 16], &[0; 12]).err();
        assert_eq!(refused, Some(KeyError { expected: 44, got: 28 }));
    }
}
