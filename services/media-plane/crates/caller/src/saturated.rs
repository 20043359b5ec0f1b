//! The engine with its sockets, saturated: read in batches, opened, handed on as frames, played back at once, sealed, and
//! sent in batches; against the floor of the same run, which only opens and seals. Sessions take turns, so that each finds
//! its state out of the nearest cache; time is virtual, as if each session's packets came 20 ms apart.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_engine::srtp::{MAX_OVERHEAD, Profile, Sender};
use antiphon_engine::{
    EngineConfig, Event, Gap, IngestFrame, OpenSession, Output, PlayoutFrame, PlayoutReport, Remote, Session, Time,
};
use serde::Serialize;

use crate::floor::{self, BATCH, IN_FLIGHT};
use crate::load::LoadError;
use crate::sys::{self, Batch};

const OFFER: &str = include_str!("../../engine/tests/offers/chromium.sdp");
const KEY: [u8; 16] = [3; 16];
const SALT: [u8; 12] = [5; 12];
const HEADER: usize = 12;
const OPUS: u8 = 111;
const PACKET_US: u64 = 20_000;
/// Of the floor, and of the engine, in turns, so that both see the same machine.
const TURNS: u32 = 3;

/// What the engine with its sockets cost.
#[derive(Clone, Debug, Serialize)]
pub struct SaturatedReport {
    /// Sessions that took turns.
    pub sessions: usize,
    /// CPU time of a pair through sockets and engine, in us.
    pub engine_us: f64,
    /// CPU time of a pair of the saturated floor, in us.
    pub floor_us: f64,
    /// The first over the second.
    pub ratio: f64,
    /// Packets a read, on average.
    pub batch: f64,
}

#[derive(Debug, Default)]
struct Counters {
    pairs: AtomicU64,
    reads: AtomicU64,
    cpu_ns: AtomicU64,
}

/// Datagrams to be sent: the session's own, in a row.
#[derive(Default)]
struct Outbox {
    lengths: Vec<usize>,
    bytes: Vec<u8>,
    frame: Vec<u8>,
}

impl Output for Outbox {
    fn transmit(&mut self, _to: Remote, datagram: &[u8]) {
        self.lengths.push(datagram.len());
        self.bytes.extend_from_slice(datagram);
    }

    fn frame(&mut self, frame: IngestFrame<'_>) {
        self.frame.clear();
        self.frame.extend_from_slice(frame.payload);
    }

    fn gap(&mut self, _gap: Gap) {}

    fn playout(&mut self, _report: PlayoutReport) {}

    fn event(&mut self, _event: Event) {}
}

struct Server {
    sessions: Vec<Session>,
    caller: SocketAddr,
    outbox: Outbox,
    taken: u64,
}

impl Server {
    fn new(sessions: usize, caller: SocketAddr) -> Result<Self, LoadError> {
        let refused = |error: &dyn std::fmt::Display| LoadError::Machine(io::Error::other(error.to_string()));
        let advertise = vec![SocketAddr::from(([127, 0, 0, 1], 9_999))];
        let config = EngineConfig::new(&[1; 32], 1, advertise, Instant::now()).map_err(|error| refused(&error))?;
        let config = Arc::new(config);
        let mut outbox = Outbox::default();
        let session = |slot| {
            let open = OpenSession {
                offer: OFFER,
                slot,
                epoch: 1,
                data_channel: None,
                room: false,
            };
            let keys = (Profile::AeadAes128Gcm, &KEY[..], &SALT[..]);
            Session::established(&config, &open, caller, keys, Time(1), &mut outbox).map_err(|error| refused(&error))
        };
        let sessions = (0..sessions as u32).map(session).collect::<Result<_, _>>()?;
        Ok(Self {
            sessions,
            caller,
            outbox: Outbox::default(),
            taken: 0,
        })
    }

    /// A packet comes in, and its payload goes back as a frame of an utterance.
    fn echo(&mut self, datagram: &mut [u8]) {
        let index = datagram.get(8..HEADER).map_or(0, |ssrc| {
            u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]) as usize
        });
        let now = Time(1 + self.taken / self.sessions.len() as u64 * PACKET_US);
        self.taken += 1;
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        self.outbox.frame.clear();
        session.receive(now, self.caller, datagram, &mut self.outbox);
        let payload = std::mem::take(&mut self.outbox.frame);
        if !payload.is_empty() {
            let frame = PlayoutFrame {
                utterance: 1,
                generation: 0,
                duration: 960,
                last: false,
                live: true,
                level: 0,
                payload: &payload,
            };
            session.play(now, frame, &mut self.outbox);
        }
        self.outbox.frame = payload;
        if session.deadline() <= now {
            session.handle_timeout(now, &mut self.outbox);
        }
    }
}

