//! Reading ahead: what the next packet of a session needs comes from memory while another session's is dealt with.
//!
//! A session that was not looked at for 20 ms is out of the near caches when hundreds take turns. One number is read of each piece of
//! state that a packet touches: these reads wait for nothing, so that all of them take as long as one.

use std::hint::black_box;

use super::Session;

impl Session {
    /// Reads ahead for a packet that comes, or a frame that leaves, soon. It changes nothing.
    #[inline]
    pub fn warm(&self) {
        let of_session = self.counters.packets_in
            ^ self.counters.frames_in
            ^ self.dtls_deadline.0
            ^ self.channels_deadline.0
            ^ u64::from(self.offer.audio.direction.sends())
            ^ self.setup.opened.0
            ^ self.reporter.deadline().0
            ^ self.bye.map_or(0, |at| at.0);
        let of_receiver = self.receiver.as_ref().map_or(0, |receiver| receiver.warm());
        black_box(
            of_session ^ of_receiver ^ self.ice.warm() ^ self.ingest.warm() ^ self.playout.warm() ^ self.egress.warm(),
        );
    }
}
