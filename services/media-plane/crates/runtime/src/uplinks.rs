//! A shard's side of the links: one batch in the making for each stripe, sent when its time has come.

use std::sync::Arc;
use std::time::Duration;

use antiphon_engine::Time;
use antiphon_link::{Batch, ControlQueue, Outlet, Up};
use rustc_hash::FxHashMap;

use crate::counters::ShardCounters;

/// A batch that is due within this is sent now: better than to wake again for it.
const EARLY: Duration = Duration::from_micros(200);
/// A batch of so many frames leaves whatever the pace.
const FULL: usize = 1024;

/// One worker's link.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) incarnation: u32,
    pub(crate) control: Arc<ControlQueue>,
    stripes: Vec<Stripe>,
    gather: Duration,
    dirty: bool,
}

#[derive(Debug)]
struct Stripe {
    outlet: Arc<Outlet>,
    batch: Batch,
    sent: Time,
}

impl Uplink {
    fn new(incarnation: u32, up: Up) -> Self {
        let stripe = |outlet: Arc<Outlet>| Stripe {
            batch: outlet.batch(),
            outlet,
            sent: Time(0),
        };
        Self {
            incarnation,
            control: up.control,
            stripes: up.outlets.into_iter().map(stripe).collect(),
            gather: Duration::from_micros(u64::from(up.gather_us)),
            dirty: false,
        }
    }

    /// The batch that a session's columns go into.
    #[inline]
    pub(crate) fn batch(&mut self, handle: u32) -> &mut Batch {
        self.dirty = true;
        let stripes = self.stripes.len();
        &mut self.stripes[handle as usize % stripes].batch
    }

    /// Sends what is due. Returns when the rest is.
    fn flush(&mut self, now: Time, counters: &ShardCounters) -> Time {
        let mut next = Time::NEVER;
        for stripe in self.stripes.iter_mut().filter(|stripe| !stripe.batch.is_empty()) {
            let due = stripe.sent + self.gather;
            if due > now + EARLY && stripe.batch.frames() < FULL {
                next = next.min(due);
                continue;
            }
            stripe.sent = now;
            let batch = std::mem::replace(&mut stripe.batch, stripe.outlet.batch());
            if let Some(oldest) = stripe.outlet.push(batch) {
                let forgotten = stripe.batch.absorb(&oldest);
                counters.drop_ingest.add(forgotten.frames);
                counters.drop_reports.add(forgotten.reports);
            }
        }
        self.dirty = next != Time::NEVER;
        next
    }
}

/// All links that are up, by the number that the plane gave them.
#[derive(Debug, Default)]
pub(crate) struct Uplinks {
    links: FxHashMap<u32, Uplink>,
}

impl Uplinks {
    pub(crate) fn up(&mut self, link: u32, incarnation: u32, up: Up) {
        self.links.insert(link, Uplink::new(incarnation, up));
    }

    pub(crate) fn down(&mut self, link: u32) {
        self.links.remove(&link);
    }

    pub(crate) fn pace(&mut self, link: u32, gather_us: u32) {
        if let Some(uplink) = self.links.get_mut(&link) {
            uplink.gather = Duration::from_micros(u64::from(gather_us));
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, link: u32) -> Option<&mut Uplink> {
        self.links.get_mut(&link)
    }

    /// Sends what is due on all links. Returns when the rest is.
    pub(crate) fn flush(&mut self, now: Time, counters: &ShardCounters) -> Time {
        let dirty = self.links.values_mut().filter(|uplink| uplink.dirty);
        dirty
            .map(|uplink| uplink.flush(now, counters))
            .min()
            .unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use antiphon_link::Ingest;

    use super::*;

    const FRAME: Ingest<'static> = Ingest {
        session: 5,
        sequence: 1,
        timestamp: 960,
        arrival_us: 0,
        duration: 960,
        level: 0,
        flags: 0,
        payload: &[1; 40],
    };

    fn uplinks(gather_us: u32) -> (Uplinks, Arc<Outlet>) {
        let outlet = Arc::<Outlet>::default();
        let up = Up {
            worker: "w".into(),
            outlets: vec![outlet.clone()],
            control: Arc::default(),
            gather_us,
        };
        let mut uplinks = Uplinks::default();
        uplinks.up(1, 0, up);
        (uplinks, outlet)
    }

    #[test]
    fn an_idle_link_sends_at_once_and_a_busy_one_gathers() {
        let (mut uplinks, outlet) = uplinks(1_000);
        let counters = ShardCounters::default();
        let push = |uplinks: &mut Uplinks| uplinks.get_mut(1).expect("up").batch(5).push_frame(&FRAME);

        push(&mut uplinks);
        assert_eq!(uplinks.flush(Time(10_000), &counters), Time::NEVER);
        assert_eq!(outlet.waiting(), 1);

        push(&mut uplinks);
        assert_eq!(uplinks.flush(Time(10_300), &counters), Time(11_000));
        push(&mut uplinks);
        assert_eq!(outlet.waiting(), 1, "gathering");
        assert_eq!(uplinks.flush(Time(11_000), &counters), Time::NEVER);
        assert_eq!(outlet.waiting(), 2);
    }
}
