//! What str0m cannot be made to send.

use std::time::Duration;

use super::{Arrival, Ingest, MAX_ASKED};
use crate::output::{Event, Gap, IngestFrame, Output, PlayoutReport};
use crate::rtp::{Header, HeaderWriter};
use crate::sdp::{Audio, Direction, Opus};
use crate::stats::Counters;
use crate::time::Time;

#[derive(Default)]
struct Said {
    sequences: Vec<u64>,
    gaps: usize,
}

impl Output for Said {
    fn transmit(&mut self, _: crate::remote::Remote, _: &[u8]) {}

    fn frame(&mut self, frame: IngestFrame<'_>) {
        self.sequences.push(frame.sequence);
    }

    fn gap(&mut self, _: Gap) {
        self.gaps += 1;
    }

    fn playout(&mut self, _: PlayoutReport) {}

    fn event(&mut self, _: Event) {}
}

struct Bench {
    ingest: Ingest,
    counters: Counters,
    said: Said,
}

impl Bench {
    fn new() -> Self {
        Self::with_feedback(true)
    }

    fn with_feedback(feedback: bool) -> Self {
        let opus = Opus {
            payload_type: 111,
            red: None,
            telephone_event: Some(110),
            in_band_fec: true,
            stereo: false,
        };
        let audio = Audio {
            mid: String::new(),
            direction: Direction::SendRecv,
            opus,
            feedback,
            reduced_size: true,
            mid_extension: None,
            level_extension: None,
            ssrcs: Vec::new(),
        };
        Self {
            ingest: Ingest::new(&audio),
            counters: Counters::default(),
            said: Said::default(),
        }
    }

    /// A packet comes 20 ms after the one numbered before it.
    fn receive(&mut self, ssrc: u32, index: u16, payload_type: u8, payload: &[u8]) -> bool {
        let mut packet = [0; 64];
        let header = HeaderWriter {
            payload_type,
            sequence: index,
            timestamp: u32::from(index) * 960,
            ssrc,
            ..HeaderWriter::default()
        };
        let start = header.write(&mut packet);
        packet[start..start + payload.len()].copy_from_slice(payload);
        let packet = &packet[..start + payload.len()];
        let header = Header::parse(packet).expect("a packet");
        let arrival = Arrival {
            header: &header,
            index: u64::from(index),
            packet,
            payload,
        };
        let now = Time(u64::from(index) * 20_000);
        self.ingest.receive(now, &arrival, &mut self.counters, &mut self.said)
    }
}

const FRAME: [u8; 2] = [0x48, 1];

#[test]
fn what_is_not_audio_is_counted_and_is_no_gap() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    bench.receive(1, 11, 110, &[1, 10, 0, 160]);
    bench.receive(1, 12, 96, &[1]);
    bench.receive(1, 13, 111, &FRAME);
    assert_eq!(
        (bench.counters.telephone_events, bench.counters.unknown_payload),
        (1, 1)
    );
    assert_eq!(
        (bench.said.sequences.len(), bench.said.gaps, bench.ingest.lost()),
        (3, 0, 0),
        "two of audio and the event"
    );
}

#[test]
fn bytes_that_are_no_opus_are_counted_and_make_no_frame() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &[]);
    assert_eq!(bench.counters.malformed, 1);
    assert!(bench.said.sequences.is_empty());
}

#[test]
fn first_packets_may_come_out_of_order() {
    let mut bench = Bench::new();
    assert!(bench.receive(1, 10, 111, &FRAME));
    assert!(!bench.receive(1, 9, 111, &FRAME));
    assert!(bench.receive(1, 11, 111, &FRAME));
    assert_eq!((bench.ingest.lost(), bench.said.gaps), (0, 0));
    let first = bench.said.sequences[0];
    assert_eq!(bench.said.sequences, [first, first - 1, first + 1]);
}

#[test]
fn stragglers_of_a_replaced_source_do_not_bring_it_back() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    bench.receive(2, 40, 111, &FRAME);
    bench.receive(1, 11, 111, &FRAME);
    bench.receive(2, 41, 111, &FRAME);
    assert_eq!((bench.counters.source_changes, bench.counters.stale_source), (1, 1));
    assert_eq!(bench.said.sequences.len(), 3);
}

#[test]
fn runs_of_missing_packets_are_bounded() {
    let mut bench = Bench::new();
    for index in 0..200 {
        bench.receive(1, index * 3, 111, &FRAME);
    }
    // 199 runs announced, and all but the last 128 given up.
    assert_eq!(bench.said.gaps, 199 + 71);
    assert_eq!(bench.ingest.lost(), 398);
}

#[test]
fn nothing_is_asked_for_where_the_profile_has_no_feedback() {
    for (feedback, expected) in [(true, Some((1, 2))), (false, None)] {
        let mut bench = Bench::with_feedback(feedback);
        bench.receive(1, 10, 111, &FRAME);
        bench.receive(1, 13, 111, &FRAME);
        let mut asked = [0; MAX_ASKED];
        let now = Time(13 * 20_000);
        assert_eq!(bench.ingest.ask(now, &mut asked, &mut bench.counters), expected);
        bench.ingest.expire(now + Duration::from_secs(1), &mut bench.said);
        assert_eq!(bench.ingest.given_up(), 2);
    }
}

#[test]
fn what_is_asked_for_fits_one_nack_and_the_rest_follows() {
    let mut bench = Bench::new();
    // A hundred runs of one: each is an item of its own when they lie 17 apart.
    for index in 0..100 {
        bench.receive(1, index * 18, 111, &FRAME);
        bench.receive(1, index * 18 + 2, 111, &FRAME);
    }
    let (mut asked, mut seen) = ([0; MAX_ASKED], 0);
    let now = Time(99 * 18 * 20_000 + 40_000);
    while let Some((_, count)) = bench.ingest.ask(now, &mut asked, &mut bench.counters) {
        let mut buffer = [0; 256];
        let length = crate::rtcp::Writer::new(&mut buffer)
            .receiver_report(1, &[])
            .sdes(1, &[b'c'; 16])
            .nack(1, 2, &asked[..count])
            .length();
        assert!(length <= 256);
        seen += count;
    }
    assert!(seen > 128, "{seen}");
}
