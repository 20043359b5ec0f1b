//! How many earlier frames each packet carries, or goes along with: as few as leave fewer than one frame in 400 missing when it is to be
//! played.
//!
//! A frame is missing when its packet, and those that carry it again, are lost, and the answer to the caller's NACK is lost too or
//! comes too late. What is lost is known from NACKs, receiver reports and the device's own reports; how often a loss follows a loss
//! is known from NACKs. The level goes up at once and comes down one step at a time.
//!
//! A caller without RED, whose NACKs do not come or come too late, is sent packets again unasked. What it reports then was lost in spite of that, from
//! which the loss is reckoned; a level that was left too soon is kept twice as long the next time.

use std::time::Duration;

use super::history::MAX_DISTANCE;

/// However long bursts are, some packets pass.
const MOST_FOLLOWS: f32 = 0.9;
/// Share of frames that may be missing.
const TARGET: f32 = 0.0025;
/// A device's jitter buffer, as it is on a good path.
const JITTER_BUFFER: Duration = Duration::from_millis(60);
/// A loss is noticed when the next packet comes.
const NOTICED: Duration = Duration::from_millis(20);
/// A round trip is no exact thing.
const MARGIN: Duration = Duration::from_millis(5);
/// Packets that losses are counted over: to go up, and to come down.
const FAST: u16 = 64;
const SLOW: u16 = 512;
/// A smaller count tells nothing, and ever smaller numbers take a processor ever longer.
const LEAST: f32 = 1e-6;
/// Packets for which a lower level must do before it is taken.
const CALM: u16 = 500;
/// Coming down, losses are taken for this much more than they are.
const CAUTION: f32 = 1.25;
/// A report of fewer packets tells little.
const FEW: u32 = 25;
/// NACKs that were never asked for this many packets are not to be counted on.
const NACKS_KNOWN: u16 = 3_000;
/// Packets over which what is lost in spite of repeats tells the loss, unless so many were lost before.
const RESIDUE: f32 = 250.0;
const MANY: f32 = 3.0;
/// A level that was left fewer packets ago was left too soon.
const TOO_SOON: u32 = 1_500;
const MOST_PATIENCE: u16 = 8;

/// A share of the last `OVER` packets or so, forgetting the older.
#[derive(Clone, Copy, Debug)]
struct Share<const OVER: u16> {
    count: f32,
}

impl<const OVER: u16> Share<OVER> {
    const fn new() -> Self {
        Self { count: 0.0 }
    }

    #[inline]
    fn sent(&mut self) {
        self.count = if self.count > LEAST {
            self.count - self.count / f32::from(OVER)
        } else {
            0.0
        };
    }

    fn value(&self) -> f32 {
        (self.count / f32::from(OVER)).min(1.0)
    }
}

#[derive(Debug)]
pub(crate) struct Redundancy {
    level: u8,
    fast: Share<FAST>,
    slow: Share<SLOW>,
    /// Losses right behind another.
    follows: Share<SLOW>,
    /// The last sequence number that a NACK named, and which of the 64 before it were named too.
    newest: u64,
    named: u64,
    /// Packets since the last NACK.
    since_nack: u16,
    reported: f32,
    sent_since_report: u32,
    /// What the device had counted when that was looked at last: received and lost.
    counted: Option<(u32, u32)>,
    round_trip: Option<Duration>,
    jitter: Duration,
    /// Packets for which a lower level would have done.
    calm: u16,
    /// Whether earlier packets go again unasked, instead of being carried.
    repeats: bool,
    /// What reports told since the loss was last reckoned from them: packets, and those lost in spite of repeats.
    residue: (f32, f32),
    /// Packets since the level last came down, and how many times as long it is kept now.
    since_down: u32,
    patience: u16,
}

impl Redundancy {
    /// `red`: whether packets can carry earlier frames.
    pub(crate) const fn new(red: bool) -> Self {
        Self {
            level: 0,
            fast: Share::new(),
            slow: Share::new(),
            follows: Share::new(),
            newest: 0,
            named: 0,
            since_nack: NACKS_KNOWN,
            reported: 0.0,
            sent_since_report: 0,
            counted: None,
            round_trip: None,
            jitter: Duration::ZERO,
            calm: 0,
            repeats: !red,
            residue: (0.0, 0.0),
            since_down: TOO_SOON,
            patience: 1,
        }
    }

