//! A worker for tests: a real gRPC server on a thread of its own, whose streams the test reads and writes.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon_link::proto::media_link_service_server::{MediaLinkService, MediaLinkServiceServer};
use antiphon_link::proto::{
    ControlRequest, ControlResponse, IngestFrames, MediaRequest, MediaResponse, Pace, Ping, PlayoutFrames, Pong,
    Welcome, control_request, control_response,
};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Longest wait for something that should come.
pub const PATIENCE: Duration = Duration::from_secs(10);
const LIVE: u32 = 2;

/// How the worker behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub stripes: u32,
    pub gather_us: u32,
    /// Sends each frame back at once.
    pub echo: bool,
    /// Reads nothing from media streams.
    pub deaf: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            stripes: 1,
            gather_us: 1_000,
            echo: false,
            deaf: false,
        }
    }
}

pub struct TestWorker {
    runtime: Option<Runtime>,
    pub address: SocketAddr,
    control: Receiver<control_request::Message>,
    media: Receiver<MediaRequest>,
    service: Service,
}

impl TestWorker {
    pub fn start(manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("a literal"), manner)
    }

    pub fn start_at(address: SocketAddr, manner: Manner) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let listener = runtime.block_on(listen(address));
        let address = listener.local_addr().expect("bound");
        let (control_sender, control) = channel();
        let (media_sender, media) = channel();
        let service = Service {
            manner,
            silent: Arc::default(),
            control: control_sender,
            media: media_sender,
            answers: Arc::default(),
        };
        let served = MediaLinkServiceServer::new(service.clone());
        runtime.spawn(
            Server::builder()
                .add_service(served)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self {
            runtime: Some(runtime),
            address,
            control,
            media,
            service,
        }
    }

    /// As a kill would: connections are reset.
    pub fn kill(mut self) -> SocketAddr {
        self.runtime.take().expect("taken once").shutdown_background();
        self.address
    }

    /// Answers no pings from now on.
    pub fn fall_silent(&self) {
        self.service.silent.store(true, Ordering::Relaxed);
    }

    /// Answers pings again.
    pub fn speak(&self) {
        self.service.silent.store(false, Ordering::Relaxed);
    }

    pub fn say(&self, message: control_response::Message) {
        let answers = self.service.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .control
            .as_ref()
            .expect("an edge is linked")
            .send(Ok(respond(message)))
            .expect("the stream is open");
    }

    pub fn play(&self, message: MediaResponse) {
        let answers = self.service.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .media
            .as_ref()
            .expect("an edge is linked")
            .send(Ok(message))
            .expect("the stream is open");
    }

    /// The next control message that is no ping or pong.
    pub fn heard(&self) -> control_request::Message {
        loop {
            match self.control.recv_timeout(PATIENCE).expect("a control message") {
                control_request::Message::Ping(_) | control_request::Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// Reads media until `wanted` says yes.
    pub fn media_until(&self, mut wanted: impl FnMut(&MediaRequest) -> bool) -> MediaRequest {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self
                .media
                .recv_timeout(left)
                .expect("the media message that is waited for");
            if wanted(&message) {
                return message;
            }
        }
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if Instant::now() > until => panic!("cannot listen on {address}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[derive(Clone)]
struct Service {
    manner: Manner,
    silent: Arc<AtomicBool>,
    control: Sender<control_request::Message>,
    media: Sender<MediaRequest>,
    answers: Arc<Mutex<Answers>>,
}

#[derive(Default)]
struct Answers {
    control: Option<UnboundedSender<Result<ControlResponse, Status>>>,
    media: Option<UnboundedSender<Result<MediaResponse, Status>>>,
}

type Answering<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl MediaLinkService for Service {
    type ControlStream = Answering<ControlResponse>;
    type MediaStream = Answering<MediaResponse>;

    async fn control(
        &self,
        request: Request<Streaming<ControlRequest>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        let (sender, receiver) = unbounded_channel();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).control = Some(sender.clone());
        let (service, mut inbound) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Some(Ok(ControlRequest { message: Some(message) })) = inbound.next().await {
                let answer = match &message {
                    control_request::Message::Hello(_) => control_response::Message::Welcome(Welcome {
                        worker: "test".into(),
                        stripes: service.manner.stripes,
                        pace: Some(Pace {
                            gather_us: service.manner.gather_us,
                        }),
                    }),
                    control_request::Message::Ping(Ping { sent_us }) if !service.silent.load(Ordering::Relaxed) => {
                        control_response::Message::Pong(Pong {
                            sent_us: *sent_us,
                            received_us: *sent_us + 5_000_000,
                        })
                    }
                    _ => {
                        let _test_is_over = service.control.send(message);
                        continue;
                    }
                };
                let _test_is_over = service.control.send(message);
                let _edge_is_gone = sender.send(Ok(respond(answer)));
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }

    async fn media(&self, request: Request<Streaming<MediaRequest>>) -> Result<Response<Self::MediaStream>, Status> {
        let (sender, receiver) = unbounded_channel();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).media = Some(sender.clone());
        let (service, mut inbound) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            if service.manner.deaf {
                std::future::pending::<()>().await;
            }
            while let Some(Ok(message)) = inbound.next().await {
                if let Some(frames) = message.frames.as_ref().filter(|_| service.manner.echo) {
                    let _edge_is_gone = sender.send(Ok(echo(frames)));
                }
                let _test_is_over = service.media.send(message);
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }
}

fn respond(message: control_response::Message) -> ControlResponse {
    ControlResponse { message: Some(message) }
}

fn echo(frames: &IngestFrames) -> MediaResponse {
    let rows = frames.session.len();
    MediaResponse {
        frames: Some(PlayoutFrames {
            session: frames.session.clone(),
            utterance: vec![1; rows],
            generation: vec![0; rows],
            duration: frames.duration.clone(),
            flags: vec![LIVE; rows],
            level: Vec::new(),
            size: frames.size.clone(),
            payload: frames.payload.clone().into(),
        }),
        commands: None,
        receipts: None,
    }
}
