//! Both directions of a path: what is sent comes out when its time has come, or never. Time is given, in microseconds.

use antiphon_netsim::{Counts, Link};
use serde::Serialize;

use crate::qualities::Qualities;

/// Most packets under way in a direction: what a long, fat path holds, and a bound on memory.
const MOST_UNDER_WAY: usize = 65_536;
const UDP: u8 = 17;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server, or from the left to the right.
    Up,
    /// Back.
    Down,
}

/// A packet on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whose it is; what the number means is the wire's business.
    pub flow: u32,
    /// What it carries.
    pub bytes: Vec<u8>,
    /// Its IP protocol number.
    pub protocol: u8,
}

impl Packet {
    /// A UDP datagram's payload.
    #[must_use]
    pub fn datagram(flow: u32, bytes: &[u8]) -> Self {
        Self {
            flow,
            bytes: bytes.to_vec(),
            protocol: UDP,
        }
    }

    /// A whole IP packet. None where it is none.
    #[must_use]
    pub fn ip(bytes: &[u8]) -> Option<Self> {
        let protocol = match bytes.first()? >> 4 {
            4 => *bytes.get(9)?,
            6 => *bytes.get(6)?,
            _ => return None,
        };
        Some(Self {
            flow: 0,
            bytes: bytes.to_vec(),
            protocol,
        })
    }
}

/// What happened to a direction's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Sent into it.
    pub sent: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Arrived a second time.
    pub duplicated: u64,
    /// Overtaken by later ones.
    pub held_back: u64,
    /// Waited too long for the rate, or for room.
    pub dropped: u64,
    /// Not let through.
    pub blocked: u64,
}

#[derive(Debug)]
struct Direction {
    qualities: Qualities,
    link: Link<Packet>,
    under_way: usize,
    free_us: u64,
    dropped: u64,
    blocked: u64,
}

impl Direction {
    fn new(seed: u64, qualities: Qualities) -> Self {
        Self {
            qualities,
            link: Link::new(seed, qualities.link),
            under_way: 0,
            free_us: 0,
            dropped: 0,
            blocked: 0,
        }
    }

    fn send(&mut self, now_us: u64, packet: Packet) {
        if self.qualities.udp_blocked && packet.protocol == UDP {
            self.blocked += 1;
            return;
        }
        let Some(leaves_us) = self.leaves(now_us, packet.bytes.len() as u64) else {
            self.dropped += 1;
            return;
        };
        let fate = self.link.send(leaves_us, packet);
        self.under_way += usize::from(!fate.lost) + usize::from(fate.duplicated);
    }

    /// When a packet has passed the narrow link; none if it must wait too long or there is no room.
    fn leaves(&mut self, now_us: u64, bytes: u64) -> Option<u64> {
        if self.under_way >= MOST_UNDER_WAY {
            return None;
        }
        let Some(rate) = self.qualities.rate_bps else {
            return Some(now_us);
        };
        let begins = self.free_us.max(now_us);
        if begins - now_us > self.qualities.queue_us {
            return None;
        }
        self.free_us = begins + bytes * 8 * 1_000_000 / rate;
        Some(self.free_us)
    }

    fn receive(&mut self, now_us: u64) -> Option<Packet> {
        let packet = self.link.receive(now_us)?;
        self.under_way -= 1;
        Some(packet)
    }

    fn tally(&self) -> Tally {
        let Counts {
            sent,
            lost,
            duplicated,
            held_back,
        } = self.link.counts();
        Tally {
            sent: sent + self.dropped + self.blocked,
            lost,
            duplicated,
            held_back,
            dropped: self.dropped,
            blocked: self.blocked,
        }
    }
}

/// Both directions.
#[derive(Debug)]
pub struct Path {
    up: Direction,
    down: Direction,
}

impl Path {
    /// The same seed and the same packets at the same times meet the same fate.
    #[must_use]
    pub fn new(seed: u64, up: Qualities, down: Qualities) -> Self {
        Self {
            up: Direction::new(seed, up),
            down: Direction::new(seed ^ 0x5eed_5eed_5eed_5eed, down),
        }
    }

    fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Changes what a direction does to packets from now on; those under way arrive as they would have.
    pub fn configure(&mut self, way: Way, qualities: Qualities) {
        let direction = self.direction(way);
        direction.qualities = qualities;
        direction.link.configure(qualities.link);
    }

