//! One caller that talks: its connection, its mouth and ear, and the network before it.

use std::net::SocketAddr;
use std::sync::Arc;

use str0m::media::Pt;
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Event, IceConnectionState, RtcConfig};

use super::clip::Clip;
use super::ear::{Ear, Noticed};
use super::mouth::Mouth;
use super::network::{Impairment, Network};
use super::totals::{Totals, Traffic, record};
use crate::call::{SETUP_LIMIT, phase};
use crate::clock::{Clock, NEVER, Nanos};
use crate::connection::{CallError, Connection, Wish};

/// Lost packets are counted so often.
const COUNT: Nanos = 1_000_000_000;

/// What a caller tells of. Times are in ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// ICE is through: since the answer was taken.
    Ice(Nanos),
    /// DTLS is through: since ICE was.
    Dtls(Nanos),
    /// Media may flow: since the offer was made.
    Connected(Nanos),
    /// The first voice was heard: since the offer was made.
    FirstAudio(Nanos),
    /// The agent began to speak.
    AgentSpeaks,
    /// It stopped.
    AgentSilent,
    /// It answered: since the caller's last frame of voice.
    Turn(Nanos),
    /// It gave way: since the first frame that the caller spoke over it.
    BargeIn(Nanos),
    /// It spoke on for 3 s, though it was spoken over.
    WentOn,
    /// The first frame of a clip was sent: when, on the callers' clock.
    Began(Nanos),
    /// The caller has said its clip.
    Said,
    /// The first packet came by a new address: since it was taken.
    Roamed(Nanos),
    /// It wants its ICE restarted by this fragment (RFC 8840).
    Restarts(String),
    /// It is over, and why; no words where the caller wished so.
    Ended(String),
}

#[derive(Debug)]
enum State {
    Offered,
    Connecting { answered: Nanos, ice: Option<Nanos> },
    Up { pt: Pt, mouth: Mouth },
    Over,
}

/// How a caller is.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) group: String,
    pub(crate) echoes: bool,
    pub(crate) impairment: Option<Impairment>,
}

/// One caller.
#[derive(Debug)]
pub(crate) struct VoiceCall {
    connection: Connection,
    id: u32,
    group: String,
    state: State,
    offered: Nanos,
    ear: Ear,
    network: Option<Network>,
    sequence: u64,
    next_count: Nanos,
    roaming: Option<Nanos>,
    happened: Vec<Happened>,
    /// The carrier's, by its heap.
    pub(crate) queued: Nanos,
}

impl VoiceCall {
    pub(crate) fn offer(
        settings: &RtcConfig,
        bind: std::net::IpAddr,
        id: u32,
        manner: Manner,
        clock: Clock,
    ) -> Result<(Self, String), CallError> {
        let (connection, offer) = Connection::offer(settings, bind, clock)?;
        let call = Self {
            connection,
            id,
            group: manner.group,
            state: State::Offered,
            offered: clock.now(),
            ear: Ear::new(manner.echoes),
            network: manner
                .impairment
                .map(|impairment| Network::new(u64::from(id), &impairment)),
            sequence: 1_000,
            next_count: NEVER,
            roaming: None,
            happened: Vec::new(),
            queued: NEVER,
        };
        Ok((call, offer))
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }

    /// What happened since the last time.
    pub(crate) fn happened(&mut self) -> impl Iterator<Item = Happened> {
        self.happened.drain(..)
    }

    pub(crate) fn deadline(&self) -> Nanos {
        let own = match &self.state {
            State::Offered | State::Connecting { .. } => self.offered + SETUP_LIMIT,
            State::Up { mouth, .. } => mouth.next().min(self.ear.deadline()).min(self.next_count),
            State::Over => return NEVER,
        };
        let network = self.network.as_ref().map_or(NEVER, Network::deadline);
        own.min(network).min(self.connection.timeout())
    }

    pub(crate) fn answer(&mut self, sdp: &str, now: Nanos, clock: Clock, totals: &mut Totals) {
        if !matches!(self.state, State::Offered) {
            return;
        }
        self.state = State::Connecting {
            answered: now,
            ice: None,
        };
        let told = self.connection.answer(sdp);
        let told = told.and_then(|()| self.connection.tell(now, clock));
        self.go_on(told, now, clock, totals);
    }

    pub(crate) fn speak(&mut self, clip: Arc<Clip>, now: Nanos) {
        if let State::Up { mouth, .. } = &mut self.state {
            mouth.speak(clip, now);
            self.ear.begin(mouth.next());
        }
    }

