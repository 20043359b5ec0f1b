//! What is tried on any bytes: that nothing panics, and what must hold of whatever is accepted.

pub mod life;

use antiphon_engine::device::DeviceReport;
use antiphon_engine::envelope::{EnvelopeKey, Seen};
use antiphon_engine::framing::{Deframer, FrameQueue, LARGEST_FRAME};
use antiphon_engine::room::{Command, MAX_NAMED, MAX_SLOTS};
use antiphon_engine::sdp::{Answer, Fingerprint, Offer, OwnStream, parse_fragment};
use antiphon_engine::srtp::{MAX_OVERHEAD, Profile, Receiver, Sender};
use antiphon_engine::stun::{BindingRequest, Kind, MAX_RESPONSE, Probe, classify};
use antiphon_engine::ufrag::Sealer;
use antiphon_engine::{opus as opus_packet, red as red_payload, rtcp as rtcp_packet, rtp as rtp_packet};
use antiphon_link::columns_agree;
use antiphon_link::proto::{ControlResponse, MediaResponse};
use prost::Message;

/// Key and salt of the SRTP target; its seeds are sealed under them.
pub const SRTP_KEY: [u8; 16] = [3; 16];
/// Long enough for every profile.
pub const SRTP_SALT: [u8; 14] = [5; 14];
/// Secret of the ufrag target.
pub const SECRET: &[u8] = b"a secret of the fuzzer";
/// The edge that the envelope target's seeds are for.
pub const ENVELOPE_TO: u32 = 9;
/// More than what is held of one handshake, with its headers.
const MAX_JOINED: usize = 16_384 + 8 * 25;
/// Password of the STUN target's seeds.
pub const PASSWORD: &[u8] = b"a password of the fuzzer";

/// Binding requests.
pub fn stun(data: &[u8]) {
    if let Ok(request) = BindingRequest::parse(data) {
        assert_eq!(classify(data), Kind::Stun);
        let _ = (request.local_ufrag(), request.remote_ufrag());
        assert!(request.has_integrity() || !request.verify(PASSWORD));
    }
    if let Some(probe) = Probe::parse(data) {
        assert!(
            BindingRequest::parse(data)
                .ok()
                .is_none_or(|request| request.username.is_none())
        );
        let mut answer = [0; MAX_RESPONSE];
        for address in [
            std::net::SocketAddr::from(([192, 0, 2, 1], 1)),
            std::net::SocketAddr::from(([0x2001; 8], 1)),
        ] {
            let length = probe.answer(&mut answer, address, false);
            assert!(length <= data.len() && classify(&answer[..length]) == Kind::Stun);
            assert!(probe.answer(&mut answer, address, true) >= length);
        }
    }
}

/// Sealed ufrags: what opens seals to the same text again.
pub fn ufrag(data: &[u8]) {
    let sealer = Sealer::new(SECRET);
    if let Ok(ufrag) = sealer.open(data) {
        assert_eq!(sealer.seal(&ufrag).as_bytes()[..], *data);
    }
    let _ = sealer.password(data);
}

/// Certificates: a key is found within them, and is its own first element.
pub fn certificate(data: &[u8]) {
    if let Some(key) = antiphon_engine::rsa::public_key(data) {
        assert!(key.len() < data.len() && key[0] == 0x30);
    }
}

/// Handshake fragments, a datagram after each length: what is held and handed on stays within its bounds.
pub fn fragments(data: &[u8]) {
    let mut fragments = antiphon_engine::fragments::Fragments::default();
    let mut rest = data;
    while let Some((&length, behind)) = rest.split_first() {
        let (datagram, behind) = behind.split_at(usize::from(length).min(behind.len()));
        let joined = fragments.join(datagram);
        let came: usize = joined.datagrams.iter().map(Vec::len).sum();
        assert!(came <= MAX_JOINED + 3 * datagram.len());
        assert!(fragments.held() <= MAX_JOINED);
        rest = behind;
    }
}

