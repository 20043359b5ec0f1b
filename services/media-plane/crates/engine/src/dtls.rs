//! DTLS 1.2 and 1.3 over the verified paths: the caller's certificate is held against the offer's fingerprint before any key is used.

use std::sync::Arc;

use dimpl::{Dtls, Output, ProtocolVersion, SrtpProfile};

use crate::config::EngineConfig;
use crate::profiles;
use crate::sdp::Fingerprint;
use crate::srtp::{self, Profile, Receiver, Sender, Side};
use crate::time::Time;

/// Holds any record of the DTLS library.
const RECORD: usize = 2_048;

/// What DTLS says while it is driven.
pub(crate) enum DtlsEvent<'a> {
    /// A datagram for the caller.
    Transmit(&'a [u8]),
    /// The handshake is done and the caller is who the offer says.
    Established(Box<Keys>),
    /// Application data: SCTP.
    Data(&'a [u8]),
    /// The caller closed.
    Closed,
    /// The handshake failed, or the certificate is not the offer's.
    Failed,
}

/// Keys for media.
pub(crate) struct Keys {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    /// For example `DTLS1.3 AEAD_AES_128_GCM`.
    pub(crate) security: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Established,
    Over,
}

/// One association.
pub(crate) struct Transport {
    dtls: Dtls,
    side: Side,
    expected: Fingerprint,
    state: State,
    authentic: bool,
    keys: Option<(Sender, Receiver, Profile)>,
    deadline: Time,
}

impl Transport {
    pub(crate) fn new(config: &EngineConfig, side: Side, expected: Fingerprint, now: Time) -> Self {
        let mut dtls = Dtls::new_auto(
            Arc::clone(&config.dtls),
            config.certificate.clone(),
            config.instant(now),
        );
        if side == Side::Client {
            dtls.set_active(true);
        }
        Self {
            dtls,
            side,
            expected,
            state: State::Handshake,
            authentic: false,
            keys: None,
            deadline: now,
        }
    }

    /// Takes a datagram of the caller.
    pub(crate) fn receive(
        &mut self,
        config: &EngineConfig,
        now: Time,
        datagram: &mut [u8],
        sink: &mut impl FnMut(DtlsEvent<'_>),
    ) {
        match self.state {
            State::Over => return,
            State::Handshake => profiles::hide(datagram),
            State::Established => {}
        }
        let done = self
            .dtls
            .handle_timeout(config.instant(now))
            .and_then(|()| self.dtls.handle_packet(datagram));
        self.settle(config, done.is_ok(), sink);
    }

    /// Retransmits what is due, and sends what is waiting.
    pub(crate) fn drive(&mut self, config: &EngineConfig, now: Time, sink: &mut impl FnMut(DtlsEvent<'_>)) {
        if self.state == State::Over {
            return;
        }
        let done = self.dtls.handle_timeout(config.instant(now));
        self.settle(config, done.is_ok(), sink);
    }

    /// Queues application data; [`Self::drive`] sends it.
    pub(crate) fn send(&mut self, data: &[u8]) {
        if self.state == State::Established {
            let _ = self.dtls.send_application_data(data);
        }
    }

    /// Queues `close_notify`; [`Self::drive`] sends it.
    pub(crate) fn close(&mut self) {
        let _ = self.dtls.close();
    }

    pub(crate) fn deadline(&self) -> Time {
        self.deadline
    }

    fn settle(&mut self, config: &EngineConfig, healthy: bool, sink: &mut impl FnMut(DtlsEvent<'_>)) {
        if healthy && self.drain(config, sink) {
            return;
        }
        self.state = State::Over;
        self.deadline = Time::NEVER;
        sink(DtlsEvent::Failed);
    }

    /// Takes everything out of the library. Returns whether the association is healthy.
    fn drain(&mut self, config: &EngineConfig, sink: &mut impl FnMut(DtlsEvent<'_>)) -> bool {
        let mut record = [0; RECORD];
        let mut connected = false;
        loop {
            match self.dtls.poll_output(&mut record) {
                Output::Packet(datagram) => sink(DtlsEvent::Transmit(datagram)),
                Output::PeerCert(certificate) => {
                    self.authentic = self.expected.matches(certificate);
                    if !self.authentic {
                        return false;
                    }
                }
                Output::KeyingMaterial(material, profile) => {
                    let Some((profile, (sender, receiver))) = profile_of(profile)
                        .and_then(|p| srtp::from_dtls(p, &material, self.side).ok().map(|keys| (p, keys)))
                    else {
                        return false;
                    };
                    self.keys = Some((sender, receiver, profile));
                }
                Output::Connected => connected = true,
                Output::ApplicationData(data) => {
                    if self.state == State::Established {
                        sink(DtlsEvent::Data(data));
                    }
                }
                Output::CloseNotify => {
                    self.state = State::Over;
                    self.deadline = Time::NEVER;
                    sink(DtlsEvent::Closed);
                    return true;
                }
                Output::Timeout(at) => {
                    self.deadline = config.time(at);
                    break;
                }
                _ => return false,
            }
            if connected && self.state == State::Handshake {
                // Without keys there can be no media: the caller offered no SRTP profile that we know.
                let Some((sender, receiver, profile)) = self.keys.take() else {
                    // The library may name them after Connected.
                    continue;
                };
                if !self.authentic {
                    return false;
                }
                self.state = State::Established;
                sink(DtlsEvent::Established(Box::new(Keys {
                    sender,
                    receiver,
                    security: format!("{} {}", version(&self.dtls), name(profile)),
                })));
            }
        }
        !connected || self.state == State::Established
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("side", &self.side)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn profile_of(profile: SrtpProfile) -> Option<Profile> {
    match profile {
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AEAD_AES_256_GCM => Some(Profile::AeadAes256Gcm),
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::Aes128CmSha1_80),
        _ => None,
    }
}

fn name(profile: Profile) -> &'static str {
    match profile {
        Profile::AeadAes128Gcm => "AEAD_AES_128_GCM",
        Profile::AeadAes256Gcm => "AEAD_AES_256_GCM",
        Profile::Aes128CmSha1_80 => "AES128_CM_SHA1_80",
    }
}

fn version(dtls: &Dtls) -> &'static str {
    match dtls.protocol_version() {
        Some(ProtocolVersion::DTLS1_2) => "DTLS1.2",
        Some(ProtocolVersion::DTLS1_3) => "DTLS1.3",
        _ => "DTLS",
    }
}
