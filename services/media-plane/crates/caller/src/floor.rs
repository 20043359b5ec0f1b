//! The floor: what the least of servers costs that echoes encrypted packets. One socket, recvmmsg and sendmmsg, and for
//! each packet an open and a seal of AES-128-GCM as in SRTP (RFC 7714); no sessions, no clocks, no RTCP.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;

use crate::call::{INTERVAL, phase, until};
use crate::clock::Clock;
use crate::load::{LATENESS_LIMIT_MS, LoadError};
use crate::sys::{self, Batch, Epoll};
use crate::tally::Times;

const HEADER: usize = 12;
const TAG: usize = 16;
/// Datagrams a system call.
pub const BATCH: usize = 64;
/// Datagrams on their way at once when the server is saturated: enough to fill its batches, too few to overflow.
pub const IN_FLIGHT: usize = 4 * BATCH;

/// The cipher of both directions: opens and seals SRTP-like packets under one key.
pub struct Cipher {
    key: LessSafeKey,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Default for Cipher {
    fn default() -> Self {
        let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("the key has the cipher's length");
        Self {
            key: LessSafeKey::new(key),
        }
    }
}

impl Cipher {
    /// RFC 7714, section 8.1, with a salt of zeros: SSRC, roll-over counter, sequence number.
    fn nonce(packet: &[u8]) -> Nonce {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&packet[8..12]);
        nonce[10..12].copy_from_slice(&packet[2..4]);
        Nonce::assume_unique_for_key(nonce)
    }

    /// A sealed packet with `payload` bytes under the tag.
    #[must_use]
    pub fn packet(&self, ssrc: u32, payload: usize) -> Vec<u8> {
        let mut packet = vec![0; HEADER + payload + TAG];
        packet[..2].copy_from_slice(&[0x80, 111]);
        packet[8..HEADER].copy_from_slice(&ssrc.to_be_bytes());
        self.seal(&mut packet);
        packet
    }

    /// Opens a packet in place. Returns whether it was whole.
    #[must_use]
    pub fn open(&self, packet: &mut [u8]) -> bool {
        if packet.len() < HEADER + TAG {
            return false;
        }
        let nonce = Self::nonce(packet);
        let (header, sealed) = packet.split_at_mut(HEADER);
        self.key.open_in_place(nonce, Aad::from(&*header), sealed).is_ok()
    }

    /// Seals a packet in place; its last 16 bytes take the tag.
    ///
    /// # Panics
    /// If the packet is shorter than a header and a tag.
    pub fn seal(&self, packet: &mut [u8]) {
        let nonce = Self::nonce(packet);
        let (header, rest) = packet.split_at_mut(HEADER);
        let (plain, room) = rest.split_at_mut(rest.len() - TAG);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), plain)
            .expect("a packet is short");
        room.copy_from_slice(tag.as_ref());
    }
}

/// What the floor cost.
#[derive(Clone, Debug, Serialize)]
pub struct FloorReport {
    /// Sockets that sent 50 packets a second each; 0 if the server was saturated.
    pub sessions: u32,
    /// Packets that were echoed in the window.
    pub pairs: u64,
    /// CPU time of the server's thread a pair, in us.
    pub cpu_us_per_pair: f64,
    /// Packets a read, on average.
    pub batch: f64,
}

#[derive(Debug, Default)]
struct Counters {
    pairs: AtomicU64,
    reads: AtomicU64,
    cpu_ns: AtomicU64,
}

impl Counters {
    fn read(&self) -> [u64; 3] {
        [&self.pairs, &self.reads, &self.cpu_ns].map(|counter| counter.load(Ordering::Relaxed))
    }
}

fn serve(socket: &UdpSocket, counters: &Counters, stop: &AtomicBool) -> io::Result<()> {
    sys::fine_timers();
    let cipher = Cipher::default();
    let mut batch = Batch::new(BATCH);
    let mut lengths = Vec::with_capacity(BATCH);
    while !stop.load(Ordering::Relaxed) {
        let count = batch.receive_waiting(socket)?;
        lengths.clear();
        for index in 0..count {
            let (_, packet) = batch.datagram(index);
            // What does not open goes back as it is: the packets are ours, and each must cost the same.
            if cipher.open(packet) {
                cipher.seal(packet);
            }
            lengths.push(packet.len());
        }
        batch.reply(socket, &lengths)?;
        counters.pairs.fetch_add(count as u64, Ordering::Relaxed);
        counters.reads.fetch_add(u64::from(count > 0), Ordering::Relaxed);
        counters.cpu_ns.store(sys::thread_cpu_ns(), Ordering::Relaxed);
    }
    Ok(())
}