fn serve(socket: &UdpSocket, mut server: Server, counters: &Counters, stop: &AtomicBool) -> io::Result<()> {
    sys::fine_timers();
    let mut incoming = Batch::new(BATCH);
    let mut outgoing = Batch::new(BATCH);
    while !stop.load(Ordering::Relaxed) {
        let count = incoming.receive_waiting(socket)?;
        for index in 0..count {
            let (_, datagram) = incoming.datagram(index);
            server.echo(datagram);
        }
        let mut at = 0;
        for lengths in server.outbox.lengths.chunks(BATCH) {
            for (index, length) in lengths.iter().enumerate() {
                outgoing.buffer(index)[..*length].copy_from_slice(&server.outbox.bytes[at..at + length]);
                outgoing.set_address(index, server.caller);
                at += length;
            }
            outgoing.reply(socket, lengths)?;
        }
        server.outbox.lengths.clear();
        server.outbox.bytes.clear();
        counters.pairs.fetch_add(count as u64, Ordering::Relaxed);
        counters.reads.fetch_add(u64::from(count > 0), Ordering::Relaxed);
        counters.cpu_ns.store(sys::thread_cpu_ns(), Ordering::Relaxed);
    }
    Ok(())
}

/// Keeps so many packets of all sessions on their way that the server always finds some.
fn saturate(
    socket: &UdpSocket,
    server: SocketAddr,
    sessions: usize,
    payload: usize,
    stop: &AtomicBool,
) -> io::Result<()> {
    sys::go_first();
    let sealer = || Sender::new(Profile::AeadAes128Gcm, &KEY, &SALT).expect("the profile's lengths");
    let mut sealers: Vec<_> = (0..sessions).map(|_| sealer()).collect();
    let mut outgoing = Batch::new(BATCH);
    let mut incoming = Batch::new(BATCH);
    (0..BATCH).for_each(|index| outgoing.set_address(index, server));
    let length = HEADER + payload;
    let (mut in_flight, mut sent) = (0, 0_usize);
    let mut lengths = [0; BATCH];
    while !stop.load(Ordering::Relaxed) {
        while in_flight + BATCH <= IN_FLIGHT {
            for (index, sealed) in lengths.iter_mut().enumerate() {
                let (session, number) = (sent % sessions, sent / sessions);
                let packet = outgoing.buffer(index);
                packet[..2].copy_from_slice(&[0x80, OPUS]);
                packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
                packet[4..8].copy_from_slice(&((number * 960) as u32).to_be_bytes());
                packet[8..HEADER].copy_from_slice(&(session as u32).to_be_bytes());
                packet[HEADER] = 0x78;
                let room = &mut packet[..length + MAX_OVERHEAD];
                *sealed = sealers[session].seal_rtp(room, length).map_err(io::Error::other)?;
                sent += 1;
            }
            in_flight += outgoing.reply(socket, &lengths)?;
        }
        match incoming.receive_waiting(socket)? {
            // Nothing for 50 ms: what was on its way is lost.
            0 => in_flight = 0,
            count => in_flight = in_flight.saturating_sub(count),
        }
    }
    Ok(())
}

fn roomy() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let room = socket2::SockRef::from(&socket);
    room.set_recv_buffer_size(4 << 20)?;
    room.set_send_buffer_size(4 << 20)?;
    Ok(socket)
}

/// One stretch. Returns pairs, reads and CPU time in ns.
fn engine(sessions: usize, payload: usize, window: Duration) -> Result<[u64; 3], LoadError> {
    let (socket, load) = (roomy()?, roomy()?);
    let address = socket.local_addr()?;
    let server = Server::new(sessions, load.local_addr()?)?;
    let counters = Arc::new(Counters::default());
    let stop = Arc::new(AtomicBool::new(false));
    let serving = {
        let (counters, stop) = (Arc::clone(&counters), Arc::clone(&stop));
        thread::spawn(move || serve(&socket, server, &counters, &stop))
    };
    let loading = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || saturate(&load, address, sessions, payload, &stop))
    };
    let read = || [&counters.pairs, &counters.reads, &counters.cpu_ns].map(|counter| counter.load(Ordering::Relaxed));
    thread::sleep(Duration::from_millis(300));
    let before = read();
    thread::sleep(window);
    let after = read();
    stop.store(true, Ordering::Relaxed);
    let panicked = |_| io::Error::other("a thread panicked");
    loading.join().map_err(panicked)??;
    serving.join().map_err(panicked)??;
    Ok(std::array::from_fn(|index| after[index] - before[index]))
}

/// Measures floor and engine in turns, `window` each in all.
///
/// # Errors
/// What sockets say.
pub fn run(sessions: usize, payload: usize, window: Duration) -> Result<SaturatedReport, LoadError> {
    let stretch = window / TURNS;
    let (mut pairs, mut reads, mut cpu_ns) = (0, 0, 0);
    let mut floor_us = Vec::new();
    for _ in 0..TURNS {
        floor_us.push(floor::run(0, payload, stretch)?.cpu_us_per_pair);
        let found = engine(sessions.max(1), payload, stretch)?;
        pairs += found[0];
        reads += found[1];
        cpu_ns += found[2];
    }
    floor_us.sort_by(f64::total_cmp);
    let floor_us = floor_us[floor_us.len() / 2];
    let engine_us = cpu_ns as f64 / 1e3 / pairs.max(1) as f64;
    Ok(SaturatedReport {
        sessions,
        engine_us,
        floor_us,
        ratio: engine_us / floor_us,
        batch: pairs as f64 / reads.max(1) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_saturated_engine_echoes() {
        let found = run(30, 160, Duration::from_millis(600)).unwrap();
        // How many wait at once is the machine's affair: the batch is a figure, not a promise.
        assert!(found.batch > 0.0 && found.engine_us > 0.0, "{found:?}");
    }
}
