//! What a process counts, and how it is shown: Prometheus text. Low cardinality: ids belong into logs and the feed.
//!
//! One [`Metrics`] is made per process and passed down; there is no global. The crate is `prometheus` without its default
//! features: a plain registry whose handles are atomics, with neither a thread nor upkeep of its own. It writes the text
//! format 0.0.4, which the textfile collector of node_exporter reads with types and help. (`prometheus-client` writes
//! OpenMetrics only, whose counters that collector takes for untyped; `metrics` is made around a recorder of the process.)
//!
//! Figures that the feed tells as well are taken from the same records: see [`Metrics::observe`].

mod families;
mod progress;
mod textfile;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use contract::feed::{Changes, Counts, Record};
use prometheus::{Histogram, IntCounter, IntGauge, Registry, TextEncoder};

use crate::error::CauseKind;
use families::{ByLabel, Families};
pub use families::{Change, Outcome, Table};
pub use progress::EventProgress;
pub use textfile::{TextFile, TextFileError};

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What a process did so far.
pub struct Metrics {
    registry: Registry,
    /// Statements sent to PostgreSQL, BEGIN, COMMIT and COPY included.
    pub statements: IntCounter,
    /// Most connections of the pool in use at once.
    pub pool_peak: AtomicU32,
    /// Largest number of rows in one lap batch.
    pub largest_batch: AtomicU64,
    rows: Vec<ByLabel<Change>>,
    batch_rows: Histogram,
    batch_seconds: Histogram,
    unit_seconds: Histogram,
    commit_seconds: Histogram,
    pub(crate) pool: Pool,
    pages: IntCounter,
    page_bytes: IntCounter,
    parse_seconds: Histogram,
    request_seconds: Histogram,
    request_failures: ByLabel<CauseKind>,
    retries: ByLabel<CauseKind>,
    races_written: IntCounter,
    races_unchanged: IntCounter,
    races_failed: ByLabel<CauseKind>,
    events: ByLabel<Outcome>,
    event_seconds: Histogram,
    in_progress: IntGauge,
    stalest: IntGauge,
    progress: Mutex<progress::Board>,
}

