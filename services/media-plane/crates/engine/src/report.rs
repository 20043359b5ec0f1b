//! RTCP each 1–2 s: what we sent, what of the caller's came, and the round trip that its reports tell.

use std::time::Duration;

use crate::rtcp::{ReportBlock, SenderInfo, Writer};
use crate::time::Time;

/// RFC 3550 6.2 demands an interval that varies.
const SHORTEST: Duration = Duration::from_millis(1_000);
const VARIES_MS: u64 = 800;
/// The first report comes soon, so that the round trip is known early.
const FIRST: Duration = Duration::from_millis(200);
/// 1 January 2026 in seconds since 1900.
const NTP_ORIGIN: u64 = 3_976_214_400;
/// Longest RTCP packet that we send, sealed.
pub(crate) const MAX_RTCP: usize = 256;

/// What the caller last said of our stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remote {
    pub(crate) round_trip: Option<Duration>,
    pub(crate) loss: Option<f64>,
    pub(crate) jitter_ms: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct Reporter {
    next: Time,
    seed: u64,
    /// Middle 32 bits of the caller's last SR, and when it came.
    last_sr: Option<(u32, Time)>,
    pub(crate) remote: Remote,
}

/// What we sent so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    pub(crate) timestamp: u32,
}

impl Reporter {
    pub(crate) fn new(seed: u32) -> Self {
        Self {
            next: Time::NEVER,
            seed: u64::from(seed) | 1,
            last_sr: None,
            remote: Remote::default(),
        }
    }

    pub(crate) fn start(&mut self, now: Time) {
        self.next = now + FIRST;
    }

    pub(crate) fn stop(&mut self) {
        self.next = Time::NEVER;
    }

    pub(crate) fn deadline(&self) -> Time {
        self.next
    }

    /// The caller sent an SR.
    pub(crate) fn sender_report(&mut self, now: Time, ntp: u64) {
        self.last_sr = Some((middle(ntp), now));
    }

    /// The caller reported on our stream. Returns the round trip, if it tells one.
    pub(crate) fn receiver_report(&mut self, now: Time, block: &ReportBlock) -> Option<Duration> {
        self.remote.loss = Some(f64::from(block.fraction_lost) / 256.0);
        self.remote.jitter_ms = Some(f64::from(block.jitter) / 48.0);
        if block.last_sr == 0 {
            return None;
        }
        let since = middle(ntp(now))
            .wrapping_sub(block.last_sr)
            .wrapping_sub(block.delay_since_last_sr);
        // A peer that reckons its delay too long makes the difference negative: no round trip is told by that.
        let round_trip = Duration::from_micros(u64::from(since) * 1_000_000 / 65_536);
        if round_trip > Duration::from_secs(30) {
            return None;
        }
        self.remote.round_trip = Some(round_trip);
        Some(round_trip)
    }

    /// Writes a compound report and sets the next one's time. Returns its length, unsealed.
    pub(crate) fn write(
        &mut self,
        now: Time,
        sent: &Sent,
        cname: &[u8],
        received: Option<ReportBlock>,
        buffer: &mut [u8],
    ) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.next = now + SHORTEST + Duration::from_millis(self.seed % VARIES_MS);
        let block = received.map(|mut block| {
            if let Some((last_sr, at)) = self.last_sr {
                block.last_sr = last_sr;
                let delay = now.since(at).as_micros() * 65_536 / 1_000_000;
                block.delay_since_last_sr = u32::try_from(delay).unwrap_or(u32::MAX);
            }
            block
        });
        let mut writer = Writer::new(buffer);
        if sent.packets > 0 {
            #[expect(clippy::cast_possible_truncation, reason = "RFC 3550 6.4.1: the counts wrap")]
            let info = SenderInfo {
                ntp: ntp(now),
                rtp_timestamp: sent.timestamp,
                packets: sent.packets as u32,
                octets: sent.octets as u32,
            };
            writer.sender_report(sent.ssrc, &info, block.as_slice());
        } else {
            writer.receiver_report(sent.ssrc, block.as_slice());
        }
        writer.sdes(sent.ssrc, cname).length()
    }
}

/// NTP format of the engine's clock: RFC 3550 6.4.1 allows an origin other than 1900 where wall time is not known. Ours is of
/// this century, since some peers (str0m) turn NTP time into their own and know no time before 1970.
pub(crate) fn ntp(now: Time) -> u64 {
    let micros = now.as_micros();
    let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
    ((micros / 1_000_000 + NTP_ORIGIN) << 32) | fraction
}

#[expect(clippy::cast_possible_truncation, reason = "RFC 3550 6.4.1: the middle 32 bits")]
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}
