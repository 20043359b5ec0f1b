//! The bounded queue between a shard and one media stream. It never waits: when the worker falls behind, the oldest
//! batch goes, and what it held is told in the next.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;
use tokio_stream::Stream;

use crate::batch::{Batch, BatchPool};
use crate::counters::LinkCounters;

/// Batches that may wait for a stream; at one a millisecond a quarter of a second, at one each 10 ms 2.5 s.
const DEPTH: usize = 256;

/// One media stream as its producers see it. Several shards may push to one outlet.
#[derive(Debug)]
pub struct Outlet {
    queue: ArrayQueue<Batch>,
    waker: AtomicWaker,
    closed: AtomicBool,
    pool: BatchPool,
}

impl Default for Outlet {
    fn default() -> Self {
        Self::with_depth(DEPTH)
    }
}

impl Outlet {
    /// An outlet where `depth` batches may wait.
    #[must_use]
    pub fn with_depth(depth: usize) -> Self {
        Self {
            queue: ArrayQueue::new(depth),
            waker: AtomicWaker::new(),
            closed: AtomicBool::new(false),
            pool: BatchPool::default(),
        }
    }

    /// An empty batch to fill.
    #[must_use]
    pub fn batch(&self) -> Batch {
        self.pool.take()
    }

    /// Sends a batch. Returns the oldest one when the queue was full: [`Batch::absorb`] it into the next.
    pub fn push(&self, batch: Batch) -> Option<Batch> {
        if self.closed.load(Ordering::Acquire) {
            return None; // the link is down, and its sessions are being told
        }
        let oldest = self.queue.force_push(batch);
        self.waker.wake();
        oldest
    }

    /// Batches that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        while self.queue.pop().is_some() {}
        self.waker.wake();
    }

    fn poll_batch(&self, context: &Context<'_>) -> Poll<Option<Batch>> {
        if let Some(batch) = self.queue.pop() {
            return Poll::Ready(Some(batch));
        }
        self.waker.register(context.waker());
        match self.queue.pop() {
            Some(batch) => Poll::Ready(Some(batch)),
            None if self.closed.load(Ordering::Acquire) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// An outlet read by its stream: the greeting, then what is pushed.
#[derive(Debug)]
pub(crate) struct OutletStream {
    greeting: Option<Batch>,
    outlet: Arc<Outlet>,
    counters: Arc<LinkCounters>,
}

impl OutletStream {
    pub(crate) fn new(greeting: Batch, outlet: Arc<Outlet>, counters: Arc<LinkCounters>) -> Self {
        Self {
            greeting: Some(greeting),
            outlet,
            counters,
        }
    }
}

impl Stream for OutletStream {
    type Item = Batch;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Batch>> {
        let next = match self.greeting.take() {
            Some(greeting) => Poll::Ready(Some(greeting)),
            None => self.outlet.poll_batch(context),
        };
        if next.is_ready() {
            self.counters.link_messages_out.add_shared(1);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forgotten, Ingest, Playout, Quality};

    fn frame(session: u32, sequence: u64) -> Ingest<'static> {
        Ingest {
            session,
            sequence,
            timestamp: sequence * 960,
            arrival_us: 0,
            duration: 960,
            level: 0,
            flags: 0,
            payload: &[0; 40],
        }
    }

    #[test]
    fn a_full_outlet_drops_its_oldest_frames_and_the_next_batch_says_so() {
        let outlet = Outlet::with_depth(2);
        let ended = Playout {
            session: 7,
            utterance: 3,
            received: 5,
            basis: 1,
            state: 2,
            ..Playout::default()
        };
        for sequence in 0..2 {
            let mut batch = outlet.batch();
            batch.push_frame(&frame(7, sequence));
            batch.push_gap(7, 100 + sequence, 1, 1);
            batch.push_playout(&ended);
            batch.push_playout(&Playout { state: 0, ..ended });
            assert!(outlet.push(batch).is_none());
        }

        let mut third = outlet.batch();
        third.push_frame(&frame(7, 2));
        let oldest = outlet.push(third).expect("the queue was full");
        let mut next = outlet.batch();
        let forgotten = next.absorb(&oldest);

        assert_eq!(forgotten, Forgotten { frames: 1, reports: 0 });
        let message = next.message();
        assert_eq!(
            message
                .drops
                .as_ref()
                .map(|drops| (&drops.session[..], &drops.count[..])),
            Some((&[7][..], &[1][..]))
        );
        assert_eq!(
            message.gaps.as_ref().map(|gaps| gaps.first[0]),
            Some(100),
            "a gap is never forgotten"
        );
        let playout = message
            .playout
            .as_ref()
            .expect("the end of an utterance is never forgotten");
        assert_eq!(playout.state, [2], "but its progress is");
        assert_eq!((&playout.received[..], &playout.basis[..]), (&[5][..], &[1][..]));
        assert_eq!(outlet.waiting(), 2);
    }

    #[test]
    fn a_worker_that_never_reads_costs_no_more_memory_as_time_goes_by() {
        let outlet = Outlet::with_depth(1);
        let mut batch = outlet.batch();
        let mut forgotten = Forgotten::default();
        for number in 0..20_000 {
            batch.push_frame(&frame(7, number));
            batch.push_gap(7, number, 2, 1);
            batch.push_playout(&Playout {
                state: 2,
                ..Playout::default()
            });
            let mut next = outlet.batch();
            if let Some(oldest) = outlet.push(batch) {
                let lost = next.absorb(&oldest);
                forgotten.frames += lost.frames;
                forgotten.reports += lost.reports;
            }
            batch = next;
        }

        let gaps = batch.message().gaps.as_ref().expect("carried");
        let playout = batch.message().playout.as_ref().expect("carried");
        assert_eq!((gaps.session.len(), playout.session.len()), (512, 512));
        assert_eq!(gaps.first.last(), Some(&19_998), "the oldest go first");
        let told = |batch: &Batch| {
            let drops = batch.message().drops.as_ref().expect("carried");
            u64::from(drops.count[0])
        };
        let waiting = outlet.push(outlet.batch()).expect("the queue was full");
        let gaps_forgotten = forgotten.reports / 2;
        assert_eq!(
            told(&batch) + told(&waiting),
            forgotten.frames + 2 * gaps_forgotten,
            "of what is forgotten the worker learns how much it was"
        );
    }

    #[test]
    fn a_sent_batch_comes_back_empty() {
        let outlet = Outlet::default();
        let mut batch = outlet.batch();
        batch.push_frame(&frame(1, 1));
        batch.push_drops(1, 4);
        batch.push_gap(1, 1, 1, 0);
        batch.push_quality(&Quality {
            session: 1,
            ..Quality::default()
        });
        drop(batch);
        let mut again = outlet.batch();
        assert!(again.is_empty());
        again.push_quality(&Quality {
            session: 2,
            ..Quality::default()
        });
        assert_eq!(
            again.message().quality.as_ref().map(|columns| &columns.session[..]),
            Some(&[2][..])
        );
    }
}
