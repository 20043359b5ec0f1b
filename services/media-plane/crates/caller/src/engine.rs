//! What the engine costs without sockets: one packet opened and handed on, one frame sealed and handed out, against the
//! open and the seal of AES-128-GCM alone. str0m is the caller; both live in memory and in virtual time.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_engine::{
    EngineConfig, Event as EngineEvent, Gap, IngestFrame, OpenSession, Output as EngineOutput, PlayoutFrame,
    PlayoutReport, Session, Time,
};
use serde::Serialize;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::call::{CallConfig, CallError};
use crate::floor::Cipher;

const PACKET: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(1);
/// A handshake in memory that takes longer than this (virtual) has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Packets in one timed stretch: long enough for the clock, short enough to miss most interruptions.
const STRETCH: usize = 50;

/// What the engine cost.
#[derive(Clone, Debug, Serialize)]
pub struct EngineReport {
    /// Sessions that took turns: with many, each finds its state out of the nearest cache.
    pub sessions: usize,
    /// Packet pairs that were timed.
    pub pairs: usize,
    /// Time of a pair through the engine, in ns: median over stretches of 50 pairs or more.
    pub engine_ns: f64,
    /// Time of an open and a seal of AES-128-GCM alone, in ns, likewise.
    pub cipher_ns: f64,
    /// The first over the second.
    pub ratio: f64,
}

/// Why the engine could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// str0m failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The engine refused the offer, or its settings.
    #[error("the engine refused: {0}")]
    Refused(String),
    /// The two did not connect.
    #[error("str0m and the engine did not connect within 5 s of virtual time")]
    NotConnected,
    /// Packets went missing, so that the time is not that of a pair.
    #[error("{frames} frames and {transmitted} packets for {pairs} packets of the caller")]
    Incomplete {
        /// Packets of the caller.
        pairs: usize,
        /// Frames that came out.
        frames: usize,
        /// Media packets that went back.
        transmitted: usize,
    },
}

/// The caller, in memory.
struct Caller {
    rtc: Rtc,
    address: SocketAddr,
    server: SocketAddr,
    mid: Mid,
    pt: Option<Pt>,
    sent: u64,
    outbox: Vec<Vec<u8>>,
}

impl Caller {
    fn input(&mut self, input: Input<'_>) -> Result<(), CallError> {
        let ended = |error: str0m::RtcError| CallError::Ended(error.to_string());
        self.rtc.handle_input(input).map_err(ended)?;
        loop {
            match self.rtc.poll_output().map_err(ended)? {
                Output::Timeout(_) => return Ok(()),
                Output::Transmit(datagram) => self.outbox.push(datagram.contents.to_vec()),
                Output::Event(Event::Connected) => {
                    self.pt = self
                        .rtc
                        .media(self.mid)
                        .and_then(|media| media.remote_pts().first().copied());
                }
                Output::Event(_) => {}
            }
        }
    }

    fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<(), CallError> {
        let contents = datagram
            .try_into()
            .map_err(|_| CallError::Ended("not a WebRTC datagram".to_owned()))?;
        let (source, destination) = (self.server, self.address);
        self.input(Input::Receive(
            now,
            Receive {
                proto: Protocol::Udp,
                source,
                destination,
                contents,
            },
        ))
    }

    fn send(&mut self, now: Instant, pt: Pt, payload: &[u8]) -> Result<(), CallError> {
        let level = ExtensionValues {
            audio_level: Some(-30),
            voice_activity: Some(true),
            ..Default::default()
        };
        let packet = RtpWrite::new(pt, (1_000 + self.sent).into(), (self.sent * 960) as u32, now, payload);
        let mut direct = self.rtc.direct_api();
        if let Some(stream) = direct.stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(packet.ext_vals(level));
        }
        self.sent += 1;
        self.input(Input::Timeout(now))
    }
}

/// Takes what a session says into buffers that last, as the runtime does.
#[derive(Default)]
struct Sink {
    frame: Vec<u8>,
    frames: usize,
    datagrams: Vec<Vec<u8>>,
    used: usize,
    connected: bool,
}

impl Sink {
    fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams[..self.used]
    }
}

impl EngineOutput for Sink {
    fn transmit(&mut self, _to: SocketAddr, datagram: &[u8]) {
        if self.used == self.datagrams.len() {
            self.datagrams.push(Vec::with_capacity(2048));
        }
        let buffer = &mut self.datagrams[self.used];
        buffer.clear();
        buffer.extend_from_slice(datagram);
        self.used += 1;
    }

