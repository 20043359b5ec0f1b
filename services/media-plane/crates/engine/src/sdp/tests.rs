//! Offers as real stacks write them, and what is wrong with others.

use proptest::prelude::*;

use super::*;
use crate::remote::{Candidate, Transport};

const CHROMIUM: &str = include_str!("../../tests/offers/chromium.sdp");
const CHROMIUM_MAX_BUNDLE: &str = include_str!("../../tests/offers/chromium-max-bundle.sdp");
const CHROMIUM_ROOM: &str = include_str!("../../tests/offers/chromium-room.sdp");
const FIREFOX: &str = include_str!("../../tests/offers/firefox.sdp");
const SAFARI: &str = include_str!("../../tests/offers/safari.sdp");
const AIORTC: &str = include_str!("../../tests/offers/aiortc.sdp");
const GSTREAMER: &str = include_str!("../../tests/offers/gstreamer.sdp");
const PION: &str = include_str!("../../tests/offers/pion.sdp");

fn candidate(transport: Transport, address: &str) -> Candidate {
    let address = address.parse().unwrap();
    Candidate { address, transport }
}

fn answer(offer: &str) -> String {
    answer_with(&Offer::parse(offer).unwrap(), &[])
}

fn answer_with(offer: &Offer, slots: &[u32]) -> String {
    let fingerprint = Fingerprint::of(b"certificate");
    let candidates = [
        candidate(Transport::Udp, "192.0.2.1:4000"),
        candidate(Transport::Udp, "[2001:db8::1]:4000"),
        candidate(Transport::Tcp, "192.0.2.1:443"),
    ];
    Answer {
        session_id: 2_000,
        ufrag: "ufragufragufragufragufragufragXX",
        password: "passwordpasswordpassword",
        fingerprint: &fingerprint,
        candidates: &candidates,
        stream: OwnStream {
            ssrc: 42,
            cname: "antiphon",
            stream: "agent",
            track: "voice",
        },
        slots,
        max_message_size: 65_536,
    }
    .write(offer)
}

fn refusal(offer: &str) -> (usize, String) {
    let OfferError { line, message } = Offer::parse(offer).unwrap_err();
    (line, message)
}

/// The line's number in `offer`, from 1.
fn line_of(offer: &str, start: &str) -> usize {
    offer.lines().position(|line| line.starts_with(start)).unwrap() + 1
}

/// `offer` without the lines that start so.
fn without(offer: &str, start: &str) -> String {
    offer
        .lines()
        .filter(|line| !line.starts_with(start))
        .flat_map(|line| [line, "\r\n"])
        .collect()
}

#[test]
fn every_stack_offers_opus_and_most_a_data_channel() {
    for (name, text, opus, red, data) in [
        ("chromium", CHROMIUM, 111, Some(63), true),
        ("chromium, max-bundle", CHROMIUM_MAX_BUNDLE, 111, Some(63), true),
        ("firefox", FIREFOX, 109, None, true),
        ("safari", SAFARI, 111, Some(63), true),
        ("aiortc", AIORTC, 96, None, true),
        ("gstreamer", GSTREAMER, 97, None, false),
        ("pion", PION, 111, None, true),
    ] {
        let offer = Offer::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(offer.audio.opus.payload_type, opus, "{name}");
        assert_eq!(offer.audio.opus.red, red, "{name}");
        assert_eq!(offer.data.is_some(), data, "{name}");
        assert_eq!(offer.setup, Setup::ActPass, "{name}");
        assert_eq!(offer.audio.direction, Direction::SendRecv, "{name}");
    }
}

#[test]
fn receive_only_lines_become_slots_where_they_are_asked_for() {
    let offer = Offer::parse_with_slots(CHROMIUM_ROOM, 8).unwrap();
    let mids: Vec<&str> = offer.slots.iter().map(|slot| slot.mid.as_str()).collect();
    assert_eq!(mids, ["1", "2", "3"]);
    assert!(
        offer
            .slots
            .iter()
            .all(|slot| (slot.payload_type, slot.red, slot.mid_extension) == (111, Some(63), Some(4)))
    );
    let text = answer_with(&offer, &[50, 51, 52]);
    let sections: Vec<&str> = text.split("m=").skip(1).collect();
    assert_eq!(sections.len(), 5);
    for (section, ssrc) in sections[1..4].iter().zip([50, 51, 52]) {
        assert!(
            section.starts_with("audio 4000 UDP/TLS/RTP/SAVPF 63 111\r\n"),
            "{section}"
        );
        assert!(section.contains("a=fmtp:63 111/111\r\n") && section.contains("a=rtcp-fb:111 nack\r\n"));
        assert!(section.contains("a=sendonly\r\n") && section.contains(&format!("a=ssrc:{ssrc} cname:antiphon\r\n")));
    }
    assert!(text.contains("a=group:BUNDLE 0 1 2 3 4\r\n"));
    let streams: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("a=msid:")).collect();
    assert_eq!(streams.len(), 4, "a stream of its own for each: {streams:?}");
}

