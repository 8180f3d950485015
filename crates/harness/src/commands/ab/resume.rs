//! `--resume DIR`: an interrupted comparison goes on where it was, if everything is still what it was.

use std::path::Path;

use super::{Bench, sides};
use crate::commands::Failure;
use crate::report;
use crate::scenario::{Known, Scenario};
use crate::trial::record::{Environment, RunRecord};

/// What was interrupted.
///
/// # Errors
/// No comparison in the folder, or an engine that has changed since.
pub(super) fn bench(dir: &Path) -> Result<Bench, Failure> {
    let record = report::load(dir)?;
    let Some(spec) = record.comparison.as_deref().cloned() else {
        return Err(Failure::usage(format!(
            "{} is no comparison; --resume goes on with what `harness ab` has begun",
            dir.display()
        )));
    };
    let (profiles, settings) = (ingest::cli::profile_names(), ingest::cli::setting_names());
    let known = Known { profiles: &profiles, settings: &settings };
    let scenario =
        Scenario::parse(&format!("{}.toml", record.scenario), &record.resolved, known).map_err(Failure::usage)?;
    let sides = [sides::of_record(&spec.a)?, sides::of_record(&spec.b)?];
    let dir = dir.canonicalize().map_err(|e| Failure::usage(format!("{}: {e}", dir.display())))?;
    Ok(Bench { scenario, sides, spec, resumed: Some((record, dir)) })
}

/// Refuses to put trials of two worlds into one sample.
///
/// # Errors
/// What differs.
pub(super) fn same_environment(record: &RunRecord, now: &Environment) -> Result<(), Failure> {
    let was = &record.environment;
    let pairs = [
        ("CPU", &was.cpu, &now.cpu),
        ("kernel", &was.kernel, &now.kernel),
        ("PostgreSQL comes from", &was.backend, &now.backend),
        ("PostgreSQL", &was.postgres_version, &now.postgres_version),
        ("build", &was.build_profile, &now.build_profile),
    ];
    let mut differs: Vec<String> = pairs
        .into_iter()
        .filter(|(_, was, now)| was != now)
        .map(|(what, was, now)| format!("{what}: it was {was}, it is {now}"))
        .collect();
    if was.data_in_memory != now.data_in_memory {
        let place = |in_memory| if in_memory { "memory" } else { "a directory" };
        differs.push(format!(
            "PostgreSQL's data: in {} then, in {} now (--postgres-data)",
            place(was.data_in_memory),
            place(now.data_in_memory)
        ));
    }
    if was.cores != now.cores {
        differs.push(format!("cores: {} then, {} now", was.cores, now.cores));
    }
    for (name, then) in &was.postgres_settings {
        match now.postgres_settings.get(name) {
            Some(value) if value == then => {}
            other => differs.push(format!("{name}: it was {then}, it is {}", other.map_or("unset", String::as_str))),
        }
    }
    if differs.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the comparison was begun elsewhere, and trials of both would be no sample: {}",
        differs.join("; ")
    )))
}

/// The record to go on with. A `result.json` of the interrupted part goes: from now on `run.json` and `trials.jsonl` say more.
///
/// # Errors
/// When the folder cannot be written to.
pub(super) fn reopen(record: &RunRecord, dir: &Path) -> Result<RunRecord, Failure> {
    let mut record = record.clone();
    record.interrupted = false;
    report::write_header(&record, dir)?;
    match std::fs::remove_file(dir.join("result.json")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::environment(format!("{} cannot be written to: {e}", dir.display())))
        }
        _ => Ok(record),
    }
}