    fn frame(&mut self, frame: IngestFrame<'_>) {
        self.frame.clear();
        self.frame.extend_from_slice(frame.payload);
        self.frames += 1;
    }

    fn gap(&mut self, _gap: Gap) {}

    fn playout(&mut self, report: PlayoutReport) {
        black_box(report);
    }

    fn event(&mut self, event: EngineEvent) {
        self.connected |= matches!(event, EngineEvent::Connected { .. });
    }
}

/// A caller and the engine's session with it.
struct Pair {
    caller: Caller,
    session: Session,
    sink: Sink,
}

/// Both clocks of the virtual time.
#[derive(Clone, Copy)]
struct Virtual {
    base: Instant,
    passed: Duration,
}

impl Virtual {
    fn instant(self) -> Instant {
        self.base + self.passed
    }

    fn time(self) -> Time {
        Time(self.passed.as_micros() as u64)
    }
}

fn is_media(datagram: &[u8]) -> bool {
    // RFC 7983 and RFC 5761: RTP begins with 128..=191; payload types 64..=95 are RTCP.
    matches!(datagram, [128..=191, second, ..] if !(64..=95).contains(&(second & 0x7f)))
}

impl Pair {
    fn connect(
        config: &Arc<EngineConfig>,
        calls: &RtcConfig,
        slot: u32,
        clock: &mut Virtual,
    ) -> Result<Self, EngineError> {
        let server = config.advertise[0];
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + slot as u16));
        let mut rtc = calls.clone().build(clock.instant());
        let candidate = Candidate::host(address, "udp").map_err(|error| CallError::Ended(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = changes.apply().expect("media was added");
        let offer = offer.to_sdp_string();
        let open = OpenSession {
            offer: &offer,
            slot,
            epoch: 1,
            data_channel: None,
        };
        let (session, answer) =
            Session::accept(config, &open, clock.time()).map_err(|error| EngineError::Refused(error.to_string()))?;
        let answer = SdpAnswer::from_sdp_string(&answer).map_err(|error| CallError::Answer(error.to_string()))?;
        rtc.sdp_api()
            .accept_answer(pending, answer)
            .map_err(|error| CallError::Answer(error.to_string()))?;
        let caller = Caller {
            rtc,
            address,
            server,
            mid,
            pt: None,
            sent: 0,
            outbox: Vec::new(),
        };
        let mut pair = Self {
            caller,
            session,
            sink: Sink::default(),
        };
        let give_up = clock.passed + PATIENCE;
        while !(pair.sink.connected && pair.caller.pt.is_some()) {
            if clock.passed > give_up {
                return Err(EngineError::NotConnected);
            }
            clock.passed += STEP;
            pair.caller.input(Input::Timeout(clock.instant()))?;
            pair.exchange(*clock)?;
        }
        Ok(pair)
    }

    /// Carries what both have to say, untimed.
    fn exchange(&mut self, clock: Virtual) -> Result<(), CallError> {
        for mut datagram in std::mem::take(&mut self.caller.outbox) {
            self.session
                .receive(clock.time(), self.caller.address, &mut datagram, &mut self.sink);
        }
        if self.session.deadline() <= clock.time() {
            self.session.handle_timeout(clock.time(), &mut self.sink);
        }
        for datagram in self.sink.datagrams() {
            self.caller.receive(clock.instant(), datagram)?;
        }
        self.sink.used = 0;
        Ok(())
    }

    /// The timed part: a packet comes in, and its payload goes back as a frame of an utterance.
    fn echo(&mut self, now: Time, datagram: &mut [u8]) {
        self.session.receive(now, self.caller.address, datagram, &mut self.sink);
        let payload = std::mem::take(&mut self.sink.frame);
        let frame = PlayoutFrame {
            utterance: 1,
            generation: 0,
            duration: 960,
            last: false,
            live: true,
            payload: &payload,
        };
        self.session.play(now, frame, &mut self.sink);
        self.sink.frame = payload;
        if self.session.deadline() <= now {
            self.session.handle_timeout(now, &mut self.sink);
        }
    }
}

