//! Frames of ingest as they are handed on: out of their own packets, out of later ones, and events.

use super::{Arrival, EVENT_LENGTH, Ingest, Placed, Standing};
use crate::opus;
use crate::output::{Gap, GapState, IngestFrame, Output};
use crate::red::Block;
use crate::rtp::audio_level;
use crate::stats::Counters;

impl Ingest {
    /// Hands on a frame out of a later packet. It repairs a gap that was announced, not one that it keeps from opening.
    pub(super) fn emit_redundant(
        &mut self,
        block: &Block<'_>,
        sequence: u64,
        placed: &Placed,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        let repaired = self.holes.fill(sequence, out).is_some();
        let timestamp = placed.timestamp.saturating_sub(u64::from(block.timestamp_offset));
        let duration = opus::duration(block.payload).unwrap_or(0);
        self.delivered.accept(sequence);
        self.recent.note(sequence, timestamp, duration);
        counters.repaired_red += 1;
        counters.frames_in += 1;
        out.frame(IngestFrame {
            sequence,
            timestamp,
            duration,
            level: 0,
            marker: false,
            repaired,
            redundant: true,
            telephone_event: false,
            fec: opus::carries_fec(block.payload),
            payload: block.payload,
        });
    }

    pub(super) fn emit(
        &mut self,
        arrival: &Arrival<'_>,
        payload: &[u8],
        placed: &Placed,
        standing: Standing,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        if standing == Standing::Known {
            counters.redundant += 1;
            return;
        }
        let Some((duration, fec)) = opus::duration_and_fec(payload) else {
            counters.malformed += 1;
            brings_nothing(placed, standing, out);
            return;
        };
        if standing == Standing::Newest {
            self.duration = duration;
            counters.fec_recoverable += u64::from(fec && self.holes.contains(placed.sequence - 1));
        }
        if self.red.is_some() {
            self.recent.note(placed.sequence, placed.timestamp, duration);
        }
        counters.frames_in += 1;
        out.frame(IngestFrame {
            sequence: placed.sequence,
            timestamp: placed.timestamp,
            duration,
            level: self.level(arrival),
            marker: arrival.header.marker,
            repaired: standing == Standing::Repairs,
            redundant: false,
            telephone_event: false,
            fec,
            payload,
        });
    }

    /// DTMF shares the sequence with audio, so its packets are missed and repaired as audio's are.
    pub(super) fn emit_event(
        arrival: &Arrival<'_>,
        placed: &Placed,
        standing: Standing,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        counters.telephone_events += 1;
        if arrival.payload.len() < EVENT_LENGTH {
            counters.malformed += 1;
            brings_nothing(placed, standing, out);
            return;
        }
        out.frame(IngestFrame {
            sequence: placed.sequence,
            timestamp: placed.timestamp,
            duration: 0,
            level: 0,
            marker: arrival.header.marker,
            repaired: standing == Standing::Repairs,
            redundant: false,
            telephone_event: true,
            fec: false,
            payload: &arrival.payload[..EVENT_LENGTH],
        });
    }

    fn level(&self, arrival: &Arrival<'_>) -> u16 {
        let Some(wanted) = self.level_extension else { return 0 };
        arrival
            .header
            .extensions(arrival.packet)
            .find(|(id, _)| *id == wanted)
            .map_or(0, |(_, element)| audio_level(element))
    }
}

/// A missing packet came, but nothing that could be handed on: whoever waits for it need not any more.
pub(super) fn brings_nothing(placed: &Placed, standing: Standing, out: &mut impl Output) {
    if standing == Standing::Repairs {
        out.gap(lost(placed.sequence));
    }
}

pub(super) fn lost(sequence: u64) -> Gap {
    Gap {
        first: sequence,
        count: 1,
        state: GapState::Lost,
    }
}
