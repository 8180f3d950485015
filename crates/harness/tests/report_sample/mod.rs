//! Sample runs, rich enough that every part of the report has something to show.

use std::collections::BTreeMap;

use harness::oracle::{Judgement, OracleName, Verdict};
use harness::stats::{Histogram, Metric, Stage};
use harness::trial::record::*;
use serde_json::json;

/// Text that must come out as text.
pub const HOSTILE: &str = "<script>alert('x')</script> \"quoted\" & <b>bold</b> | `tick` @someone";

/// A password that no output may show.
pub const SECRET: &str = "s3cret-pa55";

/// A URL that holds it.
pub fn secret_url() -> String {
    format!("postgres://engine:{SECRET}@127.0.0.1:5432/trial_7")
}

/// A small generator (SplitMix64): the same samples every time.
pub struct Noise(pub u64);

impl Noise {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    /// Skewed to the right, like latencies.
    pub fn latency(&mut self, median_us: f64) -> u64 {
        let spread = (-2.0 * self.unit().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        (median_us * (spread * 0.45).exp()) as u64 + 1
    }
}

fn histogram(noise: &mut Noise, n: u32, median_us: f64) -> Histogram {
    let mut h = Histogram::new();
    (0..n).for_each(|_| h.record(noise.latency(median_us)));
    h
}

/// Judgements of the oracles held, the rest not judged.
pub fn judgements() -> Vec<Judgement> {
    OracleName::ALL
        .iter()
        .map(|&oracle| {
            let judged = !matches!(oracle, OracleName::Durable | OracleName::Bounded);
            Judgement {
                oracle,
                verdict: if judged { Verdict::Held } else { Verdict::NotJudged },
                evidence: if judged { vec!["40 races, 480 results, 10,000 laps compared".to_string()] } else { vec![] },
            }
        })
        .collect()
}

fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("the sample has the record's shape")
}

/// A trial of a profile that is `speed` times as slow as the fast one.
pub fn trial(number: u32, profile: &str, speed: f64) -> TrialRecord {
    let mut noise = Noise(u64::from(number) * 7919);
    let start = 1_000_000_000 * u64::from(number);
    let event_us = (420_000.0 * speed * (0.95 + 0.1 * noise.unit())) as u64;
    let units = 8;
    let mut progress = Vec::new();
    for unit in 1..=units {
        progress.push((60_000 + event_us * unit / (units + 1), 10_000 * unit / units));
    }
    // Built from JSON, so that a field that is added to the record with a default is no change here.
    let attempt = |from: u64, to: u64, exit: Exit| -> Attempt {
        let committed: Vec<(u64, u64)> = (1..=40).map(|race| (race, start + from + race * 1_000)).collect();
        from_json(json!({
            "pid": 4_000 + number, "started_us": start + from, "ended_us": start + to, "exit": exit,
            "cpu_user_us": (to - from) / 3, "cpu_system_us": (to - from) / 9, "peak_rss_bytes": 38_400_000,
            "summary": null, "committed": committed, "steps": {}, "failed": [], "retries": { "fetch": 2 }, "fetched": 40,
            "stderr_tail": [], "feed_errors": [],
        }))
    };
    let ingestion = |purpose: Purpose, attempts: Vec<Attempt>| -> Ingestion {
        let wall_us: u64 = attempts.iter().map(|a| a.ended_us - a.started_us).sum();
        from_json(json!({
            "purpose": purpose, "event_id": 490_000, "wall_us": wall_us, "attempts": attempts, "expected": {},
            "expect": ExpectedOutcome::Complete, "observed": Snapshot::default(), "wal_bytes": 4_200_000,
        }))
    };
    let end = 60_000 + event_us;
    let statements = if profile == "before" { 3_160.0 } else { 36.0 };
    TrialRecord {
        schema: SCHEMA,
        trial: number,
        scenario: "large-event".to_string(),
        profile: profile.to_string(),
        settings: BTreeMap::new(),
        seed: 42,
        started_at: "2026-03-01T10:00:00Z".to_string(),
        started_us: start,
        trial_us: end + event_us / 2 + 300_000,
        ingestions: vec![
            ingestion(Purpose::Revision(1), vec![attempt(60_000, end, Exit::Code(0))]),
            ingestion(Purpose::Again, vec![attempt(end + 30_000, end + 30_000 + event_us / 3, Exit::Code(0))]),
        ],
        faults: vec![],
        aftermath: Aftermath { observed: true, ..Aftermath::default() },
        liverc: None,
        sampler: None,
        limits: Limits::default(),
        metrics: BTreeMap::from([
            (Metric::EventTime, event_us as f64),
            (Metric::LapRate, 10_000.0 / (event_us as f64 / 1e6)),
            (Metric::Statements, statements),
            (Metric::StatementTime, 180_000.0 * speed),
            (Metric::RoundTrips, statements + 12.0),
            (Metric::RowsWritten, 10_610.0),
            (Metric::Pages, 42.0),
            (Metric::Commits, 9.0),
            (Metric::Wal, 4_200_000.0 * (0.8 + speed / 5.0)),
            (Metric::EngineCpu, 150_000.0 * speed),
            (Metric::EnginePeakRss, 38_400_000.0),
            (Metric::PostgresCpu, 220_000.0 * speed),
            (Metric::HarnessShare, 0.18),
            (Metric::PoolPeak, 4.0),
            (Metric::LockWaits, 0.0),
            (Metric::AgainTime, event_us as f64 / 3.0),
        ]),
        stages: BTreeMap::from([
            (Stage::Fetch, histogram(&mut noise, 40, 6_000.0)),
            (Stage::Parse, histogram(&mut noise, 40, 420.0)),
            (Stage::Write, histogram(&mut noise, 40, 9_000.0 * speed)),
            (Stage::Batch, histogram(&mut noise, 8, 5_000.0 * speed)),
            (Stage::Commit, histogram(&mut noise, 8, 1_400.0)),
            (Stage::Acquire, histogram(&mut noise, 48, 60.0)),
            (Stage::LivercResponse, histogram(&mut noise, 42, 900.0)),
        ]),
        progress,
        statements: vec![
            StatementCost {
                query: "INSERT INTO laps (result_id, lap_number, lap_time_us, position) VALUES ($1, $2, $3, $4), ($5, $6, $7, $8)".into(),
                calls: 8,
                rows: 10_000,
                exec_us: 92_000.0 * speed,
                wal_bytes: 3_100_000,
            },
            StatementCost {
                query: "COMMIT".into(),
                calls: 9,
                rows: 0,
                exec_us: 11_000.0,
                wal_bytes: 600,
            },
        ],
        judgements: judgements(),
        story: vec![
            format!("{profile} read 40 races with 480 results from 42 pages and wrote 10,000 laps."),
            "The event was complete and marked so; a second ingestion changed nothing.".to_string(),
        ],
        artifacts: None,
        reproduce: format!("harness run large-event --profile {profile} --seed 42"),
        psql: None,
        in_set: None,
        beside: Vec::new(),
        broken: None,
        load: None,
    }
}

