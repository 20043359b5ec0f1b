//! How long to wait for what: before a missing packet is asked for, before it is asked for again, before it is given up.
//!
//! All follow from the round trip, as RTCP tells it or as answered NACKs do, and from how the network reorders.

use std::time::Duration;

use crate::time::Time;

/// Until a round trip is known.
const FIRST_GUESS: Duration = Duration::from_millis(100);
/// A shorter round trip is not told from a packet that was merely late.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
/// libwebrtc passes over a NACK that comes within its own round trip and 5 ms of its last answer.
const MARGIN: Duration = Duration::from_millis(10);
const MAX_MARGIN: Duration = Duration::from_millis(100);
/// Most asks for one packet.
const MAX_ASKS: u8 = 14;
/// A sender that answered none of so many packets in a row does not know NACK: it is asked once for each, in case it learns.
const UNANSWERED: u8 = 8;
/// Asks that fit before a packet is given up, where the bounds allow: at 10 % loss each way, 8 leave one in 600,000 missing.
const ASKS: u32 = 8;
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// Where nothing but reordering can bring a packet.
const MAX_UNASKED_WAIT: Duration = Duration::from_millis(400);
/// Senders keep packets for 2 (Firefox) or 3 s (Chromium); a repair that comes later than a turn's end helps nobody.
const LONGEST_WAIT: Duration = Duration::from_millis(2_500);
/// What can be reordering is waited for; more is lost.
const MAX_GRACE: Duration = Duration::from_millis(30);
const LEAST_GRACE: Duration = Duration::from_millis(1);

/// What a missing packet that came had been through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) since: Time,
    /// First and last ask, and how many.
    pub(super) asked: Option<(Time, Time)>,
    pub(super) asks: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    may_ask: bool,
    /// Packets in a row that were asked for in vain.
    unanswered: u8,
    round_trip: Option<Duration>,
    /// The shortest that was measured.
    least: Option<Duration>,
    /// Of the handshake: no shorter than the network's, but for what the caller reckons in it.
    guess: Option<Duration>,
    jitter: Duration,
    /// Before a missing packet is asked for: where none come out of order, none.
    grace: Duration,
}

impl Patience {
    pub(super) fn new(may_ask: bool) -> Self {
        Self {
            may_ask,
            unanswered: 0,
            round_trip: None,
            least: None,
            guess: None,
            jitter: Duration::ZERO,
            grace: Duration::ZERO,
        }
    }

    pub(super) fn may_ask(&self) -> bool {
        self.may_ask
    }

