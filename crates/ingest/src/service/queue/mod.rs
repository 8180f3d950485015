//! Jobs in PostgreSQL.
//!
//! A job is *queued*, claimed (`FOR UPDATE SKIP LOCKED`) and so *running* under a lease that its worker renews, and ends
//! *completed* or *failed*. A lease that has ended may be claimed by any other worker. The number of the claim guards
//! every later write of a worker: one that was thought dead and wakes can neither renew nor end the job. What it writes of the *event*
//! is guarded by the engine's own lock and fence.
//!
//! At most one live job of an event: a unique index, not a look before the leap. A request may bear a key; the same key
//! is the same job for ever, and a key that was withdrawn before its request came is refused when it does.

mod claim;
mod enqueue;
mod read;
mod signal;

use std::sync::Arc;
use std::time::Duration;

pub use claim::{Claimed, Ending};
pub(super) use enqueue::event_id;
pub use enqueue::{Enqueued, Refused};
pub use read::Gauges;
pub(super) use read::{of_event, of_request};
pub(super) use signal::wait_for;
pub use signal::{Signal, Signals};

use crate::metrics::Metrics;
use crate::settings::DatabaseSettings;
use crate::store::{Session, Store, StoreError};

/// Connections of the queue's own pool. Apart from the engine's, so that a lease is renewed and a question answered
/// however busy that one is.
pub const CONNECTIONS: u32 = 8;

/// The jobs of a database.
#[derive(Clone)]
pub struct Queue {
    store: Arc<Store>,
}

impl Queue {
    /// Prepares to reach a database; connects when first used.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn new(url: &str, settings: &DatabaseSettings, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let settings = DatabaseSettings {
            pool_size: CONNECTIONS,
            acquire_timeout: settings.acquire_timeout.min(Duration::from_secs(5)),
            statement_timeout: settings.statement_timeout.min(Duration::from_secs(10)),
            ..*settings
        };
        Ok(Self { store: Arc::new(Store::new(url, settings, metrics)?) })
    }

    /// A connection.
    ///
    /// # Errors
    /// None to be had in time.
    pub(super) async fn session(&self) -> Result<Session, StoreError> {
        Session::acquire(&self.store).await
    }

    /// Listens for what happens to jobs.
    #[must_use]
    pub fn listen(&self) -> Signals {
        Signals::start(self.store.pool().clone())
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// Seconds, as PostgreSQL's `make_interval` takes them.
fn secs(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The channel of `NOTIFY`. Payloads: `q7` when job 7 became due, `e7` when it ended.
const CHANNEL: &str = "ingest_jobs";
