//! The engine as a whole: a call's life is read out of the bytes (packets, time, a worker's frames and commands) and lived
//! under real keys, so that what the bytes say gets past the tags. Whatever happens, nothing panics, no deadline stays in the
//! past, what is sent opens, and no utterance is heard before it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use antiphon_engine::established::JoinedChannels;
use antiphon_engine::srtp::{MAX_OVERHEAD, OpenError, Profile, Receiver, Sender};
use antiphon_engine::stun::{Kind, classify};
use antiphon_engine::{
    EngineConfig, Event, Gap, IngestFrame, OpenSession, Output, PlayoutFrame, PlayoutReport, Remote, Session, Time,
};

use crate::{SRTP_KEY, SRTP_SALT};

const OFFER: &str = include_str!("../../crates/engine/tests/offers/chromium.sdp");
const START: Time = Time(1_000_000_000);
/// Times that a session may want to be driven for one moment.
const MOST_TIMEOUTS: usize = 64;
/// Steps of a life that are lived.
const MOST_STEPS: usize = 200;

static CONFIG: LazyLock<Arc<EngineConfig>> = LazyLock::new(|| {
    let advertise = [SocketAddr::from(([198, 51, 100, 1], 4_000))];
    Arc::new(EngineConfig::new(b"a secret of the fuzzer", 1, advertise, Instant::now()).expect("a configuration"))
});

/// Takes what the session says, and holds it against what must be true of it.
struct Witness {
    opener: Receiver,
    over: bool,
}

impl Output for Witness {
    fn transmit(&mut self, _to: Remote, datagram: &[u8]) {
        let mut copy = datagram.to_vec();
        let opened = match classify(datagram) {
            Kind::Rtp => self.opener.open_rtp(&mut copy).map(drop),
            Kind::Rtcp => self.opener.open_rtcp(&mut copy).map(drop),
            _ => return,
        };
        // What is sent again is the same ciphertext again.
        assert!(
            matches!(opened, Ok(()) | Err(OpenError::Replayed | OpenError::TooOld)),
            "{opened:?}"
        );
    }

    fn frame(&mut self, frame: IngestFrame<'_>) {
        assert!(!self.over && frame.duration <= 5_760 && !frame.payload.is_empty());
    }

    fn gap(&mut self, gap: Gap) {
        assert!(gap.count > 0);
    }

    fn playout(&mut self, report: PlayoutReport) {
        assert!(
            report.heard <= report.sent && report.sent <= report.queued,
            "{report:?}"
        );
    }

    fn event(&mut self, event: Event) {
        assert!(!self.over, "after the end: {event:?}");
        self.over = matches!(event, Event::Closed { .. });
    }
}

/// Reads a life.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// Bytes with their length before them.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(head)
    }
}

/// A call, and what its caller keeps.
struct Life {
    session: Session,
    witness: Witness,
    sealer: Sender,
    now: Time,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    held: Option<Vec<u8>>,
}

fn address(number: u8) -> SocketAddr {
    ([192, 0, 2, 7], 6_000 + u16::from(number % 12)).into()
}

impl Life {
    fn begin(choice: u8) -> Self {
        let profile = if choice & 1 == 0 {
            Profile::AeadAes128Gcm
        } else {
            Profile::Aes128CmSha1_80
        };
        let salt = &SRTP_SALT[..profile.salt_len()];
        let mut witness = Witness {
            opener: Receiver::new(profile, &SRTP_KEY, salt).expect("lengths of the profile"),
            over: false,
        };
        let open = OpenSession {
            offer: OFFER,
            slot: 1,
            epoch: 1,
            data_channel: (choice & 2 != 0).then_some(0),
            room: false,
        };
        let keys = (profile, &SRTP_KEY[..], salt);
        let session =
            Session::established(&CONFIG, &open, address(0), keys, START, &mut witness).expect("an offer of Chromium");
        Self {
            session,
            witness,
            sealer: Sender::new(profile, &SRTP_KEY, salt).expect("lengths of the profile"),
            now: START,
            sequence: 100,
            timestamp: 9_600,
            ssrc: 0x1234_5678,
            held: None,
        }
    }

    fn deliver(&mut self, from: u8, datagram: &[u8]) {
        let mut datagram = datagram.to_vec();
        self.session
            .receive(self.now, address(from), &mut datagram, &mut self.witness);
    }

    fn deliver_or_hold(&mut self, hold: bool, datagram: Vec<u8>) {
        if hold {
            self.held = Some(datagram);
        } else {
            self.deliver(0, &datagram);
        }
    }

    fn seal(&mut self, packet: &[u8], rtcp: bool) -> Option<Vec<u8>> {
        let mut buffer = [packet, &[0; MAX_OVERHEAD]].concat();
        let length = if rtcp {
            self.sealer.seal_rtcp(&mut buffer, packet.len())
        } else {
            self.sealer.seal_rtp(&mut buffer, packet.len())
        };
        buffer.truncate(length.ok()?);
        Some(buffer)
    }

