//! Handshakes go on behind the live calls' packets: what comes from a caller who is not connected waits here until all else
//! of a turn is done, and then has the shard for a bounded time. A step of DTLS takes as long as a hundred media packets.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_engine::{Remote, Time};
use antiphon_link::monotonic_us;

use super::run::Shard;
use crate::slot::Slot;

/// What handshakes get of a turn. One step may run over: up to a third of a millisecond.
const BUDGET: Duration = Duration::from_micros(500);
/// Datagrams that wait, of all callers.
const MOST_WAITING: usize = 2_048;
/// Of one caller: its largest flight, twice.
pub(super) const MOST_OF_ONE: u8 = 16;
/// Longer than any datagram that is kept for reuse needs to be.
const KEPT_BYTES: usize = 2_048;

/// A datagram of a caller who is not connected yet.
#[derive(Debug)]
pub(super) struct Waiting {
    slot: Slot,
    from: Remote,
    datagram: Vec<u8>,
}

/// Datagrams of handshakes, in the order that they came in.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    waiting: VecDeque<Waiting>,
    spare: Vec<Vec<u8>>,
}

impl Handshakes {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keeps a copy. Returns false when there is no room.
    fn keep(&mut self, slot: Slot, from: Remote, bytes: &[u8]) -> bool {
        if self.waiting.len() >= MOST_WAITING {
            return false;
        }
        let mut datagram = self.spare.pop().unwrap_or_default();
        datagram.clear();
        datagram.extend_from_slice(bytes);
        self.waiting.push_back(Waiting { slot, from, datagram });
        true
    }

    /// Keeps a few buffers; a flood's memory goes back.
    fn take_back(&mut self, datagram: Vec<u8>) {
        if self.spare.len() < usize::from(MOST_OF_ONE) && datagram.capacity() <= KEPT_BYTES {
            self.spare.push(datagram);
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 4 * usize::from(MOST_OF_ONE) {
            self.waiting = VecDeque::new();
        }
    }
}

impl Shard {
    /// Lets a datagram wait if its caller is not connected. Returns whether it was dealt with.
    #[inline]
    pub(super) fn may_wait(&mut self, slot: Slot, from: Remote, datagram: &[u8]) -> bool {
        match self.seat(slot) {
            Some(seat) if !seat.session.is_connected() => {}
            _ => return false,
        }
        self.wait_for_turn(slot, from, datagram);
        true
    }

    fn wait_for_turn(&mut self, slot: Slot, from: Remote, datagram: &[u8]) {
        let Some(seat) = self.seat(slot) else { return };
        let room = seat.waiting < MOST_OF_ONE;
        if room && self.handshakes.keep(slot, from, datagram) {
            if let Some(seat) = self.seat(slot) {
                seat.waiting += 1;
            }
            self.mouth.counters.handshake_datagrams.add(1);
        } else {
            self.mouth.counters.drop_handshake_full.add(1);
        }
    }

    /// Lets handshakes go on for as long as live calls can wait.
    pub(super) fn shake_hands(&mut self) {
        let begin = Time(monotonic_us());
        let mut now = begin;
        while let Some(Waiting {
            slot,
            from,
            mut datagram,
        }) = self.handshakes.waiting.pop_front()
        {
            if let Some(seat) = self.seat(slot) {
                seat.waiting = seat.waiting.saturating_sub(1);
            }
            let heard = self.drive(slot, now, |session, voice| {
                session.receive(now, from, &mut datagram, voice);
            });
            if heard.is_none() {
                self.mouth.counters.drop_no_session.add(1);
            }
            self.handshakes.take_back(datagram);
            now = Time(monotonic_us());
            if now.since(begin) >= BUDGET {
                break;
            }
        }
        let spent = u64::try_from(now.since(begin).as_micros()).unwrap_or(u64::MAX);
        self.mouth.counters.handshake_us.add(spent);
        if !self.handshakes.is_empty() {
            self.mouth.counters.handshake_budget_spent.add(1);
        }
    }
}
