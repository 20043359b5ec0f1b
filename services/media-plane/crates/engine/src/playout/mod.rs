//! Plays what the worker sends at its own pace, and tells how far each utterance is.
//!
//! The time line is `due`, the moment at which the last frame ends, and `timestamp`, the RTP timestamp of that moment. Frames that
//! wait in the queue leave at `due`, whatever the driver's delay. A frame that comes after `due` leaves at once, and both move on to
//! the present, so that an under-run does not become lasting delay. A stop ends in frames of silence; in a pause a comfort frame
//! leaves now and then, as an encoder's would, so that the caller's jitter buffer knows silence from loss.

mod commands;
mod delay;
mod ledger;
mod missing;
mod queue;
mod refused;
mod told;
mod utterance;

use std::time::Duration;

use queue::Queue;
use refused::Refused;
use told::FarEnd;
use utterance::Utterance;

use crate::few::Few;
use crate::opus;
use crate::output::{PlayoutReport, PlayoutState};
use crate::session::PlayoutFrame;
use crate::stats::Counters;
use crate::time::{Time, samples};
use crate::voice::SILENT;

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
/// Between comfort frames. A forwarded voice has its own each 400 ms, as libopus makes them, and needs none of ours.
const COMFORT: Duration = Duration::from_millis(440);

type Sink<'a> = &'a mut dyn FnMut(Played<'_>);

/// A packet to seal and send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// Unwrapped.
    pub(crate) sequence: u64,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
    /// Starts a talk spurt.
    pub(crate) marker: bool,
    /// The utterance that it is of; `None` for silence.
    pub(crate) utterance: Option<u32>,
    /// In 48 kHz samples.
    pub(crate) duration: u32,
    /// Loudness in -dBov; 0 when unknown.
    pub(crate) level: u8,
    /// The payload, in two pieces.
    pub(crate) payload: (&'a [u8], &'a [u8]),
}

/// What playout says while it is driven.
pub(crate) enum Played<'a> {
    Packet(Packet<'a>),
    /// How far an utterance is.
    Report(PlayoutReport),
    /// The device shall not play what was sent before this RTP timestamp.
    Stop(u32),
}

/// The moment at which the last frame ends, on the edge's clock and on the media clock.
#[derive(Clone, Copy, Debug)]
struct Line {
    due: Time,
    /// Unwrapped.
    timestamp: u64,
}

impl Line {
    fn at(self, now: Time) -> u64 {
        if now >= self.due {
            self.timestamp + now.samples_since(self.due)
        } else {
            self.timestamp.saturating_sub(self.due.samples_since(now))
        }
    }
}

#[derive(Debug)]
pub(crate) struct Playout {
    queue: Queue,
    utterances: Few<Utterance>,
    far: FarEnd,
    line: Line,
    first_sequence: u64,
    sequence: u64,
    generation: u32,
    /// The highest of all utterances that frames came of.
    newest: u32,
    held: bool,
    connected: bool,
    started: bool,
    marker: bool,
    silences: u8,
    /// What the device was told last, while the silence that follows it leaves.
    stop: Option<u32>,
    comfort_at: Time,
}

impl Playout {
    pub(crate) fn new(timestamp: u32, first_sequence: u16, now: Time) -> Self {
        // RFC 3711 3.3.1: below 2^15, lest the first packets' loss hide a roll-over.
        let first_sequence = u64::from(first_sequence & 0x7fff);
        Self {
            queue: Queue::default(),
            utterances: Few::default(),
            far: FarEnd::default(),
            line: Line {
                due: now,
                timestamp: (1 << 32) + u64::from(timestamp),
            },
            first_sequence,
            sequence: first_sequence,
            generation: 0,
            newest: 0,
            held: false,
            connected: false,
            started: false,
            marker: true,
            silences: 0,
            stop: None,
            comfort_at: Time::NEVER,
        }
    }