/// A run around trials.
pub fn run(trials: Vec<TrialRecord>) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        scenario: "large-event".to_string(),
        description: "A large meeting, ingested once and then again with nothing changed.".to_string(),
        resolved: "[event]\nsize = \"large\"\n".to_string(),
        started_at: "2026-03-01T10:00:00Z".to_string(),
        run_us: trials.iter().map(|t| t.trial_us).sum(),
        command: "harness run large-event --profile before --profile after --profile fast --trials 2".to_string(),
        environment: Environment {
            data_in_memory: false,
            cpu: "Example CPU 3.0 GHz".to_string(),
            cores: 2,
            memory_bytes: 8_000_000_000,
            kernel: "6.1.0".to_string(),
            backend: "local".to_string(),
            postgres_version: "15.9".to_string(),
            postgres_settings: BTreeMap::from([
                ("fsync".to_string(), "on".to_string()),
                ("shared_buffers".to_string(), "128MB".to_string()),
                ("synchronous_commit".to_string(), "on".to_string()),
            ]),
            engine_path: "/opt/harness/harness".to_string(),
            engine_hash: "md5:9e107d9d372bb6826bd81d3542a419d6".to_string(),
            build_profile: "release".to_string(),
            git_revision: "1b0bd9b".to_string(),
            harness_version: "0.1.0".to_string(),
            remarks: vec!["Inside of a container with 2 of 8 cores.".to_string()],
        },
        trials,
        capacity: None,
        comparison: None,
        interrupted: false,
        search: None,
        selftest: None,
        exit: 0,
    }
}

/// Three profiles, two trials each, all held.
pub fn held() -> RunRecord {
    run(vec![
        trial(1, "before", 7.4),
        trial(2, "after", 6.8),
        trial(3, "fast", 1.0),
        trial(4, "fast", 1.0),
        trial(5, "after", 6.8),
        trial(6, "before", 7.4),
    ])
}

