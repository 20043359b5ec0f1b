//! One connection: a str0m peer and its socket, offer and answer, roaming and ICE restarts. What is sent and what is made of
//! what comes is the business of the calls that own one.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::crypto::dtls::DtlsVersion;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{Extension, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::answer::plain_candidates;
use crate::clock::{Clock, NEVER, Nanos};
use crate::sys;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A socket could not be opened.
    #[error("cannot open a socket on {address}: {source}")]
    Socket {
        /// Where.
        address: IpAddr,
        /// What failed.
        source: io::Error,
    },
    /// The answer does not answer the offer.
    #[error("cannot use the answer: {0}")]
    Answer(String),
    /// The peer or the network ended it.
    #[error("{0}")]
    Ended(String),
}

/// What str0m is told for every call: one certificate for all, as tabs of one browser may, and Opus with levels alone.
///
/// # Errors
/// None that str0m's default provider is known to give; kept, since making a certificate may fail.
pub fn settings(dtls: DtlsVersion) -> Result<RtcConfig, CallError> {
    let provider = str0m::crypto::from_feature_flags();
    let certificate = provider
        .dtls_provider
        .generate_certificate()
        .ok_or_else(|| CallError::Ended("cannot make a certificate".to_owned()))?;
    Ok(RtcConfig::new()
        .set_crypto_provider(provider.into())
        .set_dtls_cert(certificate)
        .set_dtls_version(dtls)
        .set_rtp_mode(true)
        .clear_codecs()
        .enable_opus(true, false)
        .clear_extension_map()
        .set_extension(1, Extension::AudioLevel)
        .set_extension(4, Extension::RtpMid))
}

/// What str0m wants done.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "each is looked at once and never kept; str0m's own is as large"
)]
pub enum Wish {
    /// A datagram is to be sent: [`Connection::send`], or what stands for a network.
    Send(Transmit),
    /// Something happened.
    Event(Event),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    mid: Mid,
    pending: Option<SdpPendingOffer>,
    timeout: Nanos,
    /// The last answer, which a restart's credentials are put into.
    answered: String,
}

impl Connection {
    /// Opens a socket and makes an offer with its address as the only candidate.
    ///
    /// # Errors
    /// [`CallError::Socket`].
    pub fn offer(settings: &RtcConfig, bind: IpAddr, clock: Clock) -> Result<(Self, String), CallError> {
        let socket = open(bind).map_err(|source| CallError::Socket { address: bind, source })?;
        let local = socket
            .local_addr()
            .map_err(|source| CallError::Socket { address: bind, source })?;
        let mut rtc = settings.clone().build(clock.instant(clock.now()));
        let candidate = Candidate::host(local, "udp").map_err(|error| CallError::Ended(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = changes.apply().expect("media was added");
        let connection = Self {
            rtc,
            socket,
            local,
            mid,
            pending: Some(pending),
            timeout: NEVER,
            answered: String::new(),
        };
        Ok((connection, offer.to_sdp_string()))
    }

    /// Its socket, to wait for.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// When it wants to be told the time.
    #[must_use]
    pub fn timeout(&self) -> Nanos {
        self.timeout
    }

    /// Takes the answer to its offer, or to its restart.
    ///
    /// # Errors
    /// [`CallError::Answer`].
    pub fn answer(&mut self, sdp: &str) -> Result<(), CallError> {
        self.answered = plain_candidates(sdp);
        let Some(pending) = self.pending.take() else {
            return Err(CallError::Answer("nothing was offered".to_owned()));
        };
        SdpAnswer::from_sdp_string(&self.answered)
            .map_err(|error| error.to_string())
            .and_then(|answer| {
                self.rtc
                    .sdp_api()
                    .accept_answer(pending, answer)
                    .map_err(|error| error.to_string())
            })
            .map_err(CallError::Answer)
    }

    /// Tells it the time. [`Connection::poll`] until there is nothing more follows.
    ///
    /// # Errors
    /// [`CallError::Ended`].
    pub fn tell(&mut self, now: Nanos, clock: Clock) -> Result<(), CallError> {
        self.handle(Input::Timeout(clock.instant(now)))
    }

    /// A datagram came. [`Connection::poll`] until there is nothing more follows. Returns whether it can be one of WebRTC's.
    ///
    /// # Errors
    /// [`CallError::Ended`].
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        arrival: Nanos,
        clock: Clock,
    ) -> Result<bool, CallError> {
        let Ok(contents) = datagram.try_into() else {
            return Ok(false);
        };
        let receive = Receive {
            proto: Protocol::Udp,
            source: from,
            destination: self.local,
            contents,
        };
        self.handle(Input::Receive(clock.instant(arrival), receive))?;
        Ok(true)
    }

    fn handle(&mut self, input: Input<'_>) -> Result<(), CallError> {
        self.rtc
            .handle_input(input)
            .map_err(|error| CallError::Ended(error.to_string()))
    }

    /// What it wants next; none once it waits.
    ///
    /// # Errors
    /// [`CallError::Ended`].
    pub fn poll(&mut self, clock: Clock) -> Result<Option<Wish>, CallError> {
        match self.rtc.poll_output() {
            Err(error) => Err(CallError::Ended(error.to_string())),
            Ok(Output::Timeout(at)) => {
                self.timeout = clock.nanos(at);
                Ok(None)
            }
            Ok(Output::Transmit(datagram)) => Ok(Some(Wish::Send(datagram))),
            Ok(Output::Event(event)) => Ok(Some(Wish::Event(event))),
        }
    }

    /// Sends a datagram. A full socket buffer loses it, as a network would.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(datagram, to);
    }

