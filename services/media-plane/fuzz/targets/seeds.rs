//! Writes the first inputs of each target into the folder that `SEEDS` names: `SEEDS=corpus seeds -runs=0`. It has a
//! target's shape since everything here is built with coverage, which only links with libFuzzer.
#![no_main]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use antiphon_engine::Transport;
use antiphon_engine::device::DeviceReport;
use antiphon_engine::envelope::{Direction, Envelope, EnvelopeKey};
use antiphon_engine::rtcp::{ReportBlock, SenderInfo, Writer};
use antiphon_engine::rtp::HeaderWriter;
use antiphon_engine::srtp::{Profile, Sender};
use antiphon_engine::stun::{Check, Role};
use antiphon_engine::ufrag::{Sealer, Ufrag};
use antiphon_engine::{opus, red, sdp};
use antiphon_fuzz::{ENVELOPE_TO, PASSWORD, SECRET, SRTP_KEY, SRTP_SALT};
use antiphon_link::proto::{
    ControlResponse, DataMessage, IngestReceipts, MediaResponse, PlayoutCommands, PlayoutFrames, Welcome,
    control_response,
};
use prost::Message;

const OFFERS: [&str; 8] = [
    include_str!("../../crates/engine/tests/offers/aiortc.sdp"),
    include_str!("../../crates/engine/tests/offers/chromium.sdp"),
    include_str!("../../crates/engine/tests/offers/chromium-max-bundle.sdp"),
    include_str!("../../crates/engine/tests/offers/chromium-room.sdp"),
    include_str!("../../crates/engine/tests/offers/firefox.sdp"),
    include_str!("../../crates/engine/tests/offers/gstreamer.sdp"),
    include_str!("../../crates/engine/tests/offers/pion.sdp"),
    include_str!("../../crates/engine/tests/offers/safari.sdp"),
];

libfuzzer_sys::fuzz_target!(
    init: {
        let folder = std::env::var_os("SEEDS").expect("SEEDS names a folder");
        write_all(Path::new(&folder)).expect("the folder can be written");
    },
    |_data: &[u8]| {}
);

fn write_all(root: &Path) -> io::Result<()> {
    let sealed = sealed_ufrag();
    let bare = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let padded_probe = [
        &[0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42][..],
        &[7; 12],
        &[0x80, 0x22, 0, 8],
        &[0; 8],
    ]
    .concat();
    write(
        root,
        "stun",
        &[check(&sealed, true), check(b"other", false), bare, padded_probe],
    )?;
    write(root, "ufrag", std::slice::from_ref(&sealed))?;
    write(root, "sdp", &OFFERS.map(|offer| offer.as_bytes().to_vec()))?;
    let fragment = sdp::write_fragment(
        "ufragufr",
        "a-password-of-the-fuzzer",
        "0",
        &[SocketAddr::from(([192, 0, 2, 1], 9)).into()],
    );
    write(root, "sdpfrag", &[fragment.into_bytes()])?;
    write(root, "rtp", &[rtp(1), padded()])?;
    write(root, "rtcp", &[report()])?;
    write(root, "red", &[redundant()])?;
    write(root, "device", &[DeviceReport::default().write().to_vec()])?;
    write(
        root,
        "room",
        &[vec![16, 1], vec![17, 0], b"\x11\x01\x02\x03abc\x01d".to_vec()],
    )?;
    write(
        root,
        "opus",
        &[opus::SILENCE.to_vec(), vec![31 << 3 | 3, 0x80 | 3, 1, 1, 7, 7, 7]],
    )?;
    write(root, "srtp", &srtp())?;
    write(
        root,
        "framing",
        &[vec![3, 0, 1, 7, 0, 0, 0, 2, 8, 9, 0], vec![200, 0xff, 0xff]],
    )?;
    write(
        root,
        "envelope",
        &[envelope(Direction::Inward), envelope(Direction::Outward)],
    )?;
    write(root, "certificate", &[certificate()])?;
    write(root, "fragments", &[fragments()])?;
    write(root, "link", &link())?;
    write(root, "engine", &lives())?;
    write(root, "channels", &[channel_talk()])
}

fn write(root: &Path, target: &str, seeds: &[Vec<u8>]) -> io::Result<()> {
    let folder = root.join(target);
    fs::create_dir_all(&folder)?;
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{index}")), seed)?;
    }
    Ok(())
}

/// As little as a certificate can be: its fields are empty but for the key.
fn certificate() -> Vec<u8> {
    let fields = [2, 1, 1, 0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0, 0x30, 3, 2, 1, 5];
    [&[0x30, 18, 0x30, 16][..], &fields].concat()
}

/// A message of four bytes, its second half first.
fn fragments() -> Vec<u8> {
    let fragment = |number: u8, offset: u8| {
        let record = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, number, 0, 14];
        let handshake = [1, 0, 0, 4, 0, 0, 0, 0, offset, 0, 0, 2, 7, 7];
        [&[27][..], &record, &handshake].concat()
    };
    [fragment(0, 2), fragment(1, 0)].concat()
}

fn sealed_ufrag() -> Vec<u8> {
    Sealer::new(SECRET)
        .seal(&Ufrag {
            edge: 1,
            slot: 2,
            restart: 0,
            epoch: 3,
        })
        .as_bytes()
        .to_vec()
}

