//! Jobs and requests as the database has them after everything has ended, and what each client was told held against them.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use sqlx::{PgPool, Row as _};

use super::plan::LoadPlan;
use super::record::{EventIs, JobIs, Jobs, ToldAs, ToldGroup, ToldLine};
use crate::trial::drive::Broken;
use crate::trial::record::{Ingestion, RowKind};

/// Clients of a group that are told of.
const EXAMPLES: usize = 3;
/// Jobs of a sort that are told of.
const TOLD: usize = 20;
/// Clocks of harness and PostgreSQL may differ by so much, µs: they are of one machine, and each counts its own roundings.
const CLOCKS_US: i64 = 5_000;

/// A job.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its id.
    pub id: u64,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Whether every page was read again; one that was asked for while the job ran leaves its last attempt's counts alone.
    pub refresh: bool,
    /// Its state.
    pub state: String,
    /// Claims whose worker gave no more sign of life.
    pub takeovers: u64,
    /// Claims that ended in something worth trying again.
    pub attempts: u64,
    /// The worker that last had it.
    pub worker: String,
    /// From the request to the first claim, µs.
    pub waited_us: Option<u64>,
    /// From the first claim to the end, µs.
    pub ran_us: Option<u64>,
    /// Wall clock of its end, µs since 1970.
    pub ended_wall_us: Option<i64>,
    /// Nothing had to be done.
    pub already_there: bool,
    /// Laps that its last attempt says it inserted.
    pub laps_inserted: u64,
}

/// All jobs, and which became of which request.
#[derive(Debug, Default)]
pub struct Table {
    jobs: HashMap<u64, JobRow>,
    requests: HashMap<String, u64>,
}

