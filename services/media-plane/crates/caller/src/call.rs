//! One call: a str0m peer and its socket. It sends probes by its own schedule and judges what comes back.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use antiphon_engine::opus::{COMFORT, SILENCE};
use str0m::crypto::dtls::DtlsVersion;
use str0m::media::Pt;
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Event, IceConnectionState, RtcConfig};

use crate::clock::{Clock, NEVER, Nanos};
pub use crate::connection::CallError;
use crate::connection::{Connection, Wish, settings};
use crate::probe::Probe;
use crate::tally::{Tally, Window};

/// One packet each 20 ms.
pub const INTERVAL: Nanos = 20_000_000;
const SAMPLES: u32 = 960;
/// A call that is not up by then has failed.
pub const SETUP_LIMIT: Nanos = 15_000_000_000;

/// What all calls of a run have in common.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// Address that the calls' sockets are bound to.
    pub bind: IpAddr,
    /// Bytes of a payload.
    pub payload: usize,
    /// Sends nothing once connected.
    pub silent: bool,
    rtc: RtcConfig,
}

impl CallConfig {
    /// Calls from this address with payloads of this size; all share one certificate, as tabs of one browser may.
    ///
    /// # Errors
    /// None that str0m's default provider is known to give; kept, since making a certificate may fail.
    pub fn new(bind: IpAddr, payload: usize, silent: bool, dtls: DtlsVersion) -> Result<Self, CallError> {
        Ok(Self {
            bind,
            payload: payload.max(crate::probe::SMALLEST),
            silent,
            rtc: settings(dtls)?,
        })
    }

    /// What str0m is told for each call.
    #[must_use]
    pub fn rtc(&self) -> &RtcConfig {
        &self.rtc
    }
}

/// Where a call is in its life.
#[derive(Debug)]
enum State {
    /// The offer was handed out.
    Offered,
    /// The answer came; ICE and DTLS are at work.
    Connecting,
    /// Media flows.
    Up { pt: Pt },
    /// It is over.
    Over,
}

/// What a step of a call has brought about.
#[derive(Debug)]
pub enum Step {
    /// Nothing new.
    Same,
    /// It is up.
    Connected,
    /// It is over.
    Failed(CallError),
}

/// One call.
#[derive(Debug)]
pub struct Call {
    connection: Connection,
    index: u32,
    state: State,
    silent: bool,
    payload: Vec<u8>,
    next_number: u64,
    next_send: Nanos,
    give_up: Nanos,
    window: Window,
    location: Option<String>,
}

impl Call {
    /// Opens a socket and makes an offer with its address as the only candidate.
    ///
    /// # Errors
    /// [`CallError::Socket`].
    pub fn offer(config: &CallConfig, index: u32, clock: Clock) -> Result<(Self, String), CallError> {
        let (connection, offer) = Connection::offer(&config.rtc, config.bind, clock)?;
        let call = Self {
            connection,
            index,
            state: State::Offered,
            silent: config.silent,
            payload: vec![0; config.payload],
            next_number: 0,
            next_send: NEVER,
            give_up: clock.now() + SETUP_LIMIT,
            window: Window::default(),
            location: None,
        };
        Ok((call, offer))
    }

