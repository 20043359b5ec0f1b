//! What leaves for the caller: RTP and RTCP, sealed in a buffer on the stack.

use crate::output::Output;
use crate::remote::Remote;
use crate::rtp::{HeaderWriter, MAX_WRITTEN_HEADER};
use crate::srtp::{MAX_OVERHEAD, Sender};
use crate::stats::Counters;

/// Holds the largest packet: header, payload and tag.
const DATAGRAM: usize = MAX_WRITTEN_HEADER + crate::playout::MAX_PAYLOAD + MAX_OVERHEAD;

#[derive(Debug)]
pub(crate) struct Egress {
    pub(crate) ssrc: u32,
    payload_type: u8,
    sequence: u16,
    sender: Option<Sender>,
    pub(crate) packets: u64,
    /// Of payload, as an SR tells them, and on the wire.
    pub(crate) octets: u64,
    pub(crate) bytes: u64,
    /// Packets that could not be sealed.
    pub(crate) unsealed: u64,
}

impl Egress {
    pub(crate) fn new(ssrc: u32, payload_type: u8, first_sequence: u16) -> Self {
        Self {
            ssrc,
            payload_type,
            // RFC 3711 3.3.1: below 2^15, lest the first packets' loss hide a roll-over.
            sequence: first_sequence & 0x7fff,
            sender: None,
            packets: 0,
            octets: 0,
            bytes: 0,
            unsealed: 0,
        }
    }

    pub(crate) fn key(&mut self, sender: Sender) {
        self.sender = Some(sender);
    }

    /// Sends a packet whose payload lies in two pieces.
    pub(crate) fn rtp(
        &mut self,
        to: Remote,
        marker: bool,
        timestamp: u32,
        payload: (&[u8], &[u8]),
        out: &mut impl Output,
    ) {
        let Some(sender) = &mut self.sender else { return };
        let mut datagram = [0; DATAGRAM];
        let header = HeaderWriter {
            marker,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..HeaderWriter::default()
        };
        let start = header.write(&mut datagram);
        let middle = start + payload.0.len();
        let end = middle + payload.1.len();
        datagram[start..middle].copy_from_slice(payload.0);
        datagram[middle..end].copy_from_slice(payload.1);
        self.sequence = self.sequence.wrapping_add(1);
        let Ok(sealed) = sender.seal_rtp(&mut datagram, end) else {
            self.unsealed += 1;
            return;
        };
        self.packets += 1;
        self.octets += (end - start) as u64;
        self.bytes += sealed as u64;
        out.transmit(to, &datagram[..sealed]);
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
