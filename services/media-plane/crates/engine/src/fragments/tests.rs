//! Fragments of a flight, however they are cut, packed, mixed and repeated.

use super::{Fragment, Fragments, HANDSHAKE_HEADER, MAX_AHEAD, MAX_HELD, MAX_MESSAGE, RECORD_HEADER};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};

const START: [u8; 11] = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7];

fn piece(number: u16, body: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let fragment = Fragment {
        record: START,
        kind: 11,
        whole: body.len(),
        number,
        offset: range.start,
        part: &body[range],
    };
    fragment.datagram()
}

fn message(number: u16, body: &[u8]) -> Vec<u8> {
    piece(number, body, 0..body.len())
}

/// One transmission of a flight: each message is cut into parts of so many bytes.
fn cut(flight: &[Vec<u8>], size: usize) -> Vec<Vec<u8>> {
    let pieces = flight.iter().enumerate().flat_map(|(number, body)| {
        let number = u16::try_from(number).expect("few");
        let starts = (0..body.len().max(1)).step_by(size);
        starts.map(move |start| piece(number, body, start..body.len().min(start + size)))
    });
    pieces.collect()
}

fn whole(flight: &[Vec<u8>]) -> Vec<Vec<u8>> {
    cut(flight, MAX_MESSAGE)
}

#[test]
fn another_cut_than_the_first_completes_a_message() {
    let body: Vec<u8> = (0..100).collect();
    let mut fragments = Fragments::default();
    assert!(fragments.join(&piece(0, &body, 0..40)).datagrams.is_empty());
    assert!(fragments.join(&piece(0, &body, 70..100)).datagrams.is_empty());
    assert_eq!(fragments.join(&piece(0, &body, 30..80)).datagrams, [message(0, &body)]);
    assert_eq!(fragments.held(), 0);
}

#[test]
fn messages_wait_for_those_before_them() {
    let mut fragments = Fragments::default();
    let early = [message(2, &[2; 9]), message(1, &[1; 9])].concat();
    assert!(fragments.join(&early).datagrams.is_empty());
    let expected = [message(0, &[0; 9]), message(1, &[1; 9]), message(2, &[2; 9])];
    assert_eq!(fragments.join(&expected[0]).datagrams, expected);
}

#[test]
fn other_records_follow_what_came_with_them() {
    let change = [20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1];
    let finished = [22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 8, 8];
    let mut fragments = Fragments::default();
    let joined = fragments.join(&[&message(0, b"key")[..], &change, &finished].concat());
    assert_eq!(
        joined.datagrams,
        [message(0, b"key"), [&change[..], &finished].concat()]
    );
    let later = [0x2e, 1, 2, 3];
    assert_eq!(fragments.join(&later).datagrams, [later]);
    assert_eq!(Fragments::default().join(&later).refused, 1, "nothing was said yet");
}

#[test]
fn the_first_fragment_of_what_was_taken_goes_on_and_no_other() {
    let mut fragments = Fragments::default();
    fragments.join(&message(0, &[7; 50]));
    let again = piece(0, &[7; 50], 0..20);
    assert_eq!(fragments.join(&again).datagrams, [again]);
    assert_eq!(fragments.join(&piece(0, &[7; 50], 20..50)), super::Joined::default());
}

#[test]
fn forged_fragments_do_not_keep_a_whole_message_out() {
    let mut fragments = Fragments::default();
    fragments.join(&piece(0, &[9; 300], 0..299));
    for number in 1..MAX_AHEAD {
        fragments.join(&piece(number, &[9; 4_000], 0..10));
    }
    assert_eq!(fragments.join(&message(0, b"hello")).datagrams, [message(0, b"hello")]);
}

#[test]
fn what_is_too_far_ahead_too_large_or_malformed_is_refused() {
    let mut fragments = Fragments::default();
    let mut beyond = message(0, &[1; 30]);
    beyond[RECORD_HEADER + HANDSHAKE_HEADER - 1] += 1;
    for datagram in [
        message(MAX_AHEAD, b"early"),
        piece(0, &[0; MAX_MESSAGE + 1], 0..10),
        piece(0, &[0; 10], 3..3),
        beyond,
    ] {
        let joined = fragments.join(&datagram);
        assert_eq!((joined.datagrams.len(), joined.refused), (0, 1));
    }
    assert_eq!(fragments.held(), 0);
}

fn flights() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..600), 1..6)
}

proptest! {
    /// Each transmission is cut anew, each fragment may be lost, and they arrive in any order.
    #[test]
    fn a_flight_comes_whole_and_in_order_once_each_byte_has_come(
        (pieces, flight) in (flights(), vec(1usize..300, 1..5)).prop_flat_map(|(flight, sizes)| {
            let pieces: Vec<_> = sizes.iter().flat_map(|size| cut(&flight, *size)).collect();
            (vec(any::<bool>(), pieces.len()), Just(pieces).prop_shuffle(), Just(flight)).prop_map(|(came, pieces, flight)| {
                let pieces: Vec<_> = pieces.into_iter().zip(came).filter_map(|(piece, came)| came.then_some(piece)).collect();
                (pieces, flight)
            })
        }),
        last in 1usize..300,
    ) {
        let mut fragments = Fragments::default();
        let mut came = Vec::new();
        for piece in pieces.into_iter().chain(cut(&flight, last)) {
            let joined = fragments.join(&piece);
            prop_assert_eq!(joined.refused, 0);
            // Repeated first fragments go on too: whole ones are told by their length alone.
            for datagram in joined.datagrams {
                if !came.contains(&datagram) && whole(&flight).contains(&datagram) {
                    came.push(datagram);
                }
            }
        }
        prop_assert_eq!(came, whole(&flight));
        prop_assert_eq!(fragments.held(), 0);
    }

    #[test]
    fn whatever_comes_is_bounded(datagrams in vec(vec(any::<u8>(), 0..100), 0..30), heads in vec(any::<[u8; 13]>(), 30)) {
        let mut fragments = Fragments::default();
        for (datagram, head) in datagrams.iter().zip(heads) {
            let body = [&head[..HANDSHAKE_HEADER], datagram].concat();
            let length = u16::try_from(body.len()).expect("short").to_be_bytes();
            let record = [&START[..], &length, &body].concat();
            for datagram in [&record, datagram] {
                let came: usize = fragments.join(datagram).datagrams.iter().map(Vec::len).sum();
                prop_assert!(came <= MAX_HELD + datagram.len() + usize::from(MAX_AHEAD) * (RECORD_HEADER + HANDSHAKE_HEADER));
                prop_assert!(fragments.held() <= MAX_HELD);
            }
        }
    }
}
