//! What str0m cannot be made to send.

use std::time::Duration;

use super::{Arrival, Ingest, MAX_ASKED};
use crate::output::{Event, Gap, GapState, IngestFrame, Output, PlayoutReport};
use crate::rtp::{Header, HeaderWriter};
use crate::sdp::{Audio, Direction, Opus};
use crate::stats::Counters;
use crate::time::Time;

#[derive(Default)]
struct Said {
    sequences: Vec<u64>,
    /// Place and duration of each frame, and whether it is an event.
    places: Vec<(u64, u32, bool)>,
    gaps: usize,
    lost: Vec<u64>,
}

impl Output for Said {
    fn transmit(&mut self, _: crate::remote::Remote, _: &[u8]) {}

    fn frame(&mut self, frame: IngestFrame<'_>) {
        self.sequences.push(frame.sequence);
        self.places
            .push((frame.timestamp, frame.duration, frame.telephone_event));
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps += 1;
        if gap.state == GapState::Lost {
            self.lost.extend(gap.first..gap.first + u64::from(gap.count));
        }
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
        let now = Time(u64::from(index) * 20_000);
        self.receive_at(now, ssrc, index, u32::from(index) * 960, payload_type, payload)
    }

    fn receive_at(
        &mut self,
        now: Time,
        ssrc: u32,
        index: u16,
        timestamp: u32,
        payload_type: u8,
        payload: &[u8],
    ) -> bool {
        let mut packet = [0; 64];
        let header = HeaderWriter {
            payload_type,
            sequence: index,
            timestamp,
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
fn a_missing_packet_that_comes_without_audio_is_waited_for_no_longer() {
    for (payload_type, payload) in [(111, &[][..]), (96, &[1]), (110, &[1])] {
        let mut bench = Bench::new();
        bench.receive(1, 10, 111, &FRAME);
        bench.receive(1, 12, 111, &FRAME);
        bench.receive(1, 11, payload_type, payload);
        let missing = bench.said.sequences[0] + 1;
        assert_eq!(bench.said.lost, [missing], "payload type {payload_type}");
        assert_eq!(bench.ingest.given_up(), 0, "it came");
    }
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

#[test]
fn events_are_handed_on_with_the_moment_that_they_began_and_move_no_clock() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    for packet in 1..=5_u16 {
        let end = u8::from(packet > 3) << 7;
        let payload = [7, end | 10, 0, 0xf0];
        let now = Time(u64::from(10 + packet) * 20_000);
        bench.receive_at(now, 1, 10 + packet, 11 * 960, 110, &payload);
    }
    bench.receive(1, 16, 111, &FRAME);
    let (first, events) = (bench.said.places[0].0, &bench.said.places[1..6]);
    assert!(events.iter().all(|place| *place == (first + 960, 0, true)));
    assert_eq!(bench.said.places[6], (first + 6 * 960, 960, false));
    assert_eq!((bench.counters.clock_leaps, bench.said.gaps), (0, 0));
    assert_eq!(bench.counters.telephone_events, 5);
}

#[test]
fn an_event_of_too_few_octets_is_counted_and_not_handed_on() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 110, &[7, 10]);
    assert_eq!((bench.counters.malformed, bench.said.sequences.len()), (1, 0));
}

#[test]
fn a_missing_event_is_missed_and_repaired_as_audio_is() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    bench.receive(1, 12, 111, &FRAME);
    assert_eq!(bench.said.gaps, 1);
    bench.receive(1, 11, 110, &[7, 0x80, 0, 160]);
    assert_eq!(bench.said.places[1..].iter().filter(|place| place.2).count(), 1);
    assert_eq!(bench.ingest.lost(), 0);
}

#[test]
fn frames_of_2_5_to_120_ms_mono_and_stereo_abut_on_the_line() {
    // CELT of 2.5, 5, 10 and 20 ms, SILK of 60 ms, hybrid of 20 ms, code 3 of six 20 ms frames; each mono and stereo.
    let packets: [(&[u8], u32); 7] = [
        (&[0xe0, 1, 2], 120),
        (&[0xe8, 1, 2], 240),
        (&[0xf0, 1, 2], 480),
        (&[0xf8, 1, 2], 960),
        (&[0x58, 1, 2], 2_880),
        (&[0x78, 1, 2], 960),
        (&[0xfb, 6, 1, 2, 3, 4, 5, 6], 5_760),
    ];
    for (packet, duration) in packets {
        for stereo in [0, 4] {
            let mut packet = packet.to_vec();
            packet[0] |= stereo;
            let mut bench = Bench::new();
            for index in (0..20_u16).filter(|index| *index != 9) {
                let sent = u32::from(index) * duration;
                bench.receive_at(Time(u64::from(sent) * 1_000 / 48), 1, index, sent, 111, &packet);
            }
            let first = bench.said.places[0].0;
            let expected = (0..20)
                .filter(|index| *index != 9)
                .map(|index| first + index * u64::from(duration));
            assert!(
                bench.said.places.iter().map(|place| place.0).eq(expected),
                "{duration}, {packet:02x?}"
            );
            assert!(bench.said.places.iter().all(|place| place.1 == duration));
            assert_eq!(
                (bench.counters.dtx, bench.counters.clock_leaps, bench.said.gaps),
                (0, 0, 1)
            );
        }
    }
}

