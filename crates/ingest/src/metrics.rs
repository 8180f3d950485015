//! Counters of a process. Low cardinality: ids belong into logs and the feed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a process did so far.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Statements sent to PostgreSQL, BEGIN, COMMIT and COPY included.
    pub statements: AtomicU64,
    /// Most connections of the pool in use at once.
    pub pool_peak: AtomicU32,
    /// Times that a connection was asked for.
    pub acquires: AtomicU64,
    /// Time spent waiting for connections, µs.
    pub acquire_us: AtomicU64,
    /// Units and pages that were tried again.
    pub retries: AtomicU64,
    /// Largest number of rows in one lap batch.
    pub largest_batch: AtomicU64,
}

impl Metrics {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
