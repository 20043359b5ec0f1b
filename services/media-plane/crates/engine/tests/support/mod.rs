//! A call in virtual time: a session of ours, str0m as the caller, and a simulated network with a NAT between them.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod browser;
pub mod down;
pub mod handshake;
pub mod listener;
pub mod loss;
pub mod recut;

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use antiphon_engine::room::Forwarded;
use antiphon_engine::stun::{Kind, classify};
use antiphon_engine::{
    EngineConfig, Event, Gap, IngestFrame, IngestQuality, OpenSession, Output, PlayoutFrame, PlayoutReport, Remote,
    Session, SessionState, Time, VoiceEvent,
};
use antiphon_netsim::{Datagram, Fate, Link, LinkConfig, Nat, Seed};
use str0m::change::SdpAnswer;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Input, Rtc, RtcConfig};

use recut::Recut;

pub use str0m::crypto::dtls::DtlsVersion;

pub const EDGE: &str = "198.51.100.1:4000";
pub const INSIDE: &str = "10.0.0.2:5000";
pub const OUTSIDE: &str = "192.0.2.7:6000";

/// Begins here, so that nothing rests on time being zero.
pub const START: Time = Time(1_000_000_000);

thread_local! {
    /// Whether the engine is at work: tests that count its allocations look here.
    pub static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

fn marked<R>(inside: bool, run: impl FnOnce() -> R) -> R {
    let before = AT_WORK.replace(inside);
    let result = run();
    AT_WORK.set(before);
    result
}

/// Runs the engine.
fn engine<R>(run: impl FnOnce() -> R) -> R {
    marked(true, run)
}

/// Notes what the engine said.
fn test<R>(run: impl FnOnce() -> R) -> R {
    marked(false, run)
}

/// A 20 ms SILK packet whose body starts with `mark`.
pub fn opus(mark: u8) -> Vec<u8> {
    let mut packet = vec![0x48, mark];
    packet.resize(60, 0xa5);
    packet
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn engine_config() -> Arc<EngineConfig> {
    static CONFIG: OnceLock<Arc<EngineConfig>> = OnceLock::new();
    let make =
        || Arc::new(EngineConfig::new(&[7; 16], 9, vec![address(EDGE)], Instant::now()).expect("a configuration"));
    Arc::clone(CONFIG.get_or_init(make))
}

/// A frame as the worker got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub at: Time,
    pub sequence: u64,
    pub timestamp: u64,
    pub duration: u32,
    pub level: u16,
    pub marker: bool,
    pub repaired: bool,
    pub redundant: bool,
    pub telephone_event: bool,
    pub fec: bool,
    pub payload: Vec<u8>,
}

/// All that a session said.
#[derive(Debug, Default)]
pub struct Said {
    pub now: Time,
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub frames: Vec<Frame>,
    pub gaps: Vec<(Time, Gap)>,
    pub quality: Vec<(Time, IngestQuality)>,
    pub voice: Vec<(Time, VoiceEvent)>,
    pub reports: Vec<(Time, PlayoutReport)>,
    pub events: Vec<(Time, Event)>,
}

impl Output for Said {
    fn transmit(&mut self, to: Remote, datagram: &[u8]) {
        test(|| self.datagrams.push((to.address, datagram.to_vec())));
    }

    fn frame(&mut self, frame: IngestFrame<'_>) {
        let frame = test(|| Frame {
            at: self.now,
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            duration: frame.duration,
            level: frame.level,
            marker: frame.marker,
            repaired: frame.repaired,
            redundant: frame.redundant,
            telephone_event: frame.telephone_event,
            fec: frame.fec,
            payload: frame.payload.to_vec(),
        });
        test(|| self.frames.push(frame));
    }

    fn gap(&mut self, gap: Gap) {
        test(|| self.gaps.push((self.now, gap)));
    }

    fn quality(&mut self, quality: IngestQuality) {
        test(|| self.quality.push((self.now, quality)));
    }

    fn playout(&mut self, report: PlayoutReport) {
        test(|| self.reports.push((self.now, report)));
    }

    fn voice(&mut self, event: VoiceEvent) {
        test(|| self.voice.push((self.now, event)));
    }

    fn event(&mut self, event: Event) {
        test(|| self.events.push((self.now, event)));
    }
}

impl Said {
    pub fn closed(&self) -> Option<&'static str> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::Closed { reason } => Some(*reason),
            _ => None,
        })
    }

    pub fn security(&self) -> Option<&str> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::Connected { security } => Some(security.as_str()),
            _ => None,
        })
    }
}