    /// Media may leave.
    pub(crate) fn connect(&mut self, now: Time, counters: &mut Counters, sink: Sink<'_>) {
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
        sink: Sink<'_>,
    ) -> bool {
        let duration = opus::duration(frame.payload).unwrap_or(0);
        let accepted = self.admit(now, frame, duration);
        let at = match accepted {
            Ok(at) => at,
            Err(refused) => {
                *refused.counter(counters) += 1;
                return false;
            }
        };
        self.generation = frame.generation;
        self.newest = self.newest.max(frame.utterance);
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
        } else if frame.live && self.queue.is_empty() {
            self.packet(Some(frame.utterance), duration, frame.level, (frame.payload, &[]), sink);
            self.left(now, at, duration, sink);
        } else {
            self.queue
                .push(frame.utterance, frame.generation, duration, frame.level, frame.payload);
        }
        self.drive(now, counters, sink);
        true
    }

    /// The utterance that a frame goes to, unless there is a reason to refuse it.
    fn admit(&mut self, now: Time, frame: &PlayoutFrame<'_>, duration: u32) -> Result<usize, Refused> {
        let ends = frame.last && frame.payload.is_empty();
        if frame.payload.len() > MAX_PAYLOAD || (duration == 0 && !ends) {
            return Err(Refused::Invalid);
        }
        if frame.generation < self.generation {
            return Err(Refused::Generation);
        }
        if frame.live && (!self.connected || self.held) {
            return Err(Refused::NotReady);
        }
        if self.queue.is_full(frame.payload.len()) {
            return Err(Refused::Full);
        }
        if let Some(at) = self.utterances.position(|known| known.id == frame.utterance) {
            return Ok(at);
        }
        if self.utterances.len() == MAX_UTTERANCES {
            return Err(Refused::Full);
        }
        let utterance = Utterance::new(frame.utterance, frame.generation, frame.live, now);
        Ok(self.utterances.push(utterance))
    }

    /// Puts a frame that meets an empty queue onto the time line.
    fn place(&mut self, now: Time, at: usize, live: bool, counters: &mut Counters, sink: Sink<'_>) {
        if !self.queue.is_empty() || !self.connected || self.held {
            return;
        }
        (self.silences, self.stop) = (0, None);
        if live {
            let late = now.since(self.line.due);
            if late > LIVE_TOLERANCE || self.line.due > now + LIVE_LEAD {
                self.anchor(now);
            }
            return;
        }
        if self.line.due >= now {
            return;
        }
        self.anchor(now);
        let utterance = &mut self.utterances[at];
        if utterance.sent > 0 {
            utterance.underruns += 1;
            counters.underruns += 1;
            if utterance.state == PlayoutState::Starved {
                utterance.state = PlayoutState::Playing;
                let place = self.far.place(self.line, now);
                sink(Played::Report(utterance.report(now, &place)));
            }
        }
    }

    /// Moves the time line to the present: the RTP timestamp advances by wall time over a gap.
    fn anchor(&mut self, now: Time) {
        if now > self.line.due {
            let gap = now.since(self.line.due);
            self.line.timestamp += samples(gap);
            self.marker |= gap > SPURT || !self.started;
        }
        self.line.due = now;
    }

    /// Sends what is due and reports what changed.
    pub(crate) fn drive(&mut self, now: Time, counters: &mut Counters, sink: Sink<'_>) {
        if self.connected {
            self.far.delay.expire(now);
            self.send_due(now, counters, sink);
            self.settle(now, sink);
        }
    }

    fn send_due(&mut self, now: Time, counters: &mut Counters, sink: Sink<'_>) {
        while self.line.due <= now {
            let speaks = !self.held && !self.queue.is_empty();
            if now.since(self.line.due) > STALLED && (speaks || self.silences > 0) {
                self.anchor(now);
            }
            if speaks {
                self.leave(now, sink);
            } else if self.silences > 0 {
                counters.silence_out += 1;
                self.packet(None, SILENCE_SAMPLES, SILENT, (&opus::SILENCE, &[]), sink);
                self.silences -= 1;
                // Said again with each, since the first word may be lost.
                if let Some(timestamp) = self.stop {
                    sink(Played::Stop(timestamp));
                }
                if self.silences == 0 {
                    // The decoder learns at once that a pause has begun.
                    self.comfort_at = self.line.due;
                }
            } else if self.comfort_at <= now {
                counters.comfort_out += 1;
                self.anchor(now);
                self.marker = false;
                self.packet(None, SILENCE_SAMPLES, SILENT, (&opus::COMFORT, &[]), sink);
                self.marker = true;
            } else {
                return;
            }
        }
    }

    /// Sends the first frame of the queue.
    fn leave(&mut self, now: Time, sink: Sink<'_>) {
        let Some(frame) = self.queue.leave(self.line.timestamp) else {
            return;
        };
        let packet = Packet {
            sequence: self.sequence,
            timestamp: wrap(self.line.timestamp),
            marker: std::mem::take(&mut self.marker),
            utterance: Some(frame.utterance),
            duration: frame.duration,
            level: frame.level,
            payload: self.queue.last(),
        };
        sink(Played::Packet(packet));
        self.account(Some(frame.utterance), frame.duration);
        let heard = match self.far.delay.device_silences() {
            true => self.far.place(self.line, now).heard,
            false => u64::MAX,
        };
        self.queue.forget(heard);
        if let Some(at) = self.utterances.position(|known| known.id == frame.utterance) {
            self.left(now, at, frame.duration, sink);
        }
    }

    /// Accounts for a frame that left of the utterance at this place.
    fn left(&mut self, now: Time, at: usize, duration: u32, sink: Sink<'_>) {
        // Whatever began before it is over: the worker went on without an end.
        for earlier in self.utterances.iter_mut().take(at) {
            earlier.complete = true;
        }
        let utterance = &mut self.utterances[at];
        let first = utterance.sent == 0;
        if first {
            utterance.began = Some(now);
        }
        utterance.sent += u64::from(duration);
        utterance.ends = self.line.due;
        utterance.state = PlayoutState::Playing;
        if first {
            let place = self.far.place(self.line, now);
            sink(Played::Report(utterance.report(now, &place)));
        }
        if utterance.complete && self.queue.is_empty() {
            self.silences = SILENCES;
        }
    }

    fn packet(&mut self, utterance: Option<u32>, duration: u32, level: u8, payload: (&[u8], &[u8]), sink: Sink<'_>) {
        let packet = Packet {
            sequence: self.sequence,
            timestamp: wrap(self.line.timestamp),
            marker: std::mem::take(&mut self.marker),
            utterance,
            duration,
            level,
            payload,
        };
        sink(Played::Packet(packet));
        self.account(utterance, duration);
    }

    fn account(&mut self, utterance: Option<u32>, duration: u32) {
        if let Some(utterance) = utterance {
            self.far
                .ledger
                .push(utterance, self.sequence, self.line.timestamp, duration);
        }
        self.started = true;
        self.sequence += 1;
        self.line.timestamp += u64::from(duration);
        self.line.due = self.line.due + Duration::from_micros(u64::from(duration) * 1_000 / 48);
        self.comfort_at = self.line.due + COMFORT;
    }

    /// Ends what was heard, starves what ran dry, and reports what plays.
    fn settle(&mut self, now: Time, sink: Sink<'_>) {
        let (due, delay) = (self.line.due, self.far.delay.to_the_ear().0);
        if self.utterances.iter().all(|utterance| utterance.next(due, delay) > now) {
            return;
        }
        let place = self.far.place(self.line, now);
        self.utterances.retain_mut(|utterance| {
            if utterance.over() && utterance.ends + delay <= now {
                utterance.state = PlayoutState::Ended;
                sink(Played::Report(utterance.report(now, &place)));
                return false;
            }
            let dry = !utterance.over() && !utterance.live && utterance.sent > 0 && utterance.drained() && due <= now;
            if utterance.state == PlayoutState::Playing && (dry || utterance.report_at <= now) {
                if dry {
                    utterance.state = PlayoutState::Starved;
                }
                sink(Played::Report(utterance.report(now, &place)));
            }
            true
        });
        self.far.ledger.forget(place.heard);
    }

    /// Sends a frame of somebody else in this stream, unless the agent speaks or is about to. Returns whether it left.
    pub(crate) fn overlay(&mut self, now: Time, level: u8, payload: &[u8], sink: Sink<'_>) -> bool {
        let ahead = self.line.due > now + LIVE_LEAD;
        let taken = !self.connected || !self.queue.is_empty() || self.silences > 0 || ahead;
        let speaks = |utterance: &Utterance| !utterance.complete && utterance.sent > 0 && utterance.ends > now;
        if taken || self.utterances.iter().any(speaks) {
            return false;
        }
        let Some(duration) = opus::duration(payload) else {
            return false;
        };
        if now.since(self.line.due) > LIVE_TOLERANCE {
            self.anchor(now);
        }
        self.packet(None, duration, level, (payload, &[]), sink);
        true
    }

    /// No more comes of what is there, nor the word that it ends: it plays to its end.
    pub(crate) fn end_all(&mut self, now: Time, counters: &mut Counters, sink: Sink<'_>) {
        let plays = |utterance: &Utterance| !utterance.complete && utterance.drained() && utterance.ends > now;
        if self.queue.is_empty() && self.utterances.iter().any(plays) {
            self.silences = SILENCES;
        }
        for utterance in self.utterances.iter_mut() {
            utterance.complete = true;
        }
        self.drive(now, counters, sink);
    }

    /// The highest utterance that frames came of, and the generation that is played.
    pub(crate) fn reached(&self) -> (u32, u32) {
        (self.newest, self.generation)
    }

    /// Whether all that was queued has left and ended.
    pub(crate) fn is_idle(&self, now: Time) -> bool {
        self.queue.is_empty() && self.line.due <= now
    }

    /// When it is idle, as far as can be told; never while something is held.
    pub(crate) fn idle_at(&self) -> Time {
        if self.queue.is_empty() {
            self.line.due
        } else {
            Time::NEVER
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        if !self.connected {
            return Time::NEVER;
        }
        let sends = (!self.held && !self.queue.is_empty()) || self.silences > 0;
        let next = if sends { self.line.due } else { self.comfort_at };
        let delay = self.far.delay.to_the_ear().0;
        self.utterances
            .iter()
            .map(|utterance| utterance.next(self.line.due, delay))
            .fold(next, Time::min)
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        let utterance = self
            .utterances
            .first()
            .map_or(0, |first| first.queued ^ first.report_at.0);
        utterance ^ self.line.due.0 ^ self.comfort_at.0 ^ u64::from(self.queue.is_empty()) ^ self.far.warm()
    }

    /// The RTP timestamp of a moment, for sender reports.
    pub(crate) fn timestamp_at(&self, now: Time) -> u32 {
        wrap(self.line.at(now))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the media clock wraps")]
fn wrap(timestamp: u64) -> u32 {
    timestamp as u32
}
