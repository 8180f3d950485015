//! A healthy trial to spoil, for the tests of all oracles: an event of three races with two results and twenty laps each,
//! ingested twice under `fast`.

use std::collections::{BTreeMap, BTreeSet};

use contract::feed::{Changes, Counts, Failed, Summary};

use crate::trial::record::{
    Aftermath, Attempt, Checkpoint, Environment, Exit, ExpectedOutcome, Group, Ingestion, Interlude, Limits,
    LivercObservation, PageRequests, Purpose, RowKind, RunRecord, SCHEMA, Snapshot, Tables, TrialRecord, XminSet,
};

const EVENT: u64 = 501;
const RACES: [u64; 3] = [101, 102, 103];
const LAPS: u64 = 20;
const RESULTS: u64 = 2;

/// What can happen to a row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// One row less in the first group.
    Missing,
    /// A row of the first group twice.
    Doubled,
    /// As many rows in the first group, of which one differs.
    Changed,
    /// A row that belongs to no race of the event, or one more of what is not of a race.
    Extra,
}

impl Damage {
    pub(super) const ALL: [Self; 4] = [Self::Missing, Self::Doubled, Self::Changed, Self::Extra];
}

/// A group whose digest stands for its content.
pub(super) fn group(rows: u64, content: &str) -> Group {
    Group { rows, digest: format!("digest of {rows} {content}") }
}

/// Spoils one table.
pub(super) fn damage(tables: &mut Tables, kind: RowKind, damage: Damage) {
    let groups = tables.get_mut(&kind).unwrap();
    let (&first, found) = groups.iter_mut().next().unwrap();
    match damage {
        Damage::Missing if found.rows == 1 => drop(groups.remove(&first)),
        Damage::Missing => *found = group(found.rows - 1, "rows, one missing"),
        Damage::Doubled => *found = group(found.rows + 1, "rows, one doubled"),
        Damage::Changed => found.digest = "digest of other rows".to_owned(),
        Damage::Extra if first == 0 => *found = group(found.rows + 1, "rows, one extra"),
        Damage::Extra => drop(groups.insert(999, group(1, "extra row"))),
    }
}

fn tables(races: &[u64]) -> Tables {
    let per_race =
        |rows, what: &str| races.iter().map(|&race| (race, group(rows, &format!("{what} {race}")))).collect();
    let per_event = |rows, what: &str| BTreeMap::from([(0, group(rows, what))]);
    BTreeMap::from([
        (RowKind::Tracks, per_event(1, "track")),
        (RowKind::Events, per_event(1, "event")),
        (RowKind::Drivers, per_event(6, "drivers")),
        (RowKind::Entries, per_event(6, "entries")),
        (RowKind::Races, per_race(1, "race")),
        (RowKind::Results, per_race(RESULTS, "results of")),
        (RowKind::Laps, per_race(LAPS, "laps of")),
    ])
}

fn checkpoint(race: u64) -> Checkpoint {
    let hash = Some(format!("{race:016x}"));
    Checkpoint { state: "written".into(), lap_count: LAPS, recomputed: hash.clone(), hash, error: None }
}

fn snapshot(races: &[u64]) -> Snapshot {
    let xmins = |race| XminSet { rows: BTreeSet::from([race + 600]), checkpoint: Some(race + 600) };
    Snapshot {
        tables: tables(races),
        ingest_depth: Some("laps_full".into()),
        checkpoints: races.iter().map(|&race| (race, checkpoint(race))).collect(),
        laps_stored: races.iter().map(|&race| (race, LAPS)).collect(),
        xmins: races.iter().map(|&race| (race, xmins(race))).collect(),
        xmin_digest: Some("digest of xmins".into()),
        rewritten: ["drivers", "entries", "races", "results", "laps"].map(|table| (table.to_owned(), 0)).into(),
        ..Snapshot::all_read()
    }
}

fn attempt(pid: u32, started_us: u64) -> Attempt {
    Attempt {
        pid,
        started_us,
        ended_us: started_us + 1_000,
        exit: Exit::Code(0),
        cpu_user_us: 800,
        cpu_system_us: 100,
        memory_limit: None,
        peak_rss_bytes: 40_000_000,
        summary: Some(Summary { event_id: EVENT, max_in_flight: 3, pool_peak: 4, listed: 3, ..Summary::default() }),
        settings: BTreeMap::from([("skip_unchanged".into(), "true".into())]),
        committed: Vec::new(),
        steps: BTreeMap::new(),
        failed: Vec::new(),
        retries: BTreeMap::new(),
        fetched: 3,
        commits: 1,
        batches: 1,
        rows_told: None,
        laps_sent: 0,
        laps_committed: 0,
        write_stage_us: 0,
        last_step: None,
        lock_free_us: None,
        page_laps: BTreeMap::new(),
        stderr_tail: Vec::new(),
        feed_errors: Vec::new(),
    }
}