    pub(crate) fn hush(&mut self, now: Nanos) {
        if let State::Up { mouth, .. } = &mut self.state
            && mouth.is_speaking()
        {
            mouth.hush();
            self.ear.end(now);
            self.happened.push(Happened::Said);
        }
    }

    /// Another address from now on. The socket is another one then.
    pub(crate) fn roam(&mut self, now: Nanos) -> std::io::Result<()> {
        self.connection.rebind()?;
        self.roaming = Some(now);
        Ok(())
    }

    /// Begins an ICE restart: tells the fragment that asks for it.
    pub(crate) fn restart(&mut self) {
        if matches!(self.state, State::Up { .. })
            && let Some(fragment) = self.connection.restart()
        {
            self.happened.push(Happened::Restarts(fragment));
        }
    }

    /// Goes on with the fragment that answered.
    pub(crate) fn restarted(&mut self, fragment: &str, now: Nanos, clock: Clock, totals: &mut Totals) {
        let told = match self.connection.restarted(fragment) {
            true => self.connection.tell(now, clock),
            false => Err(CallError::Answer(
                "the fragment answers no restart of this call".to_owned(),
            )),
        };
        self.go_on(told, now, clock, totals);
    }

    pub(crate) fn hang_up(&mut self, now: Nanos, clock: Clock, totals: &mut Totals) {
        if matches!(self.state, State::Up { .. }) {
            self.connection.close(now, clock);
        }
        self.end(String::new(), now, totals);
    }

    /// Is gone without a word, as who loses its network.
    pub(crate) fn vanish(&mut self, now: Nanos, totals: &mut Totals) {
        self.end(String::new(), now, totals);
    }

