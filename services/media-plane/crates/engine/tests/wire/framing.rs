//! Frames in a stream: however the stream is cut, the frames are the same; and a slow receiver gets whole ones only.

use antiphon_engine::framing::{Deframer, FrameQueue, FrameTooLong, LARGEST_FRAME};
use proptest::collection::vec;
use proptest::prelude::*;

fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let frame = |datagram: &Vec<u8>| {
        let length = u16::try_from(datagram.len()).expect("short");
        [&length.to_be_bytes()[..], datagram].concat()
    };
    datagrams.iter().flat_map(frame).collect()
}

/// Feeds the stream in pieces of these sizes, again and again.
fn read(stream: &[u8], pieces: &[usize]) -> Vec<Vec<u8>> {
    let mut deframer = Deframer::default();
    let mut read = Vec::new();
    let mut rest = stream.to_vec();
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let mut bytes: Vec<u8> = rest.drain(..(*piece).min(rest.len())).collect();
        let taken = deframer.push(&mut bytes, |frame| {
            read.push(frame.to_vec());
            true
        });
        taken.expect("frames of a fair size");
    }
    read
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
        datagrams in vec(vec(any::<u8>(), 1..300), 0..12),
        pieces in vec(1_usize..700, 1..6),
    ) {
        prop_assert_eq!(read(&framed(&datagrams), &pieces), datagrams);
    }

    #[test]
    fn any_bytes_are_read_in_bounded_memory(bytes in vec(any::<u8>(), 0..6_000), piece in 1_usize..900) {
        let mut deframer = Deframer::default();
        for piece in bytes.chunks(piece) {
            let fits = |frame: &mut [u8]| { assert!((1..=LARGEST_FRAME).contains(&frame.len())); true };
            if deframer.push(&mut piece.to_vec(), fits).is_err() {
                break;
            }
            prop_assert!(deframer.kept() < 2 + LARGEST_FRAME);
        }
    }

    #[test]
    fn a_slow_receiver_gets_the_newest_frames_whole_and_in_order(
        sizes in vec(1_usize..700, 1..60),
        takes in vec(0_usize..900, 1..60),
    ) {
        let mut queue = FrameQueue::new(4_096);
        let (mut stream, mut dropped) = (Vec::new(), 0);
        for (number, size) in sizes.iter().enumerate() {
            dropped += queue.push(&vec![u8::try_from(number).expect("few"); *size]);
            let (first, second) = queue.waiting();
            prop_assert!(first.len() + second.len() <= 4_096);
            let waiting = [first, second].concat();
            let count = takes[number % takes.len()].min(waiting.len());
            stream.extend_from_slice(&waiting[..count]);
            queue.sent(count);
        }
        let (first, second) = queue.waiting();
        stream.extend([first, second].concat());
        let read = read(&stream, &[stream.len().max(1)]);
        prop_assert_eq!(read.len() + dropped, sizes.len());
        prop_assert!(read.iter().all(|frame| frame.len() == sizes[usize::from(frame[0])]));
        prop_assert!(read.windows(2).all(|pair| pair[0][0] < pair[1][0]));
        prop_assert_eq!(read.last().map(|frame| usize::from(frame[0])), Some(sizes.len() - 1));
    }
}

#[test]
fn empty_frames_say_nothing() {
    assert_eq!(read(&[0, 0, 0, 0, 0, 1, 7, 0, 0], &[9]), [[7]]);
    assert_eq!(read(&[0, 0, 0, 0, 0, 1, 7, 0, 0], &[1]), [[7]]);
}

#[test]
fn a_frame_that_is_too_long_ends_the_stream() {
    let length = u16::try_from(LARGEST_FRAME + 1).expect("16 bits");
    let refused = Deframer::default().push(&mut length.to_be_bytes(), |_| true);
    assert_eq!(
        refused,
        Err(FrameTooLong {
            length: LARGEST_FRAME + 1
        })
    );
    assert_eq!(FrameQueue::new(0).push(&[0; LARGEST_FRAME + 1]), 1);
}

#[test]
fn a_reader_who_stops_leaves_the_rest_to_another() {
    let mut stream = framed(&[vec![1; 5], vec![2; 6], vec![3; 7]]);
    let mut first = Deframer::default();
    let mut seen = Vec::new();
    let taken = first.push(&mut stream, |frame| {
        seen.push(frame[0]);
        frame[0] < 2
    });
    assert_eq!(taken, Ok(()));
    let mut rest = first.into_rest();
    let taken = Deframer::default().push(&mut rest, |frame| {
        seen.push(frame[0]);
        true
    });
    assert_eq!((taken, seen), (Ok(()), vec![1, 2, 3]));
}
