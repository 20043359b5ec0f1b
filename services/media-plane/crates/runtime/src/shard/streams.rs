//! What comes over callers' TCP connections: frames are cut out of each stream and go where their session is. A connection
//! whose session lives on another shard moves there with its first valid check, so that no packet after it is handed over.

use antiphon_engine::{Remote, Time};

use super::connections::{Input, Moving, Stage};
use super::listening::Listening;
use super::run::Shard;
use crate::mailbox::Mail;
use crate::steering::Owner;

/// Bytes read of a connection before others get their turn.
pub(super) const READ: usize = 4 << 10;

/// What becomes of a connection after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    /// To the shard of its session.
    Move(Owner),
    Close,
}

impl Shard {
    /// Does what connections are ready for. Returns how many datagrams came.
    pub(super) fn serve_connections(&mut self, now: Time) -> usize {
        let mut ready = std::mem::take(&mut self.ready);
        self.mouth.ways.connections.ready(&mut ready);
        let mut frames = 0;
        for event in ready.drain(..) {
            let (counters, connections) = (&self.mouth.counters, &mut self.mouth.ways.connections);
            if let Some(listener) = Listening::listener_of(event) {
                connections.welcome(listener, now, counters);
                continue;
            }
            if event.writable {
                connections.write(event.token);
            }
            if event.readable {
                frames += self.read_connection(event.token, now);
            }
        }
        self.ready = ready;
        frames
    }

    fn read_connection(&mut self, serial: u64, now: Time) -> usize {
        let mut buffer = [0; READ];
        match self.mouth.ways.connections.read(serial, &mut buffer, now) {
            Input::Bytes(count) => self.take_bytes(serial, &mut buffer[..count], now),
            Input::Nothing => 0,
            Input::Over => {
                self.mouth.ways.connections.close(serial);
                0
            }
        }
    }

    /// Takes bytes of a stream. Returns how many frames were in them.
    fn take_bytes(&mut self, serial: u64, bytes: &mut [u8], now: Time) -> usize {
        let mut frames = 0;
        let mut next = Next::GoOn;
        let mut first_of_all = Vec::new();
        let mut deframer = self.mouth.ways.connections.lend_deframer(serial);
        let cut = deframer.push(bytes, |frame| {
            frames += 1;
            next = self.take_frame(serial, frame, now);
            if let Next::Move(_) = next {
                first_of_all.extend_from_slice(&(frame.len() as u16).to_be_bytes());
                first_of_all.extend_from_slice(frame);
            }
            next == Next::GoOn
        });
        self.mouth.counters.tcp_frames_in.add(frames as u64);
        if cut.is_err() {
            self.mouth.counters.drop_tcp_malformed.add(1);
            next = Next::Close;
        }
        match next {
            Next::GoOn => self.mouth.ways.connections.return_deframer(serial, deframer),
            Next::Close => self.mouth.ways.connections.close(serial),
            Next::Move(owner) => {
                first_of_all.extend(deframer.into_rest());
                self.move_out(serial, owner, first_of_all);
            }
        }
        frames
    }

    fn take_frame(&mut self, serial: u64, frame: &mut [u8], now: Time) -> Next {
        let Some((stage, remote)) = self.mouth.ways.connections.stage(serial) else {
            return Next::Close; // its session ended with the frame before
        };
        match stage {
            Stage::Proven(owner) => {
                self.take_proven(owner, remote, frame, now);
                Next::GoOn
            }
            Stage::Unproven => match self.owner_of(remote, frame, now) {
                None => Next::Close,
                Some(Owner::Here(slot)) if slot.shard() != self.index => Next::Move(Owner::Here(slot)),
                Some(owner) => {
                    let media_goes_to = self.media_goes_to(owner);
                    let (counters, ways) = (&self.mouth.counters, &mut self.mouth.ways);
                    ways.connections.prove(serial, owner, media_goes_to, counters);
                    self.take_proven(owner, remote, frame, now);
                    Next::GoOn
                }
            },
        }
    }

    fn take_proven(&mut self, owner: Owner, remote: Remote, frame: &mut [u8], now: Time) {
        match owner {
            Owner::Here(slot) => self.deliver(slot, now, remote, frame),
            Owner::Elsewhere(edge, slot) => {
                let (counters, ways) = (&self.mouth.counters, &mut self.mouth.ways);
                ways.relay.inward(edge, slot, remote, frame, counters);
            }
        }
    }

    fn media_goes_to(&mut self, owner: Owner) -> Option<Remote> {
        match owner {
            Owner::Here(slot) => self.seat(slot).and_then(|seat| seat.session.remote()),
            Owner::Elsewhere(..) => None,
        }
    }

    fn move_out(&mut self, serial: u64, owner: Owner, unread: Vec<u8>) {
        let Owner::Here(slot) = owner else { return };
        let moving = self.mouth.ways.connections.take_out(serial, owner, unread);
        let home = self.surroundings.mailboxes.get(slot.shard());
        let (Some(moving), Some(home)) = (moving, home) else {
            self.mouth.counters.drop_no_session.add(1);
            return;
        };
        if home.post(Mail::Adopt(Box::new(moving))).is_err() {
            self.mouth.counters.drop_ring_full.add(1); // and the caller connects again
        } else {
            self.mouth.counters.tcp_moved.add(1);
        }
    }

    /// Takes in a connection of a session that lives here. Returns how many datagrams it had brought.
    pub(super) fn adopt(&mut self, mut moving: Moving, now: Time) -> usize {
        let Owner::Here(slot) = moving.owner else { return 0 };
        if self.seat(slot).is_none() {
            self.mouth.counters.drop_no_session.add(1);
            return 0; // and it is closed
        }
        let mut unread = std::mem::take(&mut moving.unread);
        let media_goes_to = self.media_goes_to(moving.owner);
        let (counters, ways) = (&self.mouth.counters, &mut self.mouth.ways);
        let serial = ways.connections.adopt(moving, media_goes_to, now, counters);
        self.take_bytes(serial, &mut unread, now)
    }
}
