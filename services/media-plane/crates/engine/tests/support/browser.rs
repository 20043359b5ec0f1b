//! A caller that sends as libwebrtc does: RED, NACKs answered with the packet as it was, reports each 5 s. It holds its own keys,
//! since nothing else could send a packet again byte for byte.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_engine::rtcp::{Packet, SenderInfo, Writer, compound};
use antiphon_engine::rtp::{HeaderWriter, MAX_WRITTEN_HEADER};
use antiphon_engine::srtp::{MAX_OVERHEAD, Receiver, Sender};
use antiphon_engine::stun::{Kind, classify};
use antiphon_engine::{Session, Time, red};
use antiphon_netsim::{Fate, Link, LinkConfig, Seed};

use super::handshake::{Connected, OPUS, Offered, RED, SSRC};
use super::{OUTSIDE, Said, address, engine};

/// `RtpPacketHistory` keeps packets for at least a second or three round trips, and for audio's few no longer than 3 s.
const KEPT: Duration = Duration::from_secs(3);
/// `RTPSender::OnReceivedNack` adds this to the round trip.
const NACK_MARGIN: Duration = Duration::from_millis(5);
/// Consent must stay fresh.
const CHECK_EVERY: Duration = Duration::from_millis(2_500);
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What a browser and its network are like.
#[derive(Clone, Copy, Debug)]
pub struct BrowserConfig {
    pub up: LinkConfig,
    pub down: LinkConfig,
    /// Redundant blocks in each packet: those of 1 to `red` packets before.
    pub red: usize,
    /// Whether it answers NACKs.
    pub nack: bool,
    /// Whether its offer allows RTCP of reduced size.
    pub reduced_size: bool,
    pub frame_ms: u32,
    pub seed: u64,
}

impl Default for BrowserConfig {
    fn default() -> Self {
        let link = LinkConfig {
            delay_us: 40_000,
            ..LinkConfig::default()
        };
        Self {
            up: link,
            down: link,
            red: 1,
            nack: true,
            reduced_size: true,
            frame_ms: 20,
            seed: 1,
        }
    }
}

/// A packet that may be asked for.
struct Sent {
    sequence: u16,
    at: Time,
    again: Option<Time>,
    sealed: Vec<u8>,
}

pub struct Browser {
    pub session: Session,
    pub said: Said,
    pub now: Time,
    pub seed: Seed,
    pub config: BrowserConfig,
    /// When each frame left, and whether the network lost it the first time.
    pub sent: Vec<(Time, Fate)>,
    /// Packets sent again, and asked for in vain since that was too soon.
    pub retransmitted: u64,
    pub asked_too_soon: u64,
    pub asked_too_late: u64,
    /// NACKs that came alone, and behind a report.
    pub alone: u64,
    pub behind_report: u64,
    /// Loss that the edge last reported, in 1/256.
    pub reported_loss: Vec<u8>,
    pub answer: String,
    began: Time,
    check: Vec<u8>,
    checked: Time,
    up: Link<Vec<u8>>,
    down: Link<Vec<u8>>,
    sender: Sender,
    receiver: Receiver,
    sequence: u16,
    pub timestamp: u32,
    history: VecDeque<Sent>,
    before: VecDeque<(u32, Vec<u8>)>,
    round_trip: Option<Duration>,
    reported: Option<Time>,
}

impl Browser {
    /// A call that is up.
    pub fn connected(config: BrowserConfig) -> Self {
        let seed = Seed::or(config.seed);
        let offered = Offered {
            room: false,
            red: config.red > 0,
            reduced_size: config.reduced_size,
        };
        let connected = Connected::over(&config.up, &config.down, offered);
        let (sender, receiver) = connected.keys();
        let Connected {
            session,
            said,
            answer,
            check,
            now,
            ..
        } = connected;
        Self {
            session,
            said,
            now,
            began: now,
            check,
            checked: now,
            up: Link::new(seed.value(), config.up),
            down: Link::new(seed.value() ^ 0x5555, config.down),
            seed,
            config,
            sent: Vec::new(),
            retransmitted: 0,
            asked_too_soon: 0,
            asked_too_late: 0,
            alone: 0,
            behind_report: 0,
            reported_loss: Vec::new(),
            answer,
            sender,
            receiver,
            sequence: 100,
            timestamp: 123_456,
            history: VecDeque::new(),
            before: VecDeque::new(),
            round_trip: None,
            reported: None,
        }
    }

    /// Changes the network for what is sent from now on.
    pub fn configure(&mut self, up: LinkConfig, down: LinkConfig) {
        self.up.configure(up);
        self.down.configure(down);
    }

    /// A frame leaves, and its time passes.
    pub fn say(&mut self, frame: &[u8]) {
        let samples = self.config.frame_ms * 48;
        let payload = self.payload(frame);
        let payload_type = if self.config.red > 0 { RED } else { OPUS };
        self.send(payload_type, self.timestamp, &payload);
        self.before.push_front((self.timestamp, frame.to_vec()));
        self.before.truncate(self.config.red);
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.run_ms(self.config.frame_ms.into());
    }