fn changes(of: impl Fn(u64) -> Counts) -> Changes {
    Changes { drivers: of(6), entries: of(6), races: of(3), results: of(6), laps: of(60) }
}

fn ingestion(purpose: Purpose, started_us: u64) -> Ingestion {
    let again = purpose == Purpose::Again;
    let changes = changes(|n| match again {
        false => Counts { inserted: n, ..Counts::default() },
        true => Counts { unchanged: n, ..Counts::default() },
    });
    let mut attempt = attempt(4_700, started_us);
    let summary = attempt.summary.as_mut().unwrap();
    summary.rows = changes;
    (summary.written, summary.skipped) = if again { (0, 3) } else { (3, 0) };
    if !again {
        attempt.committed = RACES.iter().map(|&race| (race, started_us + race)).collect();
    }
    Ingestion {
        purpose,
        event_id: EVENT,
        attempts: vec![attempt],
        expected: tables(&RACES),
        expect: ExpectedOutcome::Complete,
        observed: snapshot(&RACES),
        wall_us: 1_000,
        wal_bytes: Some(if again { 2_000 } else { 200_000 }),
        changes: Some(changes),
        interludes: Vec::new(),
        wire: None,
    }
}

/// The page of a race, as the mock names it.
pub(super) fn race_path(race: u64) -> String {
    format!("/results/?p=view_race_result&id={race}")
}

fn pages(ingestion: u32) -> impl Iterator<Item = PageRequests> {
    let heads = ["view_event", "view_entry_list"].map(|page| format!("/results/?p={page}&id={EVENT}"));
    let paths = heads.into_iter().chain(RACES.map(race_path));
    paths.map(move |path| PageRequests { ingestion, attempt: 0, path, requests: 1, whole: 1 })
}

/// A run without trials.
pub(crate) fn run() -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        scenario: "fixture".into(),
        description: String::new(),
        resolved: String::new(),
        started_at: "2026-11-24T10:00:00Z".into(),
        run_us: 30_000_000,
        command: "harness run fixture".into(),
        environment: Environment::default(),
        capacity: None,
        comparison: None,
        search: None,
        selftest: None,
        trials: Vec::new(),
        interrupted: false,
        exit: 0,
    }
}

/// Everything as it should be.
pub(crate) fn healthy() -> TrialRecord {
    TrialRecord {
        schema: SCHEMA,
        trial: 1,
        scenario: "small-event".into(),
        profile: "fast".into(),
        settings: BTreeMap::new(),
        seed: 1,
        started_at: "2026-01-01T00:00:00Z".into(),
        started_us: 0,
        trial_us: 10_000,
        ingestions: vec![ingestion(Purpose::Revision(1), 1_000), ingestion(Purpose::Again, 5_000)],
        faults: Vec::new(),
        aftermath: Aftermath { observed: true, ..Aftermath::default() },
        liverc: Some(LivercObservation {
            pages: pages(0).chain(pages(1)).collect(),
            max_in_flight: 3,
            requests: 10,
            ..LivercObservation::default()
        }),
        sampler: None,
        limits: Limits {
            engine_peak_rss_bytes: Some(150_000_000),
            max_in_flight: Some(8),
            connections: Some(21),
            attempts_per_page: None,
        },
        metrics: BTreeMap::new(),
        stages: BTreeMap::new(),
        progress: Vec::new(),
        statements: Vec::new(),
        judgements: Vec::new(),
        story: Vec::new(),
        artifacts: None,
        reproduce: String::new(),
        psql: None,
        in_set: None,
        beside: Vec::new(),
        broken: None,
        load: None,
    }
}

/// An engine that exits 0 having done nothing, looked at with care.
pub(super) fn idle() -> TrialRecord {
    let mut record = healthy();
    for ingestion in &mut record.ingestions {
        ingestion.observed = Snapshot { xmin_digest: Some("digest of nothing".into()), ..Snapshot::all_read() };
        ingestion.changes = Some(Changes::default());
        silence(ingestion);
    }
    record.liverc = Some(LivercObservation::default());
    record
}

