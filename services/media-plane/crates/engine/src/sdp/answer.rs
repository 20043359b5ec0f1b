//! Writes the edge's answer: what Chromium, Firefox, Safari, aiortc, GStreamer and Pion all accept, and nothing more.

use std::fmt::Write as _;

use super::{Audio, Data, Fingerprint, Offer, Section, SectionKind, SlotLine};
use crate::remote::{Candidate, Transport};

/// The stream that the edge sends.
#[derive(Clone, Copy, Debug)]
pub struct OwnStream<'a> {
    /// SSRC.
    pub ssrc: u32,
    /// CNAME.
    pub cname: &'a str,
    /// MediaStream id.
    pub stream: &'a str,
    /// MediaStreamTrack id.
    pub track: &'a str,
}

/// What the answer says besides the offer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// For the o-line; unique for the session.
    pub session_id: u64,
    /// The edge's ufrag.
    pub ufrag: &'a str,
    /// The edge's ICE password.
    pub password: &'a str,
    /// The edge's certificate.
    pub fingerprint: &'a Fingerprint,
    /// The edge's addresses, best first.
    pub candidates: &'a [Candidate],
    /// What the edge sends.
    pub stream: OwnStream<'a>,
    /// SSRCs of [`Offer::slots`], in their order.
    pub slots: &'a [u32],
    /// The largest data-channel message that the edge takes.
    pub max_message_size: u32,
}

impl Answer<'_> {
    /// Writes the answer to `offer`.
    #[must_use]
    pub fn write(&self, offer: &Offer) -> String {
        let mut text = String::with_capacity(2_048);
        // The o-line's number is 63 bits (RFC 9429 5.2.1).
        let _ = write!(
            text,
            "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
            self.session_id >> 1
        );
        let accepted = |mid: &String| {
            let named = |section: &&Section| section.mid == *mid;
            offer
                .sections
                .iter()
                .find(named)
                .is_some_and(|section| section.kind != SectionKind::Rejected)
        };
        let bundle: Vec<&str> = offer
            .bundle
            .iter()
            .filter(|mid| accepted(mid))
            .map(String::as_str)
            .collect();
        if !bundle.is_empty() {
            let _ = write!(text, "a=group:BUNDLE {}\r\n", bundle.join(" "));
        }
        text.push_str("a=ice-lite\r\na=msid-semantic: WMS *\r\n");
        for section in &offer.sections {
            match (section.kind, &offer.data) {
                (SectionKind::Audio, _) => self.audio(&mut text, offer, section, &offer.audio),
                (SectionKind::Data, Some(data)) => self.data(&mut text, offer, section, data),
                (SectionKind::Slot(at), _) => self.slot(&mut text, offer, section, (at, &offer.slots[at])),
                (SectionKind::Carrier, _) => self.carrier(&mut text, offer, section),
                _ => {
                    reject(&mut text, section);
                    continue;
                }
            }
            // RFC 9143 7.1.3 wants a bundle's candidates in the m-line that its group names first. They stand in all, as the
            // credentials do: aiortc reads them of the last, and nobody minds to read them twice.
            write_candidates(&mut text, self.candidates);
        }
        text
    }

    fn audio(&self, text: &mut String, offer: &Offer, section: &Section, audio: &Audio) {
        let opus = audio.opus.payload_type;
        let _ = write!(text, "m=audio {} {}", self.port(), section.protocol);
        // RED before Opus makes a browser send it.
        for payload_type in [audio.opus.red, Some(opus), audio.opus.telephone_event]
            .into_iter()
            .flatten()
        {
            let _ = write!(text, " {payload_type}");
        }
        text.push_str("\r\n");
        self.transport(text, offer, section);
        let direction = audio.direction.mirrored();
        let _ = write!(text, "a={}\r\na=rtcp-mux\r\n", direction.name());
        if audio.reduced_size {
            text.push_str("a=rtcp-rsize\r\n");
        }
        codecs(text, opus, audio.opus.red);
        // Pion looks at the payload type that it sends or that is named first; libwebrtc at Opus alone.
        for payload_type in audio.opus.red.into_iter().chain([opus]).filter(|_| audio.feedback) {
            let _ = write!(text, "a=rtcp-fb:{payload_type} nack\r\n");
        }
        if let Some(event) = audio.opus.telephone_event {
            let _ = write!(
                text,
                "a=rtpmap:{event} telephone-event/48000\r\na=fmtp:{event} 0-15\r\n"
            );
        }
        if let Some(id) = audio.mid_extension {
            let _ = write!(text, "a=extmap:{id} {}\r\n", super::MID_URI);
        }
        if let Some(id) = audio.level_extension {
            let _ = write!(text, "a=extmap:{id} {}\r\n", super::LEVEL_URI);
        }
        if direction.sends() {
            let OwnStream {
                ssrc,
                cname,
                stream,
                track,
            } = self.stream;
            let _ = write!(
                text,
                "a=msid:{stream} {track}\r\na=ssrc:{ssrc} cname:{cname}\r\na=ssrc:{ssrc} msid:{stream} {track}\r\n"
            );
        }
    }

    fn data(&self, text: &mut String, offer: &Offer, section: &Section, data: &Data) {
        self.media(text, section);
        self.transport(text, offer, section);
        let _ = write!(
            text,
            "a=sctp-port:{}\r\na=max-message-size:{}\r\n",
            data.sctp_port, self.max_message_size
        );
    }

    fn slot(&self, text: &mut String, offer: &Offer, section: &Section, (at, slot): (usize, &SlotLine)) {
        let opus = slot.payload_type;
        let _ = write!(text, "m=audio {} {}", self.port(), section.protocol);
        for payload_type in slot.red.into_iter().chain([opus]) {
            let _ = write!(text, " {payload_type}");
        }
        text.push_str("\r\n");
        self.transport(text, offer, section);
        text.push_str("a=sendonly\r\na=rtcp-mux\r\n");
        codecs(text, opus, slot.red);
        for payload_type in slot.red.into_iter().chain([opus]) {
            let _ = write!(text, "a=rtcp-fb:{payload_type} nack\r\n");
        }
        if let Some(id) = slot.mid_extension {
            let _ = write!(text, "a=extmap:{id} {}\r\n", super::MID_URI);
        }
        // Streams of their own: a browser would play the tracks of one stream in step.
        let OwnStream { cname, stream, .. } = self.stream;
        let (ssrc, number) = (self.slots[at], at + 1);
        let _ = write!(
            text,
            "a=msid:{stream}-{number} slot-{number}\r\na=ssrc:{ssrc} cname:{cname}\r\n\
             a=ssrc:{ssrc} msid:{stream}-{number} slot-{number}\r\n"
        );
    }

    fn carrier(&self, text: &mut String, offer: &Offer, section: &Section) {
        self.media(text, section);
        self.transport(text, offer, section);
        let _ = write!(text, "a=inactive\r\na=rtcp-mux\r\n{}", section.description);
    }

    fn media(&self, text: &mut String, section: &Section) {
        let Section {
            media,
            protocol,
            formats,
            ..
        } = section;
        let _ = write!(text, "m={media} {} {protocol} {formats}\r\n", self.port());
    }

    fn transport(&self, text: &mut String, offer: &Offer, section: &Section) {
        match self.candidates.first() {
            Some(Candidate { address, .. }) => {
                let family = if address.is_ipv4() { "IP4" } else { "IP6" };
                let _ = write!(text, "c=IN {family} {}\r\n", address.ip());
            }
            None => text.push_str("c=IN IP4 0.0.0.0\r\n"),
        }
        if !section.mid.is_empty() {
            let _ = write!(text, "a=mid:{}\r\n", section.mid);
        }
        let setup = if offer.we_are_active() { "active" } else { "passive" };
        let _ = write!(
            text,
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:{}\r\na=setup:{setup}\r\n",
            self.ufrag, self.password, self.fingerprint
        );
    }

    /// RFC 8840 4.1.2: 9 when there is no address to name.
    fn port(&self) -> u16 {
        self.candidates.first().map_or(9, |candidate| candidate.address.port())
    }
}

