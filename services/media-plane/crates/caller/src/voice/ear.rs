//! What a caller makes of what it hears: when the agent begins and stops to speak, how soon it answered, how soon it gave
//! way, how long a frame was on its way, and which packets are missing. Pure.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use antiphon_engine::opus::SILENCE;

use super::mouth::FRAME;
use crate::clock::{NEVER, Nanos};

/// Without voice for so long, the agent is silent.
const PAUSE: Nanos = 200_000_000;
/// An agent that goes on for so long was not interrupted.
const PATIENCE: Nanos = 3_000_000_000;
/// A frame that is not back by then is lost.
const LOST: Nanos = 5_000_000_000;

/// What was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// The first voice at all.
    First,
    /// The agent began to speak.
    Speaks,
    /// It stopped.
    FellSilent,
    /// It answers what was said: so long after the caller's last frame.
    Answered(Nanos),
    /// It gave way to the caller, so long after the caller's first frame.
    GaveWay(Nanos),
    /// It did not.
    WentOn,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    mark: u64,
    at: Nanos,
}

/// A caller's ear.
#[derive(Debug)]
pub(crate) struct Ear {
    /// Whether the agent sends back what it hears, as it is.
    echoes: bool,
    said: VecDeque<Said>,
    heard_any: bool,
    /// When the agent's last frame of voice came, while it speaks.
    voice: Option<Nanos>,
    /// When the caller stopped; none while it speaks, and once that is answered.
    stopped: Option<Nanos>,
    /// When the caller began to speak over the agent.
    interrupted: Option<Nanos>,
    first_sequence: Option<u64>,
    last_sequence: u64,
    received: u64,
    expected_told: u64,
    received_told: u64,
}

impl Ear {
    pub(crate) fn new(echoes: bool) -> Self {
        Self {
            echoes,
            said: VecDeque::new(),
            heard_any: false,
            voice: None,
            stopped: None,
            interrupted: None,
            first_sequence: None,
            last_sequence: 0,
            received: 0,
            expected_told: 0,
            received_told: 0,
        }
    }

    /// The caller began to say something.
    pub(crate) fn begin(&mut self, now: Nanos) {
        self.stopped = None;
        self.interrupted = self.voice.filter(|_| !self.echoes).map(|_| now);
    }

    /// The caller said it: its last frame was sent at `now`.
    pub(crate) fn end(&mut self, now: Nanos) {
        self.stopped = (!self.echoes).then_some(now + FRAME);
    }

    /// A frame of voice was sent.
    pub(crate) fn said(&mut self, payload: &[u8], at: Nanos) {
        if self.echoes {
            let mark = mark(payload);
            self.said.push_back(Said { mark, at });
        }
    }

    /// A packet came. Returns how long ago the caller had sent it, if it is an echo.
    pub(crate) fn hear(
        &mut self,
        sequence: u64,
        payload: &[u8],
        arrival: Nanos,
        notice: &mut impl FnMut(Noticed),
    ) -> Option<Nanos> {
        self.first_sequence.get_or_insert(sequence);
        self.last_sequence = self.last_sequence.max(sequence);
        self.received += 1;
        if payload.len() <= 2 || payload == SILENCE {
            return None;
        }
        if !self.heard_any {
            self.heard_any = true;
            notice(Noticed::First);
        }
        if self.voice.is_none() {
            notice(Noticed::Speaks);
            if let Some(stopped) = self.stopped.take() {
                notice(Noticed::Answered(arrival.saturating_sub(stopped)));
            }
        }
        self.voice = Some(arrival);
        self.echo(payload, arrival)
    }

    fn echo(&mut self, payload: &[u8], arrival: Nanos) -> Option<Nanos> {
        if !self.echoes {
            return None;
        }
        let mark = mark(payload);
        // The same clip may have been said before, and that frame of it lost: it is the newest that comes back.
        let at = self.said.iter().rposition(|said| said.mark == mark)?;
        let said = self.said.remove(at)?;
        Some(arrival.saturating_sub(said.at))
    }

    /// When [`Ear::tick`] has something to say.
    pub(crate) fn deadline(&self) -> Nanos {
        let silent = self.voice.map_or(NEVER, |at| at + PAUSE);
        let patience = self.interrupted.map_or(NEVER, |at| at + PATIENCE);
        silent.min(patience)
    }

