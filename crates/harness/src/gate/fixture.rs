//! A gate's run made of healthy trials, to spoil.

use std::collections::BTreeMap;

use super::*;
use crate::oracle::{self, OracleName};
use crate::stats::{Metric, Place, Side, Stage, turn};
use crate::trial::record::{Environment, RunRecord, StatementCost, TrialRecord};

/// How a build under test measures: each figure as a factor of the base's.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    pub statements: f64,
    pub wal: f64,
    pub time: f64,
    /// In the second set; the same when `None`.
    pub time_again: Option<f64>,
    /// How far times scatter to either side.
    pub scatter: f64,
}

pub const SAME: Build = Build { statements: 0.0, wal: 1.0, time: 1.0, time_again: None, scatter: 0.03 };

/// Noise of a machine, the same at every call.
fn noise(n: u32, scatter: f64) -> f64 {
    1.0 + scatter * f64::from(i32::try_from((n * 7919) % 13).unwrap() - 6) / 6.0
}

pub fn trial(number: u32, build: Build, time: f64, scale: f64) -> TrialRecord {
    let mut trial = oracle::fixture::healthy();
    trial.trial = number;
    trial.judgements = oracle::judge(&trial, OracleName::ALL);
    let statement = |query: &str, calls: f64| StatementCost {
        query: query.to_owned(),
        calls: calls as u64,
        rows: calls as u64,
        exec_us: calls,
        wal_bytes: 0,
    };
    trial.statements = vec![statement("COPY laps FROM STDIN", 2.0), statement("BEGIN", 5.0)];
    if build.statements > 0.0 {
        trial.statements.push(statement("SELECT count(*) FROM results WHERE race_id = $1", build.statements));
    }
    trial.metrics = BTreeMap::from([
        (Metric::Statements, 7.0 + build.statements),
        (Metric::RoundTrips, 12.0 + build.statements),
        (Metric::Pages, 40.0),
        (Metric::RowsWritten, 10_674.0),
        (Metric::RowsRewritten, 0.0),
        (Metric::Wal, 1_574_808.0 * build.wal),
        (Metric::EventTime, 200_000.0 * time * scale),
        (Metric::WriteStage, 80_000.0 * time * scale),
    ]);
    let mut batch = crate::stats::Histogram::new();
    batch.record((40_000.0 * time * scale) as u64);
    trial.stages = BTreeMap::from([(Stage::Batch, batch)]);
    trial
}

pub fn work() -> Work {
    Work {
        scenario: "gate".into(),
        kind: "plain".into(),
        races: 40,
        results: 480,
        laps: 10_000,
        revisions: 1,
        seed: 3,
        form: "raw".into(),
        profile: "fast".into(),
    }
}

pub fn environment() -> Environment {
    Environment {
        cpu: "a CPU".into(),
        cores: 2,
        backend: "local".into(),
        postgres_version: "15.14 (Debian)".into(),
        postgres_settings: BTreeMap::from([("fsync".to_owned(), "on".to_owned())]),
        build_profile: "release".into(),
        data_in_memory: true,
        ..Environment::default()
    }
}

pub fn empty(time: TimeBy, baseline: Option<Baseline>) -> (RunRecord, GateRecord) {
    let base =
        (time == TimeBy::BaseBuild).then(|| BaseBuild { engine: "/base".into(), hash: "md5:0".into(), revision: None });
    let run = RunRecord {
        scenario: "gate".into(),
        command: "harness gate".into(),
        environment: environment(),
        ..oracle::fixture::run()
    };
    let gate = GateRecord {
        baseline_name: baseline.is_some().then(|| "main".to_owned()),
        baseline,
        work: work(),
        base,
        time,
        unlike: Unlike::default(),
        pairs: 10,
        places: Vec::new(),
        references: Vec::new(),
        saved: None,
        strict: false,
    };
    (run, gate)
}

/// Measures as the verb does, until nothing is left to be measured.
pub fn measure(run: &mut RunRecord, gate: &mut GateRecord, build: Build) {
    while let Some(Pairs { set, from, to }) = next(run, gate) {
        for place in (from..=to).flat_map(turn) {
            one(run, gate, set, place, build);
        }
    }
}

/// Measures one place of a set.
pub fn one(run: &mut RunRecord, gate: &mut GateRecord, set: u32, place: Place, build: Build) {
    let n = u32::try_from(run.trials.len()).unwrap() + 1;
    // The machine is twice as slow in later pairs: a comparison in pairs does not mind.
    let scale = 1.0 + f64::from(place.pair) / 10.0;
    let time = if set == 2 { build.time_again.unwrap_or(build.time) } else { build.time };
    match place.side {
        Side::A if gate.time == TimeBy::Reference => {
            gate.references.push(ReferenceCopy { set, pair: place.pair, us: 20_000.0 * scale });
            return;
        }
        Side::A if gate.base.is_none() => return,
        Side::A => run.trials.push(trial(n, SAME, noise(n, SAME.scatter), scale)),
        Side::B => run.trials.push(trial(n, build, time * noise(n, build.scatter), scale)),
    }
    gate.places.push(Placed { trial: n, set, place });
}

/// A baseline of a healthy run.
pub fn main() -> Baseline {
    let (mut run, mut gate) = empty(TimeBy::Reference, None);
    measure(&mut run, &mut gate, SAME);
    baseline(&run, &gate).unwrap()
}

/// A gate's run of a build, to its end.
pub fn gated(time: TimeBy, baseline: Option<Baseline>, build: Build) -> (RunRecord, GateRecord) {
    let (mut run, mut gate) = empty(time, baseline);
    measure(&mut run, &mut gate, build);
    (run, gate)
}
