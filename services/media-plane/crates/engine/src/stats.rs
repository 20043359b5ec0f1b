//! Counters and measurements of one session. Every drop, repair and refusal has a figure here.

use std::time::Duration;

use crate::device::DeviceReport;
use crate::output::{HeardBasis, HoldOutcome};
use crate::remote::Remote;
use crate::time::Time;

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionState {
    /// Answered; no valid check has come yet.
    #[default]
    New,
    /// A check came; DTLS is not up yet.
    Connecting,
    /// Media may flow.
    Connected,
    /// Over.
    Closed,
}

impl SessionState {
    /// As the API says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
        }
    }
}

/// When the steps of a set-up were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetupTimes {
    /// When the offer was answered.
    pub opened: Time,
    /// When the first valid check came.
    pub first_check: Option<Time>,
    /// When a check nominated a path.
    pub nominated: Option<Time>,
    /// When DTLS was up.
    pub dtls: Option<Time>,
    /// When the first packet of the caller was opened.
    pub first_packet: Option<Time>,
    /// When the first frame left for the caller.
    pub first_frame_out: Option<Time>,
}

impl SetupTimes {
    /// Steps that were reached, by name, in microseconds since the offer.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let opened = self.opened.as_micros();
        [
            ("first_check", self.first_check),
            ("nominated", self.nominated),
            ("dtls", self.dtls),
            ("first_packet", self.first_packet),
            ("first_frame_out", self.first_frame_out),
        ]
        .into_iter()
        .filter_map(move |(name, at)| at.map(|at| (name, at.as_micros().saturating_sub(opened))))
    }
}

/// Notes the first time a step was reached.
pub(crate) fn once(step: &mut Option<Time>, now: Time) {
    step.get_or_insert(now);
}