/// What a call is like.
pub struct CallConfig {
    pub dtls: DtlsVersion,
    /// Whether the caller cuts its handshake messages anew with each transmission.
    pub recuts: bool,
    pub red: bool,
    pub up: LinkConfig,
    pub down: LinkConfig,
    pub channels: Vec<ChannelConfig>,
    pub negotiated: Option<u16>,
    /// In a room, with so many receive-only m-lines.
    pub slots: Option<usize>,
    /// What the edge gets of the caller's offer.
    pub offer: fn(String) -> String,
    /// What the caller makes of the answer.
    pub answer: fn(String) -> String,
    pub seed: u64,
}

impl Default for CallConfig {
    fn default() -> Self {
        let link = LinkConfig {
            delay_us: 20_000,
            ..LinkConfig::default()
        };
        Self {
            dtls: DtlsVersion::Auto,
            recuts: false,
            red: false,
            up: link,
            down: link,
            channels: Vec::new(),
            negotiated: None,
            slots: None,
            offer: |offer| offer,
            answer: |answer| answer,
            seed: 1,
        }
    }
}

/// What the caller got.
#[derive(Debug)]
pub struct Heard {
    pub at: Time,
    pub packet: RtpPacket,
}

pub struct Call {
    pub session: Session,
    pub said: Said,
    pub rtc: Rtc,
    pub heard: Vec<Heard>,
    pub peer_events: Vec<(Time, str0m::Event)>,
    pub channels: Vec<ChannelId>,
    pub mid: Mid,
    pub slots: Vec<Mid>,
    pub nat: Nat,
    pub up: Link<Datagram>,
    pub down: Link<Datagram>,
    pub now: Time,
    pub seed: Seed,
    base: Instant,
    peer_deadline: Time,
    next_packet: u64,
    timestamp: u32,
    /// RFC 6464 level of what the caller sends, in dBov.
    pub level: i8,
    pub peer_is_silent: bool,
    /// What of the caller's datagrams never leaves it.
    pub peer_drops: Option<Kind>,
    /// Cuts the handshake messages of each datagram anew, as OpenSSL does.
    pub recut: Option<Recut>,
    /// What the network did to each RTP packet of the caller.
    pub media_fates: Vec<Fate>,
    /// The caller's last STUN message.
    pub last_check: Option<Vec<u8>>,
    pub answer: String,
}

