//! What leaves for the caller: RTP and RTCP, sealed in a buffer on the stack; redundancy where the caller loses packets, and the
//! same bytes again where it asks for them.

mod cache;
mod history;
mod redundancy;

use std::time::Duration;

pub(crate) use cache::Cache;
use cache::Refusal;
pub(crate) use history::{Blocks, History};
pub(crate) use redundancy::Redundancy;

use crate::output::Output;
use crate::playout::{MAX_PAYLOAD, Packet};
use crate::red;
use crate::remote::Remote;
use crate::rtp::{HeaderWriter, MAX_WRITTEN_HEADER};
use crate::srtp::{MAX_OVERHEAD, Sender};
use crate::stats::Counters;
use crate::time::Time;

/// Holds the largest packet: header, payload and tag.
const DATAGRAM: usize = MAX_WRITTEN_HEADER + MAX_PAYLOAD + MAX_OVERHEAD;
/// Holds a usual packet without redundancy: clearing a buffer for the largest takes as long as sealing this.
const USUAL: usize = 256;

/// What stands behind a packet's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    /// Of the payload, and of what is redundant.
    pub(crate) payload_type: u8,
    /// Earlier payloads for RED, oldest first; none for a plain packet.
    pub(crate) redundant: &'a [(u32, &'a [u8])],
    /// In two pieces.
    pub(crate) payload: (&'a [u8], &'a [u8]),
}

impl Content<'_> {
    /// Whether it fits a small buffer behind a header, with its tag.
    fn is_usual(&self) -> bool {
        let length = self.payload.0.len() + self.payload.1.len();
        self.redundant.is_empty() && length <= USUAL - MAX_WRITTEN_HEADER - MAX_OVERHEAD
    }

    /// Writes it at `start`. Returns where it ends.
    fn write(&self, datagram: &mut [u8], start: usize) -> usize {
        let Self { payload, redundant, .. } = self;
        let middle = if redundant.is_empty() {
            let middle = start + payload.0.len();
            datagram[start..middle].copy_from_slice(payload.0);
            middle
        } else {
            // The primary is the last and has no length: its second piece follows.
            let written = red::write(&mut datagram[start..], self.payload_type, redundant, payload.0);
            start + written.unwrap_or_default()
        };
        let end = middle + payload.1.len();
        if end > middle {
            datagram[middle..end].copy_from_slice(payload.1);
        }
        end
    }
}

#[derive(Debug)]
pub(crate) struct Egress {
    pub(crate) ssrc: u32,
    payload_type: u8,
    /// Payload type of RED, where the caller offered it.
    red: Option<u8>,
    sender: Option<Sender>,
    cache: Cache,
    history: History,
    pub(crate) redundancy: Redundancy,
    pub(crate) packets: u64,
    /// Packets that carried earlier frames, these frames, and packets that went again unasked.
    pub(crate) red_packets: u64,
    pub(crate) redundant: u64,
    pub(crate) repeated: u64,
    /// Of payload, as an SR tells them, and on the wire.
    pub(crate) octets: u64,
    pub(crate) bytes: u64,
    /// Packets that could not be sealed.
    pub(crate) unsealed: u64,
}

impl Egress {
    pub(crate) fn new(ssrc: u32, payload_type: u8, red: Option<u8>) -> Self {
        Self {
            ssrc,
            payload_type,
            red,
            sender: None,
            cache: Cache::new(),
            history: History::default(),
            redundancy: Redundancy::new(red.is_some()),
            packets: 0,
            red_packets: 0,
            redundant: 0,
            repeated: 0,
            octets: 0,
            bytes: 0,
            unsealed: 0,
        }
    }

    pub(crate) fn key(&mut self, sender: Sender) {
        self.sender = Some(sender);
    }

    /// Sends a packet, with earlier ones in it as far as redundancy is due.
    pub(crate) fn rtp(&mut self, now: Time, to: Remote, packet: &Packet<'_>, out: &mut impl Output) {
        let length = packet.payload.0.len() + packet.payload.1.len();
        let carried = self.red.map_or(0, |_| self.redundancy.carried());
        if carried == 0 && length <= USUAL - MAX_WRITTEN_HEADER - MAX_OVERHEAD {
            self.send(now, to, packet, 0, &mut [0; USUAL], out);
        } else {
            self.send(now, to, packet, carried, &mut [0; DATAGRAM], out);
        }
    }

