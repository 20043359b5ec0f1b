//! Transport of a session: checks, DTLS, data channels, and the end.

use std::time::Duration;

use super::Session;
use super::edge_messages::LABEL;
use crate::channels::{ChannelEvent, Channels};
use crate::dtls::{DtlsEvent, Failure, Keys, Transport};
use crate::output::{Event, Output};
use crate::remote::Remote;
use crate::report::MAX_RTCP;
use crate::rtcp::Writer;
use crate::srtp::{MAX_OVERHEAD, Side};
use crate::stats::{SessionState, once};
use crate::stun::MAX_RESPONSE;
use crate::time::Time;

/// A handshake that took longer says nothing of the round trip.
const LONGEST_GUESS: Duration = Duration::from_millis(400);

impl Session {
    pub(super) fn receive_check(&mut self, now: Time, from: Remote, datagram: &[u8], out: &mut impl Output) {
        let mut response = [0; MAX_RESPONSE];
        let checked = self.ice.check(now, from, datagram, &mut response);
        if checked.response > 0 {
            out.transmit(from, &response[..checked.response]);
        }
        if checked.replayed {
            self.counters.replayed_checks += 1;
            return;
        }
        if !checked.valid {
            self.counters.bad_checks += 1;
            return;
        }
        self.counters.checks += 1;
        once(&mut self.setup.first_check, now);
        self.first_peer.get_or_insert(from);
        if checked.moved {
            self.path_selected(now, out);
        }
        if self.state == SessionState::New {
            self.state = SessionState::Connecting;
            let side = if self.offer.we_are_active() {
                Side::Client
            } else {
                Side::Server
            };
            let fingerprint = self.offer.fingerprint.clone();
            self.dtls = Some(Box::new(Transport::new(&self.config, side, fingerprint, now)));
            // Before DTLS is up: the caller's first SCTP packet may come in one datagram with the end of its handshake.
            self.channels = self.offer.data.as_ref().map(|data| {
                let channels = Channels::new(self.negotiated, data.sctp_port, data.max_message_size);
                Box::new(channels)
            });
            self.drive_dtls(now, None, out);
        }
    }

    pub(super) fn path_selected(&mut self, now: Time, out: &mut impl Output) {
        let Some(remote) = self.ice.selected() else { return };
        if self.setup.nominated.is_some() {
            self.counters.path_changes += 1;
        }
        once(&mut self.setup.nominated, now);
        out.event(Event::PathSelected { remote });
    }

    /// Where to send.
    pub(super) fn target(&self) -> Option<Remote> {
        self.ice.selected().or(self.first_peer)
    }

