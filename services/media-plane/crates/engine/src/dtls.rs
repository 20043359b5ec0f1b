//! DTLS 1.2 and 1.3 over the verified paths: the caller's certificate is held against the offer's fingerprint before any key is used.

use std::sync::Arc;

use dimpl::{Dtls, Output, ProtocolVersion, SrtpProfile};

use crate::client_hello;
use crate::config::EngineConfig;
use crate::fragments::Fragments;
use crate::last_flight::LastFlight;
use crate::rsa;
use crate::sdp::Fingerprint;
use crate::srtp::{self, Profile, Receiver, Sender, Side};
use crate::time::Time;

/// Holds any record of the DTLS library.
const RECORD: usize = 2_048;
/// Times that a server begins anew because of what came before a ClientHello that it could answer.
const MAX_RENEWALS: u8 = 16;

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
    /// A datagram that has no place in the handshake.
    Dropped,
    /// It cannot go on.
    Failed(Failure),
}

/// Why it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The certificate is not the offer's.
    Identity,
    /// The caller fell silent in the handshake.
    Timeout,
    /// Anything else that the library says, or no SRTP profile in common.
    Protocol,
}

impl From<dimpl::Error> for Failure {
    fn from(error: dimpl::Error) -> Self {
        match error {
            dimpl::Error::Timeout(_) => Self::Timeout,
            _ => Self::Protocol,
        }
    }
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
    fragments: Fragments,
    side: Side,
    expected: Fingerprint,
    state: State,
    /// Something was sent: the caller holds us to it.
    committed: bool,
    renewals: u8,
    authentic: bool,
    keys: Option<(Sender, Receiver, Profile)>,
    last_flight: LastFlight,
    deadline: Time,
}

impl Transport {
    pub(crate) fn new(config: &EngineConfig, side: Side, expected: Fingerprint, now: Time) -> Self {
        let dtls = begin(config, side, now);
        Self {
            dtls,
            fragments: Fragments::default(),
            side,
            expected,
            state: State::Handshake,
            committed: false,
            renewals: 0,
            authentic: false,
            keys: None,
            last_flight: LastFlight::default(),
            deadline: now,
        }
    }