    /// Sends a packet of any kind.
    pub fn send(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let mut buffer = vec![0; MAX_WRITTEN_HEADER + payload.len() + MAX_OVERHEAD];
        let header = HeaderWriter {
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: SSRC,
            level: Some((1, 0x80 | 30)),
            ..HeaderWriter::default()
        };
        let start = header.write(&mut buffer);
        buffer[start..start + payload.len()].copy_from_slice(payload);
        let length = self
            .sender
            .seal_rtp(&mut buffer, start + payload.len())
            .expect("room and key");
        buffer.truncate(length);
        let fate = self.up.send(self.now.as_micros(), buffer.clone());
        self.sent.push((self.now, fate));
        self.history.push_back(Sent {
            sequence: self.sequence,
            at: self.now,
            again: None,
            sealed: buffer,
        });
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn payload(&self, frame: &[u8]) -> Vec<u8> {
        if self.config.red == 0 {
            return frame.to_vec();
        }
        let redundant: Vec<_> = self
            .before
            .iter()
            .rev()
            .map(|(timestamp, frame)| (self.timestamp.wrapping_sub(*timestamp), frame.as_slice()))
            .collect();
        let mut buffer = vec![0; 1_200];
        let length = red::write(&mut buffer, OPUS, &redundant, frame).expect("room");
        buffer.truncate(length);
        buffer
    }

    pub fn run_ms(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while self.step(end) {}
    }

    fn step(&mut self, end: Time) -> bool {
        let report = self
            .reported
            .map_or(self.began + Duration::from_secs(1), |at| at + REPORT_EVERY);
        let next = [self.up.next_us(), self.down.next_us()]
            .into_iter()
            .flatten()
            .map(Time)
            .fold(self.session.deadline().min(report), Time::min)
            .min(self.checked + CHECK_EVERY);
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        self.said.now = self.now;
        while let Some(mut bytes) = self.up.receive(self.now.as_micros()) {
            engine(|| {
                self.session
                    .receive(self.now, address(OUTSIDE), &mut bytes, &mut self.said)
            });
        }
        if self.session.deadline() <= self.now {
            engine(|| self.session.handle_timeout(self.now, &mut self.said));
        }
        for (_, bytes) in self.said.datagrams.split_off(0) {
            self.down.send(self.now.as_micros(), bytes);
        }
        while let Some(bytes) = self.down.receive(self.now.as_micros()) {
            self.receive(bytes);
        }
        if report <= self.now {
            self.report();
        }
        if self.checked + CHECK_EVERY <= self.now {
            self.checked = self.now;
            // Loss of checks is no part of this.
            let mut check = self.check.clone();
            self.session
                .receive(self.now, address(OUTSIDE), &mut check, &mut self.said);
            self.said.datagrams.clear();
        }
        true
    }

    fn receive(&mut self, mut bytes: Vec<u8>) {
        if classify(&bytes) != Kind::Rtcp {
            return;
        }
        let length = self.receiver.open_rtcp(&mut bytes).expect("RTCP of the edge");
        let mut asked = Vec::new();
        for (at, packet) in compound(&bytes[..length]).enumerate() {
            match packet.expect("well formed") {
                Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } => {
                    for block in reports {
                        self.reported_loss.push(block.fraction_lost);
                        self.learn(block.last_sr, block.delay_since_last_sr);
                    }
                }
                Packet::Nack { media_ssrc, lost, .. } if media_ssrc == SSRC => {
                    asked.extend(lost);
                    self.alone += u64::from(at == 0);
                    self.behind_report += u64::from(at > 0);
                }
                _ => {}
            }
        }
        if self.config.nack {
            asked.into_iter().for_each(|sequence| self.send_again(sequence));
        }
    }

    /// The SR's time stands for our clock, in 1/65,536 s.
    fn learn(&mut self, last_sr: u32, delay: u32) {
        if last_sr != 0 {
            let since = self.middle().wrapping_sub(last_sr).wrapping_sub(delay);
            self.round_trip = Some(Duration::from_micros(u64::from(since) * 1_000_000 / 65_536));
        }
    }

    fn send_again(&mut self, sequence: u16) {
        let (now, round_trip) = (self.now, self.round_trip);
        while self.history.front().is_some_and(|packet| now.since(packet.at) > KEPT) {
            self.history.pop_front();
        }
        let Some(packet) = self.history.iter_mut().find(|packet| packet.sequence == sequence) else {
            self.asked_too_late += 1;
            return;
        };
        let too_soon = |again: Time| round_trip.is_some_and(|known| now.since(again) < known + NACK_MARGIN);
        if packet.again.is_some_and(too_soon) {
            self.asked_too_soon += 1;
            return;
        }
        packet.again = Some(now);
        self.retransmitted += 1;
        self.up.send(now.as_micros(), packet.sealed.clone());
    }

    fn report(&mut self) {
        self.reported = Some(self.now);
        let mut buffer = [0; 256];
        let info = SenderInfo {
            ntp: u64::from(self.middle()) << 16,
            rtp_timestamp: self.timestamp,
            packets: self.sent.len() as u32,
            octets: 0,
        };
        let length = Writer::new(&mut buffer)
            .sender_report(SSRC, &info, &[])
            .sdes(SSRC, b"browser")
            .length();
        let length = self.sender.seal_rtcp(&mut buffer, length).expect("room and key");
        self.up.send(self.now.as_micros(), buffer[..length].to_vec());
    }

    fn middle(&self) -> u32 {
        (u128::from(self.now.as_micros()) * 65_536 / 1_000_000) as u32
    }
}
