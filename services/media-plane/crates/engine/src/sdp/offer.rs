//! What the edge needs of an offer.

use super::Fingerprint;

/// ICE credentials of the peer. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// ufrag.
    pub ufrag: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

/// a=setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Either side may start DTLS.
    ActPass,
    /// The peer starts.
    Active,
    /// The peer waits.
    Passive,
}

/// Direction of an m-line, as its author sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// From its author.
    SendOnly,
    /// To its author.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// As in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The answer to it when we can do both.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            other => other,
        }
    }

    /// Whether its author sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether its author receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// Opus and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opus {
    /// Opus.
    pub payload_type: u8,
    /// RED over it, if offered.
    pub red: Option<u8>,
    /// telephone-event at 48 kHz, if offered.
    pub telephone_event: Option<u8>,
    /// The offer asks for in-band FEC.
    pub in_band_fec: bool,
    /// The offer can receive stereo.
    pub stereo: bool,
}

/// The audio m-line that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Its mid.
    pub mid: String,
    /// As offered.
    pub direction: Direction,
    /// Codec.
    pub opus: Opus,
    /// Its profile allows feedback (RFC 4585), so NACK is announced for Opus.
    pub feedback: bool,
    /// RTCP of reduced size (RFC 5506) is offered.
    pub reduced_size: bool,
    /// Extension id of `mid`, when offered.
    pub mid_extension: Option<u8>,
    /// Extension id of `ssrc-audio-level`, when offered.
    pub level_extension: Option<u8>,
    /// SSRCs that the offer announces; often none.
    pub ssrcs: Vec<u32>,
}

/// A receive-only audio m-line: the place of one voice of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLine {
    /// Its mid.
    pub mid: String,
    /// Opus.
    pub payload_type: u8,
    /// RED over it, if offered.
    pub red: Option<u8>,
    /// Extension id of `mid`, when offered.
    pub mid_extension: Option<u8>,
}

/// The application m-line that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Its mid.
    pub mid: String,
    /// The peer's SCTP port.
    pub sctp_port: u16,
    /// The largest message that the peer takes; 0 for any.
    pub max_message_size: u64,
}

/// What an m-line becomes in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// [`Offer::audio`].
    Audio,
    /// [`Offer::data`].
    Data,
    /// One of [`Offer::slots`].
    Slot(usize),
    /// Inactive, and accepted all the same: it is the first of the bundle, whose transport the others take. Chromium
    /// cannot apply an answer that rejects it under its policy `max-bundle`.
    Carrier,
    /// Rejected with port 0.
    Rejected,
}

/// An m-line, as much of it as the answer mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What becomes of it.
    pub kind: SectionKind,
    /// Its mid; empty when it has none.
    pub mid: String,
    /// `audio`, `video`, `application`, …
    pub media: String,
    /// Its transport, for example `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// Its formats, as written.
    pub formats: String,
    /// Of a [`SectionKind::Carrier`]: the lines that describe its first format.
    pub description: String,
}

/// An offer that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The peer's ICE credentials.
    pub ice: Credentials,
    /// The peer's certificate.
    pub fingerprint: Fingerprint,
    /// DTLS role as offered.
    pub setup: Setup,
    /// The audio m-line.
    pub audio: Audio,
    /// The application m-line.
    pub data: Option<Data>,
    /// Receive-only audio m-lines that are taken; none where none were asked for.
    pub slots: Vec<SlotLine>,
    /// Mids of the audio m-line's BUNDLE group in its order; empty when there is none.
    pub bundle: Vec<String>,
    /// All m-lines in order.
    pub sections: Vec<Section>,
}

impl Offer {
    /// Whether we start DTLS: only when the offer insists on waiting.
    #[must_use]
    pub fn we_are_active(&self) -> bool {
        self.setup == Setup::Passive
    }
}
