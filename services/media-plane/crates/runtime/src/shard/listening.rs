//! The listeners of one shard for callers' TCP connections, and what watches them and the connections that they bring. Where
//! an accept failed, they rest for a moment.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use antiphon_engine::Time;

use crate::socket::{Poller, Ready, accept};

/// After an accept that failed, most likely for want of descriptors, nobody is let in for so long.
const PAUSE: Duration = Duration::from_millis(100);
/// Listeners' tokens begin here; connections count from zero.
const LISTENERS: u64 = 1 << 63;

/// One listener for each address.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(super) poller: Poller,
    listeners: Vec<TcpListener>,
    /// When listeners are watched again.
    pause_ends: Option<Time>,
}

impl Listening {
    /// # Errors
    /// When there is no descriptor left, or no memory.
    pub(crate) fn new(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let listening = Self {
            poller: Poller::new()?,
            listeners,
            pause_ends: None,
        };
        listening.watch()?;
        Ok(listening)
    }

    fn watch(&self) -> io::Result<()> {
        for (number, listener) in self.listeners.iter().enumerate() {
            self.poller.watch(listener, LISTENERS + number as u64)?;
        }
        Ok(())
    }

    /// The number of the listener that an event is about.
    pub(super) fn listener_of(event: Ready) -> Option<usize> {
        event.token.checked_sub(LISTENERS).map(|number| number as usize)
    }

    /// Takes in who waits longest at a listener; None when nobody does.
    pub(super) fn accept(&self, number: usize) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        self.listeners.get(number).map_or(Ok(None), accept)
    }

    /// Nobody is let in for a moment.
    pub(super) fn pause(&mut self, now: Time) {
        for listener in &self.listeners {
            let _was_not_watched = self.poller.unwatch(listener);
        }
        self.pause_ends = Some(now + PAUSE);
    }

    /// When [`Self::resume`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        self.pause_ends.unwrap_or(Time::NEVER)
    }

    /// Lets callers in again once the pause is over.
    pub(super) fn resume(&mut self, now: Time) {
        if self.deadline() > now {
            return;
        }
        self.pause_ends = None;
        if self.watch().is_err() {
            self.pause(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(listening: &Listening) -> bool {
        let mut events = Vec::new();
        listening.poller.ready(&mut events);
        !events.is_empty()
    }

    #[test]
    fn who_waits_while_nobody_is_let_in_is_let_in_a_tenth_of_a_second_later() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut listening = Listening::new(vec![listener]).expect("a descriptor");
        let now = Time(1_000_000);
        listening.pause(now);
        let _caller = TcpStream::connect(address).expect("the kernel takes it");

        assert_eq!(listening.deadline(), now + Duration::from_millis(100));
        listening.resume(now + Duration::from_millis(99));
        assert!(!ready(&listening));
        listening.resume(listening.deadline());
        assert!(ready(&listening));
        assert_eq!(listening.deadline(), Time::NEVER);
    }
}