    pub(crate) fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        arrival: Nanos,
        clock: Clock,
        totals: &mut Totals,
    ) {
        match &mut self.network {
            Some(network) => network.arrive(arrival, from, datagram),
            None => self.take(from, datagram, arrival, clock, totals),
        }
    }

    fn take(&mut self, from: SocketAddr, datagram: &[u8], arrival: Nanos, clock: Clock, totals: &mut Totals) {
        if let Some(since) = self.roaming.take() {
            self.happened.push(Happened::Roamed(arrival.saturating_sub(since)));
        }
        let told = self.connection.receive(from, datagram, arrival, clock).map(drop);
        self.go_on(told, arrival, clock, totals);
    }

    pub(crate) fn tick(&mut self, now: Nanos, clock: Clock, totals: &mut Totals) {
        while let Some((from, datagram)) = self.network.as_mut().and_then(|network| network.arriving(now)) {
            self.take(from, &datagram, now, clock, totals);
        }
        while let Some((to, datagram)) = self.network.as_mut().and_then(|network| network.leaving(now)) {
            self.connection.send(&datagram, to);
        }
        if matches!(self.state, State::Offered | State::Connecting { .. }) && now >= self.offered + SETUP_LIMIT {
            return self.end("not connected in time".to_owned(), now, totals);
        }
        self.send_due(now, clock, totals);
        self.ear.tick(now, &mut notices(self.offered, now, &mut self.happened));
        if now >= self.next_count {
            self.next_count = now + COUNT;
            self.count(now, totals);
        }
        if !self.is_over() {
            let told = self.connection.tell(now, clock);
            self.go_on(told, now, clock, totals);
        }
    }

    fn send_due(&mut self, now: Nanos, clock: Clock, totals: &mut Totals) {
        while let State::Up { pt, mouth } = &mut self.state
            && mouth.next() <= now
        {
            let sent = clock.now();
            record(&mut totals.lateness_us, sent.saturating_sub(mouth.next()));
            let traffic = traffic(totals, &self.group);
            traffic.sent += 1;
            let (ear, happened) = (&mut self.ear, &mut self.happened);
            let sequence = self.sequence.into();
            let packet = mouth.send(|packet| {
                if packet.voice {
                    traffic.voice += 1;
                    ear.said(packet.payload, sent);
                }
                if packet.voice && packet.marker {
                    happened.push(Happened::Began(sent));
                }
                if packet.last {
                    ear.end(packet.due);
                    happened.push(Happened::Said);
                }
                let level = ExtensionValues {
                    audio_level: Some(-i8::try_from(packet.level).unwrap_or(i8::MAX)),
                    voice_activity: Some(packet.voice),
                    ..ExtensionValues::default()
                };
                RtpWrite::new(*pt, sequence, packet.timestamp, clock.instant(now), packet.payload)
                    .marker(packet.marker)
                    .ext_vals(level)
            });
            self.connection.write(packet);
            self.sequence += 1;
            let told = self.connection.tell(now, clock);
            self.go_on(told, now, clock, totals);
        }
    }

    fn count(&mut self, now: Nanos, totals: &mut Totals) {
        let traffic = traffic(totals, &self.group);
        let (expected, received) = self.ear.missing();
        traffic.expected += expected;
        traffic.received += received;
        traffic.unechoed += self.ear.unechoed(now);
    }

    fn go_on(&mut self, told: Result<(), CallError>, now: Nanos, clock: Clock, totals: &mut Totals) {
        if let Err(error) = told.and_then(|()| self.settle(now, clock, totals)) {
            self.end(error.to_string(), now, totals);
        }
    }

    fn settle(&mut self, now: Nanos, clock: Clock, totals: &mut Totals) -> Result<(), CallError> {
        while let Some(wish) = self.connection.poll(clock)? {
            match wish {
                Wish::Send(datagram) => match &mut self.network {
                    Some(network) => network.send(now, datagram.destination, &datagram.contents),
                    None => self.connection.send(&datagram.contents, datagram.destination),
                },
                Wish::Event(Event::RtpPacket(packet)) => {
                    let mut notice = notices(self.offered, now, &mut self.happened);
                    let delay = self.ear.hear(*packet.seq_no, &packet.payload, now, &mut notice);
                    if let Some(delay) = delay {
                        let traffic = traffic(totals, &self.group);
                        traffic.echoed += 1;
                        record(&mut traffic.delay_us, delay);
                    }
                }
                Wish::Event(Event::IceConnectionStateChange(change)) => self.ice(change, now)?,
                Wish::Event(Event::Connected) => self.connected(now)?,
                Wish::Event(Event::Closed) => return Err(CallError::Ended("closed by the peer".to_owned())),
                Wish::Event(_) => {}
            }
        }
        Ok(())
    }

    fn ice(&mut self, change: IceConnectionState, now: Nanos) -> Result<(), CallError> {
        match (change, &mut self.state) {
            (IceConnectionState::Disconnected, _) => Err(CallError::Ended("ICE disconnected".to_owned())),
            (
                IceConnectionState::Connected | IceConnectionState::Completed,
                State::Connecting {
                    answered,
                    ice: ice @ None,
                },
            ) => {
                self.happened.push(Happened::Ice(now.saturating_sub(*answered)));
                *ice = Some(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn connected(&mut self, now: Nanos) -> Result<(), CallError> {
        let State::Connecting { answered, ice } = self.state else {
            return Ok(());
        };
        let pt = self.connection.payload_type()?;
        let since_ice = now.saturating_sub(ice.unwrap_or(answered));
        self.happened.push(Happened::Dtls(since_ice));
        self.happened
            .push(Happened::Connected(now.saturating_sub(self.offered)));
        let mouth = Mouth::new(now + phase(self.id, now));
        self.state = State::Up { pt, mouth };
        self.next_count = now + COUNT;
        Ok(())
    }

    fn end(&mut self, reason: String, now: Nanos, totals: &mut Totals) {
        if self.is_over() {
            return;
        }
        self.count(now, totals);
        self.connection.disconnect();
        self.state = State::Over;
        self.happened.push(Happened::Ended(reason));
    }
}

fn traffic<'a>(totals: &'a mut Totals, group: &str) -> &'a mut Traffic {
    if !totals.groups.contains_key(group) {
        totals.groups.insert(group.to_owned(), Traffic::default());
    }
    totals.groups.get_mut(group).expect("it was put there")
}

fn notices(offered: Nanos, now: Nanos, happened: &mut Vec<Happened>) -> impl FnMut(Noticed) + '_ {
    move |noticed| {
        happened.push(match noticed {
            Noticed::First => Happened::FirstAudio(now.saturating_sub(offered)),
            Noticed::Speaks => Happened::AgentSpeaks,
            Noticed::FellSilent => Happened::AgentSilent,
            Noticed::Answered(after) => Happened::Turn(after),
            Noticed::GaveWay(after) => Happened::BargeIn(after),
            Noticed::WentOn => Happened::WentOn,
        });
    }
}
