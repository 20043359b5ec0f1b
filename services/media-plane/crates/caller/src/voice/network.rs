//! A bad network built into a caller: what it sends and receives passes a simulated link first.

use std::net::SocketAddr;

use antiphon_netsim::{Link, LinkConfig, Loss};

use crate::clock::{NEVER, Nanos};

const MICRO: Nanos = 1_000;

/// Qualities of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Of each direction.
    pub delay_ms: f64,
    /// Added to it, evenly spread from 0; it does not reorder.
    pub jitter_ms: f64,
    /// Share of packets lost, 0 to 1, in bursts of two on average.
    pub loss: f64,
}

impl Impairment {
    fn config(&self) -> LinkConfig {
        LinkConfig {
            delay_us: (self.delay_ms * 1e3) as u64,
            jitter_us: (self.jitter_ms * 1e3) as u64,
            loss: match self.loss > 0.0 {
                true => Loss::bursts(self.loss.min(0.9), 2.0),
                false => Loss::None,
            },
            ..LinkConfig::default()
        }
    }
}

type Datagram = (SocketAddr, Vec<u8>);

/// The network of one caller.
#[derive(Debug)]
pub(crate) struct Network {
    up: Link<Datagram>,
    down: Link<Datagram>,
}

impl Network {
    pub(crate) fn new(seed: u64, impairment: &Impairment) -> Self {
        Self {
            up: Link::new(seed, impairment.config()),
            down: Link::new(!seed, impairment.config()),
        }
    }

    pub(crate) fn send(&mut self, now: Nanos, to: SocketAddr, datagram: &[u8]) {
        self.up.send(now / MICRO, (to, datagram.to_vec()));
    }

    pub(crate) fn arrive(&mut self, now: Nanos, from: SocketAddr, datagram: &[u8]) {
        self.down.send(now / MICRO, (from, datagram.to_vec()));
    }

    /// When the next datagram comes out, in either direction.
    pub(crate) fn deadline(&self) -> Nanos {
        let first = [self.up.next_us(), self.down.next_us()];
        first
            .into_iter()
            .flatten()
            .min()
            .map_or(NEVER, |at| at.saturating_add(1) * MICRO)
    }

    /// A datagram that is to leave by now.
    pub(crate) fn leaving(&mut self, now: Nanos) -> Option<Datagram> {
        self.up.receive(now / MICRO)
    }

    /// A datagram that has come by now.
    pub(crate) fn arriving(&mut self, now: Nanos) -> Option<Datagram> {
        self.down.receive(now / MICRO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_late_and_some_never() {
        let impairment = Impairment {
            delay_ms: 10.0,
            jitter_ms: 0.0,
            loss: 0.2,
        };
        let mut network = Network::new(7, &impairment);
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        for number in 0..1_000 {
            network.send(number * MICRO, address, &[1]);
        }
        assert!((10_000 * MICRO..10_100 * MICRO).contains(&network.deadline()));
        assert_eq!(network.leaving(9_999 * MICRO), None);
        let out = std::iter::from_fn(|| network.leaving(20_000 * MICRO)).count();
        assert!((700..900).contains(&out), "{out}");
        assert_eq!(network.arriving(NEVER / 2), None);
        assert_eq!(network.deadline(), NEVER);
    }
}
