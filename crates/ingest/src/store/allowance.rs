//! How many connections the pool may have: as the settings say, capped by what the server has left.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;
use crate::metrics::Metrics;

/// Fewest connections: a writer holds one while another is asked for. A server that has not even these refuses them, and
/// says so.
const FEWEST: u32 = 2;

/// The places of a pool. The pool itself cannot be made smaller once it is there.
pub(crate) struct Allowance {
    places: Arc<Semaphore>,
    allowed: AtomicU32,
    capped: OnceLock<()>,
    metrics: Arc<Metrics>,
}

impl Allowance {
    pub(super) fn new(size: u32, metrics: Arc<Metrics>) -> Self {
        metrics.pool.size.add(size.into());
        let places = Arc::new(Semaphore::new(size as usize));
        Self { places, allowed: AtomicU32::new(size), capped: OnceLock::new(), metrics }
    }

    /// Connections that the pool may have.
    pub(crate) fn allowed(&self) -> u32 {
        self.allowed.load(Ordering::Relaxed)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// `Exhausted`: there was none in time.
    pub(super) async fn place(&self, timeout: Duration) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        self.metrics.pool.waits.inc();
        // The semaphore is never closed.
        if let Ok(Ok(place)) = tokio::time::timeout(timeout, Arc::clone(&self.places).acquire_owned()).await {
            return Ok(place);
        }
        self.metrics.pool.timeouts.inc();
        Err(StoreError::Exhausted { connections: self.allowed(), waited: timeout })
    }

    /// Learns how many connections the server has for this pool, those it has already included. Only the first answer
    /// counts: later ones would hold the growth of the pool itself against it.
    pub(super) fn cap(&self, server_has: i64) {
        if self.capped.set(()).is_err() {
            return;
        }
        let size = self.allowed();
        let allowed = u32::try_from(server_has).unwrap_or(0).max(FEWEST).min(size);
        if allowed < size {
            let taken = self.places.forget_permits((size - allowed) as usize);
            let allowed = size - u32::try_from(taken).unwrap_or(0);
            self.allowed.store(allowed, Ordering::Relaxed);
            self.metrics.pool.size.sub((size - allowed).into());
            tracing::warn!(pool_size = size, allowed, "the server has fewer connections left than the pool may have");
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.metrics.pool.size.sub(self.allowed().into());
    }
}

/// Counts a connection while it is in use.
pub(super) struct InUse {
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl InUse {
    pub(super) fn new(metrics: &Arc<Metrics>, place: OwnedSemaphorePermit) -> Self {
        metrics.pool.in_use.inc();
        let in_use = u32::try_from(metrics.pool.in_use.get()).unwrap_or(0);
        metrics.pool_peak.fetch_max(in_use, Ordering::Relaxed);
        Self { metrics: Arc::clone(metrics), _place: place }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.metrics.pool.in_use.dec();
    }
}

/// Counts a task while it waits for a connection.
pub(super) struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    pub(super) fn new(metrics: &'a Metrics) -> Self {
        metrics.pool.waiting.inc();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pool.waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_server_caps_the_pool_once_and_never_below_two() {
        for (server_has, allowed) in [(100, 7), (5, 5), (1, 2), (-3, 2)] {
            let metrics = Arc::new(Metrics::new());
            let allowance = Allowance::new(7, Arc::clone(&metrics));
            allowance.cap(server_has);
            allowance.cap(3);
            assert_eq!(allowance.allowed(), allowed, "{server_has}");
            assert_eq!(metrics.pool.size.get(), i64::from(allowed));
            let mut places = Vec::new();
            let full = loop {
                match allowance.place(Duration::ZERO).await {
                    Ok(place) => places.push(place),
                    Err(error) => break error,
                }
            };
            assert_eq!(places.len(), allowed as usize);
            assert!(full.to_string().contains("raise pool_size"), "{full}");
            assert_eq!((metrics.pool.waits.get(), metrics.pool.timeouts.get()), (1, 1));
            drop(allowance);
            assert_eq!(metrics.pool.size.get(), 0);
        }
    }
}