/// The pool of connections, over all stores of the process.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) size: IntGauge,
    pub(crate) in_use: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) waits: IntCounter,
    pub(crate) timeouts: IntCounter,
    pub(crate) acquire_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// A registry in which everything stands at zero.
    #[must_use]
    pub fn new() -> Self {
        let f = Families::new();
        Self {
            statements: f.counter("ingest_statements_total", "Statements sent to PostgreSQL, BEGIN, COMMIT and COPY included."),
            pool_peak: AtomicU32::new(0),
            largest_batch: AtomicU64::new(0),
            rows: f.rows("ingest_rows_total", "Rows of committed transactions, by table and by what became of them."),
            batch_rows: f.sizes("ingest_lap_batch_rows", "Laps of a lap batch."),
            batch_seconds: f.times("ingest_lap_batch_seconds", "Time to write a lap batch."),
            unit_seconds: f.times("ingest_unit_seconds", "Time from BEGIN to the confirmed COMMIT of a commit unit."),
            commit_seconds: f.times("ingest_commit_seconds", "Time of COMMIT alone."),
            pool: Pool {
                size: f.gauge("ingest_pool_connections_max", "Connections that the pool may have."),
                in_use: f.gauge("ingest_pool_connections_in_use", "Connections of the pool that are in use."),
                waiting: f.gauge("ingest_pool_waiting", "Tasks that wait for a connection now."),
                waits: f.counter("ingest_pool_waits_total", "Times that every connection of the pool was in use when one was asked for."),
                timeouts: f.counter(
                    "ingest_pool_timeouts_total",
                    "Times that every connection of the pool was in use for too long.",
                ),
                acquire_seconds: f.times("ingest_pool_acquire_seconds", "Time to get a connection of the pool, connecting included."),
            },
            pages: f.counter("ingest_pages_total", "Pages fetched whole."),
            page_bytes: f.counter("ingest_page_bytes_total", "Bytes of pages fetched whole, after decompression."),
            parse_seconds: f.times("ingest_parse_seconds", "Time to read and validate a race page."),
            request_seconds: f.times("ingest_request_seconds", "Time from a request to the end of its answer, however it ended."),
            request_failures: f.by_label("ingest_request_failures_total", "Requests without a whole page for an answer, by cause.", "cause"),
            retries: f.by_label("ingest_retries_total", "Attempts at pages, units and the rest that failed and are followed by another, by cause.", "cause"),
            races_written: f.counter("ingest_races_written_total", "Races written."),
            races_unchanged: f.counter("ingest_races_unchanged_total", "Races that were fetched, are equal to what is stored, and were not written."),
            races_failed: f.by_label("ingest_races_failed_total", "Races given up after all attempts, by cause.", "cause"),
            events: f.by_label("ingest_events_total", "Ingestions of events that ended: complete, retry (worth trying again) or failed (for good).", "outcome"),
            event_seconds: f.long_times("ingest_event_seconds", "Time of the ingestion of an event."),
            in_progress: f.gauge("ingest_events_in_progress", "Events that are being ingested."),
            stalest: f.gauge(
                "ingest_stalest_progress_timestamp_seconds",
                "Of the events in progress, when the one that has made none for longest last made progress, Unix time; 0 without any.",
            ),
            progress: Mutex::default(),
            registry: f.into_registry(),
        }
    }

    /// Everything, as Prometheus text (format 0.0.4; see [`CONTENT_TYPE`]).
    #[must_use]
    pub fn render(&self) -> String {
        self.show_progress();
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot render the metrics");
            String::new()
        })
    }

    /// Adds one.
    pub fn count(counter: &IntCounter) {
        counter.inc();
    }

    /// Reads a figure.
    #[must_use]
    pub fn get(figure: &AtomicU64) -> u64 {
        figure.load(Ordering::Relaxed)
    }

    /// Takes the figures of a record of the feed.
    pub fn observe(&self, record: &Record) {
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        match record {
            Record::Batch(batch) => {
                #[expect(clippy::cast_precision_loss, reason = "no batch has 2^52 rows")]
                self.batch_rows.observe(batch.rows as f64);
                self.batch_seconds.observe(seconds(batch.write_us));
            }
            Record::Unit(unit) => {
                self.unit_seconds.observe(seconds(unit.write_us));
                self.commit_seconds.observe(seconds(unit.commit_us));
            }
            Record::Race(race) => self.parse_seconds.observe(seconds(race.parse_us)),
            Record::Started(_)
            | Record::Step(_)
            | Record::Committed(_)
            | Record::Retry(_)
            | Record::Failed(_)
            | Record::Warning(_)
            | Record::Summary(_) => {}
        }
    }

    /// Rows were changed, or found unchanged.
    pub fn add_rows(&self, changes: &Changes) {
        for (of, counts) in self.rows.iter().zip(Table::of(changes)) {
            let Counts { inserted, updated, deleted, unchanged } = counts;
            of.add(Change::Inserted, inserted);
            of.add(Change::Updated, updated);
            of.add(Change::Deleted, deleted);
            of.add(Change::Unchanged, unchanged);
        }
    }

    /// Races were written.
    pub fn races_written(&self, races: u64) {
        self.races_written.inc_by(races);
    }

    /// A race was found equal to what is stored.
    pub fn race_unchanged(&self) {
        self.races_unchanged.inc();
    }

    /// A race is given up.
    pub fn race_failed(&self, cause: CauseKind) {
        self.races_failed.add(cause, 1);
    }

    /// Something failed and is tried again.
    pub fn retry(&self, cause: CauseKind) {
        self.retries.add(cause, 1);
    }

    /// A request ended: with a whole page of so many bytes, or not.
    pub fn request(&self, took: Duration, answer: Result<usize, CauseKind>) {
        self.request_seconds.observe(took.as_secs_f64());
        match answer {
            Ok(bytes) => {
                self.pages.inc();
                self.page_bytes.inc_by(bytes as u64);
            }
            Err(cause) => self.request_failures.add(cause, 1),
        }
    }
}