    /// Earlier frames that each packet carries.
    pub(crate) fn carried(&self) -> usize {
        if self.repeats { 0 } else { self.level() }
    }

    /// Earlier packets that go again with each.
    pub(crate) fn repeats(&self) -> u64 {
        if self.level > 0 && self.unasked() {
            self.level.into()
        } else {
            0
        }
    }

    fn unasked(&self) -> bool {
        self.repeats && !self.nacks_are_answered_in_time()
    }

    /// Earlier frames that each packet carries, or goes along with.
    pub(crate) fn level(&self) -> usize {
        usize::from(self.level)
    }

    /// Share of packets that the caller misses before repair, as well as is known.
    pub(crate) fn loss(&self) -> f32 {
        self.slow.value().max(self.reported)
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        u64::from(self.since_down) ^ u64::from(self.level)
    }

    /// A packet left.
    pub(crate) fn sent(&mut self) {
        self.fast.sent();
        self.slow.sent();
        self.follows.sent();
        self.since_nack = self.since_nack.saturating_add(1);
        self.sent_since_report = self.sent_since_report.saturating_add(1);
        self.since_down = self.since_down.saturating_add(1);
        if self.level > 0 {
            self.come_down();
        }
    }

    /// The caller's NACK names a packet. Returns whether it does for the first time.
    pub(crate) fn missed(&mut self, sequence: u64) -> bool {
        self.since_nack = 0;
        if !self.name(sequence) {
            return false;
        }
        self.fast.count += 1.0;
        self.slow.count += 1.0;
        let neighbours = u8::from(self.is_named(sequence.wrapping_sub(1))) + u8::from(self.is_named(sequence + 1));
        self.follows.count += f32::from(neighbours);
        self.go_up();
        true
    }

    fn name(&mut self, sequence: u64) -> bool {
        if self.is_named(sequence) {
            return false;
        }
        if sequence > self.newest {
            let ahead = sequence - self.newest;
            self.named = if ahead < 64 { self.named << ahead } else { 0 };
            self.newest = sequence;
        }
        let back = self.newest - sequence;
        self.named |= 1_u64.checked_shl(u32::try_from(back).unwrap_or(64)).unwrap_or(0);
        back < 64
    }

    fn is_named(&self, sequence: u64) -> bool {
        match self.newest.checked_sub(sequence) {
            Some(back @ 0..64) => self.named >> back & 1 == 1,
            _ => false,
        }
    }

    /// A receiver report tells the share that was lost since the last.
    pub(crate) fn reported(&mut self, loss: f32) {
        if self.sent_since_report >= FEW {
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
            self.tell(loss, self.sent_since_report as f32);
            self.sent_since_report = 0;
        }
    }

    /// The device tells how many packets came and did not, since the call began.
    pub(crate) fn counted(&mut self, received: u32, lost: u32) {
        let (received_before, lost_before) = *self.counted.get_or_insert((received, lost));
        let came = received.wrapping_sub(received_before);
        // A packet that comes late is lost no more.
        let missed = lost.saturating_sub(lost_before);
        if came.saturating_add(missed) >= FEW {
            self.counted = Some((received, lost));
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
            let packets = came.saturating_add(missed) as f32;
            self.tell(missed as f32 / packets, packets);
        }
    }

    /// A share of so many packets did not come.
    fn tell(&mut self, loss: f32, packets: f32) {
        let Some(loss) = self.before_repeats(loss, packets) else {
            return;
        };
        self.reported = loss.max(self.reported * 0.75);
        if self.reported < 0.001 {
            self.reported = 0.0;
        }
        self.go_up();
    }

    /// Where packets go several times, one is missed when all of them are lost: `loss` to the power of how often they go.
    fn before_repeats(&mut self, loss: f32, packets: f32) -> Option<f32> {
        if !self.unasked() || self.level == 0 {
            self.residue = (0.0, 0.0);
            return Some(loss);
        }
        self.residue.0 += packets;
        self.residue.1 += loss * packets;
        let (packets, lost) = self.residue;
        (packets >= RESIDUE || lost >= MANY).then(|| {
            self.residue = (0.0, 0.0);
            (lost / packets).powf(1.0 / f32::from(self.level + 1))
        })
    }

