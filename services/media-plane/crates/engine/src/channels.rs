//! Data channels: SCTP over DTLS (RFC 8831), opened in-band (DCEP, RFC 8832) or agreed beforehand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, ReliabilityType, ServerConfig, StreamEvent, TransportConfig,
};

use crate::sctp_window::Window;

/// The largest message either way.
pub(crate) const MAX_MESSAGE: u32 = 64 * 1024;
/// Most bytes that wait to be sent on all channels.
const MAX_WAITING: usize = 256 * 1024;
/// Most channels that a caller may open.
const MAX_CHANNELS: usize = 16;
/// Longest label that is taken.
const MAX_LABEL: usize = 256;
/// Leaves room in a datagram for DTLS.
const MAX_PACKET: u32 = 1_060;
/// SCTP asks for an address, and DTLS has none: any will do.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5_000);
/// Label of the channel that was agreed beforehand.
const NEGOTIATED_LABEL: &str = "antiphon";
/// What may wait for that channel to open: a worker speaks as soon as DTLS is up, and SCTP takes a round trip or two more.
const MAX_EARLY_MESSAGES: usize = 32;
const MAX_EARLY_BYTES: usize = 16 * 1024;
/// DCEP message types (RFC 8832 8.2.1).
const DCEP_OPEN: u8 = 0x03;
const DCEP_ACK: u8 = 0x02;

