//! One caller: SDP, ICE-lite, DTLS, SRTP, data channels, ingest and playout joined into one state machine.

mod edge_messages;
mod holds;
#[cfg(test)]
mod hostile;
mod listening;
mod media;
mod room;
mod takeover;
mod transport;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use crate::channels::{Channels, MAX_MESSAGE};
use crate::config::EngineConfig;
use crate::device::DeviceReport;
use crate::dtls::Transport;
use crate::egress::Egress;
use crate::ice::{Agent, Local};
use crate::ingest::Ingest;
use crate::output::Output;
use crate::playout::Playout;
use crate::rate::Limits;
use crate::remote::Remote;
use crate::report::Reporter;
use crate::room::{MAX_SLOTS, Slot};
use crate::sdp::{Answer, Offer, OfferError, OwnStream, parse_fragment, write_fragment};
use crate::srtp::Receiver;
use crate::stats::{Counters, PathGaps, PlayoutStats, SessionState, SessionStats, SetupTimes};
use crate::stun::{Kind, classify};
use crate::time::Time;
use crate::ufrag::Ufrag;
use crate::voice::Detector;

use holds::{Cause, Holds};

/// A caller that is not connected after this is given up.
const SETUP: Duration = Duration::from_secs(30);
/// After a BYE the session ends, unless its stream goes on: renegotiating stacks say BYE of a stream too.
const BYE: Duration = Duration::from_millis(500);

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct OpenSession<'a> {
    /// The caller's SDP offer.
    pub offer: &'a str,
    /// Slot for the sealed ufrag: the runtime puts the shard in the top 8 bits.
    pub slot: u32,
    /// Fencing token.
    pub epoch: u64,
    /// Stream id of a negotiated data channel.
    pub data_channel: Option<u16>,
    /// In a room: receive-only audio m-lines of the offer become slots for other members' voices.
    pub room: bool,
}

/// A frame of an utterance, from the worker.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutFrame<'a> {
    /// The utterance, from 1.
    pub utterance: u32,
    /// Grows with each flush; older ones are refused.
    pub generation: u32,
    /// Duration in 48 kHz samples; 0 to read it from the packet. The packet's own is what counts.
    pub duration: u32,
    /// Ends the utterance (the packet may be empty).
    pub last: bool,
    /// Leaves on arrival instead of being paced.
    pub live: bool,
    /// Its loudness in -dBov as RFC 6464 has it; 0 when unknown.
    pub level: u8,
    /// The Opus packet.
    pub payload: &'a [u8],
}

/// One caller.
#[derive(Debug)]
pub struct Session {
    config: Arc<EngineConfig>,
    place: Ufrag,
    state: SessionState,
    setup: SetupTimes,
    counters: Counters,
    limits: Limits,
    ice: Agent,
    /// Where the first checks came from: DTLS goes there until a path is nominated.
    first_peer: Option<Remote>,
    offer: Offer,
    dtls: Option<Box<Transport>>,
    /// When the handshake flight that the caller has not answered yet was sent.
    flight: Option<Time>,
    /// What the library below last said, so that the packet path need not ask.
    dtls_deadline: Time,
    /// Whether the caller may still lack the last of the handshake.
    finishing: bool,
    channels_deadline: Time,
    receiver: Option<Receiver>,
    security: Option<String>,
    channels: Option<Box<Channels>>,
    negotiated: Option<u16>,
    ingest: Ingest,
    playout: Playout,
    egress: Egress,
    /// The last report of the caller's device.
    device: Option<DeviceReport>,
    /// There while the session's policy is to hold on voice.
    detector: Option<Box<Detector>>,
    holds: Holds,
    reporter: Reporter,
    slots: Box<[Slot]>,
    cname: [u8; 16],
    path_gaps: PathGaps,
    bye: Option<Time>,
    closing: Option<&'static str>,
}

