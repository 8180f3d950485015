//! Politeness towards one host: how many requests at once, how far apart, and silence when it asks for it.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// All requests to one host pass through its gate.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    min_delay: Duration,
    times: Mutex<Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    /// When the next request may start, by the pace.
    next: Instant,
    /// Until when the host asked to be left alone.
    closed_until: Instant,
}

impl Gate {
    pub(crate) fn new(max_in_flight: usize, min_delay: Duration) -> Self {
        let now = Instant::now();
        Self {
            permits: Arc::new(Semaphore::new(max_in_flight.clamp(1, Semaphore::MAX_PERMITS))),
            min_delay,
            times: Mutex::new(Times { next: now, closed_until: now }),
        }
    }

    /// Waits for a place and for the time to start. The place is given back when the permit is dropped.
    ///
    /// # Errors
    /// How long the host is still closed, where that is longer than `patience`.
    pub(crate) async fn enter(&self, patience: Duration) -> Result<OwnedSemaphorePermit, Duration> {
        self.is_open_within(patience)?;
        // The semaphore is never closed, so a permit always comes.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Err(Duration::ZERO) };
        loop {
            self.is_open_within(patience)?;
            let Some(start) = self.not_yet() else { return Ok(permit) };
            // Asked again afterwards: meanwhile the host may have closed, or another request taken the turn.
            tokio::time::sleep_until(start).await;
        }
    }

    /// Takes the turn, or says when to ask again.
    fn not_yet(&self) -> Option<Instant> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let start = times.next.max(times.closed_until);
        if start > now {
            return Some(start);
        }
        times.next = now + self.min_delay;
        None
    }

    /// Keeps every request to the host back for `wait`.
    pub(crate) fn close_for(&self, wait: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // A wait that no clock holds is a year, which no patience outlasts.
        let until = Instant::now().checked_add(wait).unwrap_or(Instant::now() + Duration::from_secs(365 * 86_400));
        times.closed_until = times.closed_until.max(until);
    }

    /// How much is left of the time for which the host asked to be left alone.
    pub(crate) fn closed_for(&self) -> Duration {
        let closed_until = self.times.lock().unwrap_or_else(PoisonError::into_inner).closed_until;
        closed_until.saturating_duration_since(Instant::now())
    }

    fn is_open_within(&self, patience: Duration) -> Result<(), Duration> {
        let wait = self.closed_for();
        if wait > patience { Err(wait) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // No socket is involved, so the clock can stand still and only move where a test waits for it.

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn requests_are_spaced() {
        let gate = Gate::new(4, Duration::from_secs(2));
        let begin = Instant::now();
        for _ in 0..3 {
            drop(gate.enter(Duration::MAX).await.unwrap());
        }
        assert_eq!(begin.elapsed().as_secs(), 4);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_closed_host_is_left_alone_by_all() {
        let gate = Gate::new(4, Duration::ZERO);
        let begin = Instant::now();
        gate.close_for(Duration::from_secs(9));
        gate.close_for(Duration::from_secs(3));
        assert_eq!(gate.enter(Duration::from_secs(5)).await.map(|_| ()), Err(Duration::from_secs(9)));
        let (a, b) = tokio::join!(gate.enter(Duration::MAX), gate.enter(Duration::MAX));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(begin.elapsed().as_secs(), 9);
        gate.close_for(Duration::MAX);
        assert!(gate.enter(Duration::from_secs(5)).await.is_err());
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn one_at_a_time() {
        let gate = Gate::new(1, Duration::ZERO);
        let first = gate.enter(Duration::MAX).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), gate.enter(Duration::MAX)).await.is_err());
        drop(first);
        assert!(gate.enter(Duration::MAX).await.is_ok());
    }
}
