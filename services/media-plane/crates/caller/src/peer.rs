//! A server to compare with and to test against: str0m on one socket and one thread, each packet sent straight back.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::sys::{Batch, Epoll};

/// An offer and the way back for its answer, or for what is wrong with it.
type Question = (String, SyncSender<Result<String, String>>);

/// How long the thread may go without a look at new offers.
const LOOK: Duration = Duration::from_millis(2);

/// A running echo server; dropping it ends it.
#[derive(Debug)]
pub struct EchoPeer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl EchoPeer {
    /// Answers offers that are posted to `http://listen/`; port 0 takes a free one.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub fn start(listen: SocketAddr) -> io::Result<Self> {
        let http = TcpListener::bind(listen)?;
        let address = http.local_addr()?;
        let socket = UdpSocket::bind((address.ip(), 0))?;
        socket.set_nonblocking(true)?;
        let room = socket2::SockRef::from(&socket);
        room.set_recv_buffer_size(4 << 20)?;
        room.set_send_buffer_size(4 << 20)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (questions, inbox) = mpsc::channel();
        let media = Media::new(socket)?;
        let media_stop = Arc::clone(&stop);
        let http_stop = Arc::clone(&stop);
        let threads = vec![
            thread::Builder::new()
                .name("echo-media".into())
                .spawn(move || media.run(&inbox, &media_stop))?,
            thread::Builder::new().name("echo-http".into()).spawn(move || {
                for stream in http.incoming().take_while(|_| !http_stop.load(Ordering::Relaxed)) {
                    // A client that went away needs no answer.
                    let _ = stream.and_then(|stream| answer(stream, &questions));
                }
            })?,
        ];
        Ok(Self { address, stop, threads })
    }

    /// Where offers are posted to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits for ever.
    pub fn join(mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for EchoPeer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The accepting thread looks at the flag with each connection.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, questions: &mpsc::Sender<Question>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    let body = loop {
        let count = stream.read(&mut chunk)?;
        request.extend_from_slice(&chunk[..count]);
        if let Some(body) = body_of(&request) {
            break body.to_owned();
        }
        if count == 0 {
            return Ok(());
        }
    };
    let (reply, answered) = mpsc::sync_channel(1);
    let result = match questions.send((body, reply)) {
        Ok(()) => answered.recv().unwrap_or_else(|_| Err("stopping".to_owned())),
        Err(_) => Err("stopping".to_owned()),
    };
    let (status, body) = match result {
        Ok(sdp) => ("201 Created", sdp),
        Err(reason) => ("400 Bad Request", reason),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The body of a request, once all of it is there.
fn body_of(request: &[u8]) -> Option<&str> {
    let (head, body) = std::str::from_utf8(request).ok()?.split_once("\r\n\r\n")?;
    let length = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    body.get(..length)
}

#[derive(Debug)]
struct Session {
    rtc: Rtc,
    mid: Option<Mid>,
    timeout: Instant,
    sequence: u64,
}

/// The thread that carries the sessions.
#[derive(Debug)]
struct Media {
    socket: UdpSocket,
    local: SocketAddr,
    epoll: Epoll,
    batch: Batch,
    sessions: Vec<Session>,
    flows: HashMap<SocketAddr, usize>,
}

impl Media {
    fn new(socket: UdpSocket) -> io::Result<Self> {
        let epoll = Epoll::new(1)?;
        epoll.add(&socket, 0)?;
        let local = socket.local_addr()?;
        Ok(Self {
            socket,
            local,
            epoll,
            batch: Batch::new(64),
            sessions: Vec::new(),
            flows: HashMap::new(),
        })
    }

    fn run(mut self, inbox: &Receiver<Question>, stop: &AtomicBool) {
        let mut next_look = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let ready = self.epoll.wait(LOOK).map_or(0, Iterator::count);
            if ready > 0 {
                self.read();
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK;
                while let Ok((offer, reply)) = inbox.try_recv() {
                    // The one who asked may be gone.
                    let _ = reply.send(self.accept(&offer));
                }
                self.tick();
            }
        }
    }

    fn accept(&mut self, offer: &str) -> Result<String, String> {
        let now = Instant::now();
        let offer = SdpOffer::from_sdp_string(offer).map_err(|error| error.to_string())?;
        let config = RtcConfig::new()
            .set_crypto_provider(str0m::crypto::from_feature_flags().into())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(self.local, "udp").map_err(|error| error.to_string())?);
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| error.to_string())?;
        self.sessions.push(Session {
            rtc,
            mid: None,
            timeout: now,
            sequence: 1_000,
        });
        self.drive(self.sessions.len() - 1, Input::Timeout(now));
        Ok(answer.to_sdp_string())
    }

    fn read(&mut self) {
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(0));
        let now = Instant::now();
        for index in 0..batch.receive(&self.socket).unwrap_or(0) {
            let (source, datagram) = batch.datagram(index);
            let first = datagram.first().copied().unwrap_or(0);
            let Ok(contents) = (&*datagram).try_into() else {
                continue;
            };
            let receive = Receive {
                proto: Protocol::Udp,
                source,
                destination: self.local,
                contents,
            };
            let input = Input::Receive(now, receive);
            // A port may come back with another call, whose first datagram is a check (RFC 7983: STUN begins below 4).
            let known = self.flows.get(&source).copied().filter(|_| first > 3);
            let session = known.or_else(|| self.sessions.iter().position(|session| session.rtc.accepts(&input)));
            if let Some(session) = session {
                self.flows.insert(source, session);
                self.drive(session, input);
            }
        }
        self.batch = batch;
    }

    fn tick(&mut self) {
        let now = Instant::now();
        for session in 0..self.sessions.len() {
            if self.sessions[session].timeout <= now {
                self.drive(session, Input::Timeout(now));
            }
        }
    }

    fn drive(&mut self, session: usize, input: Input<'_>) {
        let session = &mut self.sessions[session];
        // An error closes the session, and a closed one says nothing more.
        let _ = session.rtc.handle_input(input);
        loop {
            match session.rtc.poll_output() {
                Err(_) => return,
                Ok(Output::Timeout(at)) => {
                    session.timeout = at;
                    return;
                }
                Ok(Output::Transmit(datagram)) => {
                    let _ = self.socket.send_to(&datagram.contents, datagram.destination);
                }
                Ok(Output::Event(Event::MediaAdded(added))) => session.mid = Some(added.mid),
                Ok(Output::Event(Event::RtpPacket(packet))) => {
                    let mut direct = session.rtc.direct_api();
                    let Some(stream) = session.mid.and_then(|mid| direct.stream_tx_by_mid(mid, None)) else {
                        continue;
                    };
                    let header = &packet.header;
                    stream.write_rtp(RtpWrite::new(
                        header.payload_type,
                        session.sequence.into(),
                        header.timestamp,
                        packet.timestamp,
                        packet.payload,
                    ));
                    session.sequence += 1;
                    let _ = session.rtc.handle_input(Input::Timeout(Instant::now()));
                }
                Ok(Output::Event(_)) => {}
            }
        }
    }
}
