//! One call: a str0m peer and its socket. It sends probes by its own schedule and judges what comes back.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use antiphon_engine::opus::SILENCE;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::crypto::dtls::DtlsVersion;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use crate::answer::plain_candidates;
use crate::clock::{Clock, NEVER, Nanos};
use crate::probe::Probe;
use crate::sys;
use crate::tally::{Tally, Window};

/// One packet each 20 ms.
pub const INTERVAL: Nanos = 20_000_000;
const SAMPLES: u32 = 960;
/// A call that is not up by then has failed.
pub const SETUP_LIMIT: Nanos = 15_000_000_000;

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

/// What all calls of a run have in common.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// Address that the calls' sockets are bound to.
    pub bind: IpAddr,
    /// Bytes of a payload.
    pub payload: usize,
    /// Sends nothing once connected.
    pub silent: bool,
    rtc: RtcConfig,
}

impl CallConfig {
    /// Calls from this address with payloads of this size; all share one certificate, as tabs of one browser may.
    ///
    /// # Errors
    /// None that str0m's default provider is known to give; kept, since making a certificate may fail.
    pub fn new(bind: IpAddr, payload: usize, silent: bool, dtls: DtlsVersion) -> Result<Self, CallError> {
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| CallError::Ended("cannot make a certificate".to_owned()))?;
        let rtc = RtcConfig::new()
            .set_crypto_provider(provider.into())
            .set_dtls_cert(certificate)
            .set_dtls_version(dtls)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .clear_extension_map()
            .set_extension(1, Extension::AudioLevel)
            .set_extension(4, Extension::RtpMid);
        Ok(Self {
            bind,
            payload: payload.max(crate::probe::SMALLEST),
            silent,
            rtc,
        })
    }

    /// What str0m is told for each call.
    #[must_use]
    pub fn rtc(&self) -> &RtcConfig {
        &self.rtc
    }
}

/// Where a call is in its life.
#[derive(Debug)]
enum State {
    /// The offer was handed out.
    Offered { pending: SdpPendingOffer },
    /// The answer came; ICE and DTLS are at work.
    Connecting,
    /// Media flows.
    Up { pt: Pt },
    /// It is over.
    Over,
}

/// What a step of a call has brought about.
#[derive(Debug)]
pub enum Step {
    /// Nothing new.
    Same,
    /// It is up.
    Connected,
    /// It is over.
    Failed(CallError),
}

/// One call.
#[derive(Debug)]
pub struct Call {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    index: u32,
    mid: Mid,
    state: State,
    silent: bool,
    payload: Vec<u8>,
    next_number: u64,
    next_send: Nanos,
    timeout: Nanos,
    give_up: Nanos,
    window: Window,
    location: Option<String>,
    /// The last answer, which a restart's credentials are put into.
    answered: String,
    restarting: Option<SdpPendingOffer>,
}

