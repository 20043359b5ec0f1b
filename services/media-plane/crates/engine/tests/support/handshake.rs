//! How a caller without a stack of its own gets into a call: Chromium's offer, a check, and the DTLS handshake over a network that loses
//! nothing. The rest of the call it plays by itself, with the keys.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use antiphon_engine::sdp::Fingerprint;
use antiphon_engine::srtp::{Profile, Receiver, Sender, Side, from_dtls};
use antiphon_engine::stun::{Check, Kind, Role, classify};
use antiphon_engine::{OpenSession, Session, SessionState, Time};
use antiphon_netsim::LinkConfig;
use dimpl::{Dtls, Output};

use super::{OUTSIDE, START, Said, address, engine_config};

const OFFER: &str = include_str!("../offers/chromium.sdp");
const OFFER_IN_A_ROOM: &str = include_str!("../offers/chromium-room.sdp");
/// The offer's stream, and its payload types; slots have the same.
pub const SSRC: u32 = 521_683_957;
pub const OPUS: u8 = 111;
pub const RED: u8 = 63;

/// What the offer says that callers differ in.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    pub red: bool,
    pub reduced_size: bool,
    /// With receive-only lines for others' voices.
    pub room: bool,
}

/// A call that is up.
pub struct Connected {
    pub session: Session,
    pub said: Said,
    pub answer: String,
    /// An ICE check that nominates, as often as one likes.
    pub check: Vec<u8>,
    pub now: Time,
    material: Vec<u8>,
}

impl Connected {
    /// A flight goes each way in a round trip.
    pub fn over(up: &LinkConfig, down: &LinkConfig, offered: Offered) -> Self {
        let certificate = dimpl::certificate::generate_self_signed_certificate().expect("a certificate");
        let offer = offer(&certificate, offered);
        let open = OpenSession {
            offer: &offer,
            slot: 0x0100_0005,
            epoch: 77,
            data_channel: None,
            room: offered.room,
        };
        let (mut session, answer) = Session::accept(&engine_config(), &open, START).expect("an answer");
        let mut said = Said {
            now: START,
            ..Said::default()
        };
        let check = check(&session, &offer, &answer);
        session.receive(START, address(OUTSIDE), &mut check.clone(), &mut said);
        let mut dtls = Dtls::new_auto(peer_config(), certificate, Instant::now());
        dtls.set_active(true);
        dtls.handle_timeout(Instant::now()).expect("a first flight");
        let round_trip = Duration::from_micros(up.delay_us + down.delay_us);
        let (material, now) = handshake(&mut session, &mut said, &mut dtls, round_trip);
        Self {
            session,
            said,
            answer,
            check,
            now,
            material,
        }
    }

    /// The caller's, new each time: one may open what another has.
    pub fn keys(&self) -> (Sender, Receiver) {
        from_dtls(Profile::AeadAes128Gcm, &self.material, Side::Client).expect("AES-128-GCM was offered")
    }
}

fn peer_config() -> Arc<dimpl::Config> {
    static CONFIG: OnceLock<Arc<dimpl::Config>> = OnceLock::new();
    let make = || Arc::new(dimpl::Config::builder().build().expect("DTLS settings"));
    Arc::clone(CONFIG.get_or_init(make))
}

/// The offer of Chromium with this certificate.
fn offer(certificate: &dimpl::DtlsCertificate, offered: Offered) -> String {
    let Offered {
        red,
        reduced_size,
        room,
    } = offered;
    let fingerprint = Fingerprint::of(&certificate.certificate).to_string();
    let with_ours = |line: &str| match line.strip_prefix("a=fingerprint:") {
        Some(_) => format!("a=fingerprint:{fingerprint}"),
        None if red => line.to_owned(),
        None => line.replace("111 63 9", "111 9"),
    };
    let about_red = |line: &&str| line.starts_with("a=rtpmap:63") || line.starts_with("a=fmtp:63");
    let lines = if room { OFFER_IN_A_ROOM } else { OFFER }
        .lines()
        .filter(|line| red || !about_red(line))
        .filter(|line| reduced_size || *line != "a=rtcp-rsize");
    lines.map(with_ours).collect::<Vec<_>>().join("\r\n") + "\r\n"
}

fn check(session: &Session, offer: &str, answer: &str) -> Vec<u8> {
    let ufrag = offer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    let password = answer.lines().find_map(|line| line.strip_prefix("a=ice-pwd:"));
    let mut check = vec![0; 256];
    let length = Check {
        transaction: [7; 12],
        username: format!("{}:{}", session.ufrag(), ufrag.expect("a ufrag")).as_bytes(),
        password: password.expect("a password").as_bytes(),
        priority: 1,
        use_candidate: true,
        role: Role::Controlling(1),
    }
    .write(&mut check);
    check.truncate(length);
    check
}

/// Returns the keying material, and when it was done.
fn handshake(session: &mut Session, said: &mut Said, dtls: &mut Dtls, round_trip: Duration) -> (Vec<u8>, Time) {
    let (mut keys, mut now) = (None, START);
    let mut record = [0; 2_048];
    for _ in 0..64 {
        now = now + round_trip;
        loop {
            match dtls.poll_output(&mut record) {
                Output::Packet(datagram) => {
                    let mut bytes = datagram.to_vec();
                    session.receive(now, address(OUTSIDE), &mut bytes, said);
                }
                Output::KeyingMaterial(material, _) => keys = Some(material.to_vec()),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        let waiting: Vec<_> = said.datagrams.drain(..).map(|(_, bytes)| bytes).collect();
        for bytes in waiting.iter().filter(|bytes| classify(bytes) == Kind::Dtls) {
            dtls.handle_packet(bytes).expect("a record of ours");
        }
        if waiting.is_empty() && session.stats().state == SessionState::Connected && keys.is_some() {
            break;
        }
    }
    (keys.expect("keying material"), now)
}
