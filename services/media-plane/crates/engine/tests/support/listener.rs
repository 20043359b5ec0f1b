//! A caller that listens as libwebrtc does: NACKs what is missing while that can still be played, reports each 5 s, and plays what
//! came out of a jitter buffer of 60 ms. An SDK on it may report what it plays. It holds its own keys and needs no other stack.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_engine::device::DeviceReport;
use antiphon_engine::room::Forwarded;
use antiphon_engine::rtcp::{Packet, ReportBlock, Writer, compound};
use antiphon_engine::rtp::Header;
use antiphon_engine::srtp::{Receiver, Sender};
use antiphon_engine::stun::{Kind, classify};
use antiphon_engine::{PlayoutFrame, Session, Time, red};
use antiphon_netsim::{Link, LinkConfig, Loss, Random, Seed};

use super::handshake::{Connected, OPUS, Offered, RED, SSRC};
use super::{OUTSIDE, Said, address, engine, frame};

pub const JITTER_BUFFER: Duration = Duration::from_millis(60);
/// libwebrtc's interval of audio reports; the first comes after half of it.
const REPORT_EVERY: Duration = Duration::from_secs(5);
const CHECK_EVERY: Duration = Duration::from_millis(2_500);
const DEVICE_EVERY: Duration = Duration::from_millis(250);
/// SCTP sends a lost report again after so much.
const RESENT_AFTER_US: u64 = 250_000;
/// The device's clock is another.
const CLOCK_MS: u64 = 7_654_321;
/// Length of a numbered frame.
const NUMBERED: usize = 70;
const FRAME: Duration = Duration::from_millis(20);

/// What a listener and its network are like.
#[derive(Clone, Copy, Debug)]
pub struct ListenerConfig {
    pub up: LinkConfig,
    pub down: LinkConfig,
    /// Whether it offers RED.
    pub red: bool,
    /// Whether it is in a room, and listens to a member in its first slot.
    pub room: bool,
    /// Whether it sends NACKs.
    pub nack: bool,
    /// Whether it reports its losses.
    pub tells: bool,
    /// Whether an SDK reports what is played, and falls silent at the edge's word.
    pub device: bool,
    /// From its jitter buffer to the ear, in milliseconds.
    pub output_ms: u16,
    pub seed: u64,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        let link = LinkConfig {
            delay_us: 20_000,
            ..LinkConfig::default()
        };
        Self {
            up: link,
            down: link,
            red: true,
            room: false,
            nack: true,
            tells: true,
            device: true,
            output_ms: 0,
            seed: 1,
        }
    }
}

/// A numbered frame, or silence, as it left the edge.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    pub at: Time,
    pub timestamp: u32,
    pub number: Option<u32>,
}

pub struct Listener {
    pub session: Session,
    pub said: Said,
    pub now: Time,
    pub seed: Seed,
    pub config: ListenerConfig,
    /// All that left the edge, but for what went again.
    pub left: Vec<Left>,
    /// From when to when the device was silent at the edge's word.
    pub muted: Vec<(Time, Time)>,
    /// When each frame came first, by the number in it.
    pub came: BTreeMap<u32, Time>,
    /// Sealed packets by sequence number, to see that none is ever sealed anew.
    pub sealed: BTreeMap<u16, Vec<u8>>,
    pub packets: u64,
    pub red_packets: u64,
    /// Packets that came a second time.
    pub again: u64,
    up: Link<Vec<u8>>,
    down: Link<Vec<u8>>,
    device: Link<[u8; 32]>,
    random: Random,
    sender: Sender,
    receiver: Receiver,
    /// Opens what leaves the edge before the network gets it.
    tap: Receiver,
    next_number: u32,
    edge_ssrc: u32,
    highest: Option<u64>,
    base: u64,
    received: u64,
    before: (u64, u64),
    missing: BTreeMap<u64, u32>,
    seen: BTreeSet<u64>,
    loss_rate: f64,
    asked_at: Time,
    asked_last: u64,
    last_sr: Option<(u32, Time)>,
    check: Vec<u8>,
    check_at: Time,
    report_at: Time,
    device_at: Time,
    knows_round_trip: bool,
}

