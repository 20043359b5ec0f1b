//! Counters that any thread may read while their owner counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, from the one thread that owns the counter: a plain load and store.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Adds, from any thread.
    #[inline]
    pub fn add_shared(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a struct of [`Counter`]s with a `read` that visits each by name.
#[macro_export]
macro_rules! counters {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($(#[doc = $doc:literal])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $visibility struct $name {
            $($(#[doc = $doc])* pub $field: $crate::Counter,)*
        }

        impl $name {
            /// Calls `visit` with each counter's name and value.
            pub fn read(&self, mut visit: impl FnMut(&'static str, u64)) {
                $(visit(stringify!($field), self.$field.get());)*
            }
        }
    };
}

counters! {
    /// What happened on all links of a process.
    pub struct LinkCounters {
        /// Attempts to dial a worker.
        link_dials,
        /// Links that came up.
        link_ups,
        /// Links that went down.
        link_downs,
        /// Media messages sent.
        link_messages_out,
        /// Media messages received.
        link_messages_in,
        /// Media messages received whose columns contradict each other.
        link_malformed,
        /// Data-channel messages not sent to a worker because too many wait.
        link_data_refused,
        /// Times that a message from a worker waited for a shard.
        link_inbound_waits,
    }
}
