//! A caller that is authentic and hostile: whatever it seals costs a bounded time and memory, and is counted.

use std::net::SocketAddr;
use std::time::Duration;

use super::{OpenSession, PlayoutFrame, Session};
use crate::config::EngineConfig;
use crate::output::{Event, Gap, IngestFrame, Output, PlayoutReport};
use crate::rtcp::Writer;
use crate::rtp::HeaderWriter;
use crate::srtp::{MAX_OVERHEAD, Profile, Sender};
use crate::time::Time;

const OFFER: &str = include_str!("../../tests/offers/chromium.sdp");
const START: Time = Time(1_000_000_000);
const KEY: [u8; 16] = [3; 16];
const SALT: [u8; 12] = [5; 12];
const OPUS: u8 = 111;
const RED: u8 = 63;
/// Largest datagram that reaches a session.
const LARGEST: usize = 2_048;

#[derive(Default)]
struct Said {
    datagrams: usize,
    frames: usize,
    gaps: usize,
}

impl Output for Said {
    fn transmit(&mut self, _to: crate::remote::Remote, _datagram: &[u8]) {
        self.datagrams += 1;
    }

    fn frame(&mut self, _frame: IngestFrame<'_>) {
        self.frames += 1;
    }

    fn gap(&mut self, _gap: Gap) {
        self.gaps += 1;
    }

    fn playout(&mut self, _report: PlayoutReport) {}

    fn event(&mut self, _event: Event) {}
}

/// A session, and a caller with its keys.
struct Attack {
    session: Session,
    sealer: Sender,
    said: Said,
    now: Time,
    sequence: u16,
}

fn caller() -> SocketAddr {
    ([192, 0, 2, 7], 6_000).into()
}

impl Attack {
    fn begin() -> Self {
        let config = EngineConfig::for_tests();
        let open = OpenSession {
            offer: OFFER,
            slot: 1,
            epoch: 1,
            data_channel: None,
            room: false,
        };
        let keys = (Profile::AeadAes128Gcm, &KEY[..], &SALT[..]);
        let mut said = Said::default();
        let session = Session::established(&config, &open, caller(), keys, START, &mut said).expect("an answer");
        let sealer = Sender::new(Profile::AeadAes128Gcm, &KEY, &SALT).expect("the profile's lengths");
        Self {
            session,
            sealer,
            said,
            now: START,
            sequence: 100,
        }
    }

    fn header(&mut self, payload_type: u8) -> Vec<u8> {
        self.sequence += 1;
        let header = HeaderWriter {
            payload_type,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * 960,
            ssrc: 77,
            ..HeaderWriter::default()
        };
        let mut packet = vec![0; 64];
        let length = header.write(&mut packet);
        packet.truncate(length);
        packet
    }

    fn rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = [packet, &[0; MAX_OVERHEAD]].concat();
        let length = self.sealer.seal_rtp(&mut buffer, packet.len()).expect("a packet");
        buffer.truncate(length);
        buffer
    }

    fn rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = [packet, &[0; MAX_OVERHEAD]].concat();
        let length = self.sealer.seal_rtcp(&mut buffer, packet.len()).expect("a packet");
        buffer.truncate(length);
        buffer
    }

    fn deliver(&mut self, datagram: &[u8]) {
        let mut datagram = datagram.to_vec();
        self.session.receive(self.now, caller(), &mut datagram, &mut self.said);
    }

    fn counters(&self) -> crate::stats::Counters {
        self.session.stats().counters
    }

    /// The session still carries audio.
    fn assert_alive(&mut self) {
        let before = self.said.frames;
        let packet = [self.header(OPUS), vec![0x48, 1, 2]].concat();
        let sealed = self.rtp(&packet);
        self.deliver(&sealed);
        assert_eq!(self.said.frames, before + 1, "a usual packet passes after the attack");
    }
}

#[test]
fn replayed_and_truncated_packets_change_nothing() {
    let mut attack = Attack::begin();
    let packet = [attack.header(OPUS), vec![0x48, 1, 2]].concat();
    let sealed = attack.rtp(&packet);
    for length in 0..sealed.len() {
        attack.deliver(&sealed[..length]);
    }
    assert_eq!((attack.said.frames, attack.counters().packets_in), (0, 0));
    attack.deliver(&sealed);
    for _ in 0..100 {
        attack.deliver(&sealed);
    }
    assert_eq!((attack.said.frames, attack.counters().duplicates), (1, 100));
    attack.assert_alive();
}

#[test]
fn absurd_header_extensions_cost_nothing_but_their_packet() {
    let mut attack = Attack::begin();
    for (profile, fill) in [
        (0xbede_u16, 0x10_u8),
        (0xbede, 0x00),
        (0x1000, 0x01),
        (0x1000, 0x00),
        (0x4242, 0xff),
    ] {
        let mut packet = attack.header(OPUS);
        packet[0] |= 0x10;
        let words = 480_u16;
        packet.extend(profile.to_be_bytes());
        packet.extend(words.to_be_bytes());
        packet.extend(vec![fill; usize::from(words) * 4]);
        packet.extend([0x48, 1, 2]);
        let sealed = attack.rtp(&packet);
        assert!(sealed.len() <= LARGEST);
        attack.deliver(&sealed);
    }
    assert_eq!(attack.said.frames, 5, "the audio within is taken");
    // Longer than the packet is: it does not even seal, so it comes unsealed.
    let mut packet = attack.header(OPUS);
    packet[0] |= 0x10;
    packet.extend([0xbe, 0xde, 0xff, 0xff]);
    attack.deliver(&packet);
    assert_eq!(attack.counters().srtp_malformed, 1);
    attack.assert_alive();
}

