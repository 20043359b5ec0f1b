//! When a caller sends what: voice each 20 ms while it speaks, some silence after it, and then what DTX sends. Pure.

use std::sync::Arc;

use antiphon_engine::opus::{COMFORT, SILENCE};

use super::clip::Clip;
use crate::clock::Nanos;

/// One packet each 20 ms while there is voice.
pub(crate) const FRAME: Nanos = 20_000_000;
/// An encoder in DTX tells of silence so often.
const DTX: Nanos = 20 * FRAME;
/// It takes silence for silence after so many frames.
const HANGOVER: u8 = 10;
const QUIET: u8 = 127;
const SAMPLES: u64 = 960;

/// A packet to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) level: u8,
    /// When it was due.
    pub(crate) due: Nanos,
    /// RTP time.
    pub(crate) timestamp: u32,
    /// Whether it is of a clip.
    pub(crate) voice: bool,
    /// It begins a talk spurt.
    pub(crate) marker: bool,
    /// It ends a clip.
    pub(crate) last: bool,
}

#[derive(Debug)]
enum State {
    Speaking { clip: Arc<Clip>, at: usize },
    FallingSilent { left: u8 },
    Silent,
}

/// A caller's mouth. Frames stand on a raster of 20 ms, whatever is said when.
#[derive(Debug)]
pub(crate) struct Mouth {
    begin: Nanos,
    next: Nanos,
    state: State,
}

impl Mouth {
    /// Silent, from `begin` on.
    pub(crate) fn new(begin: Nanos) -> Self {
        Self {
            begin,
            next: begin,
            state: State::Silent,
        }
    }

    /// When the next packet is due.
    pub(crate) fn next(&self) -> Nanos {
        self.next
    }

    pub(crate) fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Begins to say a clip, with the next frame. What was being said is broken off.
    pub(crate) fn speak(&mut self, clip: Arc<Clip>, now: Nanos) {
        self.state = State::Speaking { clip, at: 0 };
        let raster = self.begin + now.saturating_sub(self.begin).div_ceil(FRAME) * FRAME;
        self.next = self.next.min(raster);
    }

    /// Says nothing more.
    pub(crate) fn hush(&mut self) {
        if self.is_speaking() {
            self.state = State::FallingSilent { left: HANGOVER };
        }
    }

    /// Hands out the packet that is due at [`Mouth::next`].
    pub(crate) fn send<T>(&mut self, take: impl FnOnce(Packet<'_>) -> T) -> T {
        let due = self.next;
        let timestamp = ((due - self.begin) / FRAME * SAMPLES) as u32;
        let quiet = |payload| Packet {
            payload,
            level: QUIET,
            due,
            timestamp,
            voice: false,
            marker: false,
            last: false,
        };
        let (taken, state, wait) = match &self.state {
            State::Speaking { clip, at } => {
                let frame = clip.frame(*at).expect("it was left behind the last one");
                let last = clip.frame(at + 1).is_none();
                let packet = Packet {
                    payload: &frame.payload,
                    level: frame.level,
                    voice: true,
                    marker: *at == 0,
                    last,
                    ..quiet(&[])
                };
                let state = match last {
                    true => State::FallingSilent { left: HANGOVER },
                    false => State::Speaking {
                        clip: Arc::clone(clip),
                        at: at + 1,
                    },
                };
                (take(packet), state, FRAME)
            }
            State::FallingSilent { left } => {
                let (state, wait) = match left {
                    0 | 1 => (State::Silent, DTX),
                    left => (State::FallingSilent { left: left - 1 }, FRAME),
                };
                (take(quiet(&SILENCE)), state, wait)
            }
            State::Silent => (take(quiet(&COMFORT)), State::Silent, DTX),
        };
        self.state = state;
        self.next = due + wait;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::clip::Frame;
    use super::*;

    fn clip(frames: u8) -> Arc<Clip> {
        let frame = |number| Frame {
            payload: vec![0xf8, number, 1],
            level: 30,
        };
        Arc::new(Clip::new((0..frames).map(frame).collect()).unwrap())
    }

    #[test]
    fn silence_is_told_each_400_ms() {
        let mut mouth = Mouth::new(1_000);
        let sent: Vec<_> = (0..3)
            .map(|_| mouth.send(|packet| (packet.due, packet.timestamp, packet.payload.len())))
            .collect();
        assert_eq!(
            sent,
            [(1_000, 0, 1), (1_000 + DTX, 19_200, 1), (1_000 + 2 * DTX, 38_400, 1)]
        );
    }

    #[test]
    fn a_clip_begins_on_the_raster_and_is_followed_by_silence() {
        let mut mouth = Mouth::new(0);
        mouth.send(|_| ());
        mouth.speak(clip(2), 3 * FRAME + 1);
        assert!(mouth.is_speaking());
        let sent: Vec<_> = (0..13)
            .map(|_| mouth.send(|packet| (packet.due / FRAME, packet.voice, packet.marker, packet.last)))
            .collect();
        assert_eq!(sent[0], (4, true, true, false));
        assert_eq!(sent[1], (5, true, false, true));
        assert!(sent[2..].iter().all(|(_, voice, ..)| !voice));
        assert_eq!((sent[11].0, sent[12].0), (15, 35), "then DTX begins");
    }

    #[test]
    fn who_is_hushed_says_no_more() {
        let mut mouth = Mouth::new(0);
        mouth.speak(clip(200), 0);
        mouth.send(|packet| assert!(packet.voice));
        mouth.hush();
        mouth.send(|packet| assert!(!packet.voice));
        mouth.hush();
        assert!(!mouth.is_speaking());
    }
}