/// Offers: an answer has as many m-lines, and reads as a full agent's offer but for ice-lite.
pub fn sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(offer) = Offer::parse_with_slots(text, MAX_SLOTS) else {
        return;
    };
    let slots: Vec<u32> = (2..).take(offer.slots.len()).collect();
    let fingerprint = Fingerprint::of(b"certificate");
    let answer = Answer {
        session_id: 1,
        ufrag: "ufrag",
        password: "a-password-of-the-edge",
        fingerprint: &fingerprint,
        candidates: &[std::net::SocketAddr::from(([192, 0, 2, 1], 4000)).into()],
        stream: OwnStream {
            ssrc: 1,
            cname: "cname",
            stream: "stream",
            track: "track",
        },
        slots: &slots,
        max_message_size: 65_536,
    }
    .write(&offer);
    let answer = answer.replace("a=ice-lite\r\n", "");
    let read = Offer::parse(&answer).unwrap_or_else(|error| panic!("{error}\n{answer}"));
    assert_eq!(read.sections.len(), offer.sections.len());
    let payload_type = offer.audio.opus.payload_type;
    assert!(answer.contains(&format!("a=rtpmap:{payload_type} opus/48000/2")));
    if offer.slots.is_empty() {
        // A slot that stands first reads as the one that speaks: in an answer it does.
        assert_eq!(read.audio.opus.payload_type, payload_type);
    }
}

/// Trickle-ICE fragments.
pub fn sdpfrag(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_fragment(text);
    }
}

/// What members ask of their room: what is named adds up to the message.
pub fn room(data: &[u8]) {
    if let Some(Command::HearOnly(named)) = Command::parse(data) {
        assert!(named.count() <= MAX_NAMED);
        assert_eq!(named.map(|name| 1 + name.len()).sum::<usize>() + 3, data.len());
    }
}

/// RTP headers, extensions and padding.
pub fn rtp(data: &[u8]) {
    let Ok(header) = rtp_packet::Header::parse(data) else {
        return;
    };
    assert!(header.length <= data.len());
    for (id, element) in header.extensions(data) {
        assert_ne!(id, 0);
        let _ = rtp_packet::audio_level(element);
    }
    if let Ok(payload) = header.payload(data) {
        assert!(payload.start == header.length && payload.end <= data.len());
    }
}

/// RTCP compounds.
pub fn rtcp(data: &[u8]) {
    use rtcp_packet::Packet;
    for packet in rtcp_packet::compound(data) {
        match packet {
            Ok(Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. }) => {
                assert!(reports.count() <= 31);
            }
            Ok(Packet::Bye { sources }) => assert!(sources.count() <= 31),
            Ok(Packet::Nack { lost, .. }) => assert!(lost.count() <= data.len() / 4 * 17),
            Ok(Packet::Sdes { .. } | Packet::Other { .. }) | Err(_) => {}
        }
    }
}

/// RED payloads: what is read can be written and reads the same.
pub fn red(data: &[u8]) {
    let Ok(blocks) = red_payload::blocks(data) else { return };
    let blocks: Vec<_> = blocks
        .map(|block| (u32::from(block.timestamp_offset), block.payload))
        .collect();
    let Some(((_, primary), redundant)) = blocks.split_last() else {
        unreachable!("a primary block is always there")
    };
    let mut buffer = vec![0; data.len()];
    let length = red_payload::write(&mut buffer, 111, redundant, primary).expect("no longer than what was read");
    let again = red_payload::blocks(&buffer[..length]).expect("what we write");
    assert!(
        again
            .map(|block| (u32::from(block.timestamp_offset), block.payload))
            .eq(blocks)
    );
}

/// Playout reports of a caller's device: what is read can be written and reads the same.
pub fn device(data: &[u8]) {
    if let Ok(report) = DeviceReport::parse(data) {
        assert_eq!(DeviceReport::parse(&report.write()), Ok(report));
    }
}