/// Takes the feed away.
pub(super) fn silence(ingestion: &mut Ingestion) {
    for attempt in &mut ingestion.attempts {
        attempt.summary = None;
        attempt.settings.clear();
        attempt.steps.clear();
        attempt.committed.clear();
    }
}

/// One race cannot be read; the engine says so. A single ingestion.
pub(super) fn partial(race: u64) -> TrialRecord {
    let mut record = healthy();
    record.ingestions.truncate(1);
    record.liverc.as_mut().unwrap().pages.retain(|p| p.ingestion == 0);
    let rest: Vec<u64> = RACES.into_iter().filter(|&r| r != race).collect();
    let ingestion = &mut record.ingestions[0];
    ingestion.expect = ExpectedOutcome::Partial { failed: vec![race] };
    ingestion.expected = tables(&rest);
    ingestion.observed = snapshot(&rest);
    ingestion.observed.ingest_depth = Some("partial".into());
    let error = Some("no result table".to_owned());
    let failed = Checkpoint { state: "failed".into(), lap_count: 0, hash: None, recomputed: None, error };
    ingestion.observed.checkpoints.insert(race, failed);
    let attempt = &mut ingestion.attempts[0];
    attempt.committed.retain(|&(r, _)| r != race);
    attempt.exit = Exit::Code(75);
    attempt.failed = vec![Failed {
        race,
        url: format!("http://mock{}", race_path(race)),
        cause: "no result table".into(),
        retry: false,
    }];
    let summary = attempt.summary.as_mut().unwrap();
    summary.exit = 75;
    summary.failed = attempt.failed.clone();
    record
}

/// The first process was killed after race 101 was acknowledged; a second one finished. The database was read in between.
pub(super) fn crashed() -> TrialRecord {
    let mut record = healthy();
    let ingestion = &mut record.ingestions[0];
    let finished = ingestion.attempts.remove(0);
    let mut killed = attempt(4_711, 1_000);
    killed.exit = Exit::Signal(9);
    killed.summary = None;
    killed.committed = vec![(101, 1_900)];
    let mut second = Attempt { started_us: 3_000, ended_us: 4_000, ..finished };
    second.committed = vec![(102, 3_400), (103, 3_500)];
    ingestion.attempts = vec![killed, second];
    ingestion.interludes = vec![Interlude {
        at_us: 2_500,
        after: "process 4711 was killed".into(),
        laps_stored: BTreeMap::from([(101, LAPS)]),
        checkpoints: BTreeMap::from([(101, checkpoint(101))]),
        ingest_depth: None,
        finished: None,
    }];
    record
}

/// A healthy load: the event of the other fixture, imported by a service of one server and one worker.
pub(crate) fn loaded() -> TrialRecord {
    use crate::load::record::{EngineRun, EventIs, JobIs, LoadRecord, ToldAs, ToldGroup};
    let mut record = healthy();
    record.ingestions.truncate(1);
    record.ingestions[0].purpose = Purpose::Import;
    record.ingestions[0].attempts.clear();
    record.liverc = None;
    record.limits = Limits::default();
    let told = ToldGroup {
        told: ToldAs::Complete,
        refresh: false,
        poison: false,
        event: EventIs::Right,
        job: JobIs::Completed,
        told_job: JobIs::Completed,
        early: true,
        clients: 5,
        recovered: 0,
        examples: Vec::new(),
    };
    let run = EngineRun {
        pid: 7,
        event_id: EVENT,
        started_us: 10,
        worked_us: Some(20),
        ended_us: Some(90),
        commits: vec![(80, RACES.to_vec())],
    };
    record.load = Some(Box::new(LoadRecord {
        arrivals: "steady, 5 /s, for 1s, 1 events".to_owned(),
        rate_per_s: Some(5.0),
        generated: crate::load::generated::Generated { ended: told.clients, ..Default::default() },
        told: vec![told],
        patience_us: 60_000_000,
        recovered: 0,
        failed_calls: 0,
        jobs: Default::default(),
        processes: Vec::new(),
        runs: vec![run],
        feed_errors: Vec::new(),
        samples: Vec::new(),
        drift: Default::default(),
        pages: 5,
        pages_in_flight: 2,
    }));
    record
}
