//! `antiphon-impairer`: a bad network as a command. docs/impairer.md tells how it is used.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use antiphon_impairer::control;
use antiphon_impairer::path::Path;
use antiphon_impairer::qualities::Qualities;
use antiphon_impairer::router::Router;
use antiphon_impairer::run::{run, say};
use antiphon_impairer::tun::End;
use antiphon_impairer::udp::Proxy;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    version,
    about = "A bad network for real programs: loss, delay, jitter, reordering, duplicates, rate."
)]
struct Arguments {
    /// From the client to the server (left to right): loss=5%,delay=40ms,jitter=10ms,reorder=1%/15ms,duplicate=1%,
    /// bursts=1%/20%/100% (of beginning, of ending, of loss meanwhile), rate=2mbit,queue=200ms,udp=blocked
    #[arg(long, global = true, default_value = "none")]
    up: Qualities,
    /// Back; the same as up unless said.
    #[arg(long, global = true)]
    down: Option<Qualities>,
    /// The same seed and the same packets meet the same fate.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    form: Form,
}

#[derive(Subcommand)]
enum Form {
    /// Stand before a UDP server; prints where.
    Udp {
        /// The server's address.
        server: SocketAddr,
        /// Where clients send to; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Join two network namespaces by a TUN device in each; needs CAP_NET_ADMIN.
    Router {
        /// namespace/device
        left: End,
        /// namespace/device
        right: End,
    },
}

fn main() -> ExitCode {
    match carry(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("antiphon-impairer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry(arguments: Arguments) -> io::Result<()> {
    let path = Path::new(arguments.seed, arguments.up, arguments.down.unwrap_or(arguments.up));
    let commands = control::standard_input()?;
    let output = &mut io::stdout();
    match arguments.form {
        Form::Udp { server, listen } => {
            let mut proxy = Proxy::new(listen, server)?;
            say(output, &serde_json::json!({ "ready": proxy.address()?.to_string() }))?;
            run(&mut proxy, path, &commands, output)
        }
        Form::Router { left, right } => {
            let mut router = Router::new(&left, &right)?;
            say(output, &serde_json::json!({ "ready": "router" }))?;
            run(&mut router, path, &commands, output)
        }
    }
}