    /// The way to the caller, as its receiver reports tell it.
    pub(crate) fn path(&mut self, round_trip: Duration, jitter: Duration) {
        self.round_trip = Some(round_trip);
        self.jitter = jitter;
    }

    /// Whether what a NACK asks for comes before it is to be played.
    fn nacks_are_answered_in_time(&self) -> bool {
        let asked = self.since_nack < NACKS_KNOWN;
        let way = self
            .round_trip
            .map(|round_trip| round_trip + self.jitter + NOTICED + MARGIN);
        asked && way.is_some_and(|way| way <= JITTER_BUFFER)
    }

    /// The lowest level that does at this loss.
    fn needed(&self, loss: f32) -> u8 {
        let losses = self.slow.count.max(4.0);
        // A loss behind another is no less likely than any.
        let follows = (self.follows.count / losses).max(loss).min(MOST_FOLLOWS);
        let mut missing = if self.nacks_are_answered_in_time() {
            loss * loss
        } else {
            loss
        };
        let mut level = 0;
        while missing > TARGET && usize::from(level) < MAX_DISTANCE {
            missing *= follows;
            level += 1;
        }
        level
    }

    fn go_up(&mut self) {
        let needed = self.needed(self.fast.value().max(self.reported));
        if needed > self.level {
            let too_soon = self.repeats && self.since_down < TOO_SOON;
            self.patience = if too_soon {
                (self.patience * 2).min(MOST_PATIENCE)
            } else {
                1
            };
            self.level = needed;
            self.calm = 0;
        }
    }

