//! Reads offers: tolerant of what Chromium, Firefox, Safari, aiortc, GStreamer and Pion write, strict where a call
//! could not work.

use super::lines::{Attribute, Part, split};
use super::{
    Audio, Credentials, Data, Direction, Fingerprint, LEVEL_URI, MID_URI, Offer, OfferError, Opus, Section,
    SectionKind, Setup, SlotLine, fragment,
};

/// RFC 8841 6.1: what a peer takes that does not say.
const DEFAULT_MAX_MESSAGE_SIZE: u64 = 65_536;
const DEFAULT_SCTP_PORT: u16 = 5_000;
const MAX_SSRCS: usize = 8;

/// An m-line with its fields apart.
struct Media<'a, 'p> {
    part: &'p Part<'a>,
    media: &'a str,
    port: u16,
    protocol: &'a str,
    formats: &'a str,
    mid: &'a str,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`OfferError`] names the line: malformed, no Opus, no fingerprint, no ICE credentials, no rtcp-mux.
    pub fn parse(text: &str) -> Result<Self, OfferError> {
        Self::parse_with_slots(text, 0)
    }

    /// Reads an offer and takes up to `most_slots` receive-only audio m-lines of it, for the voices of a room.
    ///
    /// # Errors
    /// As [`Offer::parse`].
    pub fn parse_with_slots(text: &str, most_slots: usize) -> Result<Self, OfferError> {
        if !text.starts_with("v=0") {
            return Err(OfferError::at(1, "not SDP: the first line is v=0"));
        }
        let parts = split(text)?;
        let (session, rest) = parts.split_first().ok_or_else(|| OfferError::at(1, "not SDP"))?;
        let media = rest.iter().map(Media::parse).collect::<Result<Vec<_>, _>>()?;
        check_mids(&media)?;
        let bundle = session
            .all("group")
            .find_map(|group| group.value.strip_prefix("BUNDLE"));
        let bundle: Option<Vec<&str>> = bundle.map(|mids| mids.split_ascii_whitespace().collect());

        let (audio_at, audio) = choose_audio(&media)?;
        let line = media[audio_at].part;
        if !line.has("rtcp-mux") {
            return Err(OfferError::at(
                line.line,
                "audio without a=rtcp-mux: RTCP has no port of its own here",
            ));
        }
        if let Some(lite) = session.first("ice-lite") {
            let message = "an ice-lite offer cannot be answered: this side is lite too, and neither would check a path";
            return Err(OfferError::at(lite.line, message));
        }
        // RFC 9143 7.1: the transport's attributes may stand in another m-line of the bundle, or at the session.
        let grouped = |mid: &str| bundle.as_ref().is_some_and(|mids| mids.contains(&mid));
        let together = grouped(media[audio_at].mid);
        let others = media
            .iter()
            .filter(|other| together && grouped(other.mid))
            .map(|other| other.part);
        let holders: Vec<&Part<'_>> = [line, session].into_iter().chain(others).collect();
        let data = media
            .iter()
            .enumerate()
            .find(|(_, media)| media.is_data_channel() && together && grouped(media.mid));
        let data_at = data.map(|(at, _)| at);
        let data = data.map(|(_, media)| media.data()).transpose()?;
        let mut slots = Vec::new();
        let mut slots_at = Vec::new();
        for (at, other) in media.iter().enumerate() {
            if at != audio_at && together && grouped(other.mid) && slots.len() < most_slots {
                let Some(slot) = other.slot() else { continue };
                slots.push(slot);
                slots_at.push(at);
            }
        }
        let kind = |at| match at {
            _ if at == audio_at => SectionKind::Audio,
            _ if Some(at) == data_at => SectionKind::Data,
            _ if slots_at.contains(&at) => SectionKind::Slot(slots_at.iter().take_while(|slot| **slot != at).count()),
            _ if together && media[at].carries(bundle.as_deref()) => SectionKind::Carrier,
            _ => SectionKind::Rejected,
        };
        Ok(Self {
            ice: credentials(&holders, line.line)?,
            fingerprint: fingerprint(&holders, line.line)?,
            setup: setup(&holders)?,
            audio,
            data,
            slots,
            bundle: bundle
                .iter()
                .flatten()
                .filter(|_| together)
                .map(|&mid| mid.to_owned())
                .collect(),
            sections: media
                .iter()
                .enumerate()
                .map(|(at, media)| media.section(kind(at)))
                .collect(),
        })
    }
}

impl<'a, 'p> Media<'a, 'p> {
    fn parse(part: &'p Part<'a>) -> Result<Self, OfferError> {
        let mut fields = part.media.splitn(4, ' ');
        let mut field = || fields.next().filter(|field| !field.is_empty());
        let (media, port, protocol) = (field(), field(), field());
        // The first format may be all that an answer repeats: it must be there.
        let formats = field().filter(|formats| !formats.starts_with(' '));
        let (Some(media), Some(port), Some(protocol), Some(formats)) = (media, port, protocol, formats) else {
            return Err(OfferError::at(
                part.line,
                "m-line wants media, port, protocol and formats",
            ));
        };
        // `9/2` asks for several ports (RFC 8866 5.14); nobody means it.
        let port = port.split('/').next().unwrap_or_default();
        let Ok(port) = port.parse() else {
            return Err(OfferError::at(
                part.line,
                format!("m-line's port `{port}` is not a port"),
            ));
        };
        let mid = part.first("mid").map_or("", |mid| mid.value);
        Ok(Self {
            part,
            media,
            port,
            protocol,
            formats,
            mid,
        })
    }