    /// Time has come.
    pub(crate) fn tick(&mut self, now: Nanos, notice: &mut impl FnMut(Noticed)) {
        if let Some(at) = self.voice.filter(|at| now >= at + PAUSE) {
            self.voice = None;
            notice(Noticed::FellSilent);
            if let Some(began) = self.interrupted.take() {
                notice(Noticed::GaveWay((at + FRAME).saturating_sub(began)));
            }
        }
        if self.interrupted.is_some_and(|at| now >= at + PATIENCE) {
            self.interrupted = None;
            notice(Noticed::WentOn);
        }
    }

    /// Frames of voice that did not come back, since the last time.
    pub(crate) fn unechoed(&mut self, now: Nanos) -> u64 {
        let lost = self.said.iter().take_while(|said| now >= said.at + LOST).count();
        self.said.drain(..lost);
        lost as u64
    }

    /// Packets that should have come, and that did, since the last time.
    pub(crate) fn missing(&mut self) -> (u64, u64) {
        let expected = self
            .first_sequence
            .map_or(0, |first| self.last_sequence - first.min(self.last_sequence) + 1);
        let since = (expected - self.expected_told, self.received - self.received_told);
        (self.expected_told, self.received_told) = (expected, self.received);
        since
    }
}

fn mark(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: &[u8] = &[0xf8, 1, 2, 3];
    const MS: Nanos = 1_000_000;

    fn heard(ear: &mut Ear, sequence: u64, payload: &[u8], at: Nanos) -> (Option<Nanos>, Vec<Noticed>) {
        let mut noticed = Vec::new();
        let delay = ear.hear(sequence, payload, at, &mut |what| noticed.push(what));
        (delay, noticed)
    }

    fn ticked(ear: &mut Ear, at: Nanos) -> Vec<Noticed> {
        let mut noticed = Vec::new();
        ear.tick(at, &mut |what| noticed.push(what));
        noticed
    }

    #[test]
    fn an_answer_is_timed_from_the_end_of_what_was_said() {
        let mut ear = Ear::new(false);
        ear.begin(0);
        ear.end(980 * MS);
        assert_eq!(
            heard(&mut ear, 1, &SILENCE, 1_200 * MS),
            (None, vec![]),
            "comfort is no voice"
        );
        let (_, noticed) = heard(&mut ear, 2, VOICE, 1_500 * MS);
        assert_eq!(noticed, [Noticed::First, Noticed::Speaks, Noticed::Answered(500 * MS)]);
        assert_eq!(heard(&mut ear, 3, VOICE, 1_520 * MS).1, []);
        assert_eq!(ear.deadline(), 1_720 * MS);
        assert_eq!(ticked(&mut ear, 1_719 * MS), []);
        assert_eq!(ticked(&mut ear, 1_720 * MS), [Noticed::FellSilent]);
    }

    #[test]
    fn who_is_spoken_over_gives_way_or_goes_on() {
        let mut ear = Ear::new(false);
        heard(&mut ear, 1, VOICE, 0);
        ear.begin(100 * MS);
        heard(&mut ear, 2, VOICE, 150 * MS);
        let noticed = ticked(&mut ear, 350 * MS);
        assert_eq!(noticed, [Noticed::FellSilent, Noticed::GaveWay(70 * MS)]);

        heard(&mut ear, 3, VOICE, 1_000 * MS);
        ear.begin(1_100 * MS);
        for frame in 0..200 {
            heard(&mut ear, 4 + frame, VOICE, (1_020 + 20 * frame) * MS);
        }
        assert_eq!(ticked(&mut ear, 4_100 * MS), [Noticed::WentOn]);
    }

    #[test]
    fn an_echo_is_known_by_what_it_says() {
        let mut ear = Ear::new(true);
        ear.said(VOICE, 10 * MS);
        ear.said(&[0xf8, 9, 9], 30 * MS);
        ear.end(30 * MS);
        assert_eq!(
            heard(&mut ear, 1, &[0xf8, 9, 9], 70 * MS).0,
            Some(40 * MS),
            "one passed the other"
        );
        assert_eq!(heard(&mut ear, 2, &[0xf8, 9, 9], 90 * MS).0, None, "a duplicate");
        assert_eq!(ear.unechoed(LOST), 0);
        assert_eq!(ear.unechoed(LOST + 10 * MS), 1);
    }

    #[test]
    fn missing_packets_are_told_once() {
        let mut ear = Ear::new(false);
        for sequence in [7, 8, 11] {
            heard(&mut ear, sequence, &SILENCE, 0);
        }
        assert_eq!(ear.missing(), (5, 3));
        assert_eq!(ear.missing(), (0, 0));
        heard(&mut ear, 12, &SILENCE, 0);
        assert_eq!(ear.missing(), (1, 1));
    }
}