    /// A packet sets out.
    pub fn send(&mut self, now_us: u64, way: Way, packet: Packet) {
        self.direction(way).send(now_us, packet);
    }

    /// A packet that has arrived by now.
    pub fn receive(&mut self, now_us: u64) -> Option<(Way, Packet)> {
        let up = self.up.receive(now_us).map(|packet| (Way::Up, packet));
        up.or_else(|| self.down.receive(now_us).map(|packet| (Way::Down, packet)))
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        [self.up.link.next_us(), self.down.link.next_us()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What happened so far: up, down.
    #[must_use]
    pub fn tallies(&self) -> (Tally, Tally) {
        (self.up.tally(), self.down.tally())
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_UNDER_WAY, Packet, Path, Way};
    use crate::qualities::Qualities;

    fn path(up: &str) -> Path {
        let up: Qualities = up.parse().expect("it is well-formed");
        Path::new(7, up, Qualities::default())
    }

    fn arrivals(path: &mut Path) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        while let Some(at) = path.next_us() {
            while let Some((_, packet)) = path.receive(at) {
                found.push((at, packet.flow));
            }
        }
        found
    }

    #[test]
    fn directions_have_their_own_qualities() {
        let mut path = path("delay=40ms");
        path.send(0, Way::Up, Packet::datagram(1, b"up"));
        path.send(0, Way::Down, Packet::datagram(2, b"down"));
        assert_eq!(arrivals(&mut path), [(0, 2), (40_000, 1)]);
    }

    #[test]
    fn a_narrow_link_spaces_packets_and_drops_what_would_wait_too_long() {
        let mut path = path("rate=80kbit,queue=25ms");
        for number in 0..5 {
            path.send(0, Way::Up, Packet::datagram(number, &[0; 100]));
        }
        assert_eq!(arrivals(&mut path), [(10_000, 0), (20_000, 1), (30_000, 2)]);
        let (up, _) = path.tallies();
        assert_eq!((up.sent, up.dropped), (5, 2));
    }

    #[test]
    fn blocked_udp_lets_tcp_pass() {
        let mut path = path("udp=blocked");
        let mut tcp = [0_u8; 40];
        (tcp[0], tcp[9]) = (0x45, 6);
        path.send(0, Way::Up, Packet::ip(&tcp).expect("it is IP"));
        path.send(0, Way::Up, Packet::datagram(1, b"udp"));
        assert_eq!(arrivals(&mut path).len(), 1);
        assert_eq!(path.tallies().0.blocked, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut path = path("delay=60s");
        for _ in 0..MOST_UNDER_WAY + 10 {
            path.send(0, Way::Up, Packet::datagram(0, b""));
        }
        assert_eq!(path.tallies().0.dropped, 10);
        assert_eq!(arrivals(&mut path).len(), MOST_UNDER_WAY);
        path.send(60_000_000, Way::Up, Packet::datagram(0, b""));
        assert_eq!(arrivals(&mut path).len(), 1, "what has arrived makes room");
    }

    #[test]
    fn new_qualities_hold_for_what_is_sent_later() {
        let mut path = path("delay=40ms");
        path.send(0, Way::Up, Packet::datagram(1, b""));
        path.configure(Way::Up, "loss=100%".parse().expect("it is well-formed"));
        path.send(1, Way::Up, Packet::datagram(2, b""));
        assert_eq!(arrivals(&mut path), [(40_000, 1)]);
        assert_eq!(path.tallies().0.lost, 1);
    }

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let through = || {
            let mut path = path("loss=30%,jitter=5ms,duplicate=5%,reorder=5%/20ms");
            for number in 0..500 {
                path.send(u64::from(number) * 1_000, Way::Up, Packet::datagram(number, b""));
            }
            arrivals(&mut path)
        };
        assert_eq!(through(), through());
    }

    #[test]
    fn only_ip_is_ip() {
        assert_eq!(Packet::ip(&[]), None);
        assert_eq!(Packet::ip(&[0x45; 5]), None);
        assert_eq!(Packet::ip(&[0x10; 40]), None);
        assert_eq!(Packet::ip(&[0x60; 40]).map(|packet| packet.protocol), Some(0x60));
    }
}
