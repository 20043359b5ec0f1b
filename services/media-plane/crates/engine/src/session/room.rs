//! A session in a room: the voices of other members leave in its receive slots, or, where the caller offered none, share the
//! agent's stream.

use super::Session;
use crate::egress::{Blocks, Content};
use crate::opus;
use crate::output::Output;
use crate::playout::MAX_PAYLOAD;
use crate::report::{MAX_RTCP, ntp};
use crate::room::{Forwarded, Slot};
use crate::rtcp::{NackList, SenderInfo, Writer};
use crate::rtp::HeaderWriter;
use crate::srtp::MAX_OVERHEAD;
use crate::stats::SessionState;
use crate::time::Time;

impl Session {
    /// How many voices of a room the caller can be sent at a time.
    #[must_use]
    pub fn voices(&self) -> usize {
        match self.slots.len() {
            0 => usize::from(self.offer.audio.direction.receives()),
            slots => slots,
        }
    }

    /// Whether the caller offered data channels.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        self.channels.is_some()
    }

    /// The m-line that a voice comes in.
    #[must_use]
    pub fn voice_mid(&self, slot: usize) -> Option<&str> {
        match self.slots.get(slot) {
            Some(slot) => Some(&slot.line.mid),
            None => (slot < self.voices()).then_some(self.offer.audio.mid.as_str()),
        }
    }

    /// Sends another member's frame in a slot, at once. Returns whether it left; else a counter in the stats says why not.
    ///
    /// A caller without slots has one voice, in the stream of its agent: the agent's utterances come first.
    pub fn forward(&mut self, now: Time, slot: usize, frame: &Forwarded<'_>, out: &mut impl Output) -> bool {
        if self.state != SessionState::Connected || slot >= self.voices() {
            self.counters.forward_not_ready += 1;
            return false;
        }
        let invalid = frame.payload.len() > MAX_PAYLOAD || opus::duration(frame.payload).is_none();
        if invalid {
            self.counters.forward_invalid += 1;
            return false;
        }
        let level = loudness(frame.level);
        if self.slots.is_empty() {
            // Whoever waits for the end of playout waits for the agent's.
            let sent = self.closing.is_none()
                && self.with_playout(now, out, |playout, _, sink| {
                    playout.overlay(now, level, frame.payload, sink)
                });
            if sent {
                self.counters.forwarded += 1;
            } else {
                self.counters.forward_yielded += 1;
            }
            return sent;
        }
        self.forward_in_slot(now, slot, frame, out)
    }

    fn forward_in_slot(&mut self, now: Time, at: usize, frame: &Forwarded<'_>, out: &mut impl Output) -> bool {
        let Some(to) = self.target() else { return false };
        let slot = &mut self.slots[at];
        let Some(place) = slot.place(now, frame) else {
            self.counters.forward_late += 1;
            return false;
        };
        self.counters.slot_switches += u64::from(place.switched);
        if place.switched {
            slot.history.forget();
        }
        // What comes late is no redundancy's business: it goes to its own place alone.
        let carried = place.newest.map_or(0, |_| slot.carried());
        let mut blocks = Blocks::default();
        let count = slot
            .history
            .blocks_beside(place.timestamp, carried, frame.payload.len(), &mut blocks);
        let line = &slot.line;
        let header = HeaderWriter {
            marker: place.marker,
            payload_type: line.red.filter(|_| count > 0).unwrap_or(line.payload_type),
            sequence: place.sequence,
            timestamp: place.timestamp,
            ssrc: slot.ssrc,
            mid: line.mid_extension.map(|id| (id, line.mid.as_bytes())),
            level: None,
        };
        let content = Content {
            payload_type: line.payload_type,
            redundant: &blocks[..count],
            payload: (frame.payload, &[]),
        };
        let kept = (&mut slot.cache, place.newest);
        if !self.egress.other(now, to, (&header, &content), kept, out) {
            self.counters.forward_late += 1;
            return false;
        }
        if place.newest.is_some() {
            slot.redundancy.sent();
        }
        if carried > 0 {
            slot.history.push(place.timestamp, (frame.payload, &[]));
        }
        slot.packets += 1;
        slot.octets += frame.payload.len() as u64;
        // Other members' voices come back as echo, too.
        let level = loudness(frame.level);
        if let Some(detector) = self.detector.as_mut().filter(|_| level > 0) {
            detector.played(now, frame.duration, level);
        }
        self.counters.forwarded += 1;
        true
    }

    /// The caller misses packets of a slot: they go again as they were, if they are still there.
    pub(super) fn answer_slot(&mut self, now: Time, media_ssrc: u32, lost: NackList<'_>, out: &mut impl Output) {
        let Some(to) = self.target() else { return };
        let round_trip = self.reporter.remote.round_trip;
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.ssrc == media_ssrc) else {
            return;
        };
        for low in lost {
            self.counters.nacked += 1;
            slot.redundancy.missed(slot.sequence_of(low));
            let kept = (slot.sequence_of(low), &mut slot.cache);
            self.egress
                .resend_other(now, to, (kept.1, kept.0), round_trip, &mut self.counters, out);
        }
    }

    /// A sender report for each slot that was used.
    pub(super) fn report_slots(&mut self, now: Time, out: &mut impl Output) {
        let Some(to) = self.target() else { return };
        self.slots.iter_mut().for_each(|slot| slot.rest(now));
        let used = |slot: &&Slot| slot.packets > 0;
        let Some(first) = self.slots.iter().find(used) else {
            return;
        };
        let mut buffer = [0; MAX_RTCP + MAX_OVERHEAD];
        let mut writer = Writer::new(&mut buffer[..MAX_RTCP]);
        for slot in self.slots.iter().filter(used) {
            #[expect(clippy::cast_possible_truncation, reason = "RFC 3550 6.4.1: the counts wrap")]
            let info = SenderInfo {
                ntp: ntp(now),
                rtp_timestamp: slot.timestamp_at(now),
                packets: slot.packets as u32,
                octets: slot.octets as u32,
            };
            writer.sender_report(slot.ssrc, &info, &[]);
        }
        // RFC 3550 6.1: a compound has a CNAME. All slots have the same, and 256 bytes hold eight reports and one chunk.
        let length = writer.sdes(first.ssrc, &self.cname).length();
        self.egress.rtcp(to, &mut buffer, length, &mut self.counters, out);
    }
}

/// RFC 6464's level, 0 where it is unknown, as playout has it.
fn loudness(level: u16) -> u8 {
    if level & 0x100 == 0 { 0 } else { (level & 0x7f) as u8 }
}
