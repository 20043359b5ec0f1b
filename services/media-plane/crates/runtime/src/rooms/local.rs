//! A shard's part of a room: which of its sessions hear whom, and what its own members said just now.

use std::sync::Arc;
use std::time::Duration;

use antiphon_engine::rate::Allowance;
use antiphon_engine::room::{Forwarded, Loudness};
use antiphon_engine::{IngestFrame, Time};

use super::Stage;
use super::ring::FrameMeta;
use crate::slot::Slot;

/// How often a member's level is told to the room's home.
const TELL: Duration = Duration::from_millis(40);

/// A session's place in its room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) room: u32,
    /// The room's home shard.
    pub(crate) home: usize,
    /// Shards whose sessions hear it, as bits.
    pub(crate) towards: u64,
    pub(crate) muted: bool,
    pub(crate) meter: Meter,
    /// Of what its caller may ask for.
    pub(crate) wishes: Allowance,
}

/// Gathers a member's levels, so that its home hears of the loudest each 40 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    loudest: Option<Loudness>,
    told: Time,
}

impl Meter {
    /// A frame came. Returns what is to be told now.
    pub(crate) fn note(&mut self, now: Time, loudness: Loudness) -> Option<Loudness> {
        let loudest = self
            .loudest
            .filter(|before| before.level_dbov > loudness.level_dbov)
            .unwrap_or(loudness);
        self.loudest = Some(loudest);
        if now.since(self.told) < TELL {
            return None;
        }
        self.told = now;
        self.loudest.take()
    }
}

/// Who hears one source at this shard.
#[derive(Debug)]
struct Route {
    source: Slot,
    /// Listeners and their slots.
    listeners: Vec<(Slot, usize)>,
}

/// One room at one shard.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) stage: Arc<Stage>,
    routes: Vec<Route>,
}

impl Local {
    /// Reads out of a stage what concerns the sessions of a shard.
    pub(crate) fn new(stage: Arc<Stage>, shard: usize) -> Self {
        let mut routes: Vec<Route> = Vec::new();
        for card in stage.cards.iter().filter(|card| card.slot.shard() == shard) {
            for (at, source) in card.hears.iter().enumerate() {
                let Some(source) = *source else { continue };
                let listener = (card.slot, at);
                match routes.iter_mut().find(|route| route.source == source) {
                    Some(route) => route.listeners.push(listener),
                    None => routes.push(Route {
                        source,
                        listeners: vec![listener],
                    }),
                }
            }
        }
        Self { stage, routes }
    }

    /// Takes out the listeners of a source; [`Local::return_listeners`] them.
    pub(crate) fn borrow_listeners(&mut self, source: u32) -> Vec<(Slot, usize)> {
        let route = self.routes.iter_mut().find(|route| route.source.0 == source);
        route
            .map(|route| std::mem::take(&mut route.listeners))
            .unwrap_or_default()
    }

    pub(crate) fn return_listeners(&mut self, source: u32, listeners: Vec<(Slot, usize)>) {
        if let Some(route) = self.routes.iter_mut().find(|route| route.source.0 == source) {
            route.listeners = listeners;
        }
    }
}

/// Frames of the member that was driven last: its session is borrowed while it speaks, and so cannot be passed on at once.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    frames: Vec<(FrameMeta, usize)>,
    bytes: Vec<u8>,
}

impl Heard {
    pub(crate) fn push(&mut self, source: u32, frame: &IngestFrame<'_>) {
        let forwarded = Forwarded {
            source,
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            duration: frame.duration,
            level: frame.level,
            marker: frame.marker,
            payload: frame.payload,
        };
        self.frames.push(((&forwarded).into(), frame.payload.len()));
        self.bytes.extend_from_slice(frame.payload);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in their order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Forwarded<'_>> {
        let mut rest = &self.bytes[..];
        self.frames.iter().map(move |(meta, size)| {
            let (payload, behind) = rest.split_at(*size);
            rest = behind;
            meta.with(payload)
        })
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loudness(level_dbov: f32) -> Loudness {
        Loudness {
            level_dbov,
            voice: None,
        }
    }

    #[test]
    fn the_loudest_of_40_ms_is_told() {
        let mut meter = Meter::default();
        let at = |ms: u64| Time(1_000_000 + ms * 1_000);
        assert_eq!(meter.note(at(0), loudness(-60.0)), Some(loudness(-60.0)));
        assert_eq!(meter.note(at(20), loudness(-20.0)), None);
        assert_eq!(meter.note(at(40), loudness(-50.0)), Some(loudness(-20.0)));
        assert_eq!(meter.note(at(80), loudness(-50.0)), Some(loudness(-50.0)));
    }
}
