//! The proxy between real sockets on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Proxy;
use crate::path::Path;
use crate::qualities::Qualities;
use crate::run::run;

const LOOPBACK: &str = "127.0.0.1:0";

struct Running {
    address: SocketAddr,
    commands: UnixDatagram,
    thread: JoinHandle<Vec<String>>,
}

impl Running {
    fn before(server: &UdpSocket, up: &str) -> Self {
        let mut proxy = Proxy::new(
            LOOPBACK.parse().expect("an address"),
            server.local_addr().expect("it is bound"),
        )
        .expect("a free port");
        let address = proxy.address().expect("it is bound");
        let path = Path::new(1, up.parse().expect("it is well-formed"), Qualities::default());
        let (commands, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        theirs.set_nonblocking(true).expect("it can be");
        let thread = thread::spawn(move || {
            let mut output = Vec::new();
            run(&mut proxy, path, &theirs, &mut output).expect("its sockets are in order");
            String::from_utf8(output)
                .expect("it is text")
                .lines()
                .map(str::to_owned)
                .collect()
        });
        Self {
            address,
            commands,
            thread,
        }
    }

    fn tell(&self, line: &str) {
        self.commands.send(line.as_bytes()).expect("it listens");
    }

    fn end(self) -> Vec<String> {
        self.tell("");
        self.thread.join().expect("it ends in peace")
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(LOOPBACK).expect("a free port");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("it can be");
    socket
}

fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).expect("something comes");
    (buffer[..length].to_vec(), from)
}

#[test]
fn each_client_has_an_address_of_its_own_and_gets_its_own_answers() {
    let (server, one, other) = (socket(), socket(), socket());
    let proxy = Running::before(&server, "none");
    one.send_to(b"one", proxy.address).expect("sent");
    let (said, first) = next(&server);
    assert_eq!(said, b"one");
    other.send_to(b"other", proxy.address).expect("sent");
    let (_, second) = next(&server);
    assert_ne!(first, second);
    server.send_to(b"to the other", second).expect("sent");
    server.send_to(b"to the one", first).expect("sent");
    assert_eq!(next(&other), (b"to the other".to_vec(), proxy.address));
    assert_eq!(next(&one), (b"to the one".to_vec(), proxy.address));
    proxy.end();
}

#[test]
fn a_rebound_client_comes_from_a_new_port_and_is_still_answered() {
    let (server, client) = (socket(), socket());
    let proxy = Running::before(&server, "none");
    client.send_to(b"before", proxy.address).expect("sent");
    let (_, before) = next(&server);
    proxy.tell("rebind");
    client.send_to(b"after", proxy.address).expect("sent");
    let mut after = next(&server).1;
    while after == before {
        client.send_to(b"after", proxy.address).expect("sent");
        after = next(&server).1;
    }
    server.send_to(b"answer", after).expect("sent");
    assert_eq!(next(&client).0, b"answer");
    proxy.end();
}

#[test]
fn counts_and_mistakes_are_told_line_by_line() {
    let (server, client) = (socket(), socket());
    let proxy = Running::before(&server, "loss=100%");
    client.send_to(b"lost", proxy.address).expect("sent");
    proxy.tell("counts");
    proxy.tell("up nonsense");
    let told = proxy.end();
    assert!(told[0].contains(r#""up":{"sent""#), "{told:?}");
    assert!(told[1].contains("nonsense"), "{told:?}");
}
