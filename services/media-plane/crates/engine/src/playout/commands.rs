//! Hold, resume and flush. Each acts within one frame, and ends in silence; a device that falls silent at our word is told from which
//! timestamp on it shall play again.

use super::{Played, Playout, SILENCES, Sink, samples, wrap};
use crate::output::PlayoutState;
use crate::stats::Counters;
use crate::time::Time;

/// A device takes what it plays from its jitter buffer in pieces of 10 ms: half of one, in samples.
const NOTICED: u64 = 5 * 48;

impl Playout {
    /// Pauses. Nothing is thrown away: what a device that falls silent will not play waits again.
    pub(crate) fn hold(&mut self, now: Time, counters: &mut Counters, sink: Sink<'_>) {
        if self.held {
            return;
        }
        self.held = true;
        if self.started && self.far.delay.device_silences() {
            let silent = self.far.place(self.line, now).heard + self.silent_after();
            if self.line.timestamp > silent {
                self.take_back(silent);
                self.tell_device(sink);
            }
        }
        if self.started && !self.queue.is_empty() {
            self.silences = SILENCES;
        }
        self.turn(now, PlayoutState::Playing, PlayoutState::Held, sink);
        self.drive(now, counters, sink);
    }

    /// Samples that are still heard: what a device takes from its jitter buffer until our word reaches it, and what its output holds.
    fn silent_after(&self) -> u64 {
        samples(self.far.delay.way() + self.far.delay.output()) + NOTICED
    }

    fn tell_device(&mut self, sink: Sink<'_>) {
        let timestamp = wrap(self.line.timestamp);
        self.stop = Some(timestamp);
        sink(Played::Stop(timestamp));
    }

    /// Frames that the device will not have played by `timestamp` wait again.
    fn take_back(&mut self, timestamp: u64) {
        while let Some(utterance) = self.queue.left_since(timestamp)
            && self.far.ledger.ends_with(utterance)
        {
            let Some(frame) = self.queue.come_back() else { return };
            self.far.ledger.take_back();
            if let Some(known) = self.utterances.iter_mut().find(|known| known.id == utterance) {
                known.sent -= u64::from(frame.duration);
            }
        }
    }

    /// Goes on.
    pub(crate) fn resume(&mut self, now: Time, counters: &mut Counters, sink: Sink<'_>) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        if self.line.due < now {
            self.anchor(now);
        }
        self.turn(now, PlayoutState::Held, PlayoutState::Playing, sink);
        self.drive(now, counters, sink);
    }

    /// Moves utterances that have begun, and are not all heard, from one state to the other.
    fn turn(&mut self, now: Time, from: PlayoutState, to: PlayoutState, sink: Sink<'_>) {
        let place = self.far.place(self.line, now);
        for utterance in self.utterances.iter_mut().filter(|utterance| utterance.state == from) {
            if utterance.over() {
                continue;
            }
            utterance.state = to;
            if utterance.report_at != Time::NEVER || utterance.queued > 0 {
                sink(Played::Report(utterance.report(now, &place)));
            }
        }
    }

    /// Drops what is older than `generation`, and refuses what comes of it later.
    pub(crate) fn flush(&mut self, now: Time, generation: u32, counters: &mut Counters, sink: Sink<'_>) {
        self.generation = self.generation.max(generation);
        self.held = false;
        let dropped = self.queue.flush(generation);
        counters.flushed += dropped;
        let mut stopped = dropped > 0;
        let mut last = self.far.place(self.line, now);
        // What was sent comes, and a device that does not fall silent plays it to its end.
        last.arrived = u64::MAX;
        last.heard = match self.far.delay.device_silences() {
            true => last.heard + self.silent_after(),
            false => u64::MAX,
        };
        self.utterances.retain_mut(|utterance| {
            let kept = utterance.generation >= generation;
            if !kept {
                // Its end lies in what was sent: an utterance that only has to be heard is stopped too.
                stopped |= last.ledger.unplayed(utterance.id, last.heard) > 0 || utterance.ends > now;
                utterance.state = PlayoutState::Flushed;
                sink(Played::Report(utterance.report(now, &last)));
            }
            kept
        });
        if stopped && self.started {
            self.silences = SILENCES;
            if self.far.delay.device_silences() {
                self.tell_device(sink);
            }
        }
        self.turn(now, PlayoutState::Held, PlayoutState::Playing, sink);
        if self.line.due < now {
            self.anchor(now);
        }
        self.drive(now, counters, sink);
    }
}