/// A 20 ms packet with its number in it.
fn numbered(number: u32) -> Vec<u8> {
    let mut packet = vec![0x48];
    packet.extend(number.to_be_bytes());
    packet.resize(NUMBERED, 0xa5);
    packet
}

fn number_of(payload: &[u8]) -> Option<u32> {
    let number = payload.get(1..5).filter(|_| payload.len() == NUMBERED)?;
    Some(u32::from_be_bytes(number.try_into().expect("four octets")))
}

impl Listener {
    /// A call that is up.
    pub fn connected(config: ListenerConfig) -> Self {
        let seed = Seed::or(config.seed);
        let connected = Connected::over(
            &config.up,
            &config.down,
            Offered {
                red: config.red,
                reduced_size: true,
                room: config.room,
            },
        );
        let ((sender, receiver), (_, tap)) = (connected.keys(), connected.keys());
        let Connected {
            session,
            said,
            check,
            now,
            ..
        } = connected;
        let device = LinkConfig {
            reorder: match config.up.loss {
                Loss::Random(loss) => loss,
                _ => 0.0,
            },
            reorder_us: RESENT_AFTER_US,
            loss: Loss::None,
            ..config.up
        };
        Self {
            session,
            said,
            now,
            up: Link::new(seed.value(), config.up),
            down: Link::new(seed.value() ^ 0x5555, config.down),
            device: Link::new(seed.value() ^ 0x3333, device),
            random: Random::new(seed.value() ^ 0x7777),
            seed,
            config,
            left: Vec::new(),
            muted: Vec::new(),
            came: BTreeMap::new(),
            sealed: BTreeMap::new(),
            packets: 0,
            red_packets: 0,
            again: 0,
            sender,
            receiver,
            tap,
            next_number: 0,
            edge_ssrc: 0,
            highest: None,
            base: 0,
            received: 0,
            before: (0, 0),
            missing: BTreeMap::new(),
            seen: BTreeSet::new(),
            loss_rate: 0.0,
            asked_at: Time(0),
            asked_last: 0,
            last_sr: None,
            check,
            check_at: now + CHECK_EVERY,
            report_at: now + REPORT_EVERY / 2,
            device_at: now + DEVICE_EVERY,
            knows_round_trip: false,
        }
    }

    fn way(&self) -> Duration {
        Duration::from_micros(self.config.down.delay_us)
    }

    fn round_trip(&self) -> Duration {
        Duration::from_micros(self.config.down.delay_us + self.config.up.delay_us)
    }

    /// The worker sends the next `count` frames of an utterance at once. Returns the number of the first.
    pub fn queue(&mut self, utterance: u32, generation: u32, count: u32, last: bool) -> u32 {
        let first = self.next_number;
        for number in first..first + count {
            let payload = numbered(number);
            let played = PlayoutFrame {
                generation,
                last: last && number + 1 == first + count,
                ..frame(utterance, &payload)
            };
            assert!(engine(|| self.session.play(self.now, played, &mut self.said)));
            self.carry();
        }
        self.next_number += count;
        first
    }

    /// Another member of its room speaks without a pause: each frame is forwarded as it comes.
    pub fn hear_member(&mut self, source: u32, frames: u32) {
        for number in self.next_number..self.next_number + frames {
            let payload = numbered(number);
            let forwarded = Forwarded {
                source,
                sequence: 90_000 + u64::from(number),
                timestamp: 4_000_000_000 + u64::from(number) * 960,
                duration: 960,
                level: 0x180 | 30,
                marker: false,
                payload: &payload,
            };
            assert!(engine(|| self.session.forward(self.now, 0, &forwarded, &mut self.said)));
            self.carry();
            self.run(FRAME);
        }
        self.next_number += frames;
    }

    /// Speaks without a pause for so long, the worker one second ahead.
    pub fn speak(&mut self, utterance: u32, frames: u32) {
        let first = self.next_number;
        while self.next_number < first + frames {
            let count = (first + frames - self.next_number).min(50);
            self.queue(utterance, 0, count, false);
            self.run(FRAME * count);
        }
    }