    fn come_down(&mut self) {
        if self.needed(self.loss().max(self.fast.value()) * CAUTION) >= self.level {
            self.calm = 0;
            return;
        }
        self.calm += 1;
        if self.calm == CALM * self.patience {
            self.level -= 1;
            self.calm = 0;
            self.since_down = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(20);
    const FAR: Duration = Duration::from_millis(100);

    /// Sends packets of which a NACK names every `each`-th, `run` in a row.
    fn lose(redundancy: &mut Redundancy, from: u64, packets: u64, each: u64, run: u64) -> Vec<usize> {
        let mut levels = Vec::new();
        for sequence in from..from + packets {
            redundancy.sent();
            if each > 0 && sequence % each < run {
                redundancy.missed(sequence);
            }
            levels.push(redundancy.level());
        }
        levels
    }

    fn settled(round_trip: Duration, each: u64, run: u64) -> usize {
        let mut redundancy = Redundancy::new(true);
        redundancy.path(round_trip, Duration::ZERO);
        lose(&mut redundancy, 1_000, 2_000, each, run);
        redundancy.level()
    }

    #[test]
    fn without_loss_nothing_is_repeated() {
        assert_eq!(settled(NEAR, 0, 0), 0);
        let mut redundancy = Redundancy::new(true);
        for _ in 0..100 {
            lose(&mut redundancy, 0, 50, 0, 0);
            redundancy.reported(0.0);
        }
        assert_eq!(redundancy.level(), 0);
    }

    #[test]
    fn more_loss_takes_more() {
        assert_eq!([100, 33, 11, 6].map(|each| settled(FAR, each, 1)), [1, 1, 2, 3]);
    }

    #[test]
    fn where_nacks_are_answered_in_time_less_does() {
        assert_eq!([100, 33, 11, 6].map(|each| settled(NEAR, each, 1)), [0, 0, 1, 2]);
    }

    #[test]
    fn bursts_take_more_than_single_losses() {
        assert!(settled(FAR, 60, 3) > settled(FAR, 20, 1));
    }

    #[test]
    fn loss_that_only_receiver_reports_tell_counts_too() {
        let mut redundancy = Redundancy::new(true);
        lose(&mut redundancy, 0, 50, 0, 0);
        redundancy.reported(0.1);
        assert_eq!(redundancy.level(), 2);
        let mut redundancy = Redundancy::new(true);
        redundancy.counted(1_000, 50);
        assert_eq!(redundancy.level(), 0);
        redundancy.counted(1_012, 50);
        redundancy.counted(1_048, 52);
        assert_eq!(redundancy.level(), 1);
    }

    #[test]
    fn a_report_of_a_pause_says_nothing() {
        let mut redundancy = Redundancy::new(true);
        lose(&mut redundancy, 0, 50, 0, 0);
        redundancy.reported(0.1);
        lose(&mut redundancy, 0, 3, 0, 0);
        redundancy.reported(0.0);
        assert!(redundancy.loss() > 0.09);
    }

    #[test]
    fn it_goes_up_within_a_second_and_comes_down_step_by_step() {
        let mut redundancy = Redundancy::new(true);
        redundancy.path(FAR, Duration::ZERO);
        let up = lose(&mut redundancy, 1_000, 50, 8, 1);
        assert_eq!(up.last(), Some(&2));
        let down = lose(&mut redundancy, 1_050, 10_000, 0, 0);
        assert_eq!(down.last(), Some(&0));
        assert!(down.windows(2).all(|pair| pair[1] == pair[0] || pair[1] + 1 == pair[0]));
        let stays = |level: usize| down.iter().filter(|known| **known == level).count();
        assert!(
            stays(2) + 1 >= CALM.into() && stays(1) >= CALM.into(),
            "{} {}",
            stays(2),
            stays(1)
        );
    }

    #[test]
    fn at_one_loss_the_level_does_not_swing() {
        for each in [5, 10, 20, 50, 100] {
            let mut redundancy = Redundancy::new(true);
            redundancy.path(FAR, Duration::ZERO);
            let levels = lose(&mut redundancy, 1_000, 20_000, each, 1);
            let changes = levels[1_000..].windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(changes, 0, "one in {each}");
        }
    }

    #[test]
    fn where_all_is_lost_it_is_the_highest() {
        assert_eq!(settled(FAR, 1, 1), MAX_DISTANCE);
        let mut redundancy = Redundancy::new(true);
        lose(&mut redundancy, 0, 50, 0, 0);
        redundancy.reported(1.0);
        assert_eq!(redundancy.level(), MAX_DISTANCE);
    }

    #[test]
    fn a_packet_that_is_named_twice_is_one_loss() {
        let mut redundancy = Redundancy::new(true);
        assert!(redundancy.missed(500));
        assert!(!redundancy.missed(500));
        assert!(redundancy.missed(498) && redundancy.missed(499) && redundancy.missed(600));
        assert!(!redundancy.missed(600));
        assert!(!redundancy.missed(500), "too long ago to tell");
    }

    /// Sends packets to a caller that only reports, each 250, what is lost of them in spite of repeats. Returns the levels.
    fn report(redundancy: &mut Redundancy, reports: usize, loss: f32) -> Vec<usize> {
        let mut levels = Vec::new();
        for _ in 0..reports {
            let level = redundancy.level();
            (0..250).for_each(|_| redundancy.sent());
            redundancy.reported(loss.powi(i32::try_from(level).expect("a few") + 1));
            levels.push(redundancy.level());
        }
        levels
    }

    #[test]
    fn a_loss_that_repeats_hide_keeps_its_level() {
        let mut redundancy = Redundancy::new(false);
        let levels = report(&mut redundancy, 200, 0.05);
        assert_eq!(redundancy.repeats(), 2);
        assert!(levels[1..].iter().all(|level| *level == 2), "{levels:?}");
    }

    #[test]
    fn repeats_end_with_the_loss_and_stay_longer_where_it_comes_back() {
        let mut redundancy = Redundancy::new(false);
        let mut kept = Vec::new();
        for _ in 0..3 {
            report(&mut redundancy, 4, 0.01);
            let levels = report(&mut redundancy, 100, 0.0);
            let level = levels[0];
            kept.push(levels.iter().take_while(|known| **known == level).count());
            assert_eq!(levels.last(), Some(&0), "{levels:?}");
            // A loss as soon as it went.
            redundancy.since_down = 0;
        }
        assert!(kept[0] < kept[1] && kept[1] < kept[2], "{kept:?}");
    }

    #[test]
    fn a_caller_that_asks_in_time_is_sent_nothing_unasked() {
        let mut redundancy = Redundancy::new(false);
        redundancy.path(NEAR, Duration::ZERO);
        report(&mut redundancy, 1, 0.1);
        assert!(redundancy.repeats() > 0);
        redundancy.missed(3);
        assert_eq!(redundancy.repeats(), 0);
        redundancy.path(FAR, Duration::ZERO);
        assert!(redundancy.repeats() > 0);
        let mut red = Redundancy::new(true);
        report(&mut red, 1, 0.1);
        assert_eq!((red.repeats(), red.level()), (0, 2));
    }
}
