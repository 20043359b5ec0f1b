//! One attempt at a link, from dialling to its end, and the loop that tries again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::transport::{Channel, Uri};
use tonic::{Request, Status, Streaming};

use crate::backoff::Backoff;
use crate::batch::{Batch, columns_agree};
use crate::codec::MediaCodec;
use crate::control::{ControlQueue, ControlStream};
use crate::link::{Shared, Up};
use crate::monotonic_us;
use crate::outlet::{Outlet, OutletStream};
use crate::proto::media_link_service_client::MediaLinkServiceClient;
use crate::proto::{
    ControlResponse, Hello, MediaHello, MediaResponse, Pace, Ping, Pong, Welcome, control_request, control_response,
};

const VERSION: u32 = 1;
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// Pings do not wait for each other's Pongs, so that what a long path takes is no part of a silence.
const PING_EVERY: Duration = Duration::from_millis(250);
/// A worker that says nothing for so long is dead. One whose loop stalls for a second is not: a Pong was on its way at
/// most [`PING_EVERY`] before, and those owed come after it.
const DEAD_AFTER: Duration = Duration::from_millis(1_400);
/// Who looks at the clock so much too late was away itself, and has not read what came meanwhile.
const AWAY: Duration = Duration::from_millis(100);
/// How soon a full shard is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(1);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const LARGEST_MESSAGE: usize = 16 << 20;
const MOST_STRIPES: u32 = 16;
const LONGEST_GATHER_US: u32 = 50_000;

/// Why a link is not, or no longer, up.
#[derive(Debug, thiserror::Error)]
enum Down {
    #[error("cannot reach {target}: {why}")]
    Dial { target: String, why: String },
    #[error("the worker did not welcome us within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    #[error("the worker's first message is not a welcome")]
    NotWelcome,
    #[error("the worker was silent for {} ms", DEAD_AFTER.as_millis())]
    Silent,
    #[error("the worker closed the {0} stream")]
    Ended(&'static str),
    #[error("{stream} stream: {}", .status.message())]
    Failed { stream: &'static str, status: Status },
}

/// Dials until the task is aborted.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    loop {
        shared.counters.link_dials.add_shared(1);
        let attempt = Attempt {
            control: Arc::default(),
            outlets: Vec::new(),
        };
        let reason = attempt.run(&shared).await.to_string();
        if shared.went_down(&reason) {
            backoff.reset();
            shared.sink.down(&reason);
        }
        sleep(backoff.next_delay()).await;
    }
}

/// What an attempt gave out, closed when it ends however it ends.
struct Attempt {
    control: Arc<ControlQueue>,
    outlets: Vec<Arc<Outlet>>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.control.close();
        for outlet in &self.outlets {
            outlet.close();
        }
    }
}

impl Attempt {
    async fn run(mut self, shared: &Arc<Shared>) -> Down {
        match self.open(shared).await {
            Ok((inbound, media)) => self.serve(shared, inbound, media).await,
            Err(down) => down,
        }
    }

    async fn open(&mut self, shared: &Arc<Shared>) -> Result<(Streaming<ControlResponse>, JoinSet<Down>), Down> {
        let link = fastrand::u64(1..);
        let hello = Hello {
            edge: shared.identity.edge.clone(),
            region: shared.identity.region.clone(),
            link,
            version: VERSION,
        };
        let _open = self.control.push(control_request::Message::Hello(hello));
        let (inbound, welcome) = greet(shared, &self.control, link).await?;

        let mut media = JoinSet::new();
        for stripe in 0..welcome.stripes.clamp(1, MOST_STRIPES) {
            let channel = dial(shared).await?;
            let outlet = Arc::<Outlet>::default();
            let greeting = Batch::hello(MediaHello { link, stripe });
            media.spawn(carry_media(
                shared.clone(),
                channel,
                link,
                OutletStream::new(greeting, outlet.clone(), shared.counters.clone()),
            ));
            self.outlets.push(outlet);
        }
        shared.came_up();
        shared.sink.up(Up {
            worker: welcome.worker,
            outlets: self.outlets.clone(),
            control: self.control.clone(),
            gather_us: gather_us(welcome.pace.as_ref()),
        });
        Ok((inbound, media))
    }