    #[inline]
    fn send(
        &mut self,
        now: Time,
        to: Remote,
        packet: &Packet<'_>,
        carried: usize,
        datagram: &mut [u8],
        out: &mut impl Output,
    ) {
        let Some(sender) = &mut self.sender else { return };
        let mut blocks = Blocks::default();
        let length = packet.payload.0.len() + packet.payload.1.len();
        let count = self
            .history
            .blocks_beside(packet.timestamp, carried, length, &mut blocks);
        let header = HeaderWriter {
            marker: packet.marker,
            payload_type: self.red.filter(|_| count > 0).unwrap_or(self.payload_type),
            #[expect(clippy::cast_possible_truncation, reason = "the wire's 16 bits")]
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp,
            ssrc: self.ssrc,
            ..HeaderWriter::default()
        };
        let start = header.write(datagram);
        let content = Content {
            payload_type: self.payload_type,
            redundant: &blocks[..count],
            payload: packet.payload,
        };
        let end = content.write(datagram, start);
        let Ok(sealed) = sender.seal_behind(start, (header.ssrc, header.sequence), datagram, end) else {
            self.unsealed += 1;
            return;
        };
        // The caller shall have what it misses before it sees that it does.
        for distance in (1..=self.redundancy.repeats()).rev() {
            if let Some(earlier) = self.cache.again(packet.sequence.wrapping_sub(distance)) {
                self.repeated += 1;
                self.bytes += earlier.len() as u64;
                out.transmit(to, earlier);
            }
        }
        self.packets += 1;
        self.octets += (end - start) as u64;
        self.bytes += sealed as u64;
        self.red_packets += u64::from(count > 0);
        self.redundant += count as u64;
        self.cache
            .push(now, packet.sequence, &datagram[..sealed], packet.utterance.is_some());
        self.redundancy.sent();
        if carried > 0 {
            self.history.push(packet.timestamp, packet.payload);
        }
        out.transmit(to, &datagram[..sealed]);
    }

    /// Sends a packet of another stream than the first, and keeps it in that stream's cache. Returns whether it could be sealed:
    /// each sequence number once.
    pub(crate) fn other(
        &mut self,
        now: Time,
        to: Remote,
        what: (&HeaderWriter<'_>, &Content<'_>),
        kept: (&mut Cache, Option<u64>),
        out: &mut impl Output,
    ) -> bool {
        if what.1.is_usual() {
            self.send_other(now, to, what, kept, &mut [0; USUAL], out)
        } else {
            self.send_other(now, to, what, kept, &mut [0; DATAGRAM], out)
        }
    }

    #[inline]
    fn send_other(
        &mut self,
        now: Time,
        to: Remote,
        (header, content): (&HeaderWriter<'_>, &Content<'_>),
        (cache, sequence): (&mut Cache, Option<u64>),
        datagram: &mut [u8],
        out: &mut impl Output,
    ) -> bool {
        let Some(sender) = &mut self.sender else { return false };
        let start = header.write(datagram);
        let end = content.write(datagram, start);
        let Ok(sealed) = sender.seal_behind(start, (header.ssrc, header.sequence), datagram, end) else {
            return false;
        };
        self.bytes += sealed as u64;
        self.red_packets += u64::from(!content.redundant.is_empty());
        self.redundant += content.redundant.len() as u64;
        if let Some(sequence) = sequence {
            cache.push(now, sequence, &datagram[..sealed], true);
        }
        out.transmit(to, &datagram[..sealed]);
        true
    }

    /// As [`Egress::resend`], for another stream.
    pub(crate) fn resend_other(
        &mut self,
        now: Time,
        to: Remote,
        (cache, sequence): (&mut Cache, u64),
        round_trip: Option<Duration>,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        self.bytes += resend(now, to, cache, sequence, round_trip, counters, out) as u64;
    }

    /// Answers a NACK of the caller for one packet. Returns whether it went again.
    pub(crate) fn resend(
        &mut self,
        now: Time,
        to: Remote,
        sequence: u64,
        round_trip: Option<Duration>,
        counters: &mut Counters,
        out: &mut impl Output,
    ) -> bool {
        let sent = resend(now, to, &mut self.cache, sequence, round_trip, counters, out);
        self.bytes += sent as u64;
        sent > 0
    }

    /// Reads ahead: see [`crate::Session::warm`].
    #[inline]
    pub(crate) fn warm(&self) -> u64 {
        let sender = self.sender.as_ref().map_or(0, Sender::warm);
        sender ^ u64::from(self.ssrc) ^ self.packets ^ self.cache.warm() ^ self.redundancy.warm()
    }

    /// Gives memory back that is not used: to be called now and then.
    pub(crate) fn rest(&mut self, now: Time) {
        self.cache.rest(now);
        if self.redundancy.level() == 0 {
            self.history.rest();
        }
    }

    /// Seals and sends a compound packet.
    pub(crate) fn rtcp(
        &mut self,
        to: Remote,
        buffer: &mut [u8],
        length: usize,
        counters: &mut Counters,
        out: &mut impl Output,
    ) {
        let Some(sender) = &mut self.sender else { return };
        let Ok(sealed) = sender.seal_rtcp(buffer, length) else {
            self.unsealed += 1;
            return;
        };
        counters.rtcp_out += 1;
        out.transmit(to, &buffer[..sealed]);
    }
}

/// Sends a kept packet again. Returns its length, 0 when it does not go.
fn resend(
    now: Time,
    to: Remote,
    cache: &mut Cache,
    sequence: u64,
    round_trip: Option<Duration>,
    counters: &mut Counters,
    out: &mut impl Output,
) -> usize {
    match cache.answer(now, sequence, round_trip) {
        Ok(packet) => {
            counters.nacks_answered += 1;
            out.transmit(to, packet);
            packet.len()
        }
        Err(refusal) => {
            let counter = match refusal {
                Refusal::TooOld => &mut counters.nacks_too_old,
                Refusal::TooOften => &mut counters.nacks_too_often,
            };
            *counter += 1;
            0
        }
    }
}