    /// RFC 9143 6: port zero is a refusal, except with bundle-only.
    fn offered(&self) -> bool {
        self.port != 0 || self.part.has("bundle-only")
    }

    fn is_data_channel(&self) -> bool {
        self.offered()
            && self.media == "application"
            && self.protocol.ends_with("/DTLS/SCTP")
            && self.formats == "webrtc-datachannel"
    }

    fn direction(&self) -> Direction {
        let named = |attribute: &Attribute<'_>| match attribute.name {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        };
        self.part
            .attributes
            .iter()
            .find_map(named)
            .unwrap_or(Direction::SendRecv)
    }

    fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats
            .split_ascii_whitespace()
            .filter_map(|format| format.parse().ok())
            .filter(|format| *format < 128)
    }

    /// The first payload type of the m-line that maps to this codec.
    fn codec(&self, names: &[&str]) -> Option<u8> {
        let maps = |payload_type: &u8| {
            self.part.all("rtpmap").any(|map| match map.value.split_once(' ') {
                Some((number, codec)) => {
                    number.parse() == Ok(*payload_type)
                        && names.iter().any(|name| name.eq_ignore_ascii_case(codec.trim()))
                }
                None => false,
            })
        };
        self.payload_types().find(maps)
    }

    fn format_parameters(&self, payload_type: u8) -> &'a str {
        let of = |attribute: Attribute<'a>| {
            let (number, parameters) = attribute.value.split_once(' ')?;
            (number.parse() == Ok(payload_type)).then_some(parameters)
        };
        self.part.all("fmtp").find_map(of).unwrap_or("")
    }

    fn opus(&self) -> Option<Opus> {
        let payload_type = self.codec(&["opus/48000/2", "opus/48000"])?;
        let parameters = self.format_parameters(payload_type);
        let set = |name: &str| {
            let pair = |parameter: &str| {
                parameter
                    .split_once('=')
                    .is_some_and(|(key, value)| key.trim() == name && value.trim() == "1")
            };
            parameters.split(';').any(pair)
        };
        // RED is usable when all that it carries is this Opus.
        let carries_opus = |red: &u8| {
            let list = self.format_parameters(*red);
            !list.is_empty() && list.split('/').all(|inner| inner.trim().parse() == Ok(payload_type))
        };
        Some(Opus {
            payload_type,
            red: self.codec(&["red/48000/2"]).filter(carries_opus),
            telephone_event: self.codec(&["telephone-event/48000"]),
            in_band_fec: set("useinbandfec"),
            stereo: set("stereo"),
        })
    }

    /// One-byte extension ids only: those are what we write.
    fn extension(&self, uri: &str) -> Option<u8> {
        let maps = |attribute: Attribute<'_>| {
            let mut fields = attribute.value.split_ascii_whitespace();
            let id = fields.next()?.split('/').next()?.parse().ok()?;
            (fields.next() == Some(uri) && (1..=14).contains(&id)).then_some(id)
        };
        self.part.all("extmap").find_map(maps)
    }

    fn ssrcs(&self) -> Vec<u32> {
        let number = |attribute: Attribute<'_>| attribute.value.split(' ').next()?.parse().ok();
        let mut ssrcs: Vec<u32> = self.part.all("ssrc").filter_map(number).collect();
        ssrcs.dedup();
        ssrcs.truncate(MAX_SSRCS);
        ssrcs
    }

    fn audio(&self) -> Option<Audio> {
        let opus = self.opus().filter(|_| self.media == "audio" && self.offered())?;
        Some(Audio {
            mid: self.mid.to_owned(),
            direction: self.direction(),
            opus,
            feedback: self.protocol.ends_with("AVPF"),
            reduced_size: self.part.has("rtcp-rsize"),
            mid_extension: self.extension(MID_URI),
            level_extension: self.extension(LEVEL_URI),
            ssrcs: self.ssrcs(),
        })
    }

    fn slot(&self) -> Option<SlotLine> {
        let opus = self.opus().filter(|_| self.media == "audio" && self.offered())?;
        let usable = self.direction() == Direction::RecvOnly && self.part.has("rtcp-mux");
        usable.then(|| SlotLine {
            mid: self.mid.to_owned(),
            payload_type: opus.payload_type,
            red: opus.red,
            mid_extension: self.extension(MID_URI),
        })
    }

    fn data(&self) -> Result<Data, OfferError> {
        let number = |name: &'static str, default: u64| match self.part.first(name) {
            None => Ok(default),
            Some(attribute) => attribute.value.parse().map_err(|_| {
                OfferError::at(
                    attribute.line,
                    format!("a={name} `{}` is not a number", attribute.value),
                )
            }),
        };
        let line = self
            .part
            .first("sctp-port")
            .map_or(self.part.line, |attribute| attribute.line);
        let sctp_port = u16::try_from(number("sctp-port", DEFAULT_SCTP_PORT.into())?)
            .map_err(|_| OfferError::at(line, "a=sctp-port is above 65535"))?;
        let max_message_size = number("max-message-size", DEFAULT_MAX_MESSAGE_SIZE)?;
        Ok(Data {
            mid: self.mid.to_owned(),
            sctp_port,
            max_message_size,
        })
    }

    /// Whether it is the first of the bundle, and RTP.
    fn carries(&self, bundle: Option<&[&str]>) -> bool {
        self.offered()
            && matches!(self.media, "audio" | "video")
            && self.part.has("rtcp-mux")
            && bundle.and_then(|mids| mids.first()) == Some(&self.mid)
    }

    /// The first format with all that the offer says of it.
    fn first_format(&self) -> (&'a str, String) {
        let format = self.formats.split(' ').next().unwrap_or_default();
        let of_format = |attribute: &&Attribute<'_>| {
            matches!(attribute.name, "rtpmap" | "fmtp") && attribute.value.split(' ').next() == Some(format)
        };
        let line = |attribute: &Attribute<'_>| format!("a={}:{}\r\n", attribute.name, attribute.value);
        (
            format,
            self.part.attributes.iter().filter(of_format).map(line).collect(),
        )
    }

    fn section(&self, kind: SectionKind) -> Section {
        let (formats, description) = match kind {
            SectionKind::Carrier => self.first_format(),
            _ => (self.formats, String::new()),
        };
        Section {
            kind,
            mid: self.mid.to_owned(),
            media: self.media.to_owned(),
            protocol: self.protocol.to_owned(),
            formats: formats.to_owned(),
            description,
        }
    }
}

