//! When to wait for packets and when to let them gather: a shard that is woken more often than once a millisecond reads
//! once a millisecond from then on, which halves what a packet costs; an idle one answers at once.

use std::time::Duration;

use antiphon_engine::Time;

const WINDOW: Duration = Duration::from_millis(10);
/// More wakes than this in a window: let packets gather.
const MANY_WAKES: u32 = 13;
/// Fewer packets than this in a window: answer at once again.
const FEW_PACKETS: u32 = 8;
/// How long packets gather.
const TICK: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Load {
    start: Time,
    wakes: u32,
    packets: u32,
    busy: bool,
}

impl Load {
    pub(super) fn new(now: Time) -> Self {
        Self {
            start: now,
            wakes: 0,
            packets: 0,
            busy: false,
        }
    }

    /// A wake at `now` found so many packets. Returns when to look again, however much comes until then; None to be
    /// woken by what comes.
    pub(super) fn note(&mut self, now: Time, packets: usize) -> Option<Time> {
        self.wakes += 1;
        self.packets = self.packets.saturating_add(u32::try_from(packets).unwrap_or(u32::MAX));
        if now.since(self.start) >= WINDOW {
            self.busy = if self.busy {
                self.packets >= FEW_PACKETS
            } else {
                self.wakes >= MANY_WAKES
            };
            self.start = now;
            self.wakes = 0;
            self.packets = 0;
        }
        self.busy.then(|| now + TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_turns_waiting_off_and_silence_turns_it_on() {
        let mut load = Load::new(Time(0));
        let mut now = Time(0);
        let mut ticks = 0;
        for _ in 0..200 {
            now = load
                .note(now, 1)
                .inspect(|_| ticks += 1)
                .unwrap_or(now + Duration::from_micros(200));
        }
        assert!(ticks > 100, "reads once a millisecond under load");
        for _ in 0..25 {
            now = load.note(now, 0).unwrap_or(now + Duration::from_millis(1));
        }
        assert_eq!(load.note(now, 0), None, "waits when idle");
    }

    #[test]
    fn a_few_calls_are_answered_at_once() {
        let mut load = Load::new(Time(0));
        let woken_each_ms = (0..1_000).all(|ms| load.note(Time(ms * 1_000), 1).is_none());
        assert!(woken_each_ms);
    }
}
