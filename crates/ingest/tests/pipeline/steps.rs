//! Which steps each write path reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::Step;
use contract::feed::Record;
use ingest::probe::Probe;
use ingest::settings::Profile;

use crate::common::{World, database, settings};

async fn reached(own: &[(&str, &str)]) -> (BTreeMap<Step, u32>, Vec<Step>) {
    let db = database().await;
    let world = World::new(4, 2, 6);
    let settings = settings(Profile::Fast, own);
    let probe = Arc::new(Probe::recording(|_, _| {}));
    let source = world.source();
    let run = ingest::pipeline::Run::new(77, db.store(&settings), source, settings, Arc::clone(&probe));
    assert_eq!(run.execute().await.exit, 0);
    let lines = probe.lines();
    assert!(matches!(lines.first().unwrap().record, Record::Started(_)));
    assert!(matches!(lines.last().unwrap().record, Record::Summary(_)));
    let steps: Vec<Step> = lines
        .iter()
        .filter_map(|l| match &l.record {
            Record::Step(s) => Some(s.name),
            _ => None,
        })
        .collect();
    let mut counts = BTreeMap::new();
    steps.iter().for_each(|&s| *counts.entry(s).or_insert(0) += 1);
    (counts, steps)
}

/// As documented: the engine tells `mid-batch` of COPY alone (for INSERT and UNNEST the proxy does, halfway through the
/// frame), and a unit of one batch never gets to `mid-unit`.
#[tokio::test(flavor = "multi_thread")]
async fn the_steps_that_a_write_path_never_reaches_are_the_documented_ones() {
    for (path, batch, never) in [
        ("insert", "5", vec![Step::MidBatch]),
        ("unnest", "5", vec![Step::MidBatch]),
        ("copy", "5", vec![]),
        ("insert", "auto", vec![Step::MidBatch, Step::MidUnit]),
        ("unnest", "auto", vec![Step::MidBatch, Step::MidUnit]),
        ("copy", "auto", vec![Step::MidUnit]),
    ] {
        let own = [("write_path", path), ("lap_batch", batch), ("commit_races", "2"), ("writers", "1")];
        let (counts, _) = reached(&own).await;
        let missing: Vec<_> = Step::ALL.iter().copied().filter(|s| !counts.contains_key(s)).collect();
        assert_eq!(missing, never, "{own:?}");
        let units = counts[&Step::UnitBegun];
        assert_eq!((units, counts[&Step::AfterCommit], counts[&Step::RaceParsed]), (2, 2, 4));
        let per_unit = if batch == "5" { 5 } else { 1 }; // 24 laps
        assert_eq!(counts[&Step::BatchWritten], units * per_unit, "{own:?}");
        assert_eq!(counts.get(&Step::MidUnit).copied().unwrap_or(0), units * (per_unit - 1), "{own:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_unit_come_in_their_order() {
    let own = [("lap_batch", "14"), ("commit_races", "4"), ("writers", "1")];
    let (_, steps) = reached(&own).await;
    let of_units: Vec<_> = steps.into_iter().filter(|s| *s >= Step::UnitBegun).collect();
    let expected = [
        Step::UnitBegun,
        Step::ResultsWritten,
        Step::MidBatch,
        Step::BatchWritten,
        Step::MidUnit,
        Step::MidBatch,
        Step::BatchWritten,
        Step::MidUnit,
        Step::MidBatch,
        Step::BatchWritten,
        Step::MidUnit,
        Step::MidBatch,
        Step::BatchWritten,
        Step::CheckpointWritten,
        Step::BeforeCommit,
        Step::AfterCommit,
        Step::BeforeComplete,
        Step::EventCompleted,
    ];
    assert_eq!(of_units, expected);
}