    /// The payload type that the peer takes Opus by.
    ///
    /// # Errors
    /// [`CallError::Answer`] if it takes none.
    pub fn payload_type(&self) -> Result<Pt, CallError> {
        self.rtc
            .media(self.mid)
            .and_then(|media| media.remote_pts().first().copied())
            .ok_or_else(|| CallError::Answer("it accepts no Opus".to_owned()))
    }

    /// Queues a packet; telling the time sends it.
    pub fn write(&mut self, packet: RtpWrite) {
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(packet);
        }
    }

    /// Its packets come from another port from now on, as after a NAT's rebinding: it does not know of it. The socket is
    /// another one then: wait for it.
    ///
    /// # Errors
    /// What opening a socket says.
    pub fn rebind(&mut self) -> io::Result<()> {
        self.socket = open(self.local.ip())?;
        Ok(())
    }

    /// Begins an ICE restart. Returns the new credentials as a fragment (RFC 8840).
    pub fn restart(&mut self) -> Option<String> {
        let mut changes = self.rtc.sdp_api();
        let credentials = changes.ice_restart(true);
        let (_, pending) = changes.apply()?;
        self.pending = Some(pending);
        Some(format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{}\r\n",
            credentials.ufrag, credentials.pass, self.mid
        ))
    }

    /// Goes on with the fragment that answers a restart. Returns whether it was one.
    pub fn restarted(&mut self, fragment: &str) -> bool {
        let credential = |name: &str| fragment.lines().find(|line| line.starts_with(name)).map(str::trim_end);
        let (Some(ufrag), Some(password)) = (credential("a=ice-ufrag:"), credential("a=ice-pwd:")) else {
            return false;
        };
        let renewed = |line: &str| match line {
            line if line.starts_with("a=ice-ufrag:") => format!("{ufrag}\r\n"),
            line if line.starts_with("a=ice-pwd:") => format!("{password}\r\n"),
            line => format!("{line}\r\n"),
        };
        let answer: String = self.answered.lines().map(renewed).collect();
        self.answer(&answer).is_ok()
    }

    /// Says good-bye (RTCP BYE, DTLS `close_notify`) without waiting for what comes of it.
    pub fn close(&mut self, now: Nanos, clock: Clock) {
        if self.rtc.close().is_err() || self.tell(now, clock).is_err() {
            return;
        }
        while let Ok(Some(wish)) = self.poll(clock) {
            if let Wish::Send(datagram) = wish {
                self.send(&datagram.contents, datagram.destination);
            }
        }
    }

    /// Is over, without a word.
    pub fn disconnect(&mut self) {
        self.rtc.disconnect();
    }
}

fn open(bind: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((bind, 0))?;
    socket.set_nonblocking(true)?;
    sys::enable_arrival_times(&socket)?;
    Ok(socket)
}
