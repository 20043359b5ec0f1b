//! Media of a session: RTP and RTCP of the caller, playout, and reports.

use std::time::Duration;

use super::listening::{Ear, note_played};
use super::{BYE, Session};
use crate::ingest::{Arrival, MAX_ASKED};
use crate::output::{Event, Output};
use crate::playout::{Played, Playout};
use crate::remote::Remote;
use crate::report::{MAX_RTCP, Sent};
use crate::room::MAX_SLOTS;
use crate::rtcp::{NackList, Packet, ReportBlock, Writer, compound};
use crate::srtp::{MAX_OVERHEAD, OpenError};
use crate::stats::{Counters, once};
use crate::time::Time;

/// SSRCs of a session's receive slots.
type Ssrcs = [Option<u32>; MAX_SLOTS];

impl Session {
    pub(super) fn receive_rtp(&mut self, now: Time, from: Remote, datagram: &mut [u8], out: &mut impl Output) {
        let Some(receiver) = &mut self.receiver else {
            self.counters.early += 1;
            return;
        };
        if !self.limits.allow_rtp(now) {
            self.counters.rtp_over_rate += 1;
            return;
        }
        let opened = match receiver.open_rtp(datagram) {
            Ok(opened) => opened,
            Err(OpenError::Replayed) => {
                self.counters.duplicates += 1;
                return;
            }
            Err(error) => {
                self.refuse(error);
                return;
            }
        };
        self.limits.took_rtp(now);
        self.counters.packets_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        if !self.offer.audio.direction.sends() {
            self.counters.unpublished += 1;
            self.heard(now, from, false, out);
            return;
        }
        once(&mut self.setup.first_packet, now);
        let packet = &datagram[..opened.length];
        let Ok(payload) = opened.header.payload(packet) else {
            self.counters.malformed += 1;
            return;
        };
        let arrival = Arrival {
            header: &opened.header,
            index: opened.index,
            packet,
            payload: &packet[payload],
        };
        let newest = self.take_in(now, &arrival, out);
        if self.ingest.deadline() <= now {
            self.ask(now, out);
        }
        if let Some(quality) = self.ingest.quality(now, &self.counters, self.detector.as_deref()) {
            out.quality(quality);
        }
        if newest {
            self.bye = None;
        }
        self.heard(now, from, newest, out);
    }

    /// Authentic media came from there.
    fn heard(&mut self, now: Time, from: Remote, newest: bool, out: &mut impl Output) {
        if self.finishing {
            self.understood();
        }
        let heard = self.ice.media(now, from, newest);
        if heard.moved {
            self.path_selected(now, out);
        }
        if let Some(gap) = heard.gap {
            self.path_gaps.note(gap);
            out.event(Event::Moved { remote: from, gap });
        }
    }

    /// Hands a packet to ingest, and to the ear where there is one.
    fn take_in(&mut self, now: Time, arrival: &Arrival<'_>, out: &mut impl Output) -> bool {
        let Some(detector) = &mut self.detector else {
            return self.ingest.receive(now, arrival, &mut self.counters, out);
        };
        let mut ear = Ear {
            out,
            detector,
            now,
            heard: None,
        };
        let newest = self.ingest.receive(now, arrival, &mut self.counters, &mut ear);
        if let Some(noticed) = ear.heard {
            self.notice(now, noticed, out);
        }
        newest
    }

    pub(super) fn refuse(&mut self, error: OpenError) {
        let counter = match error {
            OpenError::Forged => &mut self.counters.srtp_forged,
            OpenError::TooOld => &mut self.counters.srtp_too_old,
            OpenError::Replayed => &mut self.counters.srtcp_replayed,
            OpenError::Malformed | OpenError::TooManyStreams => &mut self.counters.srtp_malformed,
        };
        *counter += 1;
    }

    pub(super) fn receive_rtcp(&mut self, now: Time, from: Remote, datagram: &mut [u8], out: &mut impl Output) {
        let Some(receiver) = &mut self.receiver else {
            self.counters.early += 1;
            return;
        };
        if !self.limits.allow_rtcp(now) {
            self.counters.rtcp_over_rate += 1;
            return;
        }
        let length = match receiver.open_rtcp(datagram) {
            Ok(length) => length,
            Err(error) => {
                self.refuse(error);
                return;
            }
        };
        self.limits.took_rtcp(now);
        self.counters.rtcp_in += 1;
        self.heard(now, from, false, out);
        for packet in compound(&datagram[..length]) {
            match packet {
                Ok(packet) => self.handle_rtcp(now, &packet, out),
                Err(_) => self.counters.malformed += 1,
            }
        }
    }

