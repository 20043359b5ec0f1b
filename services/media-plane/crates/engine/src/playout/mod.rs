//! Plays what the worker sends at its own pace, and tells how far each utterance is.
//!
//! The time line is `due`, the moment at which the last frame ends, and `timestamp`, the RTP timestamp of that moment. Frames that
//! wait in the queue leave at `due`, whatever the driver's delay. A frame that comes after `due` leaves at once, and both move on to
//! the present, so that an under-run does not become lasting delay. Frames lie one behind the other in one byte queue that is
//! recycled: an established frame costs no allocation.

mod utterance;

use std::collections::VecDeque;
use std::time::Duration;

use utterance::Utterance;

use crate::opus;
use crate::output::{PlayoutReport, PlayoutState};
use crate::session::PlayoutFrame;
use crate::stats::Counters;
use crate::time::Time;

/// Hard bounds of the queue; the worker's credit is about 2 s.
const MAX_FRAMES: usize = 512;
const MAX_BYTES: usize = 128 * 1024;
const MAX_SAMPLES: u64 = 10 * 48_000;
/// Most utterances that are queued or not yet heard.
const MAX_UTTERANCES: usize = 32;
/// Largest Opus packet that fits a datagram.
pub(crate) const MAX_PAYLOAD: usize = 1_200;
/// A driver that slept longer than this has no burst to make up for.
const STALLED: Duration = Duration::from_millis(100);
/// Live frames may come this late before the time line moves.
const LIVE_TOLERANCE: Duration = Duration::from_millis(40);
/// And this early, before their clock is taken to run fast.
const LIVE_LEAD: Duration = Duration::from_millis(200);
/// A gap this long begins a talk spurt (marker bit).
const SPURT: Duration = Duration::from_millis(60);
/// Silence frames that a stop ends with, so that the caller's decoder fades instead of guessing.
const SILENCES: u8 = 3;
const SILENCE_SAMPLES: u32 = 960;
/// Above this, an idle queue gives its memory back.
const KEEP_BYTES: usize = 16 * 1024;

/// What playout says while it is driven.
pub(crate) enum Played<'a> {
    /// A packet to seal and send.
    Packet {
        /// Starts a talk spurt.
        marker: bool,
        /// RTP timestamp.
        timestamp: u32,
        /// The payload, in two pieces.
        payload: (&'a [u8], &'a [u8]),
    },
    /// How far an utterance is.
    Report(PlayoutReport),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    utterance: u32,
    generation: u32,
    duration: u32,
    size: usize,
}

#[derive(Debug)]
pub(crate) struct Playout {
    frames: VecDeque<Frame>,
    bytes: VecDeque<u8>,
    samples: u64,
    utterances: VecDeque<Utterance>,
    generation: u32,
    held: bool,
    connected: bool,
    started: bool,
    due: Time,
    timestamp: u32,
    marker: bool,
    silences: u8,
    /// From the moment a frame leaves until the caller's device has played its first sample.
    delay: Duration,
}