#[test]
fn huge_red_is_bounded_and_counted() {
    let mut attack = Attack::begin();
    // As many block headers as fit, each of an empty block; then lengths beyond the packet.
    let headers = vec![[0x80 | OPUS, 0x00, 0x04, 0x00]; 450].concat();
    for body in [headers, [0x80 | OPUS, 0xff, 0xff, 0xff].repeat(400)] {
        let packet = [attack.header(RED), body, vec![OPUS, 0x48, 1]].concat();
        let sealed = attack.rtp(&packet);
        attack.deliver(&sealed);
    }
    assert_eq!(attack.counters().malformed, 2);
    attack.assert_alive();
}

#[test]
fn a_storm_of_rtcp_is_dropped_before_it_is_opened() {
    let mut attack = Attack::begin();
    let ssrc = attack.session.egress.ssrc;
    let lost: Vec<u16> = (0..4_000).step_by(17).collect();
    let mut buffer = [0; 1_200];
    let length = Writer::new(&mut buffer)
        .receiver_report(77, &[])
        .nack(77, ssrc, &lost)
        .length();
    let before = attack.said.datagrams;
    for _ in 0..10_000 {
        let sealed = attack.rtcp(&buffer[..length]);
        attack.deliver(&sealed);
    }
    let counters = attack.counters();
    assert_eq!(counters.rtcp_in, 100, "a burst passes");
    assert_eq!(counters.rtcp_over_rate, 9_900);
    assert_eq!(
        attack.said.datagrams, before,
        "nothing was sent that could be sent again"
    );
    attack.now = attack.now + Duration::from_secs(1);
    let sealed = attack.rtcp(&buffer[..length]);
    attack.deliver(&sealed);
    assert_eq!(attack.counters().rtcp_in, 101, "a second later there is room again");
    attack.assert_alive();
}

#[test]
fn a_nack_of_what_was_never_sent_hides_no_real_loss() {
    let mut attack = Attack::begin();
    let ssrc = attack.session.egress.ssrc;
    let ask = |attack: &mut Attack, lost: &[u16]| {
        let mut buffer = [0; 1_200];
        let length = Writer::new(&mut buffer).nack(77, ssrc, lost).length();
        let sealed = attack.rtcp(&buffer[..length]);
        attack.deliver(&sealed);
    };
    for first in (0..=u16::MAX).step_by(4_096) {
        let lost: Vec<u16> = (first..=first | 4_095).collect();
        ask(&mut attack, &lost);
    }
    assert_eq!(attack.session.egress.redundancy.loss(), 0.0);

    let frame = PlayoutFrame {
        utterance: 1,
        generation: 0,
        duration: 960,
        level: 0,
        last: false,
        live: true,
        payload: &[0x48, 1, 2],
    };
    assert!(attack.session.play(attack.now, frame, &mut attack.said));
    let sent = attack.session.playout.last_sequence().expect("a packet left") as u16;
    ask(&mut attack, &[sent]);
    assert!(attack.session.egress.redundancy.loss() > 0.0);
}

#[test]
fn forged_rtcp_uses_up_nothing_of_the_callers_rate() {
    let mut attack = Attack::begin();
    let mut buffer = [0; 64];
    let length = Writer::new(&mut buffer).receiver_report(77, &[]).length();
    let mut forged = attack.rtcp(&buffer[..length]);
    forged[9] ^= 1;
    for _ in 0..10_000 {
        attack.deliver(&forged);
    }
    let sealed = attack.rtcp(&buffer[..length]);
    attack.deliver(&sealed);
    assert_eq!(attack.counters().rtcp_in, 1);
}

#[test]
fn a_flood_of_authentic_rtp_is_dropped_before_it_is_opened() {
    let mut attack = Attack::begin();
    for _ in 0..20_000 {
        let packet = [attack.header(OPUS), vec![0x48, 1, 2]].concat();
        let sealed = attack.rtp(&packet);
        attack.deliver(&sealed);
    }
    let counters = attack.counters();
    assert_eq!((counters.packets_in, counters.rtp_over_rate), (2_000, 18_000));
    attack.now = attack.now + Duration::from_secs(3);
    attack.assert_alive();
}

#[test]
fn streams_without_end_are_refused() {
    let mut attack = Attack::begin();
    for ssrc in 0..1_000_u32 {
        let mut packet = [attack.header(OPUS), vec![0x48, 1, 2]].concat();
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        // Each stream has a sealer of its own, as the caller's may not keep so many.
        let mut buffer = [&packet[..], &[0; MAX_OVERHEAD]].concat();
        let mut sealer = Sender::new(Profile::AeadAes128Gcm, &KEY, &SALT).expect("the profile's lengths");
        let length = sealer.seal_rtp(&mut buffer, packet.len()).expect("a packet");
        attack.deliver(&buffer[..length]);
    }
    let counters = attack.counters();
    assert!(
        counters.packets_in < 100 && counters.srtp_malformed > 900,
        "{counters:?}"
    );
}

#[test]
fn holes_without_end_are_bounded() {
    let mut attack = Attack::begin();
    for _ in 0..1_000 {
        attack.sequence += 7;
        let packet = [attack.header(OPUS), vec![0x48, 1, 2]].concat();
        let sealed = attack.rtp(&packet);
        attack.deliver(&sealed);
        attack.now = attack.now + Duration::from_micros(100);
    }
    let refused = usize::try_from(attack.counters().ahead_of_time).expect("few");
    assert!(
        attack.said.gaps >= 60 && attack.said.gaps + refused >= 1_000,
        "each is told or refused"
    );
    attack.now = attack.now + Duration::from_secs(5);
    attack.session.handle_timeout(attack.now, &mut attack.said);
    assert!(
        attack.session.deadline() > attack.now,
        "nothing waits for what will not come"
    );
    attack.assert_alive();
}