    pub(super) fn handle_rtcp(&mut self, now: Time, packet: &Packet<'_>, out: &mut impl Output) {
        match packet {
            Packet::SenderReport { ssrc, info, reports } => {
                if self.ingest.ssrc() == Some(*ssrc) {
                    self.reporter.sender_report(now, info.ntp);
                }
                self.handle_reports(now, reports.clone());
            }
            Packet::ReceiverReport { reports, .. } => self.handle_reports(now, reports.clone()),
            Packet::Bye { sources } => {
                let ours = self.ingest.ssrc();
                if sources.clone().any(|source| Some(source) == ours) {
                    self.bye = Some(now + BYE);
                }
            }
            Packet::Nack { media_ssrc, lost, .. } if self.slots.iter().any(|slot| slot.ssrc == *media_ssrc) => {
                self.answer_slot(now, *media_ssrc, lost.clone(), out);
            }
            Packet::Nack { media_ssrc, lost, .. } if *media_ssrc == self.egress.ssrc => {
                self.answer(now, lost.clone(), out);
            }
            _ => {}
        }
    }

    /// The caller misses packets: they go again as they were, if they are still there.
    fn answer(&mut self, now: Time, lost: NackList<'_>, out: &mut impl Output) {
        let Some(to) = self.target() else { return };
        let round_trip = self.reporter.remote.round_trip;
        for low in lost {
            self.counters.nacked += 1;
            let Some(sequence) = self.playout.sequence_of(low) else {
                self.counters.nacks_too_old += 1;
                continue;
            };
            self.egress.redundancy.missed(sequence);
            let goes = self
                .egress
                .resend(now, to, sequence, round_trip, &mut self.counters, out);
            self.playout.missed(now, sequence, goes);
        }
    }

    pub(super) fn handle_reports(&mut self, now: Time, blocks: impl Iterator<Item = ReportBlock>) {
        let ssrc = self.egress.ssrc;
        let slots: Ssrcs = std::array::from_fn(|at| self.slots.get(at).map(|slot| slot.ssrc));
        for block in blocks.filter(|block| block.ssrc == ssrc || slots.contains(&Some(block.ssrc))) {
            let lost = f32::from(block.fraction_lost) / 256.0;
            if block.ssrc == ssrc {
                self.egress.redundancy.reported(lost);
                self.playout.confirm(now, &block);
            } else if let Some(slot) = self.slots.iter_mut().find(|slot| slot.ssrc == block.ssrc) {
                slot.redundancy.reported(lost);
            }
            if let Some(round_trip) = self.reporter.receiver_report(now, &block) {
                let jitter = Duration::from_micros(u64::from(block.jitter) * 1_000 / 48).min(round_trip);
                self.egress.redundancy.path(round_trip, jitter);
                for slot in &mut self.slots {
                    slot.redundancy.path(round_trip, jitter);
                }
                self.playout.set_path(round_trip, jitter);
                self.ingest.set_round_trip(round_trip);
            }
        }
    }

    /// Runs something of the playout, and sends and reports what it says.
    pub(super) fn with_playout<R, O: Output>(
        &mut self,
        now: Time,
        out: &mut O,
        run: impl FnOnce(&mut Playout, &mut Counters, &mut dyn FnMut(Played<'_>)) -> R,
    ) -> R {
        let to = self.target();
        let (egress, mut stop) = (&mut self.egress, None);
        let detector = &mut self.detector;
        let result = run(&mut self.playout, &mut self.counters, &mut |played| match played {
            Played::Packet(packet) => {
                if let Some(detector) = detector {
                    note_played(detector, now, &packet);
                }
                if let Some(to) = to {
                    egress.rtp(now, to, &packet, out);
                }
            }
            Played::Report(report) => out.playout(report),
            Played::Stop(timestamp) => stop = Some(timestamp),
        });
        if self.egress.packets > 0 {
            once(&mut self.setup.first_frame_out, now);
        }
        if let Some(timestamp) = stop {
            self.silence_device(now, timestamp, out);
        }
        result
    }

    /// Asks for what is missing.
    pub(super) fn ask(&mut self, now: Time, out: &mut impl Output) {
        let Some(to) = self.target() else { return };
        let mut lost = [0; MAX_ASKED];
        while let Some((media_ssrc, count)) = self.ingest.ask(now, &mut lost, &mut self.counters) {
            let mut buffer = [0; MAX_RTCP + MAX_OVERHEAD];
            let mut writer = Writer::new(&mut buffer[..MAX_RTCP]);
            let ssrc = self.egress.ssrc;
            // RFC 5506: without leave, feedback comes behind a report and its sender's name.
            if !self.offer.audio.reduced_size {
                writer.receiver_report(ssrc, &[]).sdes(ssrc, &self.cname);
            }
            let length = writer.nack(ssrc, media_ssrc, &lost[..count]).length();
            self.egress.rtcp(to, &mut buffer, length, &mut self.counters, out);
        }
    }

    pub(super) fn send_report(&mut self, now: Time, out: &mut impl Output) {
        let Some(to) = self.target() else { return };
        let mut buffer = [0; MAX_RTCP + MAX_OVERHEAD];
        let sent = Sent {
            ssrc: self.egress.ssrc,
            packets: self.egress.packets,
            octets: self.egress.octets,
            timestamp: self.playout.timestamp_at(now),
        };
        let received = self.ingest.report();
        let length = self
            .reporter
            .write(now, &sent, &self.cname, received, &mut buffer[..MAX_RTCP]);
        self.egress.rtcp(to, &mut buffer, length, &mut self.counters, out);
        self.report_slots(now, out);
        self.egress.rest(now);
    }
}
