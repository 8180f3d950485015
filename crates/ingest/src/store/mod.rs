//! Everything known about PostgreSQL: pool, migrations, lock, lap writers, checkpoints. Knows no LiveRC.

mod allowance;
mod checkpoint;
mod complete;
mod connect;
mod drivers;
mod encode;
mod entries;
mod error;
mod event;
mod fence;
mod hash;
mod laps;
mod lock;
mod rows;
mod session;
mod socket;
mod status;
mod unit;
mod verify;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use allowance::Allowance;
pub use checkpoint::{Checkpoint, Checkpoints, State, read as read_checkpoints};
pub use complete::{Completion, complete, settle_unfinished};
pub use drivers::{DriversWritten, KnownDrivers, write as write_drivers};
pub use entries::{EntriesWritten, write as write_entries};
pub(crate) use error::doing;
pub use error::{StoreError, of_sqlstate};
pub use event::{Depth, Recorded, fail_races, record as record_event};
pub use hash::{HASH_VERSION, Hash, content_hash, result_id};
pub use laps::rows_per_batch;
pub use lock::EventLock;
pub use session::Session;
pub(crate) use session::args;
pub use socket::send_at_once;
pub use status::{EventStatus, RaceStatus, load_race, status};
pub use unit::{LAP_BYTES, UnitContext, UnitOutcome, UnitRace, write as write_unit};
pub use verify::{Check, Finding, Looked, Verification, verify};

use crate::metrics::Metrics;
use crate::settings::{DatabaseSettings, RowWrites};

/// The texts of the statements in the order in which they were sent: for the golden list.
pub type Recorder = Arc<Mutex<Vec<String>>>;

/// A PostgreSQL database that holds race meetings.
pub struct Store {
    pool: PgPool,
    allowance: Arc<Allowance>,
    options: PgConnectOptions,
    settings: DatabaseSettings,
    metrics: Arc<Metrics>,
    recorder: Option<Recorder>,
    lost: Arc<Mutex<Vec<i32>>>,
    /// The pool belongs to another, which closes it.
    shared: bool,
}

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

impl Store {
    /// Prepares to reach a database; connects when first used.
    ///
    /// # Errors
    /// The URL cannot be read. It is not told: it may hold a password.
    pub fn new(url: &str, settings: DatabaseSettings, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let options = connect::options(url, &settings)?;
        let pool = connect::pool(options.clone(), &settings);
        let allowance = Arc::new(Allowance::new(settings.pool_size, Arc::clone(&metrics)));
        let lost = Arc::default();
        Ok(Self { pool, allowance, options, settings, metrics, recorder: None, lost, shared: false })
    }

    /// The same database over the same pool, for one of several runs in a process. Closing it leaves the pool open.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            allowance: Arc::clone(&self.allowance),
            options: self.options.clone(),
            settings: self.settings,
            metrics: Arc::clone(&self.metrics),
            recorder: self.recorder.clone(),
            lost: Arc::default(),
            shared: true,
        }
    }

    /// Whether the pool belongs to another.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Keeps the text of every statement that sessions send from now on.
    pub fn record_statements(&mut self) -> Recorder {
        Arc::clone(self.recorder.get_or_insert_default())
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// The database cannot be reached, or holds migrations that this program does not know.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATOR.run(&self.pool).await.map_err(StoreError::Migrate)
    }

    /// Closes every connection and waits for it; those of a shared pool stay.
    pub async fn close(&self) {
        if !self.shared {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.pool.close()).await;
        }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How many connections the pool may have: what the settings say, less where the server has fewer left.
    pub(crate) fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(crate) fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// Backends whose connection was lost, and which may still be at work.
    fn lost(&self) -> &Arc<Mutex<Vec<i32>>> {
        &self.lost
    }

    fn recorder(&self) -> Option<Recorder> {
        self.recorder.clone()
    }

    /// How long an answer is waited for: what the server allows a statement, and some for the way.
    fn deadline(&self) -> Duration {
        self.settings.statement_timeout + Duration::from_secs(5)
    }
}

/// Whether rows are written one statement each.
fn one_by_one(settings: &crate::settings::UnitSettings) -> bool {
    settings.row_writes == RowWrites::OneByOne
}