    pub fn hold(&mut self) {
        engine(|| self.session.hold(self.now, &mut self.said));
        self.fall_silent();
        self.carry();
    }

    /// The edge's word takes the way, and is noticed a little later; it holds until what follows is played. What is in the output
    /// by then is heard.
    fn fall_silent(&mut self) {
        let Some(last) = self.left.last().filter(|_| self.config.device) else {
            return;
        };
        let from = self.now + self.way() + Duration::from_millis(5);
        self.muted.push((from, self.plays_at(last.timestamp.wrapping_add(960))));
    }

    pub fn resume(&mut self) {
        engine(|| self.session.resume(self.now, &mut self.said));
        self.carry();
    }

    pub fn flush(&mut self, generation: u32) {
        engine(|| self.session.flush(self.now, generation, &mut self.said));
        self.fall_silent();
        self.carry();
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Cuts the way to the caller, or mends it.
    pub fn lose_all(&mut self, cut: bool) {
        let loss = if cut { Loss::Random(1.0) } else { self.config.down.loss };
        self.down.configure(LinkConfig {
            loss,
            ..self.config.down
        });
    }

    pub fn run_ms(&mut self, milliseconds: u64) {
        self.run(Duration::from_millis(milliseconds));
    }

    fn step(&mut self, end: Time) -> bool {
        let next = [self.up.next_us(), self.down.next_us(), self.device.next_us()]
            .into_iter()
            .flatten()
            .map(Time)
            .chain([self.report_at, self.device_at, self.check_at])
            .fold(self.session.deadline(), Time::min);
        if next > end {
            self.now = end;
            self.said.now = end;
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
        while let Some(report) = self.device.receive(self.now.as_micros()) {
            engine(|| self.session.receive_device_report(self.now, &report));
        }
        if self.session.deadline() <= self.now {
            engine(|| self.session.handle_timeout(self.now, &mut self.said));
        }
        self.carry();
        while let Some(bytes) = self.down.receive(self.now.as_micros()) {
            self.receive(bytes);
        }
        if self.check_at <= self.now {
            self.check_at = self.now + CHECK_EVERY;
            self.up.send(self.now.as_micros(), self.check.clone());
        }
        if self.report_at <= self.now {
            self.report();
        }
        if self.device_at <= self.now {
            self.report_device();
        }
        true
    }

    fn carry(&mut self) {
        for (_, bytes) in self.said.datagrams.split_off(0) {
            if classify(&bytes) == Kind::Rtp {
                self.see(&bytes);
            }
            self.down.send(self.now.as_micros(), bytes);
        }
    }

    /// What is sent under one sequence number is one packet, however often.
    fn see(&mut self, sealed: &[u8]) {
        let header = Header::parse(sealed).expect("RTP of the edge");
        self.packets += 1;
        self.red_packets += u64::from(header.payload_type == RED);
        self.note(header.timestamp, sealed);
        match self.sealed.get(&header.sequence) {
            Some(known) if known == sealed => self.again += 1,
            known => {
                let recent = known.is_some() && self.packets < 60_000;
                assert!(!recent, "{} was sealed twice", header.sequence);
                self.sealed.insert(header.sequence, sealed.to_vec());
            }
        }
    }

    fn note(&mut self, timestamp: u32, sealed: &[u8]) {
        let mut bytes = sealed.to_vec();
        let Ok(opened) = self.tap.open_rtp(&mut bytes) else {
            return;
        };
        let payload = &bytes[opened.header.payload(&bytes[..opened.length]).expect("a payload")];
        let primary = match opened.header.payload_type {
            RED => red::blocks(payload).expect("RED").last().expect("a primary").payload,
            _ => payload,
        };
        self.left.push(Left {
            at: self.now,
            timestamp,
            number: number_of(primary),
        });
    }

    fn receive(&mut self, mut bytes: Vec<u8>) {
        match classify(&bytes) {
            Kind::Rtp => {
                let Ok(opened) = self.receiver.open_rtp(&mut bytes) else {
                    return;
                };
                let payload = opened.header.payload(&bytes[..opened.length]).expect("a payload");
                self.receive_rtp(&opened.header, opened.index, &bytes[payload]);
            }
            Kind::Rtcp => {
                let length = self.receiver.open_rtcp(&mut bytes).expect("RTCP of the edge");
                for packet in compound(&bytes[..length]) {
                    if let Packet::SenderReport { info, .. } = packet.expect("well formed") {
                        self.last_sr = Some(((info.ntp >> 16) as u32, self.now));
                    }
                }
            }
            _ => {}
        }
    }

    fn receive_rtp(&mut self, header: &Header, index: u64, payload: &[u8]) {
        self.edge_ssrc = header.ssrc;
        if header.payload_type == RED {
            for block in red::blocks(payload).expect("RED of the edge") {
                assert_eq!(block.payload_type, OPUS);
                self.take(block.payload);
            }
        } else {
            self.take(payload);
        }
        self.received += 1;
        self.seen.insert(index);
        self.missing.remove(&index);
        let highest = *self.highest.get_or_insert_with(|| {
            self.base = index;
            index
        });
        let lost = index.saturating_sub(highest + 1);
        for _ in 0..lost {
            self.loss_rate = self.loss_rate * 0.996 + 0.004;
        }
        self.loss_rate *= 0.996;
        for (behind, sequence) in (highest + 1..index).rev().enumerate() {
            let timestamp = header.timestamp.wrapping_sub(960 * (behind as u32 + 1));
            self.missing.insert(sequence, timestamp);
        }
        self.highest = Some(highest.max(index));
        if self.config.nack {
            self.ask(header.timestamp);
        }
    }

    /// A frame is there, whatever carried it.
    fn take(&mut self, payload: &[u8]) {
        if let Some(number) = number_of(payload) {
            self.came.entry(number).or_insert(self.now);
        }
    }

    /// `NackTracker::GetNackList` and `ModuleRtpRtcpImpl2::SendNACK`.
    fn ask(&mut self, newest: u32) {
        let round_trip = if self.knows_round_trip {
            self.round_trip()
        } else {
            Duration::ZERO
        };
        let patience = Duration::from_secs_f64(0.02 * 100.0 * self.loss_rate);
        let now = self.now;
        let deadline = |timestamp: u32| self.plays_at(timestamp);
        let mut list: Vec<u64> = Vec::new();
        self.missing.iter().for_each(|(sequence, timestamp)| {
            let to_play = deadline(*timestamp).since(now);
            let since = Duration::from_micros(u64::from(newest.wrapping_sub(*timestamp)) * 1_000 / 48);
            if to_play > round_trip || since + round_trip < patience {
                list.push(*sequence);
            }
        });
        let Some(&last) = list.last() else { return };
        let pause = match self.knows_round_trip {
            true => Duration::from_millis(5) + round_trip * 3 / 2,
            false => Duration::from_millis(100),
        };
        if now.since(self.asked_at) > pause {
            self.asked_at = now;
        } else {
            list.retain(|sequence| *sequence > self.asked_last);
        }
        self.asked_last = last;
        if !list.is_empty() {
            let lost: Vec<u16> = list.iter().map(|sequence| *sequence as u16).collect();
            let edge = self.edge_ssrc;
            self.rtcp(|writer| {
                writer.receiver_report(SSRC, &[]).nack(SSRC, edge, &lost);
            });
        }
    }

    fn rtcp(&mut self, fill: impl FnOnce(&mut Writer<'_>)) {
        let mut buffer = [0; 1_400];
        let mut writer = Writer::new(&mut buffer);
        fill(&mut writer);
        let length = writer.length();
        let length = self.sender.seal_rtcp(&mut buffer, length).expect("room and key");
        self.up.send(self.now.as_micros(), buffer[..length].to_vec());
    }

    /// What it says of so many losses.
    fn told(&self, lost: u64) -> u64 {
        if self.config.tells { lost } else { 0 }
    }

    fn report(&mut self) {
        let varies = self.random.below(REPORT_EVERY.as_micros() as u64);
        self.report_at = self.now + REPORT_EVERY / 2 + Duration::from_micros(varies);
        let Some(highest) = self.highest else { return };
        let expected = highest - self.base + 1;
        let (expected_before, received_before) = self.before;
        let interval = expected - expected_before;
        let lost = self.told(interval.saturating_sub(self.received - received_before));
        self.before = (expected, self.received);
        let (last_sr, delay) = self.last_sr.map_or((0, 0), |(sr, at)| {
            (sr, (self.now.since(at).as_micros() * 65_536 / 1_000_000) as u32)
        });
        let block = ReportBlock {
            ssrc: self.edge_ssrc,
            fraction_lost: (lost * 256 / interval.max(1)).min(255) as u8,
            cumulative_lost: expected.saturating_sub(self.received) as i32,
            highest_sequence: highest as u32,
            jitter: 0,
            last_sr,
            delay_since_last_sr: delay,
        };
        self.knows_round_trip = true;
        self.rtcp(|writer| {
            writer.receiver_report(SSRC, &[block]).sdes(SSRC, b"listener");
        });
    }

    /// When the jitter buffer plays a sample. Timestamps follow the wall, so that one packet tells it for all.
    pub fn plays_at(&self, timestamp: u32) -> Time {
        let Some(first) = self.left.first() else {
            return Time::NEVER;
        };
        let since = timestamp.wrapping_sub(first.timestamp).cast_signed();
        let at = first.at.as_micros().cast_signed() + i64::from(since) * 1_000 / 48;
        Time(at.cast_unsigned()) + self.way() + JITTER_BUFFER
    }

    /// The timestamp that it plays at this moment.
    pub fn plays(&self) -> Option<u32> {
        let first = self.left.first()?.timestamp;
        let since = self.now.as_micros().cast_signed() - self.plays_at(first).as_micros().cast_signed();
        Some(first.wrapping_add((since * 48 / 1_000) as u32))
    }

    /// What a recording at the caller holds of the frames `first..end` by `now`, in milliseconds. What was lost is made up there,
    /// and as long; what the device was silent for is not in it.
    pub fn recorded_ms(&self, first: u32, end: u32) -> u64 {
        let of_them = |left: &&Left| left.number.is_some_and(|number| (first..end).contains(&number));
        let output = Duration::from_millis(u64::from(self.config.output_ms));
        let mut heard = BTreeMap::new();
        for left in self.left.iter().filter(of_them) {
            let begins = self.plays_at(left.timestamp);
            let audible = (0..20).filter(|ms| {
                let at = begins + Duration::from_millis(*ms);
                at + output <= self.now && !self.muted.iter().any(|(from, until)| (*from..*until).contains(&at))
            });
            let best: &mut usize = heard.entry(left.number).or_default();
            *best = audible.count().max(*best);
        }
        heard.values().sum::<usize>() as u64
    }

    fn report_device(&mut self) {
        self.device_at = self.now + DEVICE_EVERY;
        if !self.config.device {
            return;
        }
        let Some(timestamp) = self.plays() else { return };
        // It names the packet that is being played, and since when.
        let into = timestamp % 960;
        let highest = self.highest.unwrap_or(self.base);
        let report = DeviceReport {
            silences: true,
            plays: true,
            sent_ms: (CLOCK_MS + self.now.as_micros() / 1_000) as u32,
            timestamp: timestamp.wrapping_sub(into),
            age_ms: (into / 48) as u16,
            output_ms: self.config.output_ms,
            received: self.received as u32,
            lost: self.told((highest - self.base + 1).saturating_sub(self.received)) as u32,
            ..DeviceReport::default()
        };
        self.device.send(self.now.as_micros(), report.write());
    }

    /// Share of the frames `first..end` that came before they were played; frame 0 left at `left`.
    pub fn in_time(&self, first: u32, end: u32, left: Time) -> f64 {
        let came = (first..end).filter(|number| {
            let due = left + FRAME * *number + self.way() + JITTER_BUFFER;
            self.came.get(number).is_some_and(|at| *at <= due)
        });
        came.count() as f64 / f64::from(end - first)
    }
}
