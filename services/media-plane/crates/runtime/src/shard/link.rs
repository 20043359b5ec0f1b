//! What workers say to a shard's sessions: frames to play, commands, and links coming and going.

use std::time::Duration;

use antiphon_engine::{PlayoutFrame, Time};
use antiphon_link::proto::{IngestReceipts, MediaResponse, PlayoutCommands, PlayoutFrames};

use super::rooms::CHANNEL;
use super::run::Shard;
use crate::slot::Slot;

/// How long an agent's last frames may come behind its wish to hang up.
const STRAGGLERS: Duration = Duration::from_millis(100);

const ENDS: u32 = 1;
const LIVE: u32 = 2;

const HOLD: u32 = 0;
const RESUME: u32 = 1;
const FLUSH: u32 = 2;
const RELEASE: u32 = 3;

impl Shard {
    /// Carries out commands, then takes frames. Returns how many rows were this shard's.
    pub(super) fn take_media(&mut self, link: u32, message: &MediaResponse, now: Time) -> usize {
        if let Some(columns) = &message.receipts {
            self.take_receipts(link, columns);
        }
        let commands = message
            .commands
            .as_ref()
            .map_or(0, |columns| self.take_commands(link, columns, now));
        commands
            + message
                .frames
                .as_ref()
                .map_or(0, |columns| self.take_frames(link, columns, now))
    }

    fn take_commands(&mut self, link: u32, columns: &PlayoutCommands, now: Time) -> usize {
        let mut mine = 0;
        for (row, session) in columns.session.iter().enumerate() {
            let slot = Slot(*session);
            if slot.shard() != self.index {
                continue;
            }
            mine += 1;
            if !self.is_served_by(slot, link) {
                self.mouth.counters.drop_playout_no_session.add(1);
                continue;
            }
            let generation = columns.generation[row];
            self.drive(slot, now, |session, voice| match columns.command[row] {
                HOLD => session.hold(now, voice),
                RESUME => session.resume(now, voice),
                FLUSH => session.flush(now, generation, voice),
                RELEASE => session.release(now, voice),
                _ => {} // of a later version of the protocol
            });
        }
        mine
    }

    fn take_frames(&mut self, link: u32, columns: &PlayoutFrames, now: Time) -> usize {
        let mut mine = 0;
        let mut refused = 0;
        let mut rest = &columns.payload[..];
        for (row, session) in columns.session.iter().enumerate() {
            let (payload, behind) = rest.split_at(columns.size[row] as usize);
            rest = behind;
            let slot = Slot(*session);
            if slot.shard() != self.index {
                continue;
            }
            if let Some(next) = columns.session.get(row + 1) {
                self.warm(Slot(*next));
            }
            mine += 1;
            if !self.is_served_by(slot, link) {
                self.mouth.counters.drop_playout_no_session.add(1);
                continue;
            }
            let frame = PlayoutFrame {
                utterance: columns.utterance[row],
                generation: columns.generation[row],
                duration: columns.duration[row],
                last: columns.flags[row] & ENDS != 0,
                live: columns.flags[row] & LIVE != 0,
                level: columns
                    .level
                    .get(row)
                    .map_or(0, |level| u8::try_from(*level).unwrap_or(0)),
                payload,
            };
            if self.drive(slot, now, |session, voice| session.play(now, frame, voice)) == Some(false) {
                refused += 1;
            }
        }
        self.mouth.counters.playout_frames.add(mine as u64);
        self.mouth.counters.drop_playout_refused.add(refused);
        mine
    }

    fn take_receipts(&mut self, link: u32, columns: &IngestReceipts) {
        for (session, timestamp) in columns.session.iter().zip(&columns.timestamp) {
            let slot = Slot(*session);
            if slot.shard() != self.index || !self.is_served_by(slot, link) {
                continue;
            }
            if let Some(seat) = self.seats[slot.index()].as_deref_mut() {
                seat.kept.done(*timestamp, &mut self.mouth.chunks);
            }
        }
    }

    /// A worker speaks to its own sessions only.
    pub(super) fn is_served_by(&mut self, slot: Slot, link: u32) -> bool {
        self.seat(slot).is_some_and(|seat| seat.tenant.link == link)
    }

    /// The agent hangs up once all is played. Its last frames come on another connection than this message, perhaps later.
    pub(super) fn hang_up_soon(&mut self, slot: Slot, now: Time) {
        self.farewells.push_back((now + STRAGGLERS, slot));
    }

    pub(super) fn say_farewells(&mut self, now: Time) {
        while let Some((due, slot)) = self.farewells.front().copied()
            && due <= now
        {
            self.farewells.pop_front();
            self.drive(slot, now, |session, voice| session.close(now, "hangup", true, voice));
        }
    }

    /// Asks a caller to come to another edge, where no worker is there to ask it. One without Antiphon's data channel stays.
    pub(super) fn ask_to_move(&mut self, slot: Slot, now: Time) {
        let asked = br#"{"sessionMove":{"reason":"drain"}}"#;
        let send = |session: &mut antiphon_engine::Session, voice: &mut super::voice::Voice<'_>| {
            session.send_data(now, CHANNEL, false, asked, voice)
        };
        if self.drive(slot, now, send) != Some(true) {
            self.mouth.counters.drop_data_to_caller.add(1);
        }
    }

    /// Ends a session that neither its caller nor its agent ended, and tells the caller why; a caller without
    /// Antiphon's data channel sees the transport close.
    pub(super) fn dismiss(&mut self, slot: Slot, reason: &'static str, now: Time) {
        let ended = format!(r#"{{"sessionEnded":{{"reason":"{reason}"}}}}"#);
        self.drive(slot, now, |session, voice| {
            session.send_data(now, CHANNEL, false, ended.as_bytes(), voice);
            session.close(now, reason, false, voice);
        });
    }
}
