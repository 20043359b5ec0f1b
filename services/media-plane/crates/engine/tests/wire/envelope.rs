//! Envelopes between edges: what is sealed opens as it was, at its receiver, once; anything else is refused.

use std::net::SocketAddr;

use antiphon_engine::Transport;
use antiphon_engine::envelope::{Direction, ENVELOPE_OVERHEAD, Envelope, EnvelopeError, EnvelopeKey, Seen};
use proptest::collection::vec;
use proptest::prelude::*;

const TO: u32 = 9;

fn envelope() -> Envelope {
    Envelope {
        direction: Direction::Inward,
        from: 7,
        shard: 3,
        to: TO,
        slot: 0x0100_0005,
        address: SocketAddr::from(([192, 0, 2, 7], 6_000)),
        transport: Transport::Udp,
        way: 0x0201,
        incarnation: 1_000,
        number: 1,
    }
}

fn sealed(envelope: &Envelope, datagram: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    EnvelopeKey::new(b"secret").seal(envelope, datagram, &mut buffer);
    assert_eq!(buffer.len(), datagram.len() + ENVELOPE_OVERHEAD);
    buffer
}

fn refusal(bytes: &mut [u8]) -> Option<EnvelopeError> {
    EnvelopeKey::new(b"secret").open(TO, |_| true, bytes).err()
}

prop_compose! {
    fn any_envelope()(
        outward in any::<bool>(), tcp in any::<bool>(), from in any::<u32>(), shard in any::<u8>(), slot in any::<u32>(),
        v4 in any::<[u8; 4]>(), v6 in any::<[u8; 16]>(), is_v4 in any::<bool>(), port in any::<u16>(),
        way in any::<u16>(), incarnation in any::<u64>(), number in any::<u64>(),
    ) -> Envelope {
        let ip = if is_v4 { v4.into() } else { std::net::IpAddr::from(v6).to_canonical() };
        Envelope {
            direction: if outward { Direction::Outward } else { Direction::Inward },
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            from, shard, to: TO, slot, address: SocketAddr::new(ip, port), way, incarnation, number,
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(envelope in any_envelope(), datagram in vec(any::<u8>(), 1..1_500)) {
        let mut bytes = sealed(&envelope, &datagram);
        let (opened, inside) = EnvelopeKey::new(b"secret").open(TO, |_| true, &mut bytes).expect("our own");
        prop_assert_eq!((opened, &*inside), (envelope, &datagram[..]));
    }

    #[test]
    fn one_changed_bit_is_refused(datagram in vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = sealed(&envelope(), &datagram);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(refusal(&mut bytes).is_some());
    }

    #[test]
    fn any_bytes_are_refused(mut bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(refusal(&mut bytes).is_some());
    }
}

#[test]
fn another_cluster_another_edge_and_nothing_inside_are_refused() {
    let mut bytes = sealed(&envelope(), &[1]);
    let foreign = EnvelopeKey::new(b"another").open(TO, |_| true, &mut bytes).err();
    assert_eq!(foreign, Some(EnvelopeError::Forged));
    let elsewhere = Envelope { to: 8, ..envelope() };
    assert_eq!(refusal(&mut sealed(&elsewhere, &[1])), Some(EnvelopeError::Misdirected));
    assert_eq!(refusal(&mut sealed(&envelope(), &[])), Some(EnvelopeError::Malformed));
    let mut bytes = sealed(&envelope(), &[1]);
    let stranger = EnvelopeKey::new(b"secret").open(TO, |edge| edge != 7, &mut bytes);
    assert_eq!(stranger.err(), Some(EnvelopeError::Misdirected));
}

#[test]
fn an_envelope_is_taken_once_and_none_of_before_a_restart() {
    let mut seen = Seen::default();
    let numbered = |incarnation, number| Envelope {
        incarnation,
        number,
        ..envelope()
    };
    assert_eq!(seen.accept(&numbered(5, 2_000)), Ok(()));
    assert_eq!(seen.accept(&numbered(5, 1_999)), Ok(()), "the network may reorder");
    assert_eq!(seen.accept(&numbered(5, 2_000)), Err(EnvelopeError::Replayed));
    assert_eq!(
        seen.accept(&numbered(5, 1)),
        Err(EnvelopeError::Replayed),
        "too old to tell"
    );
    assert_eq!(seen.accept(&numbered(6, 1)), Ok(()), "the sender was restarted");
    assert_eq!(seen.accept(&numbered(5, 2_001)), Err(EnvelopeError::Replayed));
    let neighbour = Envelope {
        shard: 4,
        ..numbered(6, 1)
    };
    assert_eq!(seen.accept(&neighbour), Ok(()), "threads count for themselves");
    seen.keep(|edge| edge != 7);
    assert_eq!(seen.accept(&numbered(5, 1)), Ok(()));
}
