//! A str0m caller and the engine's session with it, joined in memory and in virtual time.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_engine::room::Forwarded;
use antiphon_engine::{
    EngineConfig, Event as EngineEvent, Gap, IngestFrame, OpenSession, Output as EngineOutput, PlayoutFrame,
    PlayoutReport, Remote, Session, Time,
};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::EngineError;
use crate::call::CallError;

const STEP: Duration = Duration::from_millis(1);
/// A handshake in memory that takes longer than this (virtual) has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The caller, in memory.
pub(super) struct Caller {
    rtc: Rtc,
    address: SocketAddr,
    server: SocketAddr,
    mid: Mid,
    pub(super) pt: Option<Pt>,
    sent: u64,
    pub(super) outbox: Vec<Vec<u8>>,
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

    pub(super) fn send(&mut self, now: Instant, pt: Pt, payload: &[u8]) -> Result<(), CallError> {
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

/// Takes what sessions say into buffers that last, and that all share, as the runtime does.
#[derive(Default)]
pub(super) struct Sink {
    frame: Vec<u8>,
    pub(super) frames: usize,
    datagrams: Vec<Vec<u8>>,
    used: usize,
    /// Which session said each.
    belongs: Vec<u32>,
    connected: bool,
}

impl Sink {
    pub(super) fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams[..self.used]
    }

    /// The datagrams with the sessions that said them; the sink is as new then.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u32, &[u8])> {
        self.frames = 0;
        let used = std::mem::take(&mut self.used);
        let belongs = std::mem::take(&mut self.belongs).into_iter();
        belongs.zip(self.datagrams[..used].iter().map(Vec::as_slice))
    }
}

impl EngineOutput for Sink {
    fn transmit(&mut self, _to: Remote, datagram: &[u8]) {
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
pub(super) struct Pair {
    slot: u32,
    pub(super) caller: Caller,
    session: Session,
    pub(super) sink: Sink,
}

/// Both clocks of the virtual time.
#[derive(Clone, Copy)]
pub(super) struct Virtual {
    pub(super) base: Instant,
    pub(super) passed: Duration,
}

impl Virtual {
    pub(super) fn instant(self) -> Instant {
        self.base + self.passed
    }

    pub(super) fn time(self) -> Time {
        Time(self.passed.as_micros() as u64)
    }
}

pub(super) fn is_media(datagram: &[u8]) -> bool {
    // RFC 7983 and RFC 5761: RTP begins with 128..=191; payload types 64..=95 are RTCP.
    matches!(datagram, [128..=191, second, ..] if !(64..=95).contains(&(second & 0x7f)))
}

impl Pair {
    pub(super) fn connect(
        config: &Arc<EngineConfig>,
        calls: &RtcConfig,
        slot: u32,
        clock: &mut Virtual,
    ) -> Result<Self, EngineError> {
        Self::open(config, calls, slot, false, clock)
    }

    /// In a room, with a receive slot.
    pub(super) fn in_room(
        config: &Arc<EngineConfig>,
        calls: &RtcConfig,
        slot: u32,
        clock: &mut Virtual,
    ) -> Result<Self, EngineError> {
        Self::open(config, calls, slot, true, clock)
    }

    fn open(
        config: &Arc<EngineConfig>,
        calls: &RtcConfig,
        slot: u32,
        room: bool,
        clock: &mut Virtual,
    ) -> Result<Self, EngineError> {
        let server = config.advertise[0].address;
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + slot as u16));
        let mut rtc = calls.clone().build(clock.instant());
        let candidate = Candidate::host(address, "udp").map_err(|error| CallError::Ended(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        if room {
            changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = changes.apply().expect("media was added");
        let offer = offer.to_sdp_string();
        let open = OpenSession {
            offer: &offer,
            slot,
            epoch: 1,
            data_channel: None,
            room,
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
            slot,
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
    pub(super) fn exchange(&mut self, clock: Virtual) -> Result<(), CallError> {
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

    /// The caller gets what was said to it, untimed.
    pub(super) fn hear(&mut self, clock: Virtual, datagram: &[u8]) -> Result<(), CallError> {
        self.caller.receive(clock.instant(), datagram)
    }

    /// The timed part of a room: another member's frame leaves in the slot.
    pub(super) fn forward(&mut self, now: Time, frame: &Forwarded<'_>) {
        self.session.forward(now, 0, frame, &mut self.sink);
    }

    /// Frames that left in the slot.
    pub(super) fn forwarded(&self) -> u64 {
        self.session.stats().counters.forwarded
    }

    /// The timed part too: a packet will come in soon.
    pub(super) fn warm(&self) {
        self.session.warm();
    }

    /// The timed part: a packet comes in, and its payload goes back as a frame of an utterance.
    pub(super) fn echo(&mut self, now: Time, datagram: &mut [u8], sink: &mut Sink) {
        self.session.receive(now, self.caller.address, datagram, sink);
        let payload = std::mem::take(&mut sink.frame);
        let frame = PlayoutFrame {
            utterance: 1,
            generation: 0,
            duration: 960,
            last: false,
            live: true,
            level: 0,
            payload: &payload,
        };
        self.session.play(now, frame, sink);
        sink.frame = payload;
        if self.session.deadline() <= now {
            self.session.handle_timeout(now, sink);
        }
        sink.belongs.resize(sink.used, self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_told_from_reports_and_checks() {
        assert!(is_media(&[0x80, 111]) && is_media(&[0x90, 0x80 | 111]));
        assert!(!is_media(&[0x80, 200]) && !is_media(&[0, 1]) && !is_media(&[22, 254]) && !is_media(&[0x80]));
    }
}