/// Measures the floor under `sessions` sockets with random phases, or saturated if there are 0.
///
/// # Errors
/// [`LoadError::Late`] if the load missed its schedule; else what sockets say.
pub fn run(sessions: u32, payload: usize, window: Duration) -> Result<FloorReport, LoadError> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let room = socket2::SockRef::from(&socket);
    room.set_recv_buffer_size(4 << 20)?;
    room.set_send_buffer_size(4 << 20)?;
    let server = socket.local_addr()?;
    let counters = Arc::new(Counters::default());
    let stop = Arc::new(AtomicBool::new(false));
    let serving = {
        let (counters, stop) = (Arc::clone(&counters), Arc::clone(&stop));
        thread::spawn(move || serve(&socket, &counters, &stop))
    };
    let loading = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || match sessions {
            0 => saturate(server, payload, &stop).map(|()| Times::default()),
            _ => pace(server, sessions, payload, &stop),
        })
    };
    thread::sleep(Duration::from_millis(500));
    let before = counters.read();
    thread::sleep(window);
    let after = counters.read();
    stop.store(true, Ordering::Relaxed);
    let panicked = |_| io::Error::other("a thread panicked");
    let lateness_ms = loading.join().map_err(panicked)??.quantile_ms(0.99);
    serving.join().map_err(panicked)??;
    if lateness_ms > LATENESS_LIMIT_MS {
        return Err(LoadError::Late {
            lateness_ms,
            limit_ms: LATENESS_LIMIT_MS,
        });
    }
    let [pairs, reads, cpu_ns] = std::array::from_fn(|index| after[index] - before[index]);
    Ok(FloorReport {
        sessions,
        pairs,
        cpu_us_per_pair: cpu_ns as f64 / 1e3 / pairs.max(1) as f64,
        batch: pairs as f64 / reads.max(1) as f64,
    })
}

/// Sends from many sockets at their own times, and reads what has come back meanwhile.
fn pace(server: SocketAddr, sessions: u32, payload: usize, stop: &AtomicBool) -> io::Result<Times> {
    sys::fine_timers();
    sys::go_first();
    let clock = Clock::start();
    let cipher = Cipher::default();
    let mut epoll = Epoll::new(256)?;
    let mut batch = Batch::new(8);
    let mut sockets = Vec::new();
    let mut due = BinaryHeap::new();
    for index in 0..sessions {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        epoll.add(&socket, u64::from(index))?;
        due.push(Reverse((clock.now() + phase(index, clock.now()), sockets.len())));
        sockets.push((socket, cipher.packet(index, payload)));
    }
    let mut lateness = Times::default();
    while let Some(Reverse((at, slot))) = due.pop() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let wait = until(at, clock.now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        for token in epoll.wait(Duration::ZERO)? {
            batch.receive(&sockets[token as usize].0)?;
        }
        lateness.record_ns(clock.now().saturating_sub(at));
        let (socket, packet) = &sockets[slot];
        socket.send(packet)?;
        due.push(Reverse((at + INTERVAL, slot)));
    }
    Ok(lateness)
}

/// Keeps so many datagrams on their way that the server always finds some.
fn saturate(server: SocketAddr, payload: usize, stop: &AtomicBool) -> io::Result<()> {
    sys::go_first();
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let room = socket2::SockRef::from(&socket);
    room.set_recv_buffer_size(4 << 20)?;
    room.set_send_buffer_size(4 << 20)?;
    let packet = Cipher::default().packet(1, payload);
    let mut outgoing = Batch::new(BATCH);
    for index in 0..BATCH {
        outgoing.buffer(index)[..packet.len()].copy_from_slice(&packet);
        outgoing.set_address(index, server);
    }
    let lengths = vec![packet.len(); BATCH];
    let mut incoming = Batch::new(BATCH);
    let mut in_flight = 0;
    while !stop.load(Ordering::Relaxed) {
        while in_flight + BATCH <= IN_FLIGHT {
            in_flight += outgoing.reply(&socket, &lengths)?;
        }
        match incoming.receive_waiting(&socket)? {
            // Nothing for 50 ms: what was on its way is lost.
            0 => in_flight = 0,
            count => in_flight = in_flight.saturating_sub(count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_what_is_changed_does_not() {
        let cipher = Cipher::default();
        let packet = cipher.packet(5, 160);
        assert_eq!(packet.len(), 188);
        assert!(cipher.open(&mut packet.clone()));
        for byte in [1, 20, 187] {
            let mut changed = packet.clone();
            changed[byte] ^= 1;
            assert!(!cipher.open(&mut changed), "byte {byte}");
        }
        assert!(!cipher.open(&mut [0; 27]));
    }

    #[test]
    fn the_floor_echoes_what_the_load_sends() {
        let tries = std::iter::repeat_with(|| run(10, 160, Duration::from_millis(500)));
        // A machine that is busy with other tests may be late.
        let report = tries
            .take(5)
            .find_map(Result::ok)
            .expect("one of five runs keeps its schedule");
        assert!((150..=350).contains(&report.pairs), "{report:?}");
        assert!(report.cpu_us_per_pair > 0.0, "{report:?}");
    }

    #[test]
    fn a_saturated_floor_reads_in_batches() {
        let report = run(0, 160, Duration::from_millis(200)).unwrap();
        assert!(report.pairs > 1_000 && report.batch > 2.0, "{report:?}");
    }
}
