//! The clients: each asks for one import by the library that users have, and what it is told is written down.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ingest::service::client::{Importer, News, Patience, Told, Verdict};
use ingest::service::model::{ImportRequest, Job, JobState};
use tokio::time::Instant;

use super::generator::{Outcome, Request};
use super::plan::LoadPlan;
use super::record::{ToldAs, ToldLine};

/// Mark of the moment at which the service had accepted an import.
pub const ACCEPTED: &str = "accepted";
/// Mark of the moment at which a client knew its event to be `laps_full`.
pub const LAPS_FULL: &str = "laps_full";
/// The same, of clients whose job read pages: the event had not been complete already.
pub const IMPORTED: &str = "imported";

/// Calls that failed and are written down of a client.
const TRIES: usize = 3;

/// Who the clients are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Who {
    /// The library of the service: what is judged.
    #[default]
    Library,
    /// The plain client of crate `faulty`, right or with a bug: what the self-test catches.
    Plain(Option<faulty::ServiceBug>),
}

/// A client of a kind.
#[derive(Debug, Clone)]
enum Client {
    Library(Importer),
    Plain(faulty::Client),
}

impl Client {
    fn new(who: Who, server: &str, patience: Patience) -> Result<Self, String> {
        match who {
            Who::Library => Importer::new(server, None, patience).map(Self::Library),
            Who::Plain(bug) => faulty::Client::new(server, bug, patience).map(Self::Plain),
        }
    }

    async fn import_as(&self, key: &str, request: &ImportRequest, news: impl FnMut(News) + Send) -> Told {
        match self {
            Self::Library(importer) => importer.import_as(key, request, news).await,
            Self::Plain(client) => client.import_as(key, request, news).await,
        }
    }
}

/// All clients of a load.
pub struct Clients {
    plan: Arc<LoadPlan>,
    client: Client,
    told: Mutex<BufWriter<File>>,
}

impl Clients {
    /// Prepares the clients. What each is told goes to `told`, a line each.
    ///
    /// # Errors
    /// The file cannot be made; no HTTP client can be made.
    pub fn new(plan: Arc<LoadPlan>, server: &str, told: &Path) -> std::io::Result<Arc<Self>> {
        let spec = &plan.spec;
        let patience =
            Patience { whole: spec.patience.0, recovery: spec.recovery.0, poll: spec.poll.0, wait: spec.wait.0 };
        let client = Client::new(plan.client, server, patience).map_err(std::io::Error::other)?;
        let told = Mutex::new(BufWriter::new(File::create(told)?));
        Ok(Arc::new(Self { plan, client, told }))
    }

    /// Makes a request and follows it to its end.
    pub async fn ask(self: Arc<Self>, request: Request) -> Outcome {
        let ask = self.plan.ask(request.number);
        let Some(event) = self.plan.events.get(ask.event) else { return Outcome::failed("no-event") };
        let wanted = ImportRequest { track: event.track.clone(), event_id: event.event_id, refresh: ask.refresh };
        let key = key(request.number);
        // A server that waits for the job's end says nothing before.
        let tells = self.plan.spec.wait.0.is_zero();
        let mut accepted = None;
        let told = self
            .client
            .import_as(&key, &wanted, |news| {
                if tells && matches!(news, News::Job(_)) {
                    accepted.get_or_insert_with(Instant::now);
                }
            })
            .await;
        let ended = Instant::now();
        let (as_, job) = verdict(&told.verdict);
        let mut marks: Vec<(&'static str, Instant)> = accepted.map(|at| (ACCEPTED, at)).into_iter().collect();
        if as_ == ToldAs::Complete {
            marks.push((LAPS_FULL, ended));
            if job.and_then(|j| j.outcome.as_ref()).is_some_and(|o| !o.already_there) {
                marks.push((IMPORTED, ended));
            }
        }
        let line = ToldLine {
            request: request.number,
            event_id: event.event_id,
            refresh: ask.refresh,
            key,
            told: as_,
            job: job.map(|j| j.id),
            job_completed: job.map(|j| j.state == JobState::Completed),
            recovered: told.recovered,
            failed_calls: told.failed_calls,
            tries: told.tries.iter().take(TRIES).cloned().collect(),
            at_wall_us: wall_us(),
            after_us: u64::try_from(ended.saturating_duration_since(request.due).as_micros()).unwrap_or(u64::MAX),
        };
        self.write(&line);
        let ok = match as_ {
            ToldAs::Complete => true,
            // It cannot but fail: to be told so is a good end.
            ToldAs::Failed => self.plan.is_poison(event.event_id),
            _ => false,
        };
        Outcome { class: as_.name(), ok, marks }
    }

    /// Makes what was written visible to readers of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&self) -> std::io::Result<()> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }

    fn write(&self, line: &ToldLine) {
        let Ok(mut text) = serde_json::to_string(line) else { return };
        text.push('\n');
        let mut file = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::error!(%error, "what a client was told cannot be written down");
        }
    }
}

/// The name of a request.
#[must_use]
pub fn key(request: u64) -> String {
    format!("load-{request:08}")
}

fn verdict(verdict: &Verdict) -> (ToldAs, Option<&Job>) {
    match verdict {
        Verdict::Complete { job, .. } => (ToldAs::Complete, job.as_ref()),
        Verdict::Failed { job } => (ToldAs::Failed, Some(job)),
        Verdict::GoesOn { job } => (ToldAs::GoesOn, Some(job)),
        Verdict::Refused { .. } => (ToldAs::Refused, None),
        Verdict::NotDone => (ToldAs::NotDone, None),
        Verdict::Unknown => (ToldAs::Unknown, None),
    }
}

fn wall_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|t| i64::try_from(t.as_micros()).ok()).unwrap_or(0)
}