fn check_mids(media: &[Media<'_, '_>]) -> Result<(), OfferError> {
    for (at, this) in media.iter().enumerate() {
        if !this.mid.is_empty() && media[..at].iter().any(|before| before.mid == this.mid) {
            return Err(OfferError::at(
                this.part.line,
                format!("a=mid:{} is another m-line's already", this.mid),
            ));
        }
    }
    Ok(())
}

/// The first audio m-line with Opus that sends, else the first with Opus.
fn choose_audio(media: &[Media<'_, '_>]) -> Result<(usize, Audio), OfferError> {
    let mut usable: Vec<(usize, Audio)> = media
        .iter()
        .enumerate()
        .filter_map(|(at, media)| Some((at, media.audio()?)))
        .collect();
    if usable.is_empty() {
        return Err(match media.iter().find(|media| media.media == "audio") {
            Some(audio) => OfferError::at(
                audio.part.line,
                "audio m-line without Opus; opus/48000/2 is what is spoken here",
            ),
            None => OfferError::at(0, "no audio m-line; offer audio with opus/48000/2"),
        });
    }
    let chosen = usable
        .iter()
        .position(|(_, audio)| audio.direction.sends())
        .unwrap_or(0);
    Ok(usable.swap_remove(chosen))
}

fn find<'a>(holders: &[&Part<'a>], name: &'static str) -> Option<Attribute<'a>> {
    holders.iter().find_map(|part| part.first(name))
}

fn credentials(holders: &[&Part<'_>], line: usize) -> Result<Credentials, OfferError> {
    let missing = |name: &str| OfferError::at(line, format!("no a={name} for the audio m-line"));
    let ufrag = find(holders, "ice-ufrag").ok_or_else(|| missing("ice-ufrag"))?;
    let password = find(holders, "ice-pwd").ok_or_else(|| missing("ice-pwd"))?;
    fragment::credentials(ufrag, password)
}

fn fingerprint(holders: &[&Part<'_>], line: usize) -> Result<Fingerprint, OfferError> {
    let Some(holder) = holders.iter().find(|part| part.has("fingerprint")) else {
        return Err(OfferError::at(
            line,
            "no a=fingerprint for the audio m-line: media is always encrypted",
        ));
    };
    let mut strongest: Option<Fingerprint> = None;
    for attribute in holder.all("fingerprint") {
        let better = |new: &Fingerprint| strongest.as_ref().is_none_or(|old| old.algorithm < new.algorithm);
        if let Some(new) = Fingerprint::parse(attribute)?.filter(better) {
            strongest = Some(new);
        }
    }
    let line = holder.first("fingerprint").map_or(line, |attribute| attribute.line);
    strongest.ok_or_else(|| OfferError::at(line, "a=fingerprint's hash is none of sha-256, sha-384 and sha-512"))
}

fn setup(holders: &[&Part<'_>]) -> Result<Setup, OfferError> {
    let Some(attribute) = find(holders, "setup") else {
        return Ok(Setup::ActPass);
    };
    match attribute.value {
        "actpass" => Ok(Setup::ActPass),
        "active" => Ok(Setup::Active),
        "passive" => Ok(Setup::Passive),
        other => Err(OfferError::at(
            attribute.line,
            format!("a=setup:{other} cannot be answered; actpass, active and passive can"),
        )),
    }
}
