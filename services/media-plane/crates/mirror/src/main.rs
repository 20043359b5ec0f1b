//! `antiphon-mirror`: a worker that takes every session and sends each frame back at once, and does no more. It stands at the other end
//! of an edge's link when the edge alone is measured: what a worker in Python costs is another figure.
//!
//! Who registers it with a cluster is not its business; it asks no edge for a secret.

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;

use antiphon_link::monotonic_us;
use antiphon_link::proto::media_link_service_server::{MediaLinkService, MediaLinkServiceServer};
use antiphon_link::proto::{
    ControlRequest, ControlResponse, MediaRequest, MediaResponse, Pace, PlayoutFrames, Pong, SessionAccepted, Welcome,
    control_request, control_response,
};
use clap::Parser;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// As a worker with up to four links says it.
const GATHER_US: u32 = 1_000;
/// `PlayoutFrames.flags`: leaves on arrival.
const LIVE: u32 = 2;
/// `IngestFrames.flags`: no Opus, but an event.
const TELEPHONE_EVENT: u32 = 8;

#[derive(Parser)]
#[command(
    version,
    about = "A worker that sends each frame back at once. Prints where it listens."
)]
struct Arguments {
    /// Where edges dial; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The id that it gives itself.
    #[arg(long, default_value = "mirror")]
    id: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { listen, id } = Arguments::parse();
    match serve(listen, id).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("antiphon-mirror: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: SocketAddr, id: String) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        stream.and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    });
    let service = MediaLinkServiceServer::new(Mirror { id });
    Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

struct Mirror {
    id: String,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl MediaLinkService for Mirror {
    type ControlStream = Answers<ControlResponse>;
    type MediaStream = Answers<MediaResponse>;

    async fn control(
        &self,
        request: Request<Streaming<ControlRequest>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        let id = self.id.clone();
        let answers = request
            .into_inner()
            .filter_map(move |said| said.map(|said| answer(&id, said)).transpose());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn media(&self, request: Request<Streaming<MediaRequest>>) -> Result<Response<Self::MediaStream>, Status> {
        let echoes = request.into_inner().filter_map(|said| said.map(echo).transpose());
        Ok(Response::new(Box::pin(echoes)))
    }
}

fn answer(id: &str, said: ControlRequest) -> Option<ControlResponse> {
    use control_request::Message as Said;
    use control_response::Message;
    let message = match said.message? {
        Said::Hello(_) => Message::Welcome(Welcome {
            worker: id.to_owned(),
            stripes: 1,
            pace: Some(Pace { gather_us: GATHER_US }),
        }),
        Said::Ping(ping) => Message::Pong(Pong {
            sent_us: ping.sent_us,
            received_us: monotonic_us(),
        }),
        Said::Opened(opened) if opened.takeover.is_some() => Message::Accepted(SessionAccepted {
            session: opened.session,
        }),
        _ => return None,
    };
    Some(ControlResponse { message: Some(message) })
}

/// All frames of a message in one answer, as live ones of each session's first utterance; `None` where there are none.
fn echo(said: MediaRequest) -> Option<MediaResponse> {
    let frames = said.frames.filter(|frames| !frames.session.is_empty())?;
    // Callers that are measured press no keys: an event would not be played, and its octets must not be taken for Opus.
    if frames.flags.iter().any(|flags| flags & TELEPHONE_EVENT != 0) {
        return None;
    }
    let rows = frames.session.len();
    Some(MediaResponse {
        frames: Some(PlayoutFrames {
            session: frames.session,
            utterance: vec![1; rows],
            generation: vec![0; rows],
            duration: frames.duration,
            flags: vec![LIVE; rows],
            level: Vec::new(),
            size: frames.size,
            payload: frames.payload.into(),
        }),
        commands: None,
        receipts: None,
    })
}

#[cfg(test)]
mod tests {
    use antiphon_link::proto::{Hello, IngestFrames, Ping};

    use super::*;

    fn asked(message: control_request::Message) -> Option<control_response::Message> {
        answer("mirror", ControlRequest { message: Some(message) })?.message
    }

    #[test]
    fn it_welcomes_edges_and_answers_their_pings() {
        let welcome = asked(control_request::Message::Hello(Hello::default()));
        assert!(matches!(
            welcome,
            Some(control_response::Message::Welcome(Welcome { stripes: 1, .. }))
        ));
        let pong = asked(control_request::Message::Ping(Ping { sent_us: 7 }));
        assert!(matches!(
            pong,
            Some(control_response::Message::Pong(Pong { sent_us: 7, .. }))
        ));
    }

    #[test]
    fn frames_come_back_as_they_were() {
        let frames = IngestFrames {
            session: vec![3, 4],
            duration: vec![960, 480],
            flags: vec![1, 0],
            size: vec![2, 1],
            payload: vec![9, 8, 7],
            ..IngestFrames::default()
        };
        let said = |frames| MediaRequest {
            frames: Some(frames),
            ..MediaRequest::default()
        };
        let back = echo(said(frames)).and_then(|answer| answer.frames).expect("frames");
        assert_eq!((&back.session[..], &back.size[..]), (&[3, 4][..], &[2, 1][..]));
        assert_eq!(
            (&back.payload[..], &back.flags[..]),
            (&[9, 8, 7][..], &[LIVE, LIVE][..])
        );
        assert!(echo(said(IngestFrames::default())).is_none());
    }
}