impl Playout {
    pub(crate) fn new(timestamp: u32, now: Time) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: VecDeque::new(),
            samples: 0,
            utterances: VecDeque::new(),
            generation: 0,
            held: false,
            connected: false,
            started: false,
            due: now,
            timestamp,
            marker: true,
            silences: 0,
            delay: Duration::from_millis(60),
        }
    }

    /// Half the round trip, and what a device's jitter buffer and output take.
    pub(crate) fn set_round_trip(&mut self, round_trip: Duration) {
        self.delay = round_trip / 2 + Duration::from_millis(60);
    }

    /// Media may leave.
    pub(crate) fn connect(&mut self, now: Time, counters: &mut Counters, sink: &mut dyn FnMut(Played<'_>)) {
        self.connected = true;
        self.anchor(now);
        self.drive(now, counters, sink);
    }

    /// Takes a frame. Returns whether it was accepted.
    pub(crate) fn play(
        &mut self,
        now: Time,
        frame: &PlayoutFrame<'_>,
        counters: &mut Counters,
        sink: &mut dyn FnMut(Played<'_>),
    ) -> bool {
        let duration = if frame.payload.is_empty() {
            0
        } else {
            opus::duration(frame.payload).unwrap_or(0)
        };
        let invalid = frame.payload.len() > MAX_PAYLOAD || (duration == 0 && !(frame.last && frame.payload.is_empty()));
        if invalid {
            counters.refused_invalid += 1;
            return false;
        }
        if frame.generation < self.generation {
            counters.refused_generation += 1;
            return false;
        }
        if frame.live && (!self.connected || self.held) {
            counters.refused_not_ready += 1;
            return false;
        }
        let full = self.frames.len() >= MAX_FRAMES
            || self.bytes.len() + frame.payload.len() > MAX_BYTES
            || self.samples >= MAX_SAMPLES;
        if full {
            counters.refused_full += 1;
            return false;
        }
        let Some(at) = self.utterance(now, frame) else {
            counters.refused_full += 1;
            return false;
        };
        self.generation = frame.generation;
        if duration > 0 {
            self.place(now, at, frame.live, counters, sink);
        }
        let utterance = &mut self.utterances[at];
        utterance.queued += u64::from(duration);
        utterance.complete |= frame.last;
        if duration == 0 {
            if utterance.drained() {
                self.silences = SILENCES;
            }
        } else if frame.live && self.frames.is_empty() {
            self.packet(duration, (frame.payload, &[]), sink);
            self.left(now, frame.utterance, duration, sink);
        } else {
            self.frames.push_back(Frame {
                utterance: frame.utterance,
                generation: frame.generation,
                duration,
                size: frame.payload.len(),
            });
            self.bytes.extend(frame.payload);
            self.samples += u64::from(duration);
        }
        self.drive(now, counters, sink);
        true
    }

    /// The utterance that a frame belongs to: known, or new.
    fn utterance(&mut self, now: Time, frame: &PlayoutFrame<'_>) -> Option<usize> {
        if let Some(at) = self
            .utterances
            .iter()
            .rposition(|utterance| utterance.id == frame.utterance)
        {
            return Some(at);
        }
        if self.utterances.len() == MAX_UTTERANCES {
            return None;
        }
        self.utterances
            .push_back(Utterance::new(frame.utterance, frame.generation, frame.live, now));
        Some(self.utterances.len() - 1)
    }

    /// Puts a frame that meets an empty queue onto the time line.
    fn place(&mut self, now: Time, at: usize, live: bool, counters: &mut Counters, sink: &mut dyn FnMut(Played<'_>)) {
        if !self.frames.is_empty() || !self.connected || self.held {
            return;
        }
        self.silences = 0;
        let late = now.since(self.due);
        if live {
            if late > LIVE_TOLERANCE || self.due > now + LIVE_LEAD {
                self.anchor(now);
            }
            return;
        }
        if self.due >= now {
            return;
        }
        self.anchor(now);
        let delay = self.delay;
        let utterance = &mut self.utterances[at];
        if utterance.sent > 0 {
            utterance.underruns += 1;
            counters.underruns += 1;
            if utterance.state == PlayoutState::Starved {
                utterance.state = PlayoutState::Playing;
                sink(Played::Report(utterance.report(now, delay)));
            }
        }
    }

    /// Moves the time line to the present: the RTP timestamp advances by wall time over a gap.
    fn anchor(&mut self, now: Time) {
        if now > self.due {
            let gap = now.since(self.due);
            self.timestamp = self.timestamp.wrapping_add(wrap(samples(gap)));
            self.marker |= gap > SPURT || !self.started;
        }
        self.due = now;
    }

    /// Pauses. Nothing is thrown away.
    pub(crate) fn hold(&mut self, now: Time, counters: &mut Counters, sink: &mut dyn FnMut(Played<'_>)) {
        if self.held {
            return;
        }
        self.held = true;
        if self.started && !self.frames.is_empty() {
            self.silences = SILENCES;
        }
        self.turn(now, PlayoutState::Playing, PlayoutState::Held, sink);
        self.drive(now, counters, sink);
    }

    /// Goes on.
    pub(crate) fn resume(&mut self, now: Time, counters: &mut Counters, sink: &mut dyn FnMut(Played<'_>)) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        if self.due < now {
            self.anchor(now);
        }
        self.turn(now, PlayoutState::Held, PlayoutState::Playing, sink);
        self.drive(now, counters, sink);
    }

    /// Moves utterances that have begun, and are not all heard, from one state to the other.
    fn turn(&mut self, now: Time, from: PlayoutState, to: PlayoutState, sink: &mut dyn FnMut(Played<'_>)) {
        let delay = self.delay;
        for utterance in self.utterances.iter_mut().filter(|utterance| utterance.state == from) {
            if utterance.drained() && utterance.complete {
                continue;
            }
            utterance.state = to;
            if utterance.report_at != Time::NEVER || utterance.queued > 0 {
                sink(Played::Report(utterance.report(now, delay)));
            }
        }
    }

    /// Drops what is older than `generation`, and refuses what comes of it later.
    pub(crate) fn flush(
        &mut self,
        now: Time,
        generation: u32,
        counters: &mut Counters,
        sink: &mut dyn FnMut(Played<'_>),
    ) {
        self.generation = self.generation.max(generation);
        self.held = false;
        let mut stopped = false;
        while let Some(frame) = self
            .frames
            .front()
            .copied()
            .filter(|frame| frame.generation < generation)
        {
            self.frames.pop_front();
            self.bytes.drain(..frame.size);
            self.samples -= u64::from(frame.duration);
            counters.flushed += 1;
            stopped = true;
        }
        let delay = self.delay;
        self.utterances.retain_mut(|utterance| {
            let kept = utterance.generation >= generation;
            if !kept {
                // Its end lies in what was sent: an utterance that only has to be heard is stopped too.
                stopped |= utterance.ends > now;
                utterance.state = PlayoutState::Flushed;
                sink(Played::Report(utterance.report(now, delay)));
            }
            kept
        });
        if stopped && self.started {
            self.silences = SILENCES;
        }
        self.turn(now, PlayoutState::Held, PlayoutState::Playing, sink);
        if self.due < now {
            self.anchor(now);
        }
        self.drive(now, counters, sink);
    }

    /// Sends what is due and reports what changed.
    pub(crate) fn drive(&mut self, now: Time, counters: &mut Counters, sink: &mut dyn FnMut(Played<'_>)) {
        if self.connected {
            self.send_due(now, counters, sink);
            self.settle(now, sink);
        }
    }

    fn send_due(&mut self, now: Time, counters: &mut Counters, sink: &mut dyn FnMut(Played<'_>)) {
        while self.due <= now {
            if !self.held && !self.frames.is_empty() {
                if now.since(self.due) > STALLED {
                    self.anchor(now);
                }
                self.leave(now, sink);
            } else if self.silences > 0 {
                if now.since(self.due) > STALLED {
                    self.anchor(now);
                }
                self.silences -= 1;
                counters.silence_out += 1;
                self.packet(SILENCE_SAMPLES, (&opus::SILENCE, &[]), sink);
            } else {
                return;
            }
        }
    }

    /// Sends the first frame of the queue.
    fn leave(&mut self, now: Time, sink: &mut dyn FnMut(Played<'_>)) {
        let Some(frame) = self.frames.pop_front() else { return };
        let (head, tail) = self.bytes.as_slices();
        let cut = frame.size.min(head.len());
        let (marker, timestamp) = (std::mem::take(&mut self.marker), self.timestamp);
        sink(Played::Packet {
            marker,
            timestamp,
            payload: (&head[..cut], &tail[..frame.size - cut]),
        });
        self.bytes.drain(..frame.size);
        self.samples -= u64::from(frame.duration);
        self.advance(frame.duration);
        self.left(now, frame.utterance, frame.duration, sink);
    }

    /// Accounts for a frame that left.
    fn left(&mut self, now: Time, utterance: u32, duration: u32, sink: &mut dyn FnMut(Played<'_>)) {
        let (due, delay, idle) = (self.due, self.delay, self.frames.is_empty());
        let Some(at) = self.utterances.iter().position(|known| known.id == utterance) else {
            return;
        };
        // Whatever began before it is over: the worker went on without an end.
        for earlier in self.utterances.iter_mut().take(at) {
            earlier.complete = true;
        }
        let utterance = &mut self.utterances[at];
        let first = utterance.sent == 0;
        utterance.sent += u64::from(duration);
        utterance.ends = due;
        utterance.state = PlayoutState::Playing;
        if first {
            sink(Played::Report(utterance.report(now, delay)));
        }
        if idle && utterance.complete {
            self.silences = SILENCES;
            if self.bytes.capacity() > KEEP_BYTES {
                self.bytes.shrink_to(KEEP_BYTES);
            }
        }
    }

    fn packet(&mut self, duration: u32, payload: (&[u8], &[u8]), sink: &mut dyn FnMut(Played<'_>)) {
        let (marker, timestamp) = (std::mem::take(&mut self.marker), self.timestamp);
        sink(Played::Packet {
            marker,
            timestamp,
            payload,
        });
        self.advance(duration);
    }

    fn advance(&mut self, duration: u32) {
        self.started = true;
        self.timestamp = self.timestamp.wrapping_add(duration);
        self.due = self.due + Duration::from_micros(u64::from(duration) * 1_000 / 48);
    }

    /// Ends what was heard, starves what ran dry, and reports what plays.
    fn settle(&mut self, now: Time, sink: &mut dyn FnMut(Played<'_>)) {
        let (due, delay) = (self.due, self.delay);
        self.utterances.retain_mut(|utterance| {
            let over = utterance.complete && utterance.drained();
            if over && utterance.ends + delay <= now {
                utterance.state = PlayoutState::Ended;
                sink(Played::Report(utterance.report(now, delay)));
                return false;
            }
            match utterance.state {
                PlayoutState::Playing
                    if !over && !utterance.live && utterance.sent > 0 && utterance.drained() && due <= now =>
                {
                    utterance.state = PlayoutState::Starved;
                    sink(Played::Report(utterance.report(now, delay)));
                }
                PlayoutState::Playing if utterance.report_at <= now => {
                    sink(Played::Report(utterance.report(now, delay)));
                }
                _ => {}
            }
            true
        });
    }

    /// Whether all that was queued has left and ended.
    pub(crate) fn is_idle(&self, now: Time) -> bool {
        self.frames.is_empty() && self.due <= now
    }

    /// When it is idle, as far as can be told; never while something is held.
    pub(crate) fn idle_at(&self) -> Time {
        if self.frames.is_empty() { self.due } else { Time::NEVER }
    }

    pub(crate) fn deadline(&self) -> Time {
        if !self.connected {
            return Time::NEVER;
        }
        let sends = (!self.held && !self.frames.is_empty()) || self.silences > 0;
        let next = if sends { self.due } else { Time::NEVER };
        self.utterances
            .iter()
            .map(|utterance| utterance.next(self.due, self.delay))
            .fold(next, Time::min)
    }

    /// The RTP timestamp of a moment, for sender reports.
    pub(crate) fn timestamp_at(&self, now: Time) -> u32 {
        if now >= self.due {
            self.timestamp.wrapping_add(wrap(samples(now.since(self.due))))
        } else {
            self.timestamp.wrapping_sub(wrap(samples(self.due.since(now))))
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
fn wrap(samples: u64) -> u32 {
    samples as u32
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros() * 48 / 1_000).unwrap_or(u64::MAX)
}