/// Opus, and RED over it.
fn codecs(text: &mut String, opus: u8, red: Option<u8>) {
    if let Some(red) = red {
        let _ = write!(text, "a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {opus}/{opus}\r\n");
    }
    let _ = write!(
        text,
        "a=rtpmap:{opus} opus/48000/2\r\n\
         a=fmtp:{opus} minptime=10;useinbandfec=1;stereo=0;usedtx=1\r\n"
    );
}

fn reject(text: &mut String, section: &Section) {
    let _ = write!(
        text,
        "m={} 0 {} {}\r\nc=IN IP4 0.0.0.0\r\n",
        section.media, section.protocol, section.formats
    );
    if !section.mid.is_empty() {
        let _ = write!(text, "a=mid:{}\r\n", section.mid);
    }
    text.push_str("a=inactive\r\n");
}

/// Host candidates, the first preferred, then end-of-candidates.
pub(super) fn write_candidates(text: &mut String, candidates: &[Candidate]) {
    for (index, candidate) in candidates.iter().enumerate() {
        let (ip, port) = (candidate.address.ip(), candidate.address.port());
        let (transport, suffix) = match candidate.transport {
            Transport::Udp => ("udp", ""),
            Transport::Tcp => ("tcp", " tcptype passive"),
        };
        let (foundation, priority) = (index + 1, priority(candidate.transport, index));
        let _ = write!(
            text,
            "a=candidate:{foundation} 1 {transport} {priority} {ip} {port} typ host{suffix}\r\n"
        );
    }
    text.push_str("a=end-of-candidates\r\n");
}

/// RFC 8445 5.1.2.1, for component 1. RFC 6544 4.2 wants TCP below UDP by its type preference (browsers say 90), and
/// the direction in the upper 3 of the local preference's 16 bits.
fn priority(transport: Transport, index: usize) -> u32 {
    const PASSIVE: u32 = 4;
    let (kind, local) = match transport {
        Transport::Udp => (126, 65_535 - index.min(65_535) as u32),
        Transport::Tcp => (90, PASSIVE << 13 | (8_191 - index.min(8_191) as u32)),
    };
    kind << 24 | local << 8 | 255
}
