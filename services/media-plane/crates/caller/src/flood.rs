//! A flood: what strangers send to a media port when they mean no good, from many addresses, and what they get for it.
//! Beside a load it tells what live calls feel of it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_engine::stun::{Check, Role, write_success};
use antiphon_engine::ufrag::{Sealer, Ufrag};
use serde::Serialize;

/// Packets are sent in batches of a millisecond's worth.
const TICK: Duration = Duration::from_millis(1);
/// The largest of them.
const LARGEST: usize = 1_200;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Noise.
    Junk,
    /// STUN checks with a ufrag that another cluster sealed.
    Forged,
    /// STUN checks with a real ufrag and a guessed password; forged ones while no ufrag is known.
    Guessed,
    /// Half of a check.
    Truncated,
    /// STUN answers, as a reflector would send them.
    Reflected,
    /// The beginning of a handshake from an address that passed no check.
    Hello,
    /// Media of nobody's.
    Rtp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Junk,
        Self::Forged,
        Self::Guessed,
        Self::Truncated,
        Self::Reflected,
        Self::Hello,
        Self::Rtp,
    ];
}

/// What a flood is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub target: SocketAddr,
    /// Addresses that it comes from: of 127.0.0.0/8 when the target is there, else ports of one.
    pub sources: u16,
    /// Packets a second.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
    /// What is sent, in turns.
    pub kinds: Vec<Kind>,
    /// A ufrag of the cluster's.
    pub ufrag: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Packets by kind.
    pub sent: BTreeMap<Kind, u64>,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets that came back.
    pub received: u64,
    /// Their bytes: more than were sent would be amplification.
    pub received_bytes: u64,
}

/// Floods.
///
/// # Errors
/// When sockets cannot be had.
pub fn run(plan: &Plan) -> io::Result<Report> {
    let sockets = (0..plan.sources.max(1))
        .map(|number| source(plan.target, number))
        .collect::<io::Result<Vec<_>>>()?;
    let mut report = Report::default();
    let begin = Instant::now();
    let mut number = 0_u64;
    while begin.elapsed() < plan.duration {
        let due = (begin.elapsed().as_secs_f64() * plan.rate) as u64;
        while number < due {
            let kind = plan.kinds[(number % plan.kinds.len() as u64) as usize];
            let socket = &sockets[(number / plan.kinds.len() as u64 % sockets.len() as u64) as usize];
            let packet = packet(kind, number, plan.ufrag.as_deref());
            // A full buffer loses the packet, as a network would.
            if socket.send_to(&packet, plan.target).is_ok() {
                *report.sent.entry(kind).or_default() += 1;
                report.sent_bytes += packet.len() as u64;
            }
            number += 1;
        }
        thread::sleep(TICK);
    }
    thread::sleep(Duration::from_millis(200)); // for what is still on its way back
    for socket in &sockets {
        while let Ok(length) = socket.recv(&mut [0; 2_048]) {
            report.received += 1;
            report.received_bytes += length as u64;
        }
    }
    Ok(report)
}

fn source(target: SocketAddr, number: u16) -> io::Result<UdpSocket> {
    let [high, low] = number.to_be_bytes();
    let address = match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::new(127, 1, high, low.max(1)).into(),
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The packet with this number: no two are alike.
fn packet(kind: Kind, number: u64, ufrag: Option<&str>) -> Vec<u8> {
    match kind {
        Kind::Junk => noise(number, 1 + (number as usize * 37) % LARGEST, &[]),
        Kind::Forged => check(number, &forged(number)),
        Kind::Guessed => check(number, ufrag.map_or_else(|| forged(number), ToOwned::to_owned).as_str()),
        Kind::Truncated => {
            let mut half = check(number, &forged(number));
            half.truncate(half.len() / 2);
            half
        }
        Kind::Reflected => {
            let mut buffer = [0; 256];
            let mapped = SocketAddr::from(([192, 0, 2, 1], 4_000));
            let length = write_success(&mut buffer, &transaction(number), mapped, b"of somebody else's edge");
            buffer[..length].to_vec()
        }
        Kind::Hello => noise(number, 300, &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 1, 31, 1]),
        Kind::Rtp => noise(number, 172, &[128, 111]),
    }
}

fn check(number: u64, ufrag: &str) -> Vec<u8> {
    let username = format!("{ufrag}:them");
    let check = Check {
        transaction: transaction(number),
        username: username.as_bytes(),
        password: b"a password that is guessed",
        priority: 1,
        use_candidate: true,
        role: Role::Controlling(number),
    };
    let mut buffer = [0; 512];
    let length = check.write(&mut buffer);
    buffer[..length].to_vec()
}

fn forged(number: u64) -> String {
    let sealer = Sealer::new(b"of another cluster");
    let ufrag = sealer.seal(&Ufrag {
        edge: 1,
        slot: number as u32,
        restart: 0,
        epoch: number,
    });
    ufrag.as_str().to_owned()
}

fn transaction(number: u64) -> [u8; 12] {
    let mut transaction = [7; 12];
    transaction[..8].copy_from_slice(&number.to_be_bytes());
    transaction
}

/// Bytes that look like noise (splitmix64) behind a beginning.
fn noise(seed: u64, length: usize, beginning: &[u8]) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = vec![0; length.max(beginning.len())];
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
    }
    bytes[..beginning.len()].copy_from_slice(beginning);
    bytes
}

#[cfg(test)]
mod tests {
    use antiphon_engine::stun::{BindingRequest, Kind as Datagram, StunError, classify};

    use super::*;

    #[test]
    fn each_kind_is_what_it_claims_to_be() {
        for number in 0..50 {
            let made = |kind| packet(kind, number, Some("ufrag"));
            assert!(BindingRequest::parse(&made(Kind::Forged)).is_ok());
            let guessed = made(Kind::Guessed);
            let request = BindingRequest::parse(&guessed).expect("a check");
            assert_eq!(request.local_ufrag(), Some(&b"ufrag"[..]));
            assert!(BindingRequest::parse(&made(Kind::Truncated)).is_err());
            let reflected = made(Kind::Reflected);
            assert_eq!(
                BindingRequest::parse(&reflected).err(),
                Some(StunError::NotBindingRequest)
            );
            assert_eq!(classify(&made(Kind::Hello)), Datagram::Dtls);
            assert_eq!(classify(&made(Kind::Rtp)), Datagram::Rtp);
            assert!((1..=LARGEST).contains(&made(Kind::Junk).len()));
        }
    }
}