impl Call {
    /// Opens a socket and makes an offer with its address as the only candidate.
    ///
    /// # Errors
    /// [`CallError::Socket`].
    pub fn offer(config: &CallConfig, index: u32, clock: Clock) -> Result<(Self, String), CallError> {
        let refused = |source| CallError::Socket {
            address: config.bind,
            source,
        };
        let socket = UdpSocket::bind((config.bind, 0)).map_err(refused)?;
        socket.set_nonblocking(true).map_err(refused)?;
        sys::enable_arrival_times(&socket).map_err(refused)?;
        let local = socket.local_addr().map_err(refused)?;

        let now = clock.now();
        let mut rtc = config.rtc.clone().build(clock.instant(now));
        let candidate = Candidate::host(local, "udp").map_err(|error| CallError::Ended(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = changes.apply().expect("media was added");
        let call = Self {
            rtc,
            socket,
            local,
            index,
            mid,
            state: State::Offered { pending },
            silent: config.silent,
            payload: vec![0; config.payload],
            next_number: 0,
            next_send: NEVER,
            timeout: NEVER,
            give_up: now + SETUP_LIMIT,
            window: Window::default(),
            location: None,
            answered: String::new(),
            restarting: None,
        };
        Ok((call, offer.to_sdp_string()))
    }

    /// The call's socket, to wait for.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// What to delete at the end.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// When the call wants to be driven next.
    #[must_use]
    pub fn deadline(&self) -> Nanos {
        match self.state {
            State::Offered { .. } | State::Connecting => self.timeout.min(self.give_up),
            State::Up { .. } => self.timeout.min(self.next_send),
            State::Over => NEVER,
        }
    }

    /// Whether media flows.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Takes the answer.
    pub fn answer(&mut self, sdp: &str, location: Option<String>, now: Nanos, clock: Clock, tally: &mut Tally) -> Step {
        self.location = location;
        self.answered = plain_candidates(sdp);
        let State::Offered { pending } = std::mem::replace(&mut self.state, State::Connecting) else {
            return Step::Same;
        };
        let taken = SdpAnswer::from_sdp_string(&self.answered)
            .map_err(|error| error.to_string())
            .and_then(|answer| {
                self.rtc
                    .sdp_api()
                    .accept_answer(pending, answer)
                    .map_err(|error| error.to_string())
            });
        match taken {
            Err(reason) => self.over(CallError::Answer(reason)),
            Ok(()) => self.input(Input::Timeout(clock.instant(now)), now, clock, tally),
        }
    }

    /// A datagram came at `arrival`.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        arrival: Nanos,
        clock: Clock,
        tally: &mut Tally,
    ) -> Step {
        let Ok(contents) = datagram.try_into() else {
            tally.corrupt += 1;
            return Step::Same;
        };
        let receive = Receive {
            proto: Protocol::Udp,
            source: from,
            destination: self.local,
            contents,
        };
        self.input(Input::Receive(clock.instant(arrival), receive), arrival, clock, tally)
    }

    /// Time has come to [`Call::deadline`].
    pub fn tick(&mut self, now: Nanos, clock: Clock, tally: &mut Tally) -> Step {
        if now >= self.give_up && matches!(self.state, State::Offered { .. } | State::Connecting) {
            return self.over(CallError::Ended("not connected in time".to_owned()));
        }
        if let State::Up { pt } = self.state
            && now >= self.next_send
        {
            self.send_probe(pt, now, clock, tally);
        }
        self.input(Input::Timeout(clock.instant(now)), now, clock, tally)
    }

    fn send_probe(&mut self, pt: Pt, now: Nanos, clock: Clock, tally: &mut Tally) {
        let number = self.next_number;
        let sent_ns = clock.now();
        if self.window.contains(number) {
            tally.lateness.record_ns(sent_ns - self.next_send);
        }
        Probe {
            call: self.index,
            number,
            sent_ns,
        }
        .write(&mut self.payload);
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(self.mid, None) else {
            return;
        };
        let level = ExtensionValues {
            audio_level: Some(-30),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let timestamp = (number as u32).wrapping_mul(SAMPLES);
        stream.write_rtp(
            RtpWrite::new(
                pt,
                (1_000 + number).into(),
                timestamp,
                clock.instant(now),
                self.payload.as_slice(),
            )
            .marker(number == 0)
            .ext_vals(level),
        );
        self.next_number += 1;
        self.next_send += INTERVAL;
    }

    /// The call's packets come from another port from now on, as after a NAT's rebinding: the call does not know of it.
    /// The socket is another one then: wait for it.
    ///
    /// # Errors
    /// What opening a socket says.
    pub fn rebind(&mut self) -> io::Result<()> {
        let socket = UdpSocket::bind((self.local.ip(), 0))?;
        socket.set_nonblocking(true)?;
        sys::enable_arrival_times(&socket)?;
        self.socket = socket;
        Ok(())
    }

    /// Begins an ICE restart. Returns the new credentials as a fragment (RFC 8840).
    pub fn restart(&mut self) -> Option<String> {
        let mut changes = self.rtc.sdp_api();
        let credentials = changes.ice_restart(true);
        let (_, pending) = changes.apply()?;
        self.restarting = Some(pending);
        Some(format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{}\r\n",
            credentials.ufrag, credentials.pass, self.mid
        ))
    }

    /// Goes on with the fragment that answers a restart. Returns whether it was one.
    pub fn restarted(&mut self, fragment: &str) -> bool {
        let credential = |name: &str| fragment.lines().find(|line| line.starts_with(name)).map(str::trim_end);
        let (Some(pending), Some(ufrag), Some(password)) = (
            self.restarting.take(),
            credential("a=ice-ufrag:"),
            credential("a=ice-pwd:"),
        ) else {
            return false;
        };
        let renewed = |line: &str| match line {
            line if line.starts_with("a=ice-ufrag:") => format!("{ufrag}\r\n"),
            line if line.starts_with("a=ice-pwd:") => format!("{password}\r\n"),
            line => format!("{line}\r\n"),
        };
        self.answered = self.answered.lines().map(renewed).collect();
        SdpAnswer::from_sdp_string(&self.answered)
            .is_ok_and(|answer| self.rtc.sdp_api().accept_answer(pending, answer).is_ok())
    }

    /// From the next probe on, probes count.
    pub fn open_window(&mut self) {
        self.window.open(self.next_number);
    }

    /// From the next probe on, probes count no longer.
    pub fn close_window(&mut self) {
        self.window.close(self.next_number);
    }

    /// Adds what the call has counted.
    pub fn count(&self, tally: &mut Tally) {
        self.window.count(tally);
    }

    /// Says good-bye (RTCP BYE, DTLS `close_notify`) and is over.
    pub fn close(&mut self, now: Nanos, clock: Clock, tally: &mut Tally) {
        if self.is_up() && self.rtc.close().is_ok() {
            let _ = self.input(Input::Timeout(clock.instant(now)), now, clock, tally);
        }
        self.state = State::Over;
    }

    fn over(&mut self, error: CallError) -> Step {
        self.state = State::Over;
        self.rtc.disconnect();
        Step::Failed(error)
    }

    fn input(&mut self, input: Input<'_>, now: Nanos, clock: Clock, tally: &mut Tally) -> Step {
        if let Err(error) = self.rtc.handle_input(input) {
            return self.over(CallError::Ended(error.to_string()));
        }
        let mut step = Step::Same;
        loop {
            match self.rtc.poll_output() {
                Err(error) => return self.over(CallError::Ended(error.to_string())),
                Ok(Output::Timeout(at)) => {
                    self.timeout = clock.nanos(at);
                    return step;
                }
                // A full socket buffer loses the datagram, as a network would; the probes tell.
                Ok(Output::Transmit(datagram)) => {
                    let _ = self.socket.send_to(&datagram.contents, datagram.destination);
                }
                Ok(Output::Event(Event::RtpPacket(packet))) => self.judge(&packet, now, tally),
                Ok(Output::Event(Event::Connected)) => match self.connected(now) {
                    Ok(()) => step = Step::Connected,
                    Err(error) => return self.over(error),
                },
                Ok(Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected))) => {
                    return self.over(CallError::Ended("ICE disconnected".to_owned()));
                }
                Ok(Output::Event(Event::Closed)) => {
                    self.state = State::Over;
                    step = Step::Failed(CallError::Ended("closed by the peer".to_owned()));
                }
                Ok(Output::Event(_)) => {}
            }
        }
    }

    fn connected(&mut self, now: Nanos) -> Result<(), CallError> {
        let pt = self
            .rtc
            .media(self.mid)
            .and_then(|media| media.remote_pts().first().copied());
        let pt = pt.ok_or_else(|| CallError::Answer("it accepts no Opus".to_owned()))?;
        self.state = State::Up { pt };
        if !self.silent {
            self.next_send = now + phase(self.index, now);
        }
        Ok(())
    }

    fn judge(&mut self, packet: &RtpPacket, arrival: Nanos, tally: &mut Tally) {
        match Probe::read(&packet.payload) {
            Ok(probe) if probe.call == self.index => {
                if self.window.echo(probe.number) {
                    tally.delay.record_ns(arrival.saturating_sub(probe.sent_ns));
                }
            }
            // An edge fills pauses with comfort frames, such as while a call changes its address.
            _ if packet.payload[..] == SILENCE => {}
            _ => tally.corrupt += 1,
        }
    }
}

/// A phase in 0..20 ms that differs from call to call (splitmix64), so that sends spread evenly.
#[must_use]
pub fn phase(index: u32, now: Nanos) -> Nanos {
    let mut mixed = (u64::from(index) ^ now).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % INTERVAL
}

/// How long to wait for a deadline.
#[must_use]
pub fn until(deadline: Nanos, now: Nanos) -> Duration {
    Duration::from_nanos(deadline.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_spread_over_the_interval() {
        let mut bins = [0; 4];
        for call in 0..400 {
            bins[(phase(call, 0) / (INTERVAL / 4)) as usize] += 1;
        }
        assert!(bins.iter().all(|bin| (60..140).contains(bin)), "{bins:?}");
    }
}