/// What the channels say while they are driven.
pub(crate) enum ChannelEvent<'a> {
    /// SCTP for DTLS to carry.
    Transmit(&'a [u8]),
    /// A channel is open.
    Open { id: u16, label: &'a str },
    /// A message came.
    Message {
        id: u16,
        label: &'a str,
        binary: bool,
        payload: Vec<u8>,
    },
    /// A message came that belongs to no channel, or is none of WebRTC's.
    Stray,
}

#[derive(Debug)]
struct Channel {
    id: u16,
    label: String,
}

pub(crate) struct Channels {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    transport: Arc<TransportConfig>,
    negotiated: Option<u16>,
    open: Vec<Channel>,
    early: Vec<(bool, Vec<u8>)>,
    early_bytes: usize,
    /// The channel that early messages wait for has opened.
    heard: bool,
    max_send: u32,
    established: bool,
    window: Window,
}

impl Channels {
    /// `max_send`: the largest message that the caller takes; 0 for any.
    pub(crate) fn new(negotiated: Option<u16>, sctp_port: u16, max_send: u64) -> Self {
        let max_send = match u32::try_from(max_send).unwrap_or(u32::MAX) {
            0 => MAX_MESSAGE,
            limit => limit.min(MAX_MESSAGE),
        };
        let transport = Arc::new(
            TransportConfig::default()
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None)
                .with_max_receive_buffer_size(4 * MAX_MESSAGE)
                .with_max_receive_message_size(MAX_MESSAGE)
                .with_max_send_message_size(max_send)
                .with_max_num_inbound_streams(1_024)
                .with_max_num_outbound_streams(1_024)
                .with_rto_initial_ms(500)
                .with_rto_min_ms(200)
                .with_remote_port(sctp_port),
        );
        let mut config = EndpointConfig::default();
        config.max_payload_size(MAX_PACKET);
        let mut server = ServerConfig::default();
        server.transport = Arc::clone(&transport);
        Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
            association: None,
            transport,
            negotiated,
            open: Vec::new(),
            early: Vec::new(),
            early_bytes: 0,
            heard: false,
            max_send,
            established: false,
            window: Window::default(),
        }
    }

    /// DTLS is up. Its client starts SCTP; the other waits.
    pub(crate) fn start(&mut self, client: bool) {
        if client && self.association.is_none() {
            let mut config = ClientConfig::default();
            config.transport = Arc::clone(&self.transport);
            self.association = self.endpoint.connect(config, PEER).ok();
            self.endpoint.reject_new_associations();
        }
    }

    /// Takes an SCTP packet out of DTLS. Returns whether it may come in.
    pub(crate) fn receive(&mut self, now: Instant, packet: &[u8]) -> bool {
        if !self.window.admits(packet) {
            return false;
        }
        let packet = Bytes::copy_from_slice(packet);
        match self.endpoint.handle(now, PEER, None, None, packet) {
            // WebRTC has one: more of them would be remembered for nothing.
            Some((handle, DatagramEvent::NewAssociation(association))) if self.association.is_none() => {
                self.association = Some((handle, association));
                self.endpoint.reject_new_associations();
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = self.association.as_mut().filter(|(known, _)| *known == handle) {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
        true
    }

    /// Queues a message on the channel with this label. Returns whether it was taken.
    pub(crate) fn send(&mut self, label: &str, binary: bool, payload: &[u8]) -> bool {
        let Some(id) = self
            .open
            .iter()
            .find(|channel| channel.label == label)
            .map(|channel| channel.id)
        else {
            return label == NEGOTIATED_LABEL && self.keep_early(binary, payload);
        };
        if payload.len() > self.max_send as usize || self.waiting() + payload.len() > MAX_WAITING {
            return false;
        }
        let Some((_, association)) = &mut self.association else {
            return false;
        };
        // RFC 8831 6.6: SCTP carries no empty message, so one byte stands for it.
        let (ppi, payload) = match (binary, payload) {
            (true, []) => (Ppi::BinaryEmpty, &[0][..]),
            (false, []) => (Ppi::StringEmpty, &[0][..]),
            (true, payload) => (Ppi::Binary, payload),
            (false, payload) => (Ppi::String, payload),
        };
        association
            .stream(id)
            .is_ok_and(|mut stream| stream.write_with_ppi(payload, ppi).is_ok())
    }

    /// As [`Channels::send`] for octets on the channel that was agreed beforehand, but past what waits there or has been lost.
    pub(crate) fn send_past_others(&mut self, payload: &[u8]) -> bool {
        self.set_unordered(true);
        let taken = self.send(NEGOTIATED_LABEL, true, payload);
        self.set_unordered(false);
        taken
    }

    /// Each message says for itself whether it keeps its order. Channels that the caller opened are as it asked.
    fn set_unordered(&mut self, unordered: bool) {
        if let Some(id) = self.negotiated
            && let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(id)
        {
            let _ = stream.set_reliability_params(unordered, ReliabilityType::Reliable, 0);
        }
    }

    fn keep_early(&mut self, binary: bool, payload: &[u8]) -> bool {
        let room = !self.heard
            && self.early.len() < MAX_EARLY_MESSAGES
            && self.early_bytes + payload.len() <= MAX_EARLY_BYTES
            && payload.len() <= self.max_send as usize;
        if room {
            self.early_bytes += payload.len();
            self.early.push((binary, payload.to_vec()));
        }
        room
    }

    fn send_early(&mut self) {
        if self.heard || !self.open.iter().any(|channel| channel.label == NEGOTIATED_LABEL) {
            return;
        }
        self.heard = true;
        for (binary, payload) in std::mem::take(&mut self.early) {
            self.send(NEGOTIATED_LABEL, binary, &payload);
        }
    }

    fn waiting(&mut self) -> usize {
        let Some((_, association)) = &mut self.association else {
            return 0;
        };
        self.open
            .iter()
            .filter_map(|channel| association.stream(channel.id).ok()?.buffered_amount().ok())
            .sum()
    }

    /// Does what is due, and says what there is to say.
    pub(crate) fn drive(&mut self, now: Instant, sink: &mut impl FnMut(ChannelEvent<'_>)) {
        let Some((handle, association)) = &mut self.association else {
            self.transmit(now, sink);
            return;
        };
        if association.poll_timeout().is_some_and(|at| at <= now) {
            association.handle_timeout(now);
        }
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                association.handle_event(event);
            }
        }
        while let Some(event) = self
            .association
            .as_mut()
            .and_then(|(_, association)| association.poll())
        {
            match event {
                Event::Connected => {
                    self.established = true;
                    self.open_negotiated(sink);
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, sink),
                Event::Stream(StreamEvent::Finished { id }) => self.open.retain(|channel| channel.id != id),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => {
                    self.established = false;
                    self.open.clear();
                }
                _ => {}
            }
        }
        self.send_early();
        self.transmit(now, sink);
    }

    fn transmit(&mut self, now: Instant, sink: &mut impl FnMut(ChannelEvent<'_>)) {
        loop {
            let association = self.association.as_mut().map(|(_, association)| association);
            let next = self
                .endpoint
                .poll_transmit()
                .or_else(|| association.and_then(|association| association.poll_transmit(now)));
            let Some(transmit) = next else { return };
            if let Payload::RawEncode(packets) = transmit.payload {
                for packet in &packets {
                    self.window.said(packet);
                    sink(ChannelEvent::Transmit(packet));
                }
            }
        }
    }

    fn open_negotiated(&mut self, sink: &mut impl FnMut(ChannelEvent<'_>)) {
        let (Some(id), Some((_, association))) = (self.negotiated, &mut self.association) else {
            return;
        };
        // The caller's first message may have made the stream already.
        let _ = association.open_stream(id, Ppi::String);
        self.admit(id, NEGOTIATED_LABEL, sink);
    }

    fn admit(&mut self, id: u16, label: &str, sink: &mut impl FnMut(ChannelEvent<'_>)) -> bool {
        if self.open.iter().any(|channel| channel.id == id) {
            return true;
        }
        if self.open.len() == MAX_CHANNELS || label.len() > MAX_LABEL {
            return false;
        }
        self.open.push(Channel {
            id,
            label: label.to_owned(),
        });
        sink(ChannelEvent::Open { id, label });
        true
    }

    fn read(&mut self, id: u16, sink: &mut impl FnMut(ChannelEvent<'_>)) {
        if Some(id) == self.negotiated {
            self.admit(id, NEGOTIATED_LABEL, sink);
        }
        loop {
            let Some((_, association)) = &mut self.association else {
                return;
            };
            let Ok(mut stream) = association.stream(id) else { return };
            let Ok(Some(chunks)) = stream.read_sctp() else { return };
            let mut payload = vec![0; chunks.len()];
            if chunks.read(&mut payload).is_err() {
                sink(ChannelEvent::Stray);
                continue;
            }
            let (binary, empty) = match chunks.ppi {
                Ppi::Dcep => {
                    self.handshake(id, &payload, sink);
                    continue;
                }
                Ppi::String => (false, false),
                Ppi::StringEmpty => (false, true),
                Ppi::Binary => (true, false),
                Ppi::BinaryEmpty => (true, true),
                Ppi::Unknown => {
                    sink(ChannelEvent::Stray);
                    continue;
                }
            };
            if empty {
                payload.clear();
            }
            let channel = self.open.iter().find(|channel| channel.id == id);
            sink(channel.map_or(ChannelEvent::Stray, |channel| ChannelEvent::Message {
                id,
                label: &channel.label,
                binary,
                payload,
            }));
        }
    }

    /// A DCEP message. We open no channels in-band, so an ACK says nothing.
    fn handshake(&mut self, id: u16, message: &[u8], sink: &mut impl FnMut(ChannelEvent<'_>)) {
        let Some(open) = Open::parse(message) else { return };
        let admitted = self.admit(id, open.label, sink);
        let Some((_, association)) = &mut self.association else {
            return;
        };
        let Ok(mut stream) = association.stream(id) else { return };
        if admitted {
            let _ = stream.set_reliability_params(open.unordered, open.reliability, open.reliability_value);
            let _ = stream.write_with_ppi(&[DCEP_ACK], Ppi::Dcep);
        } else {
            let _ = stream.close();
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.association
            .as_ref()
            .and_then(|(_, association)| association.poll_timeout())
    }
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels")
            .field("established", &self.established)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// DATA_CHANNEL_OPEN (RFC 8832 5.1).
struct Open<'a> {
    unordered: bool,
    reliability: ReliabilityType,
    reliability_value: u32,
    label: &'a str,
}

impl<'a> Open<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        let (head, rest) = message.split_first_chunk::<12>()?;
        if head[0] != DCEP_OPEN {
            return None;
        }
        let label_length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        Some(Self {
            unordered: head[1] & 0x80 != 0,
            reliability: ReliabilityType::from(head[1] & 0x7f),
            reliability_value: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            label: std::str::from_utf8(rest.get(..label_length)?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Carries packets both ways until neither end has more to say; returns what `right` was told.
    fn talk(left: &mut Channels, right: &mut Channels, now: Instant) -> Vec<Vec<u8>> {
        let mut told = Vec::new();
        loop {
            let (mut to_left, mut to_right) = (Vec::new(), Vec::new());
            left.drive(now, &mut |event| {
                if let ChannelEvent::Transmit(packet) = event {
                    to_right.push(packet.to_vec());
                }
            });
            right.drive(now, &mut |event| match event {
                ChannelEvent::Transmit(packet) => to_left.push(packet.to_vec()),
                ChannelEvent::Message { payload, .. } => told.push(payload),
                ChannelEvent::Open { .. } | ChannelEvent::Stray => {}
            });
            if to_left.is_empty() && to_right.is_empty() {
                return told;
            }
            assert!(to_left.iter().all(|packet| left.receive(now, packet)));
            assert!(to_right.iter().all(|packet| right.receive(now, packet)));
        }
    }

    #[test]
    fn what_is_said_before_the_channel_opens_is_heard_once_it_does() {
        let now = Instant::now();
        let (mut edge, mut caller) = (Channels::new(Some(0), 5_000, 0), Channels::new(Some(0), 5_000, 0));
        assert!(edge.send("antiphon", false, b"first"));
        assert!(edge.send("antiphon", false, b"second"));
        assert!(!edge.send("another", false, b"nobody waits for this one"));
        edge.start(false);
        caller.start(true);
        let mut told = talk(&mut edge, &mut caller, now);
        assert!(edge.send("antiphon", false, b"third"));
        told.extend(talk(&mut edge, &mut caller, now + Duration::from_millis(10)));
        assert_eq!(told, [&b"first"[..], b"second", b"third"]);
    }

    #[test]
    fn what_waits_for_the_channel_is_bounded() {
        let mut edge = Channels::new(None, 5_000, 0);
        let taken = (0..100).filter(|_| edge.send("antiphon", false, b"too early")).count();
        assert_eq!(taken, MAX_EARLY_MESSAGES);
        let mut edge = Channels::new(None, 5_000, 0);
        assert!(!edge.send("antiphon", false, &[0; MAX_EARLY_BYTES + 1]));
    }
}