macro_rules! counters {
    ($(#[$outer:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// All counters by name.
            pub fn figures(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Counts since the session's start. Packets are RTP packets on the wire, frames are Opus packets handed on.
    pub struct Counters {
        /// RTP packets of the caller that were authentic and new.
        packets_in,
        /// Their bytes on the wire.
        bytes_in,
        /// Frames handed to the worker.
        frames_in,
        /// Packets that did not come by themselves: before repair, and less those that came late.
        lost,
        /// Packets that came twice.
        duplicates,
        /// Packets that should have come.
        expected,
        /// Packets that came behind a later one by themselves, before they were given up.
        reordered,
        /// Packets that came after they were given up.
        late,
        /// Missing frames that a later packet's redundancy filled.
        repaired_red,
        /// Missing packets that came because they were asked for.
        repaired_nack,
        /// Packets asked for by NACK; each time counts.
        asked,
        /// Gaps whose last frame the packet behind them carries as in-band FEC.
        fec_recoverable,
        /// Packets that were given up: lost after repair, unless they come late.
        given_up,
        /// Redundant blocks and packets that were not needed.
        redundant,
        /// Silences in which the caller's encoder sent nothing.
        dtx,
        /// Times that the caller's stream began anew (SSRC changed or sequence jumped).
        source_changes,
        /// Times that the caller's clock leapt or went back within a stream.
        clock_leaps,
        /// Packets dropped because the caller's frames last longer than the time that passed.
        ahead_of_time,
        /// Packets of a source that was replaced.
        stale_source,
        /// DTMF packets.
        telephone_events,
        /// Packets of a payload type that was not negotiated.
        unknown_payload,
        /// Authentic packets that make no sense.
        malformed,
        /// SRTP or SRTCP packets with a wrong tag.
        srtp_forged,
        /// SRTP or SRTCP packets older than the replay window.
        srtp_too_old,
        /// SRTP or SRTCP packets that could not be opened for another reason.
        srtp_malformed,
        /// SRTCP packets seen before.
        srtcp_replayed,
        /// RTP packets dropped because the caller sends more than any audio is.
        rtp_over_rate,
        /// RTCP packets dropped because the caller sends too many.
        rtcp_over_rate,
        /// RTP packets dropped because the caller's offer, or its token, is to send none.
        unpublished,
        /// Media from an address that passed no check.
        unverified,
        /// Media before there were keys.
        early,
        /// Datagrams that are none of STUN, DTLS, RTP and RTCP.
        unknown_datagrams,
        /// STUN messages that are no valid check.
        bad_checks,
        /// Valid checks that came before from another address: somebody repeats what they saw.
        replayed_checks,
        /// DTLS datagrams that have no place in the handshake.
        dtls_dropped,
        /// Handshakes with another certificate than the offer's.
        wrong_certificate,
        /// Valid checks.
        checks,
        /// Times that media moved to another path.
        path_changes,
        /// RTP packets sent.
        packets_out,
        /// Their bytes on the wire.
        bytes_out,
        /// Of them: packets that carried earlier frames (RED).
        red_out,
        /// Earlier frames in them.
        redundant_out,
        /// Packets sent again unasked, to a caller that knows neither RED nor NACK.
        repeated_out,
        /// Silence frames sent at stops.
        silence_out,
        /// Comfort frames sent in pauses.
        comfort_out,
        /// Times that an utterance ran dry.
        underruns,
        /// Frames refused: older than the last flush.
        refused_generation,
        /// Frames refused: the queue is full.
        refused_full,
        /// Frames refused: not an Opus packet, or too long.
        refused_invalid,
        /// Live frames refused: the caller is not connected, playout is held, or the caller receives nothing.
        refused_not_ready,
        /// Queued frames that a flush threw away.
        flushed,
        /// Times that the caller began to speak, by the edge's own ear.
        voice_onsets,
        /// Holds because of that, while an utterance played.
        edge_holds,
        /// Of these, the worker flushed: it was voice.
        edge_holds_confirmed,
        /// The worker said that it was none.
        edge_holds_released,
        /// The worker said nothing in time.
        edge_holds_expired,
        /// Milliseconds that they lasted.
        edge_held_ms,
        /// Frames of other members of its room that were sent.
        forwarded,
        /// Times that a slot changed from one member's voice to another's.
        slot_switches,
        /// Forwarded frames that came too late for a place in their slot's stream.
        forward_late,
        /// Forwarded frames that gave way to the agent, in the stream that they share.
        forward_yielded,
        /// Forwarded frames refused: not an Opus packet, or too long.
        forward_invalid,
        /// Forwarded frames refused: the caller is not connected, or has no such slot.
        forward_not_ready,
        /// Data-channel messages received.
        messages_in,
        /// Data-channel messages sent.
        messages_out,
        /// Data-channel messages received on a stream without a channel, or of an unknown kind.
        stray_messages,
        /// Data-channel messages refused: no such channel, too long, or too many waiting.
        refused_messages,
        /// SCTP packets of the caller far ahead of what was acknowledged.
        sctp_refused,
        /// Data-channel messages of the caller dropped because it sends too many, or too much.
        messages_over_rate,
        /// NACKs of the caller: packets that it misses.
        nacked,
        /// Of them: sent again.
        nacks_answered,
        /// Not sent again: too old, or never sent.
        nacks_too_old,
        /// Not sent again: that was done less than a round trip before, or too much.
        nacks_too_often,
        /// Playout reports of the caller's device.
        device_reports,
        /// Playout reports that are malformed or make no sense.
        device_reports_refused,
        /// Binary messages for the edge of a type that it does not know.
        edge_messages_unknown,
        /// RTP and RTCP packets that could not be sealed, because the key is used up.
        unsealed,
        /// RTCP packets received.
        rtcp_in,
        /// RTCP packets sent.
        rtcp_out,
    }
}

/// How long media was missing each time that the caller's address changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathGaps {
    /// The last time.
    pub last: Option<Duration>,
    /// The longest.
    pub longest: Option<Duration>,
}

impl PathGaps {
    pub(crate) fn note(&mut self, gap: Duration) {
        self.last = Some(gap);
        self.longest = self.longest.max(Some(gap));
    }
}

impl Counters {
    /// A hold because of the caller's voice is over.
    pub(crate) fn settle_hold(&mut self, outcome: HoldOutcome, held: Duration) {
        let counter = match outcome {
            HoldOutcome::Confirmed => &mut self.edge_holds_confirmed,
            HoldOutcome::Released => &mut self.edge_holds_released,
            HoldOutcome::Expired => &mut self.edge_holds_expired,
        };
        *counter += 1;
        self.edge_held_ms += u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    }
}

/// Everything that can be told of a session.
#[derive(Clone, Debug, Default)]
pub struct SessionStats {
    /// How far it is.
    pub state: SessionState,
    /// Steps of its set-up.
    pub setup: SetupTimes,
    /// Counts.
    pub counters: Counters,
    /// Interarrival jitter of the caller's packets (RFC 3550 A.8) in milliseconds.
    pub jitter_ms: f64,
    /// How much slower the caller's clock runs than this edge's, in parts of a million; known after a minute.
    pub drift_ppm: Option<f64>,
    /// Gaps in the caller's media while it moved.
    pub path_gaps: PathGaps,
    /// Round trip in milliseconds, once known: by RTCP, else by answered NACKs.
    pub rtt_ms: Option<f64>,
    /// Loss that the caller last reported of what we send, 0 to 1.
    pub remote_loss: Option<f64>,
    /// Jitter that the caller last reported, in milliseconds.
    pub remote_jitter_ms: Option<f64>,
    /// What leaves for the caller.
    pub playout: PlayoutStats,
    /// How much later the agent's own voice comes back, and by how many dB softer; `None` while no echo is heard.
    pub echo: Option<(Duration, u8)>,
    /// Floor and loudest of the caller's noise in dBov, where the edge listens for voice.
    pub noise: Option<(f32, f32)>,
    /// The caller's address that media goes to.
    pub remote: Option<Remote>,
    /// DTLS version and SRTP profile, once connected.
    pub security: Option<String>,
}

/// Measurements of the way down.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlayoutStats {
    /// Earlier frames that each packet carries now.
    pub redundancy: usize,
    /// Share of packets that the caller misses before repair, as NACKs, its reports and its device tell.
    pub loss: f64,
    /// From a frame's leaving to the caller's ear, in milliseconds.
    pub delay_ms: f64,
    /// How that is known.
    pub basis: HeardBasis,
    /// The device's last report.
    pub device: Option<DeviceReport>,
}

impl PlayoutStats {
    fn quality(&self) -> impl Iterator<Item = (&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "a few blocks")]
        let redundancy = self.redundancy as f64;
        let of_device = |figure: fn(&DeviceReport) -> f64| self.device.as_ref().map(figure);
        [
            ("redundancy", Some(redundancy)),
            ("playout_loss", Some(self.loss)),
            ("playout_delay_ms", Some(self.delay_ms)),
            ("heard_basis", Some(f64::from(self.basis as u8))),
            ("device_buffer_ms", of_device(|report| f64::from(report.buffer_ms))),
            (
                "device_concealed_ms",
                of_device(|report| f64::from(report.concealed) / 48.0),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}

impl SessionStats {
    /// Loss of the caller's packets before and after repair, each 0 to 1; `None` before the first packet.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn loss(&self) -> Option<(f64, f64)> {
        let counts = &self.counters;
        let expected = counts.expected as f64;
        let never_came = counts.given_up.saturating_sub(counts.late) as f64;
        (counts.expected > 0).then(|| (counts.lost as f64 / expected, never_came / expected))
    }

    /// Figures of quality by name, for `GetSession`.
    pub fn quality(&self) -> impl Iterator<Item = (&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let counts = self.counters.figures().map(|(name, count)| (name, count as f64));
        let shares = self.loss();
        let measured = [
            ("loss_before_repair_ratio", shares.map(|(before, _)| before)),
            ("loss_after_repair_ratio", shares.map(|(_, after)| after)),
            ("jitter_ms", Some(self.jitter_ms)),
            ("drift_ppm", self.drift_ppm),
            ("path_gap_ms", self.path_gaps.last.map(milliseconds)),
            ("path_gap_max_ms", self.path_gaps.longest.map(milliseconds)),
            ("rtt_ms", self.rtt_ms),
            ("remote_loss", self.remote_loss),
            ("remote_jitter_ms", self.remote_jitter_ms),
            ("echo_path_ms", self.echo.map(|(path, _)| path.as_secs_f64() * 1_000.0)),
            ("echo_loss_db", self.echo.map(|(_, loss_db)| f64::from(loss_db))),
            ("noise_floor_dbov", self.noise.map(|(floor, _)| f64::from(floor))),
            ("noise_peak_dbov", self.noise.map(|(_, peak)| f64::from(peak))),
        ];
        let measured = measured
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)));
        counts.chain(measured).chain(self.playout.quality())
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