    /// The call's socket, to wait for.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        self.connection.socket()
    }

    /// What to delete at the end.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// When the call wants to be driven next.
    #[must_use]
    pub fn deadline(&self) -> Nanos {
        match self.state {
            State::Offered | State::Connecting => self.connection.timeout().min(self.give_up),
            State::Up { .. } => self.connection.timeout().min(self.next_send),
            State::Over => NEVER,
        }
    }

    /// Whether media flows.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Takes the answer.
    pub fn answer(&mut self, sdp: &str, location: Option<String>, now: Nanos, clock: Clock, tally: &mut Tally) -> Step {
        self.location = location;
        if !matches!(self.state, State::Offered) {
            return Step::Same;
        }
        self.state = State::Connecting;
        let told = self
            .connection
            .answer(sdp)
            .and_then(|()| self.connection.tell(now, clock));
        self.go_on(told, now, clock, tally)
    }

    /// A datagram came at `arrival`.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        arrival: Nanos,
        clock: Clock,
        tally: &mut Tally,
    ) -> Step {
        let told = self
            .connection
            .receive(from, datagram, arrival, clock)
            .map(|known| tally.corrupt += u64::from(!known));
        self.go_on(told, arrival, clock, tally)
    }

    /// Time has come to [`Call::deadline`].
    pub fn tick(&mut self, now: Nanos, clock: Clock, tally: &mut Tally) -> Step {
        if now >= self.give_up && matches!(self.state, State::Offered | State::Connecting) {
            return self.over(CallError::Ended("not connected in time".to_owned()));
        }
        if let State::Up { pt } = self.state
            && now >= self.next_send
        {
            self.send_probe(pt, now, clock, tally);
        }
        let told = self.connection.tell(now, clock);
        self.go_on(told, now, clock, tally)
    }

    fn send_probe(&mut self, pt: Pt, now: Nanos, clock: Clock, tally: &mut Tally) {
        let number = self.next_number;
        let sent_ns = clock.now();
        if self.window.contains(number) {
            tally.lateness.record_ns(sent_ns - self.next_send);
        }
        Probe {
            call: self.index,
            number,
            sent_ns,
        }
        .write(&mut self.payload);
        let level = ExtensionValues {
            audio_level: Some(-30),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let timestamp = (number as u32).wrapping_mul(SAMPLES);
        self.connection.write(
            RtpWrite::new(
                pt,
                (1_000 + number).into(),
                timestamp,
                clock.instant(now),
                self.payload.as_slice(),
            )
            .marker(number == 0)
            .ext_vals(level),
        );
        self.next_number += 1;
        self.next_send += INTERVAL;
    }

    /// [`Connection::rebind`].
    ///
    /// # Errors
    /// What opening a socket says.
    pub fn rebind(&mut self) -> io::Result<()> {
        self.connection.rebind()
    }

    /// [`Connection::restart`].
    pub fn restart(&mut self) -> Option<String> {
        self.connection.restart()
    }

    /// [`Connection::restarted`].
    pub fn restarted(&mut self, fragment: &str) -> bool {
        self.connection.restarted(fragment)
    }

    /// From the next probe on, probes count.
    pub fn open_window(&mut self) {
        self.window.open(self.next_number);
    }

    /// From the next probe on, probes count no longer.
    pub fn close_window(&mut self) {
        self.window.close(self.next_number);
    }

    /// Adds what the call has counted.
    pub fn count(&self, tally: &mut Tally) {
        self.window.count(tally);
    }

    /// Says good-bye (RTCP BYE, DTLS `close_notify`) and is over.
    pub fn close(&mut self, now: Nanos, clock: Clock) {
        if self.is_up() {
            self.connection.close(now, clock);
        }
        self.state = State::Over;
    }

    fn over(&mut self, error: CallError) -> Step {
        self.state = State::Over;
        self.connection.disconnect();
        Step::Failed(error)
    }

    fn go_on(&mut self, told: Result<(), CallError>, now: Nanos, clock: Clock, tally: &mut Tally) -> Step {
        match told.and_then(|()| self.settle(now, clock, tally)) {
            Ok(step) => step,
            Err(error) => self.over(error),
        }
    }

    fn settle(&mut self, now: Nanos, clock: Clock, tally: &mut Tally) -> Result<Step, CallError> {
        let mut step = Step::Same;
        while let Some(wish) = self.connection.poll(clock)? {
            match wish {
                Wish::Send(datagram) => self.connection.send(&datagram.contents, datagram.destination),
                Wish::Event(Event::RtpPacket(packet)) => self.judge(&packet, now, tally),
                Wish::Event(Event::Connected) => {
                    self.connected(now)?;
                    step = Step::Connected;
                }
                Wish::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected)) => {
                    return Err(CallError::Ended("ICE disconnected".to_owned()));
                }
                Wish::Event(Event::Closed) => {
                    self.state = State::Over;
                    step = Step::Failed(CallError::Ended("closed by the peer".to_owned()));
                }
                Wish::Event(_) => {}
            }
        }
        Ok(step)
    }

    fn connected(&mut self, now: Nanos) -> Result<(), CallError> {
        let pt = self.connection.payload_type()?;
        self.state = State::Up { pt };
        if !self.silent {
            self.next_send = now + phase(self.index, now);
        }
        Ok(())
    }

    fn judge(&mut self, packet: &RtpPacket, arrival: Nanos, tally: &mut Tally) {
        match Probe::read(&packet.payload) {
            Ok(probe) if probe.call == self.index => {
                if self.window.echo(probe.number) {
                    tally.delay.record_ns(arrival.saturating_sub(probe.sent_ns));
                }
            }
            // An edge fills pauses with comfort frames, such as while a call changes its address.
            _ if packet.payload[..] == SILENCE || packet.payload[..] == COMFORT => {}
            _ => tally.corrupt += 1,
        }
    }
}

/// A phase in 0..20 ms that differs from call to call (splitmix64), so that sends spread evenly.
#[must_use]
pub fn phase(index: u32, now: Nanos) -> Nanos {
    let mut mixed = (u64::from(index) ^ now).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % INTERVAL
}

/// How long to wait for a deadline.
#[must_use]
pub fn until(deadline: Nanos, now: Nanos) -> Duration {
    Duration::from_nanos(deadline.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_spread_over_the_interval() {
        let mut bins = [0; 4];
        for call in 0..400 {
            bins[(phase(call, 0) / (INTERVAL / 4)) as usize] += 1;
        }
        assert!(bins.iter().all(|bin| (60..140).contains(bin)), "{bins:?}");
    }
}
