//! What becomes of a session's playout when its worker is lost, and where another worker's begins. Who that is, is the runtime's
//! business.

use super::Session;
use super::holds::Holds;
use crate::output::Output;
use crate::time::Time;

impl Session {
    /// Its worker is lost. What is queued plays to its end: a caller would rather hear a sentence out. What is held, since the
    /// caller spoke, is dropped: nobody is left who would go on with it or stop it.
    pub fn lose_worker(&mut self, now: Time, out: &mut impl Output) {
        let held = self.holds != Holds::Nobody;
        if held {
            self.flush(now, self.playout.reached().1 + 1, out);
        }
        self.with_playout(now, out, |playout, counters, sink| playout.end_all(now, counters, sink));
        self.set_policy(now, false, out);
    }

    /// The last utterance of the workers so far, and the generation that the next one begins with.
    #[must_use]
    pub fn reached(&self) -> (u32, u32) {
        self.playout.reached()
    }

    /// Whether it ends once all is played.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }
}