#[test]
fn receive_only_lines_are_bounded_and_refused_outside_rooms() {
    assert_eq!(Offer::parse_with_slots(CHROMIUM_ROOM, 2).unwrap().slots.len(), 2);
    let offer = Offer::parse(CHROMIUM_ROOM).unwrap();
    assert!(offer.slots.is_empty());
    assert_eq!(answer(CHROMIUM_ROOM).matches("m=audio 0 ").count(), 3);
}

#[test]
fn credentials_and_fingerprint_may_stand_at_the_session_or_at_the_media() {
    let offer = Offer::parse(FIREFOX).unwrap();
    assert_eq!(offer.ice.ufrag, "1d1f7c36");
    assert_eq!(offer.fingerprint.algorithm, HashAlgorithm::Sha256);
    let offer = Offer::parse(SAFARI).unwrap();
    assert_eq!(offer.ice.password, "Xq0cNnUpmN7oI3SP2VZgZ9dk");
}

#[test]
fn the_strongest_of_several_fingerprints_counts() {
    assert_eq!(
        Offer::parse(AIORTC).unwrap().fingerprint.algorithm,
        HashAlgorithm::Sha512
    );
}

#[test]
fn extensions_other_than_mid_and_level_are_not_answered() {
    let audio = Offer::parse(SAFARI).unwrap().audio;
    assert_eq!((audio.mid_extension, audio.level_extension), (Some(4), Some(1)));
    let extmaps: Vec<String> = answer(SAFARI)
        .lines()
        .filter(|line| line.starts_with("a=extmap:"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        extmaps,
        [
            "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
            "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level"
        ]
    );
}

#[test]
fn an_answer_says_all_that_a_browser_needs() {
    let text = answer(SAFARI);
    for line in [
        "a=group:BUNDLE 0 1",
        "a=ice-lite",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 63 111 110",
        "c=IN IP4 192.0.2.1",
        "a=mid:0",
        "a=ice-ufrag:ufragufragufragufragufragufragXX",
        "a=ice-pwd:passwordpasswordpassword",
        "a=setup:passive",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1;stereo=0;usedtx=1",
        "a=rtcp-fb:63 nack",
        "a=rtcp-fb:111 nack",
        "a=ssrc:42 cname:antiphon",
        "a=msid:agent voice",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::1 4000 typ host",
        "a=candidate:3 1 tcp 1520434687 192.0.2.1 443 typ host tcptype passive",
        "a=end-of-candidates",
        "m=application 4000 UDP/DTLS/SCTP webrtc-datachannel",
        "a=sctp-port:5000",
        "a=max-message-size:65536",
    ] {
        assert!(
            text.split("\r\n").any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    let (_, data) = text.split_once("m=application").unwrap();
    assert_eq!(
        data.matches("a=candidate").count(),
        3,
        "in each m-line that is accepted"
    );
    assert!(text.ends_with("\r\n"));
}

#[test]
fn video_and_further_audio_are_rejected_in_their_places() {
    let text = answer(CHROMIUM_MAX_BUNDLE);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(lines[0].starts_with("m=audio 4000 "));
    assert!(lines[1].starts_with("m=video 0 "));
    assert!(lines[2].starts_with("m=audio 0 "));
    assert!(lines[3].starts_with("m=application 4000 "));
    assert!(text.contains("a=group:BUNDLE 0 3\r\n"));
}

#[test]
fn the_first_line_of_a_bundle_carries_its_transport_though_nothing_is_sent() {
    let text = answer(&CHROMIUM_MAX_BUNDLE.replace("a=group:BUNDLE 0 1 2 3", "a=group:BUNDLE 1 0 2 3"));
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines[1], "m=video 4000 UDP/TLS/RTP/SAVPF 96");
    let (_, video) = text.split_once("m=video").unwrap();
    let (video, _) = video.split_once("m=").unwrap();
    for line in [
        "a=inactive",
        "a=rtcp-mux",
        "a=rtpmap:96 VP8/90000",
        "a=setup:passive",
        "a=mid:1",
    ] {
        assert!(video.lines().any(|found| found == line), "{line}");
    }
    assert!(text.contains("a=group:BUNDLE 1 0 3\r\n"), "{text}");
}

#[test]
fn an_offer_that_waits_gets_an_active_answer() {
    let waiting = PION.replace("a=setup:actpass", "a=setup:passive");
    assert!(answer(&waiting).contains("a=setup:active\r\n"));
    let starting = PION.replace("a=setup:actpass", "a=setup:active");
    assert!(answer(&starting).contains("a=setup:passive\r\n"));
}

#[test]
fn directions_are_mirrored() {
    for (offered, answered) in [
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("inactive", "inactive"),
        ("sendrecv", "sendrecv"),
    ] {
        let text = answer(&GSTREAMER.replace("a=sendrecv", &format!("a={offered}")));
        assert!(text.contains(&format!("a={answered}\r\n")), "{offered}");
        assert_eq!(text.contains("a=msid:"), answered.starts_with("send"), "{offered}");
    }
}

#[test]
fn an_offer_without_bundle_gets_audio_and_no_data_channel() {
    let text = answer(&without(PION, "a=group"));
    assert!(!text.contains("a=group"));
    assert!(text.contains("m=application 0 "));
}

#[test]
fn a_bundled_line_without_transport_takes_that_of_its_bundle() {
    let (head, tail) = PION.split_once("m=application").unwrap();
    let head = without(&without(head, "a=ice-"), "m=audio").replace("a=fingerprint", "a=x-fingerprint");
    let offer = format!(
        "{}\r\nm=application{}\r\na=fingerprint:{}\r\n",
        head.trim_end(),
        tail.trim_end(),
        Fingerprint::of(b"")
    );
    let offer = offer.replacen("c=IN", "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=bundle-only\r\nc=IN", 1);
    assert_eq!(Offer::parse(&offer).unwrap().ice.ufrag, "RqZGlJBvXmWGtGMC");
}

#[test]
fn errors_name_the_line() {
    let audio = line_of(PION, "m=audio");
    let ufrag = line_of(PION, "a=ice-ufrag");
    for (offer, line, word) in [
        (PION.replace("opus", "speex"), audio, "Opus"),
        (without(PION, "a=fingerprint"), audio - 1, "fingerprint"),
        (without(PION, "a=ice-ufrag"), audio, "ice-ufrag"),
        (without(PION, "a=ice-pwd"), audio, "ice-pwd"),
        (without(PION, "a=rtcp-mux"), audio, "rtcp-mux"),
        (
            PION.replace("a=ice-ufrag:RqZGlJBvXmWGtGMC", "a=ice-ufrag:Rq"),
            ufrag,
            "2 characters",
        ),
        (PION.replace("m=audio 9", "m=audio x"), audio, "port"),
        (PION.replace("m=audio 9", "m=audio"), audio, "port"),
        (
            PION.replace("a=setup:actpass", "a=setup:holdconn"),
            line_of(PION, "a=setup"),
            "holdconn",
        ),
        (
            PION.replace("sha-256", "sha-1"),
            line_of(PION, "a=fingerprint"),
            "sha-256",
        ),
        (
            PION.replace("7B:8B", "7B8B"),
            line_of(PION, "a=fingerprint"),
            "hexadecimal",
        ),
        (PION.replace("7B:8B", "7B"), line_of(PION, "a=fingerprint"), "octets"),
        (
            PION.replace("a=mid:1", "a=mid:0"),
            line_of(PION, "m=application"),
            "a=mid:0",
        ),
        (
            PION.replace("a=sctp-port:5000", "a=sctp-port:x"),
            line_of(PION, "a=sctp-port"),
            "sctp-port",
        ),
        (PION.replace("s=-", "nonsense"), 3, "not SDP"),
        (PION.replace("t=0 0", "a=ice-lite"), 4, "ice-lite"),
        (String::from("{}"), 1, "v=0"),
        (String::from("v=0\r\ns=-\r\n"), 0, "no audio"),
        (format!("v=0\r\n{}", "a=x\r\n".repeat(3_000)), 2_001, "lines"),
        (format!("v=0\r\n{}", "m=audio 9 x 0\r\n".repeat(65)), 66, "m-lines"),
        (format!("v=0\r\n{}", "x".repeat(70_000)), 0, "bytes"),
    ] {
        let (found, message) = refusal(&offer);
        assert!(message.contains(word), "`{message}` does not say `{word}`");
        assert_eq!(found, line, "{message}");
    }
}

#[test]
fn no_error_and_no_debug_output_shows_a_password() {
    let secret = "vZJzWLZxgZVvrpbFcNVyTjvtyBMLFKSR";
    let (_, message) = refusal(&PION.replace(secret, "vZJzWLZx"));
    assert!(!message.contains("vZJz"), "{message}");
    assert!(!format!("{:?}", Offer::parse(PION).unwrap()).contains(secret));
}

#[test]
fn a_fingerprint_matches_its_certificate_alone() {
    let fingerprint = Fingerprint::of(b"certificate");
    assert!(fingerprint.matches(b"certificate"));
    assert!(!fingerprint.matches(b"another"));
    assert!(fingerprint.to_string().starts_with("sha-256 "));
    assert_eq!(fingerprint.to_string().len(), 8 + 32 * 3 - 1);
}

#[test]
fn a_fragment_brings_new_credentials() {
    let text = "a=ice-options:trickle ice2\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
                a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n";
    let credentials = parse_fragment(text).unwrap().unwrap();
    assert_eq!(credentials.ufrag, "ysXw");
}

#[test]
fn a_fragment_of_candidates_alone_changes_nothing() {
    assert_eq!(
        parse_fragment("m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n"),
        Ok(None)
    );
}

#[test]
fn half_of_a_pair_of_credentials_is_an_error() {
    let error = parse_fragment("a=mid:0\r\na=ice-ufrag:ysXw\r\n").unwrap_err();
    assert_eq!(error.line, 2);
}

#[test]
fn our_fragment_reads_back() {
    let text = write_fragment(
        "abcdefgh",
        "0123456789012345678901",
        "0",
        &[candidate(Transport::Udp, "192.0.2.1:4000")],
    );
    assert_eq!(parse_fragment(&text).unwrap().unwrap().ufrag, "abcdefgh");
    assert!(text.contains("a=end-of-candidates\r\n"));
}

fn offers() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        CHROMIUM,
        CHROMIUM_MAX_BUNDLE,
        FIREFOX,
        SAFARI,
        AIORTC,
        GSTREAMER,
        PION,
    ])
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(v=0\r\n)?[ -~\r\n]{0,400}") {
        let _ = Offer::parse(&text);
        let _ = parse_fragment(&text);
    }

    #[test]
    fn a_mangled_offer_is_answered_or_refused(
        offer in offers(), at in any::<prop::sample::Index>(), length in 0usize..40, with in "[ -~\r\n]{0,10}"
    ) {
        let at = at.index(offer.len());
        let mut text = offer.to_owned();
        text.replace_range(at..(at + length).min(offer.len()), &with);
        if Offer::parse(&text).is_ok() {
            let answer = answer(&text);
            let count = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
            prop_assert_eq!(count(&text), count(&answer));
            // But for ice-lite, an answer reads as a full agent's offer.
            let read = Offer::parse(&answer.replace("a=ice-lite\r\n", ""));
            prop_assert!(read.is_ok(), "{:?}\n{}", read, answer);
        }
    }
}

