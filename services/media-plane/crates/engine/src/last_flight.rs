//! A server's last flight, sent again unasked until the caller shows that it has it.
//!
//! By RFC 6347 4.2.4 and RFC 9147 5.8 a lost last flight is sent again when the client repeats its own, which it does after a
//! second, then two, four and eight: nothing is heard meanwhile, and some clients give up. The copies here are the same
//! records, which a client that has them takes for replays.

use std::time::Duration;

use crate::time::Time;

/// From one copy to the next.
const WAITS: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

#[derive(Default)]
pub(crate) struct LastFlight {
    datagrams: Vec<Vec<u8>>,
    copies: usize,
    due: Option<Time>,
}

impl LastFlight {
    /// Keeps a datagram that may prove to be part of it.
    pub(crate) fn keep(&mut self, datagram: &[u8]) {
        self.datagrams.push(datagram.to_vec());
    }

    /// What was kept ended no handshake, or need not be sent again.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// It left.
    pub(crate) fn sent(&mut self, now: Time) {
        self.due = WAITS.get(self.copies).map(|wait| now + *wait);
        if self.due.is_none() {
            self.forget();
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        self.due.unwrap_or(Time::NEVER)
    }

    /// The datagrams of a copy that is due.
    pub(crate) fn copy(&mut self, now: Time, mut send: impl FnMut(&[u8])) {
        if self.deadline() > now {
            return;
        }
        for datagram in &self.datagrams {
            send(datagram);
        }
        self.copies += 1;
        self.sent(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_again_ever_more_rarely_until_it_is_forgotten() {
        let mut flight = LastFlight::default();
        flight.keep(b"finished");
        flight.sent(Time(0));
        let mut times = Vec::new();
        while flight.deadline() != Time::NEVER {
            let now = flight.deadline();
            flight.copy(now, |datagram| {
                assert_eq!(datagram, b"finished");
                times.push(now.as_micros() / 1_000);
            });
        }
        assert_eq!(times, [100, 300, 700, 1_500, 3_100]);
        assert!(flight.datagrams.is_empty());
    }

    #[test]
    fn what_is_forgotten_is_not_sent() {
        let mut flight = LastFlight::default();
        flight.keep(b"finished");
        flight.sent(Time(0));
        flight.forget();
        assert_eq!(flight.deadline(), Time::NEVER);
        flight.copy(Time(1_000_000), |_| panic!("sent"));
    }
}