/// A crash that was survived, one that was not, a fault that did not fire; hostile text and secrets in every field of text.
pub fn hostile() -> RunRecord {
    let mut crashed = trial(1, "fast", 1.0);
    let first = &mut crashed.ingestions[0];
    let middle = first.attempts[0].started_us + 170_000;
    let end = first.attempts[0].ended_us + 90_000;
    let mut restarted = first.attempts[0].clone();
    first.attempts[0].ended_us = middle;
    first.attempts[0].exit = Exit::Signal(9);
    first.attempts[0].committed.truncate(18);
    restarted.started_us = middle + 45_000;
    restarted.ended_us = end;
    first.attempts.push(restarted);
    let again = &mut crashed.ingestions[1].attempts[0];
    again.started_us += 120_000;
    again.ended_us += 120_000;
    crashed.faults = vec![FaultRecord {
        fault: "mid-batch#2 = crash".to_string(),
        fired: Some(Fired {
            at_us: middle,
            healed_us: Some(middle + 45_000),
            evidence: "the feed shows mid-batch#2 and the process died of signal 9".to_string(),
        }),
        why_not: None,
        missed: None,
    }];
    crashed.story = vec![
        "Unit 2 begun; 1,024 laps sent; killed at mid-batch.".to_string(),
        "The lock was free after 45 ms; unit 2 was done again: 0 laps lost, 0 doubled, 38 ms.".to_string(),
    ];
    crashed.metrics.insert(Metric::RecoveryDatabaseReady, 2_000.0);
    crashed.metrics.insert(Metric::RecoveryFirstSuccess, 83_000.0);
    crashed.metrics.insert(Metric::RecoveryCaughtUp, 380_000.0);
    crashed.metrics.insert(Metric::LapsTwice, 1_024.0);
    crashed.metrics.remove(&Metric::Statements);
    crashed.metrics.remove(&Metric::RoundTrips);

    let mut lost = trial(2, "fast", 1.0);
    lost.settings.insert("commit_races".to_string(), HOSTILE.to_string());
    for j in &mut lost.judgements {
        match j.oracle {
            OracleName::Content => {
                j.verdict = Verdict::Violated;
                j.evidence = vec![
                    "race 6120031: 311 laps expected, 298 found".to_string(),
                    format!("{HOSTILE} seen through {}", secret_url()),
                ];
            }
            OracleName::Atomic => {
                j.verdict = Verdict::Unknown;
                j.evidence = vec!["the sampler took no snapshot".to_string()];
            }
            _ => {}
        }
    }
    lost.story = vec![format!("{HOSTILE}."), format!("It connected to {}.", secret_url())];
    lost.ingestions[0].attempts[0].exit = Exit::Code(1);
    lost.ingestions[0].attempts[0].stderr_tail = vec![
        HOSTILE.to_string(),
        format!("PGPASSWORD={SECRET} psql; password = '{SECRET}'"),
        "\u{1b}[31mred".to_string(),
    ];
    lost.ingestions[0].observed.differing = vec![DifferingRow {
        kind: RowKind::Laps,
        group: 6_120_031,
        expected: Some(HOSTILE.to_string()),
        observed: None,
    }];
    lost.reproduce = format!("DATABASE_URL={} harness run {HOSTILE}", secret_url());
    lost.psql = Some(format!("psql '{}'", secret_url()));
    lost.artifacts = Some("trial-2".to_string());
    lost.stages.insert(Stage::Fetch, Histogram::new());
    lost.statements[0].query = format!("SELECT '{HOSTILE}', '{}'", secret_url());

    let mut silent = trial(3, "before", 7.4);
    silent.faults = vec![FaultRecord {
        fault: "mid-unit#1 = db-kill for 500ms".to_string(),
        fired: None,
        why_not: Some("step mid-unit was never reached: each unit had one batch".to_string()),
        missed: None,
    }];
    let mut broken = trial(4, "before", 7.4);
    broken.broken = Some(format!("PostgreSQL at {} went away", secret_url()));
    broken.judgements.clear();
    broken.metrics.clear();
    broken.stages.clear();
    broken.progress.clear();
    broken.story.clear();
    broken.statements.clear();

    let mut run = run(vec![crashed, lost, silent, broken]);
    run.description = format!("Crashes. {HOSTILE}");
    run.command = format!("harness run --postgres {}", secret_url());
    run.resolved = format!("url = \"{}\"\npassword = \"{SECRET}\"\n# {HOSTILE}", secret_url());
    run.environment.remarks.push(format!("{HOSTILE} {}", secret_url()));
    run.environment.postgres_settings.insert("primary_conninfo".to_string(), format!("host=h password={SECRET}"));
    run.exit = 4;
    run
}

/// A sweep over the race concurrency.
pub fn sweep() -> RunRecord {
    let trials = [1u32, 2, 4, 8, 16]
        .into_iter()
        .enumerate()
        .flat_map(|(i, n)| (0..2).map(move |again| (i as u32 * 2 + again + 1, n)))
        .map(|(number, n)| {
            let mut t = trial(number, "fast", 0.6 + 4.0 / f64::from(n));
            t.settings.insert("race_concurrency".to_string(), n.to_string());
            t.metrics.insert(Metric::PoolPeak, f64::from(n.min(11)));
            t.metrics.insert(Metric::LockWaits, f64::from(n / 6));
            let mut noise = Noise(u64::from(number));
            t.stages.insert(Stage::LivercResponse, histogram(&mut noise, 42, 700.0 * (1.0 + f64::from(n) / 4.0)));
            t
        })
        .collect();
    let mut run = run(trials);
    run.command = "harness run large-event --sweep race_concurrency=1,2,4,8,16 --trials 2".to_string();
    run
}
