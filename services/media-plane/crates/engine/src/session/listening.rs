//! The edge's ear for the caller's voice: levels of ingest frames go to the detector, and its doubts hold the playout.

use super::Session;
use super::holds::{Cause, Step};
use crate::opus::signal_type;
use crate::output::{Event, Gap, IngestFrame, IngestQuality, Output, PlayoutReport, VoiceEvent};
use crate::playout::Packet;
use crate::remote::Remote;
use crate::time::Time;
use crate::voice::{Change, Detector, Heard, SILENT};

/// RFC 6464 on the link: the level is there, and its bits.
const LEVEL_PRESENT: u16 = 0x100;
const LEVEL: u16 = 0x7f;
/// What a frame of unknown level is taken for, in -dBov, unless it is too small for speech.
const UNKNOWN: u8 = 20;
const TOO_SMALL_FOR_SPEECH: usize = 12;

/// Passes on what ingest says, and hears it.
pub(super) struct Ear<'a, O> {
    pub(super) out: &'a mut O,
    pub(super) detector: &'a mut Detector,
    pub(super) now: Time,
    pub(super) heard: Option<Noticed>,
}

/// A change of the caller's voice, and the frame that it was noticed by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noticed {
    change: Change,
    timestamp: u64,
    level: u8,
}

impl<O: Output> Output for Ear<'_, O> {
    fn transmit(&mut self, to: Remote, datagram: &[u8]) {
        self.out.transmit(to, datagram);
    }

    #[inline]
    fn frame(&mut self, frame: IngestFrame<'_>) {
        self.out.frame(frame);
        if frame.level & LEVEL_PRESENT == 0 || frame.telephone_event {
            return;
        }
        let level = u8::try_from(frame.level & LEVEL).unwrap_or(SILENT);
        let heard = Heard {
            at: self.now,
            timestamp: frame.timestamp,
            duration: frame.duration,
            level,
            signal: signal_type(frame.payload),
        };
        if let Some(change) = self.detector.hear(&heard) {
            self.heard = Some(Noticed {
                change,
                timestamp: frame.timestamp,
                level,
            });
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.out.gap(gap);
    }

    fn playout(&mut self, report: PlayoutReport) {
        self.out.playout(report);
    }

    fn quality(&mut self, quality: IngestQuality) {
        self.out.quality(quality);
    }

    fn voice(&mut self, event: VoiceEvent) {
        self.out.voice(event);
    }

    fn event(&mut self, event: Event) {
        self.out.event(event);
    }
}

impl Session {
    /// Whether playout is held while the caller speaks, until the worker knows better.
    pub fn set_policy(&mut self, now: Time, hold_on_voice: bool, out: &mut impl Output) {
        if hold_on_voice {
            self.detector.get_or_insert_with(Box::default);
        } else if self.detector.take().is_some() {
            self.holds(now, Cause::Release, out);
        }
    }

    /// The worker's answer to a doubt: it was no voice. Playout goes on where it was held.
    pub fn release(&mut self, now: Time, out: &mut impl Output) {
        if let Some(detector) = &mut self.detector {
            detector.mistaken();
        }
        self.holds(now, Cause::Release, out);
    }

    pub(super) fn notice(&mut self, now: Time, noticed: Noticed, out: &mut impl Output) {
        // Something is queued: live frames and the end of an utterance cannot be held.
        let playing = self.playout.idle_at() == Time::NEVER;
        let onset = noticed.change == Change::Onset;
        if onset {
            self.counters.voice_onsets += 1;
        }
        let doubts = onset && playing && self.holds.deadline() == Time::NEVER;
        if doubts {
            self.counters.edge_holds += 1;
            self.holds(now, Cause::Doubt, out);
        }
        out.voice(VoiceEvent::Changed {
            onset,
            timestamp: noticed.timestamp,
            level: noticed.level,
            held: doubts,
        });
    }

    /// Moves on who holds the playout, and lets it follow.
    pub(super) fn holds(&mut self, now: Time, cause: Cause, out: &mut impl Output) {
        let (holds, step, settled) = self.holds.advance(now, cause);
        self.holds = holds;
        match step {
            Step::Stay => {}
            Step::Pause => self.with_playout(now, out, |playout, counters, sink| playout.hold(now, counters, sink)),
            Step::GoOn => self.with_playout(now, out, |playout, counters, sink| playout.resume(now, counters, sink)),
        }
        if let Some((outcome, held)) = settled {
            self.counters.settle_hold(outcome, held);
            if cause == Cause::Time
                && let Some(detector) = &mut self.detector
            {
                detector.mistaken();
            }
            out.voice(VoiceEvent::Settled { outcome, held });
        }
    }
}

/// A frame leaves for the caller: an echo of it may come back.
pub(super) fn note_played(detector: &mut Detector, now: Time, packet: &Packet<'_>) {
    let size = packet.payload.0.len() + packet.payload.1.len();
    let level = match packet.level {
        0 if size <= TOO_SMALL_FOR_SPEECH => SILENT,
        0 => UNKNOWN,
        known => known.min(SILENT),
    };
    detector.played(now, packet.duration, level);
}