impl Call {
    /// Offers, answers, and lets the network begin.
    pub fn new(config: CallConfig) -> Self {
        let seed = Seed::or(config.seed);
        let base = Instant::now();
        let provider = str0m::crypto::from_feature_flags();
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(provider.into())
            .set_dtls_version(config.dtls)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, config.red)
            .clear_extension_map()
            .set_extension(1, Extension::AudioLevel)
            .set_extension(4, Extension::RtpMid)
            .build(base);
        rtc.add_local_candidate(Candidate::host(address(INSIDE), "udp").expect("a candidate"));
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let slots = (0..config.slots.unwrap_or(0))
            .map(|_| changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None))
            .collect();
        let channels = config
            .channels
            .into_iter()
            .map(|channel| changes.add_channel_with_config(channel))
            .collect();
        let (offer, pending) = changes.apply().expect("something was added");
        let offer = (config.offer)(offer.to_sdp_string());
        let shared = engine_config();
        let open = OpenSession {
            offer: &offer,
            slot: 0x0100_0005,
            epoch: 77,
            data_channel: config.negotiated,
            room: config.slots.is_some(),
        };
        let (session, answer) =
            engine(|| Session::accept(&shared, &open, START)).expect("an offer that can be answered");
        let written = answer.clone();
        let answer = SdpAnswer::from_sdp_string(&(config.answer)(answer)).expect("an answer that str0m reads");
        rtc.sdp_api()
            .accept_answer(pending, answer)
            .expect("an answer that str0m takes");
        let recut = config.recuts.then(|| Recut::new(seed.value()));
        let mut call = Self {
            session,
            said: Said::default(),
            rtc,
            heard: Vec::new(),
            peer_events: Vec::new(),
            channels,
            mid,
            slots,
            nat: Nat::new(address(INSIDE), address(OUTSIDE)),
            up: Link::new(seed.value(), config.up),
            down: Link::new(seed.value() ^ 0x5555, config.down),
            now: START,
            seed,
            base,
            peer_deadline: START,
            next_packet: 0,
            timestamp: 123_456,
            level: -30,
            peer_is_silent: false,
            peer_drops: None,
            recut,
            media_fates: Vec::new(),
            last_check: None,
            answer: written,
        };
        call.drive_peer();
        call
    }

    /// A call that is up.
    pub fn connected(config: CallConfig) -> Self {
        let mut call = Self::new(config);
        call.run_until_connected();
        call
    }

    pub fn run_until_connected(&mut self) {
        let limit = self.now + Duration::from_secs(25);
        while !(self.session.stats().state == SessionState::Connected && self.rtc.is_connected()) {
            assert!(
                self.now < limit,
                "not connected: {:?} {:?}",
                self.session.stats(),
                self.said.events
            );
            self.step(limit);
        }
    }

    fn instant(&self) -> Instant {
        self.base + Duration::from_micros(self.now.as_micros() - START.as_micros())
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    pub fn run_ms(&mut self, milliseconds: u64) {
        self.run(Duration::from_millis(milliseconds));
    }

    /// Goes to the next thing that happens, but not beyond `end`. Returns whether there was one.
    fn step(&mut self, end: Time) -> bool {
        let next = [self.up.next_us(), self.down.next_us()]
            .into_iter()
            .flatten()
            .map(Time)
            .fold(self.session.deadline().min(self.peer_deadline), Time::min);
        if next > end {
            self.now = end;
            self.said.now = end;
            return false;
        }
        self.now = self.now.max(next);
        self.said.now = self.now;
        while let Some(datagram) = self.up.receive(self.now.as_micros()) {
            let mut bytes = datagram.bytes;
            engine(|| {
                self.session
                    .receive(self.now, datagram.from, &mut bytes, &mut self.said)
            });
        }
        if self.session.deadline() <= self.now {
            engine(|| self.session.handle_timeout(self.now, &mut self.said));
        }
        self.carry();
        while let Some(datagram) = self.down.receive(self.now.as_micros()) {
            if let Some(datagram) = self.nat.inward(datagram) {
                self.peer_receives(&datagram);
            }
        }
        if self.peer_deadline <= self.now {
            let _ = self.rtc.handle_input(Input::Timeout(self.instant()));
            self.drive_peer();
        }
        true
    }

    /// Puts what the session said onto the network.
    pub fn carry(&mut self) {
        for (to, bytes) in std::mem::take(&mut self.said.datagrams) {
            let datagram = Datagram {
                from: address(EDGE),
                to,
                bytes,
            };
            self.down.send(self.now.as_micros(), datagram);
        }
    }

    fn peer_receives(&mut self, datagram: &Datagram) {
        let contents = datagram.bytes.as_slice().try_into();
        if let Ok(contents) = contents {
            let receive = Receive {
                proto: Protocol::Udp,
                source: datagram.from,
                destination: datagram.to,
                contents,
            };
            let _ = self.rtc.handle_input(Input::Receive(self.instant(), receive));
            self.drive_peer();
        }
    }

    pub fn drive_peer(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Err(_) => {
                    self.peer_deadline = Time::NEVER;
                    return;
                }
                Ok(str0m::Output::Timeout(at)) => {
                    let wait = at.saturating_duration_since(self.instant());
                    // str0m asks for the present again and again: give it a moment.
                    self.peer_deadline = self.now + wait.clamp(Duration::from_micros(100), Duration::from_secs(3_600));
                    return;
                }
                Ok(str0m::Output::Transmit(transmit)) => {
                    if self.peer_is_silent || self.peer_drops == Some(classify(&transmit.contents)) {
                        continue;
                    }
                    let datagram = Datagram {
                        from: transmit.source,
                        to: transmit.destination,
                        bytes: transmit.contents.to_vec(),
                    };
                    let is_media = classify(&datagram.bytes) == Kind::Rtp;
                    if matches!(classify(&datagram.bytes), Kind::Stun) && datagram.bytes[..2] == [0, 1] {
                        self.last_check = Some(datagram.bytes.clone());
                    }
                    let whole = vec![datagram.bytes];
                    let pieces = match self.recut.as_mut().filter(|_| classify(&whole[0]) == Kind::Dtls) {
                        Some(recut) => recut.cut(&whole[0]),
                        None => whole,
                    };
                    for bytes in pieces {
                        let piece = Datagram { bytes, ..datagram };
                        let fate = self.up.send(self.now.as_micros(), self.nat.outward(piece));
                        if is_media {
                            self.media_fates.push(fate);
                        }
                    }
                }
                Ok(str0m::Output::Event(str0m::Event::RtpPacket(packet))) => {
                    self.heard.push(Heard { at: self.now, packet });
                }
                Ok(str0m::Output::Event(event)) => self.peer_events.push((self.now, event)),
            }
        }
    }

    pub fn payload_type(&self) -> Pt {
        let media = self.rtc.media(self.mid).expect("the audio m-line");
        *media.remote_pts().first().expect("a payload type")
    }

    /// The caller sends one packet of 20 ms, and 20 ms pass.
    pub fn say(&mut self, payload: &[u8]) {
        self.send_packet(1, 960, false, payload);
        self.run_ms(20);
    }

    /// The caller sends a packet `sequence_step` and `samples` after the one before.
    pub fn send_packet(&mut self, sequence_step: u64, samples: u32, marker: bool, payload: &[u8]) {
        self.send_packet_as(self.payload_type(), sequence_step, samples, marker, payload);
    }

    pub fn send_packet_as(&mut self, pt: Pt, sequence_step: u64, samples: u32, marker: bool, payload: &[u8]) {
        self.next_packet += sequence_step;
        self.timestamp = self.timestamp.wrapping_add(samples);
        let (number, timestamp, instant) = (self.next_packet, self.timestamp, self.instant());
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(self.mid, None).expect("a stream to send");
        let extensions = ExtensionValues {
            audio_level: Some(self.level),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(pt, number.into(), timestamp, instant, payload)
                .marker(marker)
                .ext_vals(extensions),
        );
        let _ = self.rtc.handle_input(Input::Timeout(instant));
        self.drive_peer();
    }

    /// The worker sends a frame.
    pub fn play(&mut self, frame: PlayoutFrame<'_>) -> bool {
        let taken = engine(|| self.session.play(self.now, frame, &mut self.said));
        self.carry();
        taken
    }

    /// Another member's frame for a slot.
    pub fn forward(&mut self, slot: usize, frame: &Forwarded<'_>) -> bool {
        let sent = engine(|| self.session.forward(self.now, slot, frame, &mut self.said));
        self.carry();
        sent
    }

    pub fn hold(&mut self) {
        engine(|| self.session.hold(self.now, &mut self.said));
        self.carry();
    }

    pub fn resume(&mut self) {
        engine(|| self.session.resume(self.now, &mut self.said));
        self.carry();
    }

    pub fn release(&mut self) {
        engine(|| self.session.release(self.now, &mut self.said));
        self.carry();
    }

    pub fn hold_on_voice(&mut self, holds: bool) {
        engine(|| self.session.set_policy(self.now, holds, &mut self.said));
        self.carry();
    }

    pub fn flush(&mut self, generation: u32) {
        engine(|| self.session.flush(self.now, generation, &mut self.said));
        self.carry();
    }

    pub fn send_data(&mut self, label: &str, binary: bool, payload: &[u8]) -> bool {
        let taken = engine(|| self.session.send_data(self.now, label, binary, payload, &mut self.said));
        self.carry();
        taken
    }

    pub fn close(&mut self, reason: &'static str, after_playout: bool) {
        self.session.close(self.now, reason, after_playout, &mut self.said);
        self.carry();
    }

    /// Something reaches the session from anywhere.
    pub fn inject(&mut self, from: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.session.receive(self.now, from, &mut bytes, &mut self.said);
        self.carry();
    }
}

/// A frame of an utterance, paced.
pub fn frame(utterance: u32, payload: &[u8]) -> PlayoutFrame<'_> {
    PlayoutFrame {
        utterance,
        generation: 0,
        duration: 960,
        last: false,
        live: false,
        level: 0,
        payload,
    }
}
