//! Sessions that are connected without a handshake, under keys that their maker knows: for tests and fuzzing of what comes
//! after one. Compiled for those only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channels::{ChannelEvent, Channels};
use crate::config::EngineConfig;
use crate::dtls::Keys;
use crate::output::Output;
use crate::remote::Remote;
use crate::sdp::OfferError;
use crate::session::{OpenSession, Session};
use crate::srtp::{Profile, Receiver, Sender};
use crate::stun::{Check, Role};
use crate::time::Time;

/// SCTP's first chunk (RFC 9260 3.3.2); its initial TSN is 16 bytes behind its beginning.
const INIT: u8 = 1;
/// Longest check that is written here.
const CHECK: usize = 512;

impl Session {
    /// A session whose caller passed a check from `caller` and has the keys: one key for both directions.
    ///
    /// # Errors
    /// [`OfferError`] for an offer that cannot be answered.
    ///
    /// # Panics
    /// If key and salt do not fit the profile.
    pub fn established(
        config: &Arc<EngineConfig>,
        open: &OpenSession<'_>,
        caller: impl Into<Remote>,
        keys: (Profile, &[u8], &[u8]),
        now: Time,
        out: &mut impl Output,
    ) -> Result<Self, OfferError> {
        let (mut session, _) = Self::accept(config, open, now)?;
        session.check_in(now, caller, true, out);
        let (profile, key, salt) = keys;
        let keys = Keys {
            sender: Sender::new(profile, key, salt).expect("the profile's lengths"),
            receiver: Receiver::new(profile, key, salt).expect("the profile's lengths"),
            security: "none".to_owned(),
        };
        session.connect(now, keys, out);
        Ok(session)
    }

    /// A valid check comes from `caller`.
    pub fn check_in(&mut self, now: Time, caller: impl Into<Remote>, nominate: bool, out: &mut impl Output) {
        let (username, password) = self.check_credentials();
        let caller = caller.into();
        let [high, low] = caller.address.port().to_be_bytes();
        let check = Check {
            transaction: [high, low, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
            username: username.as_bytes(),
            password: password.as_bytes(),
            priority: 1,
            use_candidate: nominate,
            role: Role::Controlling(1),
        };
        let mut datagram = [0; CHECK];
        let length = check.write(&mut datagram);
        self.receive(now, caller, &mut datagram[..length], out);
    }
}

/// A caller's and an edge's data channels, joined, with the channel `antiphon` agreed on stream 0.
#[derive(Debug)]
pub struct JoinedChannels {
    caller: Channels,
    edge: Channels,
    now: Instant,
    /// The last header that the caller's SCTP packets had: ports and the edge's verification tag.
    header: [u8; 8],
    /// The caller's first transmission sequence number.
    pub first_tsn: u32,
    /// Channels that opened at the edge.
    pub channels: usize,
    /// Packets that the edge kept out.
    pub refused: usize,
    /// Messages that reached the edge.
    pub messages: usize,
}

impl JoinedChannels {
    /// Both ends, connected.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let end = || Channels::new(Some(0), 5_000, 0);
        let mut joined = Self {
            caller: end(),
            edge: end(),
            now,
            header: [0; 8],
            first_tsn: 0,
            channels: 0,
            refused: 0,
            messages: 0,
        };
        joined.edge.start(false);
        joined.caller.start(true);
        joined.pass(Duration::ZERO);
        joined
    }

    /// The caller says something on the agreed channel.
    pub fn say(&mut self, binary: bool, payload: &[u8]) -> bool {
        self.caller.send("antiphon", binary, payload)
    }

    /// The caller sends an SCTP packet with these chunks.
    pub fn inject(&mut self, chunks: &[u8]) {
        self.inject_under(self.header, chunks);
    }

    /// The caller begins another association, under this initiate tag.
    pub fn associate(&mut self, tag: u32) {
        let mut header = self.header;
        header[4..].fill(0); // nobody has given it a verification tag
        let mut chunk = vec![INIT, 0, 0, 20];
        chunk.extend(tag.to_be_bytes());
        chunk.extend([0, 1, 0, 0]); // receive window
        chunk.extend([0, 16, 0, 16]); // streams
        chunk.extend(self.first_tsn.to_be_bytes());
        self.inject_under(header, &chunk);
    }

    fn inject_under(&mut self, header: [u8; 8], chunks: &[u8]) {
        let mut packet = [&header[..], &[0; 4], chunks].concat();
        let checksum = crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&checksum);
        if !self.edge.receive(self.now, &packet) {
            self.refused += 1;
        }
        self.pass(Duration::ZERO);
    }

    /// Time passes, and what both have to say is carried.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        // Each answers the other a few times; whoever goes on for ever has a timer for it.
        for _ in 0..64 {
            let (mut to_caller, mut to_edge) = (Vec::new(), Vec::new());
            self.caller.drive(self.now, &mut |event| {
                if let ChannelEvent::Transmit(packet) = event {
                    to_edge.push(packet.to_vec());
                }
            });
            let (messages, channels) = (&mut self.messages, &mut self.channels);
            self.edge.drive(self.now, &mut |event| match event {
                ChannelEvent::Transmit(packet) => to_caller.push(packet.to_vec()),
                ChannelEvent::Message { .. } => *messages += 1,
                ChannelEvent::Open { .. } => *channels += 1,
                ChannelEvent::Stray => {}
            });
            if to_caller.is_empty() && to_edge.is_empty() {
                return;
            }
            for packet in &to_edge {
                if let Some(header) = packet.first_chunk() {
                    self.header = *header;
                }
                if packet.get(12) == Some(&INIT) {
                    let tsn = packet.get(28..32).and_then(<[u8]>::first_chunk);
                    self.first_tsn = tsn.map_or(0, |tsn| u32::from_be_bytes(*tsn));
                }
                self.edge.receive(self.now, packet);
            }
            for packet in &to_caller {
                self.caller.receive(self.now, packet);
            }
        }
    }
}

/// CRC32c (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}