#[test]
fn nack_and_reduced_size_are_answered_where_the_offer_allows_them() {
    for (text, profile, reduced) in [
        (CHROMIUM.to_owned(), true, true),
        (FIREFOX.to_owned(), true, false),
        (AIORTC.to_owned(), true, false),
        (CHROMIUM.replace("RTP/SAVPF", "RTP/SAVP"), false, true),
    ] {
        let audio = Offer::parse(&text).unwrap().audio;
        assert_eq!((audio.feedback, audio.reduced_size), (profile, reduced));
        let answer = answer(&text);
        assert_eq!(answer.contains(" nack\r\n"), profile, "{answer}");
        assert_eq!(answer.contains("a=rtcp-rsize\r\n"), reduced, "{answer}");
    }
}

#[test]
fn red_is_repaired_by_nack_as_opus_is() {
    // Pion offers RED only to whom tells it to, with feedback for each payload type.
    let pion = PION.replace("SAVPF 111", "SAVPF 63 111").replace(
        "a=rtpmap:111",
        "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtcp-fb:63 nack\r\na=rtcp-fb:111 nack\r\na=rtpmap:111",
    );
    for (text, red) in [
        (CHROMIUM, true),
        (SAFARI, true),
        (&pion, true),
        (PION, false),
        (AIORTC, false),
        (FIREFOX, false),
    ] {
        let answer = answer(text);
        let payload_types = Offer::parse(text).unwrap().audio.opus;
        assert_eq!(payload_types.red.is_some(), red);
        for payload_type in payload_types.red.into_iter().chain([payload_types.payload_type]) {
            let line = format!("a=rtcp-fb:{payload_type} nack");
            assert_eq!(answer.lines().filter(|found| *found == line).count(), 1, "{answer}");
        }
    }
    let answer = answer(&CHROMIUM.replace("RTP/SAVPF", "RTP/SAVP"));
    assert!(!answer.contains("rtcp-fb"), "{answer}");
}

#[test]
fn an_m_line_whose_first_format_is_blank_is_refused() {
    let offer = CHROMIUM.replacen("UDP/TLS/RTP/SAVPF 111", "UDP/TLS/RTP/SAVPF  111", 1);
    assert_ne!(offer, CHROMIUM);
    let error = Offer::parse(&offer).expect_err("an answer could not repeat it");
    assert!(error.message.contains("formats"), "{error}");
}