#[test]
fn silence_after_a_loss_is_no_loss() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    // 11 is lost; the encoder then pauses for 400 ms.
    let now = Time(12 * 20_000 + 400_000);
    bench.receive_at(now, 1, 12, 12 * 960 + 19_200, 111, &FRAME);
    assert_eq!((bench.ingest.lost(), bench.said.gaps), (1, 1));
    let places = &bench.said.places;
    assert_eq!(places[1].0 - places[0].0, 2 * 960 + 19_200);
}

#[test]
fn what_a_replaced_source_lacks_is_given_up_and_not_asked_for() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    bench.receive(1, 13, 111, &FRAME);
    bench.receive(2, 500, 111, &FRAME);
    assert_eq!(bench.ingest.given_up(), 2);
    let mut asked = [0; MAX_ASKED];
    assert_eq!(
        bench.ingest.ask(Time(500 * 20_000), &mut asked, &mut bench.counters),
        None
    );
    bench.receive(2, 502, 111, &FRAME);
    let asked_for = bench.ingest.ask(Time(502 * 20_000), &mut asked, &mut bench.counters);
    assert_eq!(
        (asked_for, asked[0]),
        (Some((2, 1)), 501),
        "by the new source's numbers"
    );
}

#[test]
fn a_clock_that_leaps_within_a_stream_is_counted_and_the_line_goes_on() {
    let mut bench = Bench::new();
    bench.receive(1, 10, 111, &FRAME);
    bench.receive_at(Time(11 * 20_000), 1, 11, 3_000_000_000, 111, &FRAME);
    bench.receive_at(Time(12 * 20_000), 1, 12, 3_000_000_960, 111, &FRAME);
    let places: Vec<_> = bench.said.places.iter().map(|place| place.0).collect();
    assert_eq!([places[1] - places[0], places[2] - places[1]], [960, 960]);
    assert_eq!(bench.counters.clock_leaps, 1);
    assert!(bench.ingest.jitter_ms() < 1.0);
}

#[test]
fn packets_faster_than_time_are_dropped_and_counted_whatever_source_they_claim() {
    for sources in [1_u32, 1_000] {
        let mut bench = Bench::new();
        // Six frames of 20 ms in each, a thousand packets in a second.
        let packet = [0xfb, 6, 1, 2, 3, 4, 5, 6];
        for index in 0..1_000_u16 {
            let now = Time(5_000_000 + u64::from(index) * 1_000);
            let ssrc = u32::from(index) % sources;
            bench.receive_at(now, ssrc, index, u32::from(index) * 48_000, 111, &packet);
        }
        let (first, last) = (bench.said.places[0].0, bench.said.places.last().expect("some").0);
        assert!(last - first <= 11 * 48_000 + 48, "{} samples", last - first);
        assert_eq!(
            bench.counters.ahead_of_time + bench.said.places.len() as u64,
            1_000,
            "{sources} sources"
        );
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_each_frame_is_handed_on_once_and_gaps_are_settled(
        packets in proptest::collection::vec((0u16..300, 0u32..4, 0u64..50), 1..300),
    ) {
        let mut bench = Bench::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut now = 1_000_000;
        for (index, ssrc, wait) in packets {
            now += wait * 1_000;
            // SRTP lets no packet through twice.
            if seen.insert((ssrc, index)) {
                bench.receive_at(Time(now), ssrc, index, u32::from(index) * 960, 111, &FRAME);
            }
            bench.ingest.expire(Time(now), &mut bench.said);
        }
        let mut sequences = bench.said.sequences.clone();
        sequences.sort_unstable();
        sequences.dedup();
        proptest::prop_assert_eq!(sequences.len(), bench.said.sequences.len());
        bench.ingest.expire(Time(now) + Duration::from_secs(10), &mut bench.said);
        proptest::prop_assert_eq!(bench.ingest.deadline(), Time::NEVER);
        proptest::prop_assert!(bench.ingest.lost() <= bench.ingest.expected());
    }
}
