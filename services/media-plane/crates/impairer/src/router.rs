//! A router between two network namespaces: a TUN device in each, and the path between them. It carries TCP and UDP, IPv4
//! and IPv6 alike, for programs that know nothing of it; addresses and routes are given by who made the namespaces.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use crate::path::{Packet, Way};
use crate::run::{Poll, Wire};
use crate::tun::{self, End};

const PACKET: usize = 65_536;
const LEFT: u64 = 0;
const RIGHT: u64 = 1;
/// Packets that are read from one side before the other has its turn.
const BATCH: usize = 64;

/// The router.
#[derive(Debug)]
pub struct Router {
    left: File,
    right: File,
    buffer: Vec<u8>,
}

impl Router {
    /// Joins two ends. Left to right is up.
    ///
    /// # Errors
    /// What [`tun::open`] says.
    pub fn new(left: &End, right: &End) -> io::Result<Self> {
        Ok(Self {
            left: tun::open(left)?,
            right: tun::open(right)?,
            buffer: vec![0; PACKET],
        })
    }
}

impl Wire for Router {
    fn register(&mut self, poll: &Poll) -> io::Result<()> {
        poll.add(&self.left, LEFT)?;
        poll.add(&self.right, RIGHT)
    }

    fn receive(&mut self, token: u64, _: &Poll, take: &mut dyn FnMut(Way, Packet)) -> io::Result<()> {
        let (mut from, way) = if token == LEFT {
            (&self.left, Way::Up)
        } else {
            (&self.right, Way::Down)
        };
        for _ in 0..BATCH {
            match from.read(&mut self.buffer) {
                Ok(length) => {
                    if let Some(packet) = Packet::ip(&self.buffer[..length]) {
                        take(way, packet);
                    }
                }
                Err(error) if quiet(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, way: Way, packet: &Packet) -> io::Result<()> {
        let mut to = match way {
            Way::Up => &self.right,
            Way::Down => &self.left,
        };
        match to.write(&packet.bytes) {
            Err(error) if !quiet(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// A router has no ports to change.
    fn rebind(&mut self, _: &Poll) -> io::Result<()> {
        Ok(())
    }
}

/// A device that is down, or has nothing more: EIO is what Linux says of the former.
fn quiet(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) || error.raw_os_error() == Some(EIO)
}