    async fn serve(
        &self,
        shared: &Arc<Shared>,
        mut inbound: Streaming<ControlResponse>,
        mut media: JoinSet<Down>,
    ) -> Down {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence = sleep(DEAD_AFTER);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                biased;
                message = inbound.message() => match message {
                    Ok(Some(ControlResponse { message })) => {
                        if let Some(message) = message {
                            self.take(shared, message).await;
                        }
                        silence.as_mut().reset(Instant::now() + DEAD_AFTER);
                    }
                    Ok(None) => return Down::Ended("control"),
                    Err(status) => return Down::Failed { stream: "control", status },
                },
                Some(ended) = media.join_next() => return ended.unwrap_or(Down::Ended("media")),
                () = &mut silence => {
                    let now = Instant::now();
                    if now - silence.deadline() < AWAY {
                        return Down::Silent;
                    }
                    silence.as_mut().reset(now + DEAD_AFTER);
                }
                _ = pings.tick() => {
                    let _open = self.control.push(control_request::Message::Ping(Ping { sent_us: monotonic_us() }));
                }
            }
        }
    }

    async fn take(&self, shared: &Shared, message: control_response::Message) {
        use control_response::Message;
        match message {
            Message::Ping(Ping { sent_us }) => {
                let pong = Pong {
                    sent_us,
                    received_us: monotonic_us(),
                };
                let _open = self.control.push(control_request::Message::Pong(pong));
            }
            Message::Pong(pong) => shared.pong(pong.sent_us, pong.received_us, monotonic_us()),
            Message::Pace(pace) => shared.sink.pace(gather_us(Some(&pace))),
            Message::Welcome(_) => {} // once is enough
            about_a_session => {
                while !shared.sink.control(&about_a_session) {
                    shared.counters.link_inbound_waits.add_shared(1);
                    sleep(ASK_AGAIN).await;
                }
            }
        }
    }
}

async fn greet(
    shared: &Shared,
    control: &Arc<ControlQueue>,
    link: u64,
) -> Result<(Streaming<ControlResponse>, Welcome), Down> {
    let failed = |status| Down::Failed {
        stream: "control",
        status,
    };
    let channel = dial(shared).await?;
    let mut client = MediaLinkServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let greeting = async {
        let mut inbound = client
            .control(sealed(shared, link, ControlStream(control.clone())))
            .await
            .map_err(failed)?
            .into_inner();
        let first = inbound.message().await.map_err(failed)?;
        Ok((inbound, first))
    };
    match timeout(WELCOME_TIMEOUT, greeting)
        .await
        .map_err(|_| Down::NoWelcome)??
    {
        (
            inbound,
            Some(ControlResponse {
                message: Some(control_response::Message::Welcome(welcome)),
            }),
        ) => Ok((inbound, welcome)),
        (_, None) => Err(Down::Ended("control")),
        _ => Err(Down::NotWelcome),
    }
}

/// One media stream, until it ends.
async fn carry_media(shared: Arc<Shared>, channel: Channel, link: u64, outbound: OutletStream) -> Down {
    let failed = |status| Down::Failed {
        stream: "media",
        status,
    };
    let mut inbound = match open_media(channel, sealed(&shared, link, outbound)).await {
        Ok(inbound) => inbound,
        Err(status) => return failed(status),
    };
    loop {
        let message = match inbound.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Down::Ended("media"),
            Err(status) => return failed(status),
        };
        shared.counters.link_messages_in.add_shared(1);
        if !columns_agree(&message) {
            shared.counters.link_malformed.add_shared(1);
            continue;
        }
        let message = Arc::new(message);
        while !shared.sink.media(&message) {
            shared.counters.link_inbound_waits.add_shared(1);
            sleep(ASK_AGAIN).await;
        }
    }
}

/// As the generated client does it, but with a codec whose messages are recycled.
async fn open_media(channel: Channel, outbound: Request<OutletStream>) -> Result<Streaming<MediaResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/antiphon.media.v1.MediaLinkService/Media");
    Ok(grpc.streaming(outbound, path, MediaCodec).await?.into_inner())
}

fn sealed<T>(shared: &Shared, link: u64, outbound: T) -> Request<T> {
    let mut request = Request::new(outbound);
    let Shared { identity, worker, .. } = shared;
    shared.credentials.seal(&mut request, &identity.edge, worker, link);
    request
}

async fn dial(shared: &Shared) -> Result<Channel, Down> {
    let target = &shared.target;
    let failed = |why: String| Down::Dial {
        target: target.clone(),
        why,
    };
    let endpoint = shared
        .credentials
        .endpoint(target)
        .map_err(|error| failed(format!("not host:port: {}", root_cause(&error))))?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let connecting = endpoint.connect_with_connector(tower::service_fn(connect));
    match timeout(DIAL_TIMEOUT, connecting).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(failed(root_cause(&error))),
        Err(_) => Err(failed(format!("no answer in {} s", DIAL_TIMEOUT.as_secs()))),
    }
}

async fn connect(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(0))).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    if !stream.peer_addr()?.ip().is_loopback() {
        // BBR keeps up with loss on long paths where CUBIC falls behind; kernels without it keep their default.
        let _kept = socket.set_tcp_congestion(b"bbr");
    }
    Ok(TokioIo::new(stream))
}

pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn gather_us(pace: Option<&Pace>) -> u32 {
    pace.map_or(0, |pace| pace.gather_us.min(LONGEST_GATHER_US))
}