/// Opus packets.
pub fn opus(data: &[u8]) {
    if let Some(samples) = opus_packet::duration(data) {
        assert!((120..=5_760).contains(&samples) && samples % 120 == 0);
    }
    let _ = opus_packet::is_dtx(data);
    if opus_packet::signal_type(data).is_some() || opus_packet::carries_fec(data) {
        assert!(data[0] < 0x80 && opus_packet::duration(data).is_some());
    }
}

/// SRTP and SRTCP: the first octet chooses the profile, the rest is a datagram; what is taken once is refused the
/// second time, and what is not sealed by us is refused at once.
pub fn srtp(data: &[u8]) {
    let Some((choice, datagram)) = data.split_first() else {
        return;
    };
    let profile = if choice % 2 == 0 {
        Profile::AeadAes128Gcm
    } else {
        Profile::Aes128CmSha1_80
    };
    let salt = &SRTP_SALT[..profile.salt_len()];
    let mut receiver = Receiver::new(profile, &SRTP_KEY, salt).expect("lengths of the profile");
    if receiver.open_rtp(&mut datagram.to_vec()).is_ok() {
        assert!(receiver.open_rtp(&mut datagram.to_vec()).is_err());
    }
    if receiver.open_rtcp(&mut datagram.to_vec()).is_ok() {
        assert!(receiver.open_rtcp(&mut datagram.to_vec()).is_err());
    }

    let mut sender = Sender::new(profile, &SRTP_KEY, salt).expect("lengths of the profile");
    let mut receiver = Receiver::new(profile, &SRTP_KEY, salt).expect("lengths of the profile");
    let mut buffer = datagram.to_vec();
    buffer.resize(datagram.len() + MAX_OVERHEAD, 0);
    if let Ok(length) = sender.seal_rtp(&mut buffer, datagram.len()) {
        let opened = receiver.open_rtp(&mut buffer[..length]).expect("what we sealed");
        assert_eq!(&buffer[..opened.length], datagram);
    }
}

/// A stream over TCP: the first octet says in what pieces it comes. However it is cut, the frames are the same, and no more
/// than one is kept.
pub fn framing(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let read = |piece: usize| {
        let mut deframer = Deframer::default();
        let mut frames = Vec::new();
        for bytes in stream.chunks(piece) {
            let cut = deframer.push(&mut bytes.to_vec(), |frame| {
                frames.push(frame.to_vec());
                true
            });
            if cut.is_err() {
                break;
            }
            assert!(deframer.kept() < 2 + LARGEST_FRAME);
        }
        frames
    };
    let frames = read(usize::from(*piece) + 1);
    assert_eq!(frames, read(stream.len().max(1)));
    let mut queue = FrameQueue::new(usize::MAX);
    assert_eq!(frames.iter().map(|frame| queue.push(frame)).sum::<usize>(), 0);
    queue.sent(usize::from(*piece));
}

/// Envelopes between edges: the datagram in one opens as it was sealed, and what is not sealed by us is refused.
pub fn envelope(data: &[u8]) {
    let key = EnvelopeKey::new(SECRET);
    if let Ok((envelope, datagram)) = key.open(ENVELOPE_TO, |_| true, &mut data.to_vec()) {
        let mut again = Vec::new();
        key.seal(&envelope, datagram, &mut again);
        let (read, inside) = key.open(ENVELOPE_TO, |_| true, &mut again).expect("what we sealed");
        assert_eq!((read, &*inside), (envelope, &*datagram));
        let mut seen = Seen::default();
        assert!(seen.accept(&envelope).is_ok() && seen.accept(&envelope).is_err());
    }
}

/// Messages of a worker on the link, and the walk over their columns.
pub fn link(data: &[u8]) {
    if let Ok(message) = ControlResponse::decode(data) {
        assert_eq!(
            ControlResponse::decode(&message.encode_to_vec()[..]).as_ref(),
            Ok(&message)
        );
    }
    let Ok(message) = MediaResponse::decode(data) else {
        return;
    };
    if columns_agree(&message)
        && let Some(frames) = &message.frames
    {
        let mut payload = &frames.payload[..];
        for size in &frames.size {
            payload = payload.split_at(*size as usize).1;
        }
        assert!(payload.is_empty());
    }
}