    /// A packet of the caller's stream, some of it as it should be.
    fn media(&mut self, script: &mut Script<'_>) -> Option<()> {
        let (kind, flags) = (script.byte()?, script.byte()?);
        self.sequence = self.sequence.wrapping_add(1 + u16::from(flags >> 4));
        self.timestamp = self.timestamp.wrapping_add(960 * (1 + u32::from(flags >> 4)));
        let payload_type = [111, 63, 111, 126, 0][usize::from(kind % 5)];
        let mut packet = vec![0x80, payload_type | flags << 7];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        if flags & 2 != 0 {
            packet[0] |= 0x10;
            packet.extend([0xbe, 0xde, 0, 1]);
            packet.extend([0x10, script.byte()?, 0, 0]);
        }
        packet.extend(script.bytes()?);
        let sealed = self.seal(&packet, false)?;
        self.deliver_or_hold(flags & 4 != 0, sealed);
        Some(())
    }

    /// An RTP or RTCP packet as the bytes say, but for what lets it be sealed.
    fn sealed(&mut self, script: &mut Script<'_>, rtcp: bool) -> Option<()> {
        let mut packet = script.bytes()?.to_vec();
        if let Some(first) = packet.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        if rtcp && let Some([_, kind, ..]) = packet.get_mut(..2) {
            *kind = 200 + *kind % 8;
        }
        let sealed = self.seal(&packet, rtcp).unwrap_or(packet);
        self.deliver(0, &sealed);
        Some(())
    }

    fn play(&mut self, script: &mut Script<'_>) -> Option<()> {
        let (utterance, generation, flags) = (script.byte()?, script.byte()?, script.byte()?);
        let frame = PlayoutFrame {
            utterance: u32::from(utterance),
            generation: u32::from(generation >> 6),
            duration: u32::from(flags >> 4) * 120,
            last: flags & 1 != 0,
            live: flags & 2 != 0,
            level: utterance,
            payload: script.bytes()?,
        };
        self.session.play(self.now, frame, &mut self.witness);
        Some(())
    }

    /// Time passes; whatever was due has been done then.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MOST_STEPS {
            let next = self.session.deadline();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..MOST_TIMEOUTS {
            if self.session.deadline() > self.now {
                return;
            }
            self.session.handle_timeout(self.now, &mut self.witness);
        }
        panic!("a deadline that stays: {:?} at {:?}", self.session.deadline(), self.now);
    }

    fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        let (now, out) = (self.now, &mut self.witness);
        match script.byte()? % 16 {
            0 => self.pass(Duration::from_micros(u64::from(script.short()?) * 100)),
            1 | 2 => {
                self.media(script)?;
                self.pass(Duration::from_millis(20));
            }
            3 => self.media(script)?,
            4 => self.sealed(script, false)?,
            5 => self.sealed(script, true)?,
            6 => {
                let held = self.held.take().unwrap_or_default();
                self.deliver(script.byte()?, &held);
            }
            7 => {
                let from = script.byte()?;
                let bytes = script.bytes()?;
                self.deliver(from, bytes);
            }
            8 | 9 => self.play(script)?,
            10 => self.session.hold(now, out),
            11 => self.session.resume(now, out),
            12 => self.session.flush(now, u32::from(script.byte()? >> 6), out),
            13 => {
                let from = script.byte()?;
                self.session.check_in(now, address(from), from & 0x80 != 0, out);
            }
            14 => {
                let binary = script.byte()? & 1 != 0;
                self.session.send_data(now, "antiphon", binary, script.bytes()?, out);
            }
            _ => match script.byte()? {
                0 => self.session.close(now, "hangup", true, out),
                1 => self.ssrc = self.ssrc.wrapping_add(1),
                2 => self.sequence = script.short()?,
                3 => self.timestamp = u32::from(script.short()?) << 16,
                _ => assert!(self.session.stats().quality().all(|(_, figure)| figure.is_finite())),
            },
        }
        self.settle();
        Some(())
    }
}

/// A whole call.
pub fn engine(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let mut life = Life::begin(*choice);
    let mut script = Script(rest);
    for _ in 0..MOST_STEPS {
        if life.step(&mut script).is_none() {
            break;
        }
    }
    // Forty seconds of timers cost more than most lives: one in eight is lived to its end.
    if choice & 0x1c == 0 {
        life.pass(Duration::from_secs(40));
        assert!(life.witness.over, "without consent it ends");
    }
}

/// Data channels: SCTP packets with a right checksum and tag, between messages as they should be.
pub fn channels(data: &[u8]) {
    let mut script = Script(data);
    let mut joined = JoinedChannels::new(std::time::Instant::now());
    while let Some(step) = script.byte() {
        match step % 4 {
            0 => joined.pass(Duration::from_millis(u64::from(step))),
            1 => {
                joined.say(step & 4 != 0, script.bytes().unwrap_or_default());
                joined.pass(Duration::ZERO);
            }
            _ => joined.inject(script.bytes().unwrap_or_default()),
        }
    }
    joined.pass(Duration::from_secs(3));
}