impl Table {
    /// Reads both tables.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(pool: &PgPool) -> sqlx::Result<Self> {
        let rows = sqlx::query(
            "SELECT id, event_id, state, takeovers, attempts, coalesce(worker, ''), \
             (extract(epoch FROM started_at - requested_at) * 1e6)::bigint, \
             (extract(epoch FROM ended_at - started_at) * 1e6)::bigint, \
             (extract(epoch FROM ended_at) * 1e6)::bigint, \
             coalesce((outcome->>'already_there')::boolean, false), \
             coalesce((outcome->'rows'->'laps'->>'inserted')::bigint, 0), refresh FROM ingest_jobs ORDER BY id",
        )
        .fetch_all(pool)
        .await?;
        let mut table = Self::default();
        for row in rows {
            let unsigned =
                |at: usize| row.try_get::<Option<i64>, _>(at).map(|n| n.map(|n| u64::try_from(n).unwrap_or(0)));
            let small = |at: usize| row.try_get::<i32, _>(at).map(|n| u64::from(n.unsigned_abs()));
            let id = unsigned(0)?.unwrap_or(0);
            let job = JobRow {
                id,
                event_id: unsigned(1)?.unwrap_or(0),
                refresh: row.try_get(11)?,
                state: row.try_get(2)?,
                takeovers: small(3)?,
                attempts: small(4)?,
                worker: row.try_get(5)?,
                waited_us: unsigned(6)?,
                ran_us: unsigned(7)?,
                ended_wall_us: row.try_get(8)?,
                already_there: row.try_get(9)?,
                laps_inserted: unsigned(10)?.unwrap_or(0),
            };
            table.jobs.insert(id, job);
        }
        let requests: Vec<(String, i64)> =
            sqlx::query_as("SELECT key, job_id FROM ingest_requests WHERE job_id IS NOT NULL").fetch_all(pool).await?;
        table.requests = requests.into_iter().map(|(key, job)| (key, job.unsigned_abs())).collect();
        Ok(table)
    }

    /// Whether any job of an event was ever made.
    #[must_use]
    pub fn knows(&self, event_id: u64) -> bool {
        self.jobs.values().any(|job| job.event_id == event_id)
    }

    fn state(&self, id: Option<u64>) -> JobIs {
        match id.and_then(|id| self.jobs.get(&id)).map(|job| job.state.as_str()) {
            None => JobIs::None,
            Some("queued") => JobIs::Queued,
            Some("running") => JobIs::Running,
            Some("completed") => JobIs::Completed,
            Some(_) => JobIs::Failed,
        }
    }

    /// What the jobs came to, against the events as they are.
    #[must_use]
    pub fn summary(&self, ingestions: &[Ingestion]) -> Jobs {
        let mut sum = Jobs::default();
        let mut sorted: Vec<&JobRow> = self.jobs.values().collect();
        sorted.sort_by_key(|job| job.id);
        let mut of_event: BTreeMap<u64, Vec<&JobRow>> = BTreeMap::new();
        for job in sorted {
            let words = format!("job {} of event {}", job.id, job.event_id);
            of_event.entry(job.event_id).or_default().push(job);
            sum.retries += job.attempts;
            job.waited_us.into_iter().for_each(|us| sum.waited.record(us));
            job.ran_us.into_iter().for_each(|us| sum.ran.record(us));
            match job.state.as_str() {
                "completed" => {
                    sum.completed += 1;
                    sum.already_there += u64::from(job.already_there);
                    let depth = ingestions.iter().find(|i| i.event_id == job.event_id);
                    let depth = depth.and_then(|i| i.observed.ingest_depth.as_deref()).unwrap_or("not there");
                    if depth != "laps_full" && sum.contradicted.len() < TOLD {
                        sum.contradicted.push(format!("{words} says completed, and its event is {depth}"));
                    }
                }
                "failed" => sum.failed += 1,
                state => {
                    if sum.live.len() < TOLD {
                        sum.live.push(format!("{words} is {state} still"));
                    }
                }
            }
            if job.takeovers > 0 && sum.taken_over.len() < TOLD {
                sum.taken_over.push(format!("{words}: taken over {}, ended by {}", often(job.takeovers), job.worker));
            }
        }
        for (event, jobs) in of_event {
            self.count(event, &jobs, ingestions, &mut sum);
        }
        sum
    }

    /// Where one undisturbed job did all the work, what it says it inserted is what is there.
    fn count(&self, event: u64, jobs: &[&JobRow], ingestions: &[Ingestion], sum: &mut Jobs) {
        let working: Vec<_> = jobs.iter().filter(|job| !job.already_there).collect();
        let Some(found) = ingestions.iter().find(|i| i.event_id == event) else { return };
        let [only] = working.as_slice() else { return };
        if only.state != "completed" || only.refresh || only.takeovers + only.attempts > 0 {
            return;
        }
        let stored: u64 = found.observed.tables.get(&RowKind::Laps).into_iter().flatten().map(|(_, g)| g.rows).sum();
        sum.counted += 1;
        if stored != only.laps_inserted {
            sum.miscounted.push(format!(
                "job {} of event {event} says that it inserted {} laps, {stored} are there",
                only.id, only.laps_inserted
            ));
        }
    }

    /// Reads what every client was told and groups it with what is so.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn judge(&self, told: &Path, plan: &LoadPlan, events: &BTreeMap<u64, EventIs>) -> Result<Told, Broken> {
        let io = |source| Broken::Io { what: format!("reading {}", told.display()), source };
        let file = BufReader::new(std::fs::File::open(told).map_err(io)?);
        let mut groups: BTreeMap<Key, ToldGroup> = BTreeMap::new();
        let mut all = Told::default();
        for line in file.lines() {
            let line: ToldLine = serde_json::from_str(&line.map_err(io)?).map_err(|e| io(std::io::Error::other(e)))?;
            all.recovered += u64::from(line.recovered);
            all.failed_calls += u64::from(line.failed_calls);
            let key = self.key(&line, plan, events);
            let group = groups.entry(key).or_insert_with(|| key.group());
            group.clients += 1;
            group.recovered += u64::from(line.recovered);
            if group.examples.len() < EXAMPLES {
                let job = self.requests.get(&line.key).map_or_else(|| "no job".to_owned(), |job| format!("job {job}"));
                let tried = line.tries.first().map(|t| format!("; tried {t}")).unwrap_or_default();
                group.examples.push(format!(
                    "request {} (event {}, {job}) was told `{}` after {} ms{tried}",
                    line.request,
                    line.event_id,
                    line.told.name(),
                    line.after_us / 1_000
                ));
            }
        }
        all.groups = groups.into_values().collect();
        Ok(all)
    }

    fn key(&self, line: &ToldLine, plan: &LoadPlan, events: &BTreeMap<u64, EventIs>) -> Key {
        let mut told_job = JobIs::None;
        if line.job_completed == Some(true) {
            told_job = self.state(line.job);
            let ended = line.job.and_then(|id| self.jobs.get(&id)).and_then(|job| job.ended_wall_us);
            if told_job == JobIs::Completed && ended.is_some_and(|ended| ended > line.at_wall_us + CLOCKS_US) {
                told_job = JobIs::CompletedLater;
            }
        }
        Key {
            told: line.told,
            refresh: line.refresh,
            poison: plan.is_poison(line.event_id),
            event: events.get(&line.event_id).copied().unwrap_or(EventIs::Absent),
            job: self.state(self.requests.get(&line.key).copied()),
            told_job,
            early: u128::from(line.after_us) < plan.spec.patience.0.as_micros(),
        }
    }
}

/// What the clients were told, grouped.
#[derive(Debug, Default)]
pub struct Told {
    /// The groups.
    pub groups: Vec<ToldGroup>,
    /// Clients that had lost an answer and found out.
    pub recovered: u64,
    /// Calls that failed.
    pub failed_calls: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    told: ToldAs,
    refresh: bool,
    poison: bool,
    event: EventIs,
    job: JobIs,
    told_job: JobIs,
    early: bool,
}

impl Key {
    fn group(self) -> ToldGroup {
        let Self { told, refresh, poison, event, job, told_job, early } = self;
        let (clients, recovered, examples) = (0, 0, Vec::new());
        ToldGroup { told, refresh, poison, event, job, told_job, early, clients, recovered, examples }
    }
}

/// What is so of an event that was looked at.
#[must_use]
pub fn event_is(ingestion: &Ingestion) -> EventIs {
    let observed = &ingestion.observed;
    match observed.ingest_depth.as_deref() {
        None => EventIs::Absent,
        Some("laps_full") if observed.tables == ingestion.expected && observed.differing.is_empty() => EventIs::Right,
        Some("laps_full") => EventIs::Wrong,
        Some(_) => EventIs::Partial,
    }
}

/// How often, in words.
fn often(times: u64) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}