impl Session {
    /// Answers an offer. Returns the session and the SDP answer.
    ///
    /// # Errors
    /// [`OfferError`] names the line that cannot be answered.
    pub fn accept(config: &Arc<EngineConfig>, open: &OpenSession<'_>, now: Time) -> Result<(Self, String), OfferError> {
        let mut offer = Offer::parse_with_slots(open.offer, if open.room { MAX_SLOTS } else { 0 })?;
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| OfferError {
            line: 0,
            message: "the edge has no randomness".to_owned(),
        })?;
        let number = |at: usize| u32::from_be_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]);
        let place = Ufrag {
            edge: config.edge,
            slot: open.slot,
            restart: 0,
            epoch: open.epoch,
        };
        let local = seal(config, &place);
        let cname = hex(&random[16..24]);
        let ssrc = number(0).max(1);
        let slots: Vec<u32> = (1..).take(offer.slots.len()).map(|at| ssrc.wrapping_add(at)).collect();
        let name = std::str::from_utf8(&cname).unwrap_or_default();
        let answer = Answer {
            session_id: u64::from(number(4)) << 16 | u64::from(number(8)) >> 16,
            ufrag: local.ufrag.as_str(),
            password: local.password.as_str(),
            fingerprint: &config.fingerprint,
            candidates: &config.advertise,
            stream: OwnStream {
                ssrc,
                cname: name,
                stream: name,
                track: "agent",
            },
            slots: &slots,
            max_message_size: MAX_MESSAGE,
        }
        .write(&offer);
        // They served the answer, and the session lives long.
        offer.sections = Vec::new();
        offer.bundle = Vec::new();
        #[expect(clippy::cast_possible_truncation, reason = "16 random bits are wanted")]
        let first_sequence = number(12) as u16;
        let lines = std::mem::take(&mut offer.slots).into_iter().zip(&slots);
        let slots = lines.map(|(line, ssrc)| Slot::new(*ssrc, line, first_sequence));
        let session = Self {
            config: Arc::clone(config),
            place,
            state: SessionState::New,
            setup: SetupTimes {
                opened: now,
                ..SetupTimes::default()
            },
            counters: Counters::default(),
            limits: Limits::default(),
            ice: Agent::new(local, &offer.ice),
            first_peer: None,
            dtls: None,
            flight: None,
            dtls_deadline: Time::NEVER,
            finishing: false,
            channels_deadline: Time::NEVER,
            receiver: None,
            security: None,
            channels: None,
            negotiated: open.data_channel,
            ingest: Ingest::new(&offer.audio),
            playout: Playout::new(number(24), first_sequence, now),
            egress: Egress::new(ssrc, offer.audio.opus.payload_type, offer.audio.opus.red),
            device: None,
            detector: None,
            holds: Holds::default(),
            reporter: Reporter::new(number(28)),
            slots: slots.collect(),
            cname,
            path_gaps: PathGaps::default(),
            bye: None,
            closing: None,
            offer,
        };
        Ok((session, answer))
    }

    /// Whether media may flow.
    #[must_use]
    #[inline]
    pub fn is_connected(&self) -> bool {
        self.state == SessionState::Connected
    }

    /// Where media goes to.
    #[must_use]
    pub fn remote(&self) -> Option<Remote> {
        self.target()
    }

    /// When the caller was last heard from there, authentically.
    #[must_use]
    pub fn heard_from(&self, remote: Remote) -> Option<Time> {
        self.ice.heard_from(remote)
    }

    /// The ufrag in the answer, or in the fragment of the last ICE restart.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        self.ice.local().ufrag.as_str()
    }

    /// What a check of the caller's has as user name and password.
    #[cfg(any(test, feature = "known-keys"))]
    pub(crate) fn check_credentials(&self) -> (String, crate::ufrag::Password) {
        let local = self.ice.local();
        let username = format!("{}:{}", local.ufrag.as_str(), self.offer.ice.ufrag);
        (username, local.password)
    }

    /// A datagram came from `from`. It is opened in place.
    pub fn receive(&mut self, now: Time, from: impl Into<Remote>, datagram: &mut [u8], out: &mut impl Output) {
        let from = from.into();
        if self.state == SessionState::Closed {
            return;
        }
        match classify(datagram) {
            Kind::Stun => self.receive_check(now, from, datagram, out),
            Kind::Other => self.counters.unknown_datagrams += 1,
            _ if !self.ice.is_verified(from) => self.counters.unverified += 1,
            Kind::Rtp => self.receive_rtp(now, from, datagram, out),
            Kind::Rtcp => self.receive_rtcp(now, from, datagram, out),
            Kind::Dtls => self.drive_dtls(now, Some(datagram), out),
        }
    }

    /// Time has come to [`Session::deadline`].
    pub fn handle_timeout(&mut self, now: Time, out: &mut impl Output) {
        if self.state == SessionState::Closed {
            return;
        }
        let lives = self.life_ends();
        if lives.0 <= now {
            self.finish(now, lives.1, out);
            return;
        }
        if self.dtls_deadline <= now {
            self.drive_dtls(now, None, out);
        }
        if self.state == SessionState::Closed {
            return;
        }
        if self.channels_deadline <= now {
            self.drive_channels(now, out);
        }
        if self.ingest.deadline() <= now {
            self.ingest.expire(now, out);
            self.ask(now, out);
        }
        if self.holds.deadline() <= now {
            self.holds(now, Cause::Time, out);
        }
        if self.playout.deadline() <= now {
            self.with_playout(now, out, |playout, counters, sink| playout.drive(now, counters, sink));
        }
        if self.reporter.deadline() <= now {
            self.send_report(now, out);
        }
        if let Some(reason) = self.closing.filter(|_| self.playout.is_idle(now)) {
            self.finish(now, reason, out);
        }
    }

    /// When the session ends by itself, and why.
    fn life_ends(&self) -> (Time, &'static str) {
        let set_up = match self.state {
            SessionState::Connected => Time::NEVER,
            _ => self.setup.opened + SETUP,
        };
        let consent = self.ice.consent_expires().unwrap_or(Time::NEVER);
        let bye = self.bye.unwrap_or(Time::NEVER);
        if set_up <= bye && set_up <= consent {
            (set_up, "timeout")
        } else if bye <= consent {
            (bye, "bye")
        } else {
            (consent, "consent")
        }
    }

    /// When [`Session::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Time {
        if self.state == SessionState::Closed {
            return Time::NEVER;
        }
        let closing = match self.closing {
            Some(_) => self.playout.idle_at(),
            None => Time::NEVER,
        };
        self.life_ends()
            .0
            .min(self.dtls_deadline)
            .min(closing)
            .min(self.channels_deadline)
            .min(self.ingest.deadline())
            .min(self.playout.deadline())
            .min(self.holds.deadline())
            .min(self.reporter.deadline())
    }

    /// Takes a frame to play. Returns whether it was accepted; else the counter in the stats says why.
    pub fn play(&mut self, now: Time, frame: PlayoutFrame<'_>, out: &mut impl Output) -> bool {
        if self.state == SessionState::Closed || !self.offer.audio.direction.receives() {
            self.counters.refused_not_ready += 1;
            return false;
        }
        self.with_playout(now, out, |playout, counters, sink| {
            playout.play(now, &frame, counters, sink)
        })
    }

    /// Pauses playout on the worker's wish.
    pub fn hold(&mut self, now: Time, out: &mut impl Output) {
        self.holds(now, Cause::Hold, out);
    }

    /// Goes on where [`Session::hold`] paused.
    pub fn resume(&mut self, now: Time, out: &mut impl Output) {
        self.holds(now, Cause::Resume, out);
    }

    /// Drops what is queued below `generation` and refuses what comes of it later.
    pub fn flush(&mut self, now: Time, generation: u32, out: &mut impl Output) {
        self.with_playout(now, out, |playout, counters, sink| {
            playout.flush(now, generation, counters, sink)
        });
        self.holds(now, Cause::Flush, out);
    }

    /// Sends a data-channel message on the channel with this label. Returns false when there is none or it is full.
    pub fn send_data(&mut self, now: Time, label: &str, binary: bool, payload: &[u8], out: &mut impl Output) -> bool {
        let taken = self
            .channels
            .as_mut()
            .is_some_and(|channels| channels.send(label, binary, payload));
        if taken {
            self.counters.messages_out += 1;
            self.drive_channels(now, out);
        } else {
            self.counters.refused_messages += 1;
        }
        taken
    }

    /// Takes the caller's new ICE credentials (RFC 8840 fragment); returns the edge's fragment.
    ///
    /// A fragment that only trickles candidates changes nothing: a lite agent learns them from checks.
    ///
    /// # Errors
    /// [`OfferError`] names the line.
    pub fn restart_ice(&mut self, now: Time, sdpfrag: &str) -> Result<String, OfferError> {
        let _ = now;
        if let Some(remote) = parse_fragment(sdpfrag)?.filter(|remote| *remote != self.offer.ice) {
            self.place.restart = self.place.restart.wrapping_add(1);
            self.ice.restart(seal(&self.config, &self.place), &remote);
            self.offer.ice = remote;
        }
        let local = self.ice.local();
        Ok(write_fragment(
            local.ufrag.as_str(),
            local.password.as_str(),
            &self.offer.audio.mid,
            &self.config.advertise,
        ))
    }

    /// Ends the session: RTCP BYE, DTLS `close_notify`, then `Closed`. With `after_playout`, when all queued frames left.
    pub fn close(&mut self, now: Time, reason: &'static str, after_playout: bool, out: &mut impl Output) {
        if after_playout && self.state == SessionState::Connected && !self.playout.is_idle(now) {
            self.closing = Some(reason);
        } else {
            self.finish(now, reason, out);
        }
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// Counters and measurements.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let remote = self.reporter.remote;
        SessionStats {
            state: self.state,
            setup: self.setup,
            counters: Counters {
                expected: self.ingest.expected(),
                lost: self.ingest.lost(),
                given_up: self.ingest.given_up(),
                packets_out: self.egress.packets,
                red_out: self.egress.red_packets,
                redundant_out: self.egress.redundant,
                repeated_out: self.egress.repeated,
                bytes_out: self.egress.bytes,
                unsealed: self.egress.unsealed,
                ..self.counters
            },
            jitter_ms: self.ingest.jitter_ms(),
            drift_ppm: self.ingest.drift_ppm(),
            path_gaps: self.path_gaps,
            rtt_ms: remote
                .round_trip
                .or(self.ingest.round_trip())
                .map(|round_trip| round_trip.as_secs_f64() * 1_000.0),
            remote_loss: remote.loss,
            remote_jitter_ms: remote.jitter_ms,
            playout: self.playout_stats(),
            echo: self.detector.as_ref().and_then(|detector| detector.echo_path().found()),
            noise: self.detector.as_ref().map(|detector| detector.noise()),
            remote: self.target(),
            security: self.security.clone(),
        }
    }

    fn playout_stats(&self) -> PlayoutStats {
        let (delay, basis) = self.playout.delay();
        PlayoutStats {
            redundancy: self.egress.redundancy.level(),
            loss: self.egress.redundancy.loss().into(),
            delay_ms: delay.as_secs_f64() * 1_000.0,
            basis,
            device: self.device,
        }
    }
}

fn seal(config: &EngineConfig, place: &Ufrag) -> Local {
    let ufrag = config.sealer.seal(place);
    Local {
        ufrag,
        password: config.sealer.password(ufrag.as_bytes()),
    }
}

fn hex(bytes: &[u8]) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
