//! Probes on the media port: STUN requests that name no session, by which clients measure the way here. They are answered before
//! anything is computed for a stranger, and nothing is remembered of them but how many their source sent.

use antiphon_engine::stun::{MAX_RESPONSE, Probe};
use antiphon_engine::{Remote, Time, Transport, Via};

use super::run::Shard;
use crate::gate::Refused;
use crate::plane::StunProbe;

impl Shard {
    /// Answers a probe over UDP, if the datagram is one. Returns whether it was, answered or not.
    pub(super) fn take_probe(&mut self, from: Remote, datagram: &[u8], now: Time) -> bool {
        let longer = match self.surroundings.stun_probe {
            StunProbe::Off => return false,
            StunProbe::Padded => false,
            StunProbe::Any => true,
        };
        let (Transport::Udp, Via::Socket(number)) = (from.transport, from.via) else {
            return false;
        };
        let Some(probe) = Probe::parse(datagram) else {
            return false;
        };
        let counters = &self.mouth.counters;
        match self.gate.probe(from.address.ip(), now) {
            Err(Refused::Source) => counters.drop_probe_source_rate.add(1),
            Err(Refused::Shard) => counters.drop_probe_rate.add(1),
            Ok(()) => {
                let mut answer = [0; MAX_RESPONSE];
                let length = probe.answer(&mut answer, from.address, longer);
                if let Some(port) = self.mouth.ways.ports.get_mut(usize::from(number)) {
                    port.push(from.address, &answer[..length], counters);
                    counters.probes_answered.add(1);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::shard::{Sockets, Surroundings};

    const NOW: Time = Time(1_000_000);
    const HEADER: usize = 20;

    struct Client {
        shard: Shard,
        socket: UdpSocket,
    }

    impl Client {
        fn of(stun_probe: StunProbe) -> Self {
            let surroundings = Surroundings {
                stun_probe,
                ..Surroundings::alone()
            };
            let bind = || UdpSocket::bind("127.0.0.1:0").expect("a free port");
            let sockets = Sockets {
                media: vec![bind()],
                listening: None,
                steering: None,
            };
            let socket = bind();
            socket
                .set_read_timeout(Some(Duration::from_secs(10)))
                .expect("a timeout");
            Self {
                shard: Shard::new(surroundings, sockets, 4),
                socket,
            }
        }

        fn address(&self) -> SocketAddr {
            self.socket.local_addr().expect("bound")
        }

        fn send(&mut self, datagram: &[u8], now: Time) {
            let from = self.address().into();
            self.shard.take_datagram(from, &mut datagram.to_vec(), now);
            self.shard.mouth.send();
        }

        fn answer(&self) -> Vec<u8> {
            let mut buffer = [0; 256];
            let length = self.socket.recv(&mut buffer).expect("an answer");
            buffer[..length].to_vec()
        }
    }

    /// A binding request with so many bytes of padding (SOFTWARE).
    fn request(padding: usize) -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.extend([7; 12]);
        if padding > 0 {
            request.extend([0x80, 0x22, 0, (padding - 4) as u8]);
            request.resize(HEADER + padding, 0);
            request[3] = padding as u8;
        }
        request
    }

    #[test]
    fn a_padded_probe_is_told_its_address_and_a_bare_one_is_answered_with_no_more_than_it_sent() {
        let mut client = Client::of(StunProbe::Padded);
        client.send(&request(12), NOW);
        let told = client.answer();
        assert_eq!((told.len(), &told[..2], &told[8..20]), (32, &[1, 1][..], &[7; 12][..]));
        let port = u16::from_be_bytes([told[26], told[27]]) ^ 0x2112;
        assert_eq!(port, client.address().port());

        client.send(&request(0), NOW);
        assert_eq!(client.answer().len(), HEADER);
        assert_eq!(client.shard.mouth.counters.probes_answered.get(), 2);
    }

    #[test]
    fn a_browser_is_told_its_address_where_the_configuration_says_so() {
        let mut client = Client::of(StunProbe::Any);
        client.send(&request(0), NOW);
        assert_eq!(client.answer().len(), 32);
    }

    #[test]
    fn a_source_that_floods_is_held_to_its_rate_and_counted() {
        let mut client = Client::of(StunProbe::Padded);
        for _ in 0..1_000 {
            client.send(&request(12), NOW);
        }
        let counters = client.shard.mouth.counters.clone();
        assert_eq!(
            (counters.probes_answered.get(), counters.drop_probe_source_rate.get()),
            (60, 940)
        );
        for host in 0..2_000_u32 {
            let from = SocketAddr::from((std::net::Ipv4Addr::from(0xc633_6400 + host), 4_000)).into();
            client.shard.take_datagram(from, &mut request(12), NOW);
        }
        assert!(counters.drop_probe_rate.get() > 1_000);
        assert_eq!(counters.drop_bad_ufrag.get() + counters.drop_stranger_rate.get(), 0);
    }

    #[test]
    fn off_is_silent() {
        let mut client = Client::of(StunProbe::Off);
        client.send(&request(12), NOW);
        assert_eq!(client.shard.mouth.counters.probes_answered.get(), 0);
        assert_eq!(client.shard.mouth.counters.drop_bad_ufrag.get(), 1);
    }
}