fn envelope(direction: Direction) -> Vec<u8> {
    let envelope = Envelope {
        direction,
        from: 7,
        shard: 1,
        to: ENVELOPE_TO,
        slot: 2,
        address: SocketAddr::from(([192, 0, 2, 7], 6_000)),
        transport: Transport::Tcp,
        way: 0x0102,
        incarnation: 3,
        number: 4,
    };
    let mut sealed = Vec::new();
    EnvelopeKey::new(SECRET).seal(&envelope, &[1, 2, 3], &mut sealed);
    sealed
}

fn check(ufrag: &[u8], use_candidate: bool) -> Vec<u8> {
    let username = [ufrag, b":peer"].concat();
    let role = if use_candidate {
        Role::Controlling(1)
    } else {
        Role::Controlled(1)
    };
    let check = Check {
        transaction: [9; 12],
        username: &username,
        password: PASSWORD,
        priority: 7,
        use_candidate,
        role,
    };
    let mut buffer = vec![0; 256];
    let length = check.write(&mut buffer);
    buffer.truncate(length);
    buffer
}

fn rtp(sequence: u16) -> Vec<u8> {
    let header = HeaderWriter {
        marker: true,
        payload_type: 111,
        sequence,
        timestamp: 960,
        ssrc: 1,
        mid: Some((4, b"0")),
        level: Some((1, 0x9e)),
    };
    let mut packet = vec![0; 64];
    let length = header.write(&mut packet);
    packet.truncate(length);
    packet.extend(opus::SILENCE);
    packet
}

fn padded() -> Vec<u8> {
    let mut packet = rtp(2);
    packet[0] |= 0x20;
    packet.extend([0, 0, 3]);
    packet
}

fn report() -> Vec<u8> {
    let mut buffer = vec![0; 256];
    let mut writer = Writer::new(&mut buffer);
    writer
        .sender_report(1, &SenderInfo::default(), &[ReportBlock::default()])
        .sdes(1, b"cname")
        .nack(1, 2, &[1, 2, 40])
        .bye(1);
    let length = writer.length();
    buffer.truncate(length);
    buffer
}

fn redundant() -> Vec<u8> {
    let mut buffer = vec![0; 64];
    let length = red::write(&mut buffer, 111, &[(960, b"before")], b"now").expect("it fits");
    buffer.truncate(length);
    buffer
}

fn srtp() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, profile) in [Profile::AeadAes128Gcm, Profile::Aes128CmSha1_80]
        .into_iter()
        .enumerate()
    {
        let mut sender =
            Sender::new(profile, &SRTP_KEY, &SRTP_SALT[..profile.salt_len()]).expect("lengths of the profile");
        let mut buffer = rtp(1);
        let length = buffer.len();
        buffer.resize(length + 20, 0);
        let length = sender.seal_rtp(&mut buffer, length).expect("room for the tag");
        seeds.push([&[choice as u8], &buffer[..length]].concat());
        let mut buffer = report();
        let length = buffer.len();
        buffer.resize(length + 20, 0);
        let length = sender.seal_rtcp(&mut buffer, length).expect("room for the tag");
        seeds.push([&[choice as u8], &buffer[..length]].concat());
    }
    seeds
}

/// Calls as they usually are: audio, RED with a gap before it, playout that is held and goes on, a report, roaming.
fn lives() -> Vec<Vec<u8>> {
    let audio = [&[1, 0, 0, 3][..], &opus::SILENCE].concat();
    let play = [&[8, 1, 0, 0, 3][..], &opus::SILENCE].concat();
    let block = redundant();
    let redundant = [&[1, 1, 0x10, block.len() as u8][..], &block].concat();
    let compound = report();
    let report = [&[5, compound.len() as u8][..], &compound].concat();
    let roam = [13, 0x85, 1, 0, 0, 0];
    let life = [
        &[0][..],
        &audio.repeat(5),
        &redundant,
        &play.repeat(5),
        &[10, 0, 1, 0, 11],
        &report,
        &roam,
        &[12, 0x40, 0, 100, 100],
    ]
    .concat();
    let mut other = life.clone();
    other[0] = 3;
    vec![life, other]
}

/// Messages, a chunk of DATA that opens a channel, and time.
fn channel_talk() -> Vec<u8> {
    let open = [
        0, 3, 0, 28, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 50, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    [&[1, 2, b'h', b'i', 3, open.len() as u8][..], &open, &[0, 40]].concat()
}

fn link() -> Vec<Vec<u8>> {
    let media = MediaResponse {
        frames: Some(PlayoutFrames {
            session: vec![1, 2],
            utterance: vec![1, 1],
            generation: vec![1, 1],
            duration: vec![960, 960],
            flags: vec![0, 1],
            size: vec![3, 3],
            level: vec![30, 0],
            payload: [opus::SILENCE, opus::SILENCE].concat().into(),
        }),
        commands: Some(PlayoutCommands {
            session: vec![1],
            command: vec![1],
            generation: vec![2],
        }),
        receipts: Some(IngestReceipts {
            session: vec![1],
            timestamp: vec![960],
        }),
    };
    let control = |message| ControlResponse { message: Some(message) }.encode_to_vec();
    vec![
        media.encode_to_vec(),
        control(control_response::Message::Welcome(Welcome::default())),
        control(control_response::Message::Data(DataMessage::default())),
    ]
}
