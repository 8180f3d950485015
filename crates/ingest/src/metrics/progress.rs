//! Events in progress, and when each last made some.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Metrics, Outcome};

/// When each event in progress last made some, Unix seconds.
#[derive(Debug, Default)]
pub(super) struct Board {
    next: u64,
    events: BTreeMap<u64, i64>,
}

impl Metrics {
    /// An ingestion begins. It is in progress until what this returns is dropped.
    #[must_use]
    pub fn event_begun(self: &Arc<Self>) -> EventProgress {
        let mut board = self.board();
        board.next += 1;
        let number = board.next;
        board.events.insert(number, now());
        drop(board);
        EventProgress { metrics: Arc::clone(self), number, begun: Instant::now() }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the gauges of progress up to date. When an event last made progress, and not how long ago, is what they
    /// show: a file that a killed process left behind goes on to age.
    pub(super) fn show_progress(&self) {
        let board = self.board();
        self.in_progress.set(i64::try_from(board.events.len()).unwrap_or(i64::MAX));
        self.stalest.set(board.events.values().copied().min().unwrap_or(0));
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX))
}

/// An event in progress.
#[derive(Debug)]
pub struct EventProgress {
    metrics: Arc<Metrics>,
    number: u64,
    begun: Instant,
}

impl EventProgress {
    /// The event made progress: a page was read, or races were written.
    pub fn made(&self) {
        if let Some(at) = self.metrics.board().events.get_mut(&self.number) {
            *at = now();
        }
    }

    /// The ingestion ended with this exit code.
    pub fn ended(&self, exit: u8) {
        let outcome = match exit {
            contract::exit::COMPLETE => Outcome::Complete,
            contract::exit::RETRY => Outcome::Retry,
            _ => Outcome::Failed,
        };
        self.metrics.events.add(outcome, 1);
        self.metrics.event_seconds.observe(self.begun.elapsed().as_secs_f64());
        self.metrics.board().events.remove(&self.number);
    }
}

impl Drop for EventProgress {
    fn drop(&mut self) {
        self.metrics.board().events.remove(&self.number);
    }
}