    /// RTCP told it.
    pub(super) fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip.clamp(SHORTEST, LONGEST));
        self.measured(round_trip);
    }

    fn measured(&mut self, round_trip: Duration) {
        self.least = Some(self.least.unwrap_or(round_trip).min(round_trip));
    }

    pub(super) fn guess_round_trip(&mut self, round_trip: Duration) {
        self.guess = Some(round_trip.clamp(SHORTEST, LONGEST));
    }

    pub(super) fn set_jitter(&mut self, jitter: Duration) {
        self.jitter = jitter;
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// From one ask to the next: the answer takes a round trip, and jitter may hold it up. Four times the jitter was found best:
    /// with two, half of the asks came too soon for the sender, and what was lost twice came later for it.
    pub(super) fn interval(&self) -> Duration {
        let margin = (4 * self.jitter).clamp(MARGIN, MAX_MARGIN);
        self.round_trip.or(self.guess).unwrap_or(FIRST_GUESS) + margin
    }

    /// From the moment that a packet is missed until it is given up.
    pub(super) fn give_up(&self) -> Duration {
        if self.may_ask && self.is_answered() {
            self.grace + (self.interval() * ASKS).clamp(SHORTEST_WAIT, LONGEST_WAIT)
        } else {
            (2 * self.interval()).min(MAX_UNASKED_WAIT)
        }
    }

    /// Most asks for one packet.
    pub(super) fn max_asks(&self) -> u8 {
        if self.is_answered() { MAX_ASKS } else { 1 }
    }

    fn is_answered(&self) -> bool {
        self.unanswered < UNANSWERED
    }

    /// A missing packet came. Returns whether it is a retransmission; else the network held it back.
    pub(super) fn came(&mut self, now: Time, wait: &Wait) -> bool {
        let Some((first, last)) = wait.asked else {
            self.was_reordered(now.since(wait.since));
            return false;
        };
        let (since_first, since_last) = (now.since(first), now.since(last));
        if self
            .round_trip
            .or(self.guess)
            .is_some_and(|known| since_first < known * 3 / 4)
        {
            self.was_reordered(now.since(wait.since));
            return false;
        }
        if wait.asks == 1 {
            self.measured(since_first);
        }
        if let Some(sample) = self.sample(since_first, since_last, wait.asks) {
            let known = self.round_trip.unwrap_or(sample);
            self.round_trip = Some(((known * 7 + sample) / 8).clamp(SHORTEST, LONGEST));
        }
        self.unanswered = 0;
        self.was_lost();
        true
    }

    /// What an answer tells of the round trip. One to a repeated ask is an answer to either (Karn), unless it comes too soon.
    fn sample(&self, since_first: Duration, since_last: Duration, asks: u8) -> Option<Duration> {
        match (self.round_trip, self.least) {
            _ if asks == 1 => Some(since_first),
            (Some(known), Some(least)) if since_last < least / 2 => Some(since_first.min(known * 2)),
            _ => None,
        }
    }

    fn was_reordered(&mut self, by: Duration) {
        self.grace = (self.grace * 7 / 8).max((by * 5 / 4).min(MAX_GRACE));
    }

    /// A missing packet was given up.
    pub(super) fn gave_up(&mut self, wait: &Wait) {
        if wait.asks > 0 {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        self.was_lost();
    }

    /// A missing packet was lost, not late.
    fn was_lost(&mut self) {
        self.grace = self.grace * 7 / 8;
        if self.grace < LEAST_GRACE {
            self.grace = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn asked(first: u64, last: u64, asks: u8) -> Wait {
        Wait {
            since: Time(first * 1_000),
            asked: Some((Time(first * 1_000), Time(last * 1_000))),
            asks,
        }
    }

    #[test]
    fn the_round_trip_is_learned_from_the_first_answer() {
        let mut patience = Patience::new(true);
        assert_eq!(patience.interval(), ms(110));
        assert!(patience.came(Time(1_300_000), &asked(1_000, 1_000, 1)));
        assert_eq!(patience.round_trip(), Some(ms(300)));
        assert_eq!(patience.interval(), ms(310));
    }

    #[test]
    fn an_answer_to_an_ask_that_was_repeated_too_soon_lengthens_the_round_trip() {
        let mut patience = Patience::new(true);
        patience.set_round_trip(ms(20));
        for _ in 0..40 {
            patience.came(Time(1_200_000), &asked(1_000, 1_195, 5));
        }
        assert!(patience.round_trip() > Some(ms(150)), "{patience:?}");
    }

    #[test]
    fn answers_that_took_several_asks_do_not_lengthen_the_round_trip() {
        let mut patience = Patience::new(true);
        patience.set_round_trip(ms(20));
        for _ in 0..40 {
            patience.came(Time(1_225_000), &asked(1_000, 1_200, 5));
            patience.came(Time(1_030_000), &asked(1_000, 1_000, 1));
        }
        assert!(patience.round_trip() <= Some(ms(30)), "{patience:?}");
    }

    #[test]
    fn what_comes_sooner_than_an_answer_could_is_reordered_and_teaches_to_wait() {
        let mut patience = Patience::new(true);
        patience.set_round_trip(ms(100));
        assert!(!patience.came(Time(1_008_000), &asked(1_000, 1_000, 1)));
        assert_eq!(patience.grace(), ms(10));
        (0..40).for_each(|_| patience.was_lost());
        assert_eq!(patience.grace(), Duration::ZERO);
    }

    #[test]
    fn giving_up_follows_the_round_trip_within_bounds() {
        let mut patience = Patience::new(true);
        let mut at = |round_trip| {
            patience.set_round_trip(ms(round_trip));
            patience.give_up()
        };
        assert_eq!(
            [at(20), at(80), at(300), at(900)],
            [ms(500), ms(720), ms(2_480), ms(2_500)]
        );
        assert_eq!(Patience::new(false).give_up(), ms(220));
    }

    #[test]
    fn a_sender_that_never_answers_is_asked_once_for_each_packet_until_it_does() {
        let mut patience = Patience::new(true);
        (0..8).for_each(|_| patience.gave_up(&asked(1_000, 2_000, 14)));
        assert_eq!((patience.max_asks(), patience.give_up()), (1, ms(220)));
        assert!(patience.came(Time(1_100_000), &asked(1_000, 1_000, 1)));
        assert_eq!(patience.max_asks(), 14);
    }
}