    /// Takes a datagram of the caller.
    pub(crate) fn receive(
        &mut self,
        config: &EngineConfig,
        now: Time,
        datagram: &[u8],
        sink: &mut impl FnMut(DtlsEvent<'_>),
    ) {
        match self.state {
            State::Over => return,
            State::Handshake if self.awaits_hello() && !client_hello::is_client_hello(datagram) => {
                // The library keeps whatever comes before the ClientHello, and gives up when it is much.
                sink(DtlsEvent::Dropped);
                return;
            }
            State::Handshake => return self.take_part(config, now, datagram, sink),
            State::Established if client_hello::is_client_hello(datagram) => {
                // The library would send its last flight again, and there is no other handshake on this association.
                sink(DtlsEvent::Dropped);
                return;
            }
            State::Established => {}
        }
        self.hand_in(config, now, datagram, sink);
    }

    /// A part of the handshake, message for message.
    fn take_part(&mut self, config: &EngineConfig, now: Time, datagram: &[u8], sink: &mut impl FnMut(DtlsEvent<'_>)) {
        let renewals = self.renewals;
        let joined = self.fragments.join(datagram);
        for _ in 0..joined.refused {
            sink(DtlsEvent::Dropped);
        }
        for mut datagram in joined.datagrams {
            if self.state == State::Over || self.renewals != renewals {
                return;
            }
            client_hello::hide(&mut datagram);
            self.hand_in(config, now, &datagram, sink);
        }
        if self.state != State::Handshake {
            self.fragments = Fragments::default();
        }
    }

    fn hand_in(&mut self, config: &EngineConfig, now: Time, datagram: &[u8], sink: &mut impl FnMut(DtlsEvent<'_>)) {
        let done = self
            .dtls
            .handle_timeout(config.instant(now))
            .and_then(|()| self.dtls.handle_packet(datagram));
        self.settle(config, now, done, sink);
    }

    /// Retransmits what is due, and sends what is waiting.
    pub(crate) fn drive(&mut self, config: &EngineConfig, now: Time, sink: &mut impl FnMut(DtlsEvent<'_>)) {
        if self.state == State::Over {
            return;
        }
        self.last_flight
            .copy(now, |datagram| sink(DtlsEvent::Transmit(datagram)));
        let done = self.dtls.handle_timeout(config.instant(now));
        self.settle(config, now, done, sink);
    }

    /// The caller has used its keys, or the channel: it has our last flight.
    pub(crate) fn understood(&mut self) {
        self.last_flight.forget();
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
        self.deadline.min(self.last_flight.deadline())
    }

    /// A server that has heard nothing that it could answer.
    fn awaits_hello(&self) -> bool {
        self.side == Side::Server && !self.committed
    }

    fn settle(
        &mut self,
        config: &EngineConfig,
        now: Time,
        done: Result<(), dimpl::Error>,
        sink: &mut impl FnMut(DtlsEvent<'_>),
    ) {
        let settled = done.map_err(Failure::from).and_then(|()| self.drain(config, now, sink));
        let Err(failure) = settled else { return };
        if failure == Failure::Protocol && self.awaits_hello() && self.renewals < MAX_RENEWALS {
            // Whoever sent that need not be the caller: its own ClientHello may still come.
            self.renewals += 1;
            self.dtls = begin(config, self.side, now);
            self.fragments = Fragments::default();
            self.last_flight.forget();
            sink(DtlsEvent::Dropped);
        } else {
            self.over();
            sink(DtlsEvent::Failed(failure));
        }
    }

    /// Takes everything out of the library.
    fn drain(&mut self, config: &EngineConfig, now: Time, sink: &mut impl FnMut(DtlsEvent<'_>)) -> Result<(), Failure> {
        let mut record = [0; RECORD];
        let mut connected = false;
        let keeps = self.state == State::Handshake && self.side == Side::Server;
        loop {
            match self.dtls.poll_output(&mut record) {
                Output::Packet(datagram) => {
                    self.committed = true;
                    if keeps {
                        self.last_flight.keep(datagram);
                    }
                    let requests = self.side == Side::Server && self.state == State::Handshake;
                    if requests && rsa::may_hold_request(datagram) {
                        let mut flight = datagram.to_vec();
                        rsa::offer(&mut flight);
                        sink(DtlsEvent::Transmit(&flight));
                    } else {
                        sink(DtlsEvent::Transmit(datagram));
                    }
                }
                Output::PeerCert(certificate) => {
                    self.authentic = self.expected.matches(certificate);
                    if !self.authentic {
                        return Err(Failure::Identity);
                    }
                }
                Output::KeyingMaterial(material, profile) => {
                    let profile = profile_of(profile).ok_or(Failure::Protocol)?;
                    let keys = srtp::from_dtls(profile, &material, self.side).map_err(|_| Failure::Protocol)?;
                    self.keys = Some((keys.0, keys.1, profile));
                }
                Output::Connected => connected = true,
                Output::ApplicationData(data) => {
                    if self.state == State::Established {
                        self.last_flight.forget();
                        sink(DtlsEvent::Data(data));
                    }
                }
                Output::CloseNotify => {
                    self.over();
                    sink(DtlsEvent::Closed);
                    return Ok(());
                }
                Output::Timeout(at) => {
                    self.deadline = config.time(at);
                    break;
                }
                _ => return Err(Failure::Protocol),
            }
            if connected && self.state == State::Handshake {
                self.establish(sink)?;
            }
        }
        if keeps {
            match self.state {
                State::Established => self.last_flight.sent(now),
                _ => self.last_flight.forget(),
            }
        }
        // Without keys there can be no media: the caller offered no SRTP profile that we know.
        let keyless = connected && self.state == State::Handshake;
        if keyless { Err(Failure::Protocol) } else { Ok(()) }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.deadline = Time::NEVER;
        self.last_flight.forget();
    }

    /// Hands out the keys, once the library has named them: it may do so after it is connected.
    fn establish(&mut self, sink: &mut impl FnMut(DtlsEvent<'_>)) -> Result<(), Failure> {
        let Some((sender, receiver, profile)) = self.keys.take() else {
            return Ok(());
        };
        if !self.authentic {
            return Err(Failure::Identity);
        }
        self.state = State::Established;
        sink(DtlsEvent::Established(Box::new(Keys {
            sender,
            receiver,
            security: format!("{} {}", version(&self.dtls), name(profile)),
        })));
        Ok(())
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

fn begin(config: &EngineConfig, side: Side, now: Time) -> Dtls {
    let shared = match side {
        Side::Server => &config.dtls_as_server,
        Side::Client => &config.dtls_as_client,
    };
    let mut dtls = Dtls::new_auto(Arc::clone(shared), config.certificate.clone(), config.instant(now));
    if side == Side::Client {
        dtls.set_active(true);
    }
    dtls
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
