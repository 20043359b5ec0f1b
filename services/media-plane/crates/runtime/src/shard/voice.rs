//! What a session says goes straight where it belongs: datagrams to the socket's batch, frames to the link's columns.

use std::sync::Arc;
use std::time::Duration;

use antiphon_engine::{
    EchoPath, Event, Gap, GapState, HoldOutcome, IngestFrame, IngestQuality, Output, PlayoutReport, Remote, Time,
    VoiceEvent,
};
use antiphon_link::{Hint, Ingest, Playout, Quality};

use super::ways::Ways;
use crate::counters::ShardCounters;
use crate::kept::{Chunks, Kept};
use crate::rooms::{Heard, NO_LINK, Place};
use crate::slot::Slot;
use crate::uplinks::{Uplink, Uplinks};

/// What all sessions of a shard speak through.
pub(super) struct Mouth {
    pub(super) ways: Ways,
    pub(super) uplinks: Uplinks,
    pub(super) counters: Arc<ShardCounters>,
    /// Events of the session that was driven last.
    pub(super) said: Vec<Event>,
    /// Frames of that session, where it is in a room.
    pub(super) heard: Heard,
    /// What sessions keep their callers' last frames in.
    pub(super) chunks: Chunks,
}

impl Mouth {
    /// Sends what waits.
    pub(super) fn send(&mut self) {
        self.ways.send(&self.counters);
    }

    pub(super) fn voice<'a>(
        &'a mut self,
        handle: u32,
        link: u32,
        now: Time,
        place: Option<&Place>,
        kept: &'a mut Kept,
    ) -> Voice<'a> {
        Voice {
            kept,
            chunks: &mut self.chunks,
            uplink: self.uplinks.get_mut(link),
            ways: &mut self.ways,
            counters: &self.counters,
            said: &mut self.said,
            heard: place.is_some().then_some(&mut self.heard),
            is_muted: place.is_some_and(|place| place.muted),
            has_worker: link != NO_LINK,
            handle,
            now,
        }
    }
}

/// One session's [`Output`] while it is driven.
pub(super) struct Voice<'a> {
    uplink: Option<&'a mut Uplink>,
    ways: &'a mut Ways,
    counters: &'a ShardCounters,
    said: &'a mut Vec<Event>,
    heard: Option<&'a mut Heard>,
    kept: &'a mut Kept,
    chunks: &'a mut Chunks,
    is_muted: bool,
    has_worker: bool,
    handle: u32,
    now: Time,
}

impl Output for Voice<'_> {
    #[inline]
    fn transmit(&mut self, to: Remote, datagram: &[u8]) {
        self.ways.transmit(Slot(self.handle), to, datagram, self.counters);
    }

    #[inline]
    fn frame(&mut self, frame: IngestFrame<'_>) {
        if let Some(heard) = self.heard.as_mut().filter(|_| !frame.telephone_event) {
            heard.push(self.handle, &frame);
        }
        if !self.has_worker {
            return;
        }
        if self.is_muted {
            if let Some(uplink) = &mut self.uplink {
                uplink.batch(self.handle).push_drops(self.handle, 1);
            }
            return;
        }
        let frame = Ingest {
            session: self.handle,
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            arrival_us: self.now.as_micros(),
            duration: frame.duration,
            level: u32::from(frame.level),
            flags: flags(&frame),
            payload: frame.payload,
        };
        let is_kept = self.kept.is_wanted();
        if is_kept {
            self.counters.kept_frames.add(1);
            self.counters.kept_let_go.add(self.kept.keep(&frame, self.chunks));
        }
        match &mut self.uplink {
            Some(uplink) => {
                self.counters.ingest_frames.add(1);
                uplink.batch(self.handle).push_frame(&frame);
            }
            None => self.counters.drop_ingest.add(u64::from(!is_kept)),
        }
    }

    fn gap(&mut self, gap: Gap) {
        if let Some(uplink) = &mut self.uplink {
            let state = match gap.state {
                GapState::Announced => 0,
                GapState::Lost => 1,
            };
            uplink
                .batch(self.handle)
                .push_gap(self.handle, gap.first, gap.count, state);
        }
    }

    fn quality(&mut self, quality: IngestQuality) {
        if let Some(uplink) = &mut self.uplink {
            let row = Quality {
                session: self.handle,
                rtt_us: quality.round_trip_us,
                jitter_us: quality.jitter_us,
                expected: quality.expected,
                lost_before_repair: quality.lost,
                repaired_red: quality.repaired_red,
                repaired_nack: quality.repaired_nack,
                late: quality.late,
                reordered: quality.reordered,
                duplicates: quality.duplicates,
                lost: quality.given_up,
                echo: match quality.echo {
                    None => 0,
                    Some(EchoPath::Unknown) => 1,
                    Some(EchoPath::None) => 2,
                    Some(EchoPath::Found { loss_db, .. }) => u32::from(loss_db) + 3,
                },
            };
            uplink.batch(self.handle).push_quality(&row);
        }
    }

    fn playout(&mut self, report: PlayoutReport) {
        if let Some(uplink) = &mut self.uplink {
            uplink.batch(self.handle).push_playout(&Playout {
                session: self.handle,
                utterance: report.utterance,
                queued: report.queued,
                sent: report.sent,
                received: report.received,
                heard: report.heard,
                basis: report.basis as u32,
                state: report.state as u32,
                underruns: report.underruns,
                began_us: report.began.map_or(0, Time::as_micros),
                way_us: micros_u32(report.way),
                to_the_ear_us: micros_u32(report.to_the_ear),
            });
        }
    }

    fn voice(&mut self, event: VoiceEvent) {
        match event {
            VoiceEvent::Changed {
                onset,
                timestamp,
                level,
                held,
            } => {
                self.counters.voice_onsets.add(u64::from(onset));
                self.counters.edge_holds.add(u64::from(held));
                if let Some(uplink) = &mut self.uplink {
                    uplink.batch(self.handle).push_hint(&Hint {
                        session: self.handle,
                        at_us: self.now.as_micros(),
                        timestamp,
                        onset,
                        level: u32::from(level),
                        held,
                    });
                }
            }
            VoiceEvent::Settled { outcome, held } => {
                let counter = match outcome {
                    HoldOutcome::Confirmed => &self.counters.edge_holds_confirmed,
                    HoldOutcome::Released => &self.counters.edge_holds_released,
                    HoldOutcome::Expired => &self.counters.edge_holds_expired,
                };
                counter.add(1);
                self.counters
                    .edge_held_ms
                    .add(u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.said.push(event);
    }
}

/// As `IngestFrames.flags` has them.
fn flags(frame: &IngestFrame<'_>) -> u32 {
    [
        frame.marker,
        frame.repaired,
        frame.redundant,
        frame.telephone_event,
        frame.fec,
    ]
    .iter()
    .enumerate()
    .fold(0, |flags, (bit, set)| flags | u32::from(*set) << bit)
}

/// Microseconds for a column; what is longer than an hour is no delay.
fn micros_u32(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