/// Times about `pairs` packet pairs through `sessions` sessions that take turns.
///
/// # Errors
/// [`EngineError`].
pub fn run(sessions: usize, pairs: usize, payload: usize) -> Result<EngineReport, EngineError> {
    let refused = |error: antiphon_engine::ConfigError| EngineError::Refused(error.to_string());
    let config = EngineConfig::new(
        &[1; 32],
        1,
        vec![SocketAddr::from(([127, 0, 0, 1], 9_999))],
        Instant::now(),
    )
    .map_err(refused)?;
    let config = Arc::new(config);
    let calls = CallConfig::new(
        [127, 0, 0, 1].into(),
        payload,
        false,
        str0m::crypto::dtls::DtlsVersion::Dtls12,
    )?;
    let mut clock = Virtual {
        base: Instant::now(),
        passed: Duration::ZERO,
    };
    let mut all = (0..sessions.max(1) as u32)
        .map(|slot| Pair::connect(&config, calls.rtc(), slot, &mut clock))
        .collect::<Result<Vec<_>, _>>()?;

    let ciphers: Vec<_> = all.iter().map(|_| Cipher::default()).collect();
    let sealed: Vec<_> = (0..all.len())
        .map(|index| ciphers[index].packet(index as u32, payload))
        .collect();
    let rounds = STRETCH.div_ceil(all.len());
    // The first stretches fill caches and buffers.
    let warm_up = 4;
    let stretches = pairs.div_ceil(rounds * all.len()) + warm_up;
    let (mut engine, mut cipher) = (Vec::new(), Vec::new());
    let mut carried = 0;
    let bytes = vec![0x78; payload];
    for stretch in 0..stretches {
        let mut packets = Vec::with_capacity(rounds * all.len());
        for _ in 0..rounds {
            clock.passed += PACKET;
            for (index, pair) in all.iter_mut().enumerate() {
                let pt = pair.caller.pt.expect("connected");
                pair.caller.send(clock.instant(), pt, &bytes)?;
                let media: Vec<_> = pair
                    .caller
                    .outbox
                    .extract_if(.., |datagram| is_media(datagram))
                    .collect();
                packets.extend(media.into_iter().map(|datagram| (index, clock.time(), datagram)));
            }
        }
        for pair in &mut all {
            pair.exchange(clock)?;
            pair.sink.frames = 0;
        }

        let begin = Instant::now();
        for (index, now, datagram) in &mut packets {
            all[*index].echo(*now, datagram);
        }
        let spent = begin.elapsed();
        let frames = all.iter().map(|pair| pair.sink.frames).sum();
        let transmitted = all
            .iter()
            .flat_map(|pair| pair.sink.datagrams())
            .filter(|datagram| is_media(datagram))
            .count();
        if frames != packets.len() || transmitted != packets.len() {
            return Err(EngineError::Incomplete {
                pairs: packets.len(),
                frames,
                transmitted,
            });
        }
        for pair in &mut all {
            pair.exchange(clock)?;
        }

        let mut copies: Vec<_> = packets
            .iter()
            .map(|(index, ..)| (*index, sealed[*index].clone()))
            .collect();
        let begin = Instant::now();
        for (index, packet) in &mut copies {
            let opened = ciphers[*index].open(packet);
            ciphers[*index].seal(packet);
            black_box(opened);
        }
        let alone = begin.elapsed();
        if stretch >= warm_up {
            carried += packets.len();
            engine.push(spent.as_nanos() as f64 / packets.len() as f64);
            cipher.push(alone.as_nanos() as f64 / packets.len() as f64);
        }
    }
    let (engine_ns, cipher_ns) = (median(&mut engine), median(&mut cipher));
    Ok(EngineReport {
        sessions: all.len(),
        pairs: carried,
        engine_ns,
        cipher_ns,
        ratio: engine_ns / cipher_ns,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_makes_a_frame_and_each_frame_a_packet() {
        let report = run(3, 600, 160).unwrap();
        assert_eq!(report.sessions, 3);
        assert!(report.pairs >= 600, "{report:?}");
        assert!(report.engine_ns > 0.0 && report.cipher_ns > 0.0, "{report:?}");
    }

    #[test]
    fn media_is_told_from_reports_and_checks() {
        assert!(is_media(&[0x80, 111]) && is_media(&[0x90, 0x80 | 111]));
        assert!(!is_media(&[0x80, 200]) && !is_media(&[0, 1]) && !is_media(&[22, 254]) && !is_media(&[0x80]));
    }
}