    /// Hands DTLS a datagram of the caller's, or the time, and carries what it says. The one place where the handshake meets
    /// its carrier: bytes that came in a check (WARP's SPED) would be handed in here, and go out in its response.
    pub(super) fn drive_dtls(&mut self, now: Time, datagram: Option<&mut [u8]>, out: &mut impl Output) {
        let Some(to) = self.target() else { return };
        let Some(dtls) = &mut self.dtls else { return };
        // The answer to a flight is the first that can be told of the round trip.
        if let Some(sent) = self.flight.take_if(|_| datagram.is_some()) {
            self.ingest.guess_round_trip(now.since(sent));
        }
        let (config, channels) = (&*self.config, &mut self.channels);
        let instant = config.instant(now);
        let (mut keys, mut over, mut failed) = (None, None, None);
        let mut sent = false;
        let counters = &mut self.counters;
        let mut sink = |event: DtlsEvent<'_>| match event {
            DtlsEvent::Transmit(datagram) => {
                sent = true;
                out.transmit(to, datagram);
            }
            DtlsEvent::Dropped => counters.dtls_dropped += 1,
            DtlsEvent::Established(established) => keys = Some(established),
            DtlsEvent::Data(packet) => {
                if let Some(channels) = channels {
                    counters.sctp_refused += u64::from(!channels.receive(instant, packet));
                }
            }
            DtlsEvent::Closed => over = Some("dtls"),
            DtlsEvent::Failed(failure) => failed = Some(failure),
        };
        match datagram {
            Some(datagram) => dtls.receive(config, now, datagram, &mut sink),
            None => dtls.drive(config, now, &mut sink),
        }
        self.dtls_deadline = dtls.deadline();
        if sent && self.state == SessionState::Connecting {
            self.flight.get_or_insert(now);
        }
        if let Some(keys) = keys {
            self.connect(now, *keys, out);
        }
        over = over.or(failed.map(|failure| self.blame(failure)));
        if let Some(reason) = over {
            self.finish(now, reason, out);
            return;
        }
        self.drive_channels(now, out);
    }

    /// The caller uses the keys: nothing of the handshake need be sent again.
    pub(super) fn understood(&mut self) {
        self.finishing = false;
        if let Some(dtls) = &mut self.dtls {
            dtls.understood();
            self.dtls_deadline = dtls.deadline();
        }
    }

    pub(crate) fn connect(&mut self, now: Time, keys: Keys, out: &mut impl Output) {
        self.state = SessionState::Connected;
        self.finishing = true;
        once(&mut self.setup.dtls, now);
        // From the first check that was answered to the end of the handshake are two round trips: till RTCP tells better.
        let round_trip = now.since(self.setup.first_check.unwrap_or(now)) / 2;
        self.playout.set_path(round_trip.min(LONGEST_GUESS), Duration::ZERO);
        self.egress.key(keys.sender);
        self.receiver = Some(keys.receiver);
        self.security = Some(keys.security.clone());
        if let Some(channels) = &mut self.channels {
            channels.start(self.offer.we_are_active());
        }
        self.reporter.start(now);
        out.event(Event::Connected {
            security: keys.security,
        });
        self.with_playout(now, out, |playout, counters, sink| playout.connect(now, counters, sink));
    }

    pub(super) fn drive_channels(&mut self, now: Time, out: &mut impl Output) {
        let (Some(channels), Some(dtls), Some(to)) = (
            &mut self.channels,
            &mut self.dtls,
            self.ice.selected().or(self.first_peer),
        ) else {
            return;
        };
        let (counters, limits) = (&mut self.counters, &mut self.limits);
        let mut for_the_edge = Vec::new();
        let (mut sent, mut failed) = (false, None);
        channels.drive(self.config.instant(now), &mut |event| match event {
            ChannelEvent::Transmit(packet) => {
                dtls.send(packet);
                sent = true;
            }
            ChannelEvent::Open { id, label } => out.event(Event::ChannelOpen {
                id,
                label: label.to_owned(),
            }),
            ChannelEvent::Message {
                id,
                label,
                binary,
                payload,
            } => {
                if !limits.take_message(now, payload.len()) {
                    counters.messages_over_rate += 1;
                    return;
                }
                counters.messages_in += 1;
                if binary && label == LABEL {
                    for_the_edge.push(payload);
                    return;
                }
                out.event(Event::Data {
                    id,
                    label: label.to_owned(),
                    binary,
                    payload,
                });
            }
            ChannelEvent::Stray => counters.stray_messages += 1,
        });
        let deadline = channels.deadline().map(|at| self.config.time(at));
        self.channels_deadline = deadline.unwrap_or(Time::NEVER);
        if sent {
            dtls.drive(&self.config, now, &mut |event| match event {
                DtlsEvent::Transmit(datagram) => out.transmit(to, datagram),
                DtlsEvent::Failed(failure) => failed = Some(failure),
                _ => {}
            });
            self.dtls_deadline = dtls.deadline();
        }
        if let Some(failure) = failed {
            let reason = self.blame(failure);
            self.finish(now, reason, out);
            return;
        }
        for message in for_the_edge {
            self.receive_edge_message(now, message, out);
        }
    }

    /// Counts a failure, and says what the session's end is called.
    fn blame(&mut self, failure: Failure) -> &'static str {
        match failure {
            Failure::Identity => {
                self.counters.wrong_certificate += 1;
                "error"
            }
            Failure::Timeout => "timeout",
            Failure::Protocol => "error",
        }
    }

    pub(super) fn finish(&mut self, now: Time, reason: &'static str, out: &mut impl Output) {
        if self.state == SessionState::Closed {
            return;
        }
        self.state = SessionState::Closed;
        // Without consent nothing more may be sent (RFC 7675).
        if let Some(to) = self.target().filter(|_| reason != "consent") {
            let mut buffer = [0; MAX_RTCP + MAX_OVERHEAD];
            let ssrc = self.egress.ssrc;
            let length = Writer::new(&mut buffer[..MAX_RTCP])
                .receiver_report(ssrc, &[])
                .sdes(ssrc, &self.cname)
                .bye(ssrc)
                .length();
            self.egress.rtcp(to, &mut buffer, length, &mut self.counters, out);
            if let Some(dtls) = &mut self.dtls {
                dtls.close();
                dtls.drive(&self.config, now, &mut |event| {
                    if let DtlsEvent::Transmit(datagram) = event {
                        out.transmit(to, datagram);
                    }
                });
            }
        }
        self.dtls = None;
        self.channels = None;
        self.receiver = None;
        self.reporter.stop();
        out.event(Event::Closed { reason });
    }
}
