//! RED payloads.

use antiphon_engine::red::{Block, RedError, blocks, write};
use proptest::prelude::*;

use crate::hex;

#[test]
fn chromiums_distance_of_one_is_read() {
    // 960 samples ago, 2 bytes; then the primary.
    let payload = hex("ef 0f0002 6f aabb ccddee");
    let read: Vec<_> = blocks(&payload).unwrap().collect();
    assert_eq!(
        read,
        [
            Block {
                payload_type: 111,
                timestamp_offset: 960,
                primary: false,
                payload: &[0xaa, 0xbb]
            },
            Block {
                payload_type: 111,
                timestamp_offset: 0,
                primary: true,
                payload: &[0xcc, 0xdd, 0xee]
            },
        ]
    );
}

#[test]
fn a_length_beyond_the_end_is_clamped() {
    let read: Vec<_> = blocks(&hex("ef 0f03ff 6f aabb"))
        .unwrap()
        .map(|block| block.payload.len())
        .collect();
    assert_eq!(read, [2, 0]);
}

#[test]
fn headers_that_do_not_end_are_refused() {
    for payload in ["", "ef", "ef 0f0002", "ef 0f0002 ef 0f0002"] {
        assert_eq!(blocks(&hex(payload)).err(), Some(RedError), "{payload}");
    }
}

#[test]
fn what_does_not_fit_the_header_is_left_out() {
    let mut buffer = [0; 2_048];
    let length = write(
        &mut buffer,
        111,
        &[(1 << 14, b"old"), (960, &[0; 1_024]), (960, b"near")],
        b"now",
    )
    .unwrap();
    let read: Vec<_> = blocks(&buffer[..length]).unwrap().map(|block| block.payload).collect();
    assert_eq!(read, [&b"near"[..], b"now"]);
}

#[test]
fn a_small_buffer_is_refused() {
    assert_eq!(write(&mut [0; 3], 111, &[], b"now"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(read) = blocks(&payload) {
            let read: Vec<_> = read.collect();
            prop_assert!(read.iter().map(|block| block.payload.len()).sum::<usize>() < payload.len());
            prop_assert_eq!(read.iter().filter(|block| block.primary).count(), 1);
            prop_assert!(read[read.len() - 1].primary);
        }
    }

    #[test]
    fn what_is_written_reads_back(
        payload_type in 0u8..128,
        redundant in prop::collection::vec((0u32..1 << 14, prop::collection::vec(any::<u8>(), 0..200)), 0..5),
        primary in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let older: Vec<(u32, &[u8])> = redundant.iter().map(|(offset, block)| (*offset, &block[..])).collect();
        let mut buffer = [0; 2_048];
        let length = write(&mut buffer, payload_type, &older, &primary).unwrap();
        let read: Vec<_> = blocks(&buffer[..length]).unwrap().collect();
        prop_assert!(read.iter().all(|block| block.payload_type == payload_type));
        let told: Vec<_> = read.iter().map(|block| (u32::from(block.timestamp_offset), block.payload)).collect();
        let expected: Vec<_> = older.into_iter().chain([(0, &primary[..])]).collect();
        prop_assert_eq!(told, expected);
    }
}
