//! What happened in a trial, in a few plain sentences. Pure.

use std::collections::BTreeSet;

use contract::feed::StepReached;

use super::measure;
use super::record::{Attempt, Exit, Fired, Ingestion, Purpose, RowKind, TrialRecord};
use crate::format;
use crate::oracle::durable;
use crate::stats::Metric;

/// The story of a trial.
#[must_use]
pub fn tell(record: &TrialRecord) -> Vec<String> {
    let mut story = Vec::new();
    for ingestion in &record.ingestions {
        story.push(tell_ingestion(ingestion));
        let alone = matches!(ingestion.attempts.as_slice(), [one] if one.exit == Exit::Code(0));
        if !alone {
            story.extend(ingestion.attempts.iter().enumerate().map(|(i, a)| tell_attempt(i, a)));
        }
        if !alone || struck(ingestion, record).is_some() {
            story.push(tell_recovery(ingestion, record));
        }
        story.extend(
            durable::lost_meanwhile(ingestion).into_iter().map(|(after, races)| tell_loss(ingestion, after, &races)),
        );
        for failed in ingestion.attempts.iter().flat_map(|a| &a.failed) {
            story.push(format!("race {} was given up: {} ({})", failed.race, failed.cause, failed.url));
        }
    }
    for fault in &record.faults {
        story.push(match (&fault.fired, &fault.why_not) {
            (Some(fired), _) => format!("fault {} fired: {}", fault.fault, fired.evidence),
            (None, Some(why)) => format!("fault {} did not fire: {why}", fault.fault),
            (None, None) => format!("fault {} did not fire", fault.fault),
        });
    }
    if let Some(broken) = &record.broken {
        story.push(format!("the trial was broken off: {broken}"));
    }
    story
}

fn tell_ingestion(ingestion: &Ingestion) -> String {
    let what = match ingestion.purpose {
        Purpose::Revision(1) => format!("event {} ingested", ingestion.event_id),
        Purpose::Revision(n) => format!("revision {n} of event {} ingested", ingestion.event_id),
        Purpose::Again => "ingested once more, nothing changed on the pages".to_owned(),
        Purpose::Import => format!("event {} imported", ingestion.event_id),
    };
    let races = ingestion.observed.checkpoints.values().filter(|c| c.state == "written").count();
    let laps: u64 = ingestion.observed.laps_stored.values().sum();
    let pages: u32 = ingestion.attempts.iter().map(|a| a.fetched).sum();
    let depth = ingestion.observed.ingest_depth.as_deref().unwrap_or("not in the database");
    let mut text = format!(
        "{what} in {}: {} race pages fetched; the database holds {} laps of {} races, ingest_depth {depth}",
        format::duration(ingestion.wall_us as f64),
        format::whole(u64::from(pages)),
        format::whole(laps),
        format::whole(races as u64),
    );
    if ingestion.purpose != Purpose::Revision(1)
        && let Some(changes) = ingestion.changes
    {
        let all = [changes.drivers, changes.entries, changes.races, changes.results, changes.laps];
        let total = |of: fn(&contract::feed::Counts) -> u64| format::whole(all.iter().map(of).sum());
        text += &format!(
            "; rows inserted {}, changed {}, deleted {}",
            total(|c| c.inserted),
            total(|c| c.updated),
            total(|c| c.deleted)
        );
    }
    if ingestion.purpose == Purpose::Again {
        let rewritten: u64 = ingestion.observed.rewritten.values().sum();
        text += &format!("; {} rows rewritten", format::whole(rewritten));
    }
    text
}

/// What had been acknowledged and was gone after a fault.
fn tell_loss(ingestion: &Ingestion, after: &str, races: &BTreeSet<u64>) -> String {
    let expected = ingestion.expected.get(&RowKind::Laps);
    let laps: u64 = races.iter().filter_map(|race| expected?.get(race)).map(|group| group.rows).sum();
    let names: Vec<String> = races.iter().map(u64::to_string).collect();
    format!(
        "acknowledged, and no longer there after {after}: {} laps of {} races ({})",
        format::whole(laps),
        format::whole(races.len() as u64),
        names.join(", ")
    )
}

/// The first fault that struck an ingestion.
fn struck<'a>(ingestion: &Ingestion, record: &'a TrialRecord) -> Option<&'a Fired> {
    let span = ingestion.attempts.first()?.started_us..=ingestion.attempts.last()?.ended_us;
    let fired = record.faults.iter().filter_map(|f| f.fired.as_ref());
    fired.filter(|f| span.contains(&f.at_us)).min_by_key(|f| f.at_us)
}

/// What was lost, doubled and done twice, and how long it took from the fault to the end.
fn tell_recovery(ingestion: &Ingestion, record: &TrialRecord) -> String {
    let (mut lost, mut doubled) = (0, 0);
    let empty = std::collections::BTreeMap::new();
    let expected = ingestion.expected.get(&RowKind::Laps).unwrap_or(&empty);
    let observed = ingestion.observed.tables.get(&RowKind::Laps).unwrap_or(&empty);
    let races: BTreeSet<_> = expected.keys().chain(observed.keys()).collect();
    for race in races {
        let rows = |of: &std::collections::BTreeMap<u64, super::record::Group>| of.get(race).map_or(0, |g| g.rows);
        lost += rows(expected).saturating_sub(rows(observed));
        doubled += rows(observed).saturating_sub(rows(expected));
    }
    let mut parts: Vec<String> = ingestion.attempts.iter().filter_map(unit_to_do_again).collect();
    parts.push(format!("{} laps lost, {} doubled", format::whole(lost), format::whole(doubled)));
    let (pages, laps) = (measure::pages_twice(&ingestion.attempts), measure::laps_twice(&ingestion.attempts));
    parts.push(match (pages, laps) {
        (0, 0) => "no work done twice".to_owned(),
        _ => format!("done twice: {} race pages, {} laps", format::whole(pages), format::whole(laps)),
    });
    if let Some(fault) = struck(ingestion, record) {
        parts.extend(tell_times(ingestion, record, fault));
    }
    format!("then: {}", parts.join("; "))
}

/// The unit in which a process died: nothing of it was there, so another process did it again.
fn unit_to_do_again(attempt: &Attempt) -> Option<String> {
    let step = attempt.last_step.as_ref().filter(|_| !matches!(attempt.exit, Exit::Code(_)))?;
    let unit = step.unit.filter(|_| step.name != contract::Step::AfterCommit)?;
    Some(format!("unit {unit} done again"))
}

/// How long after the fault PostgreSQL was back, the first COMMIT was confirmed, and all was done.
fn tell_times(ingestion: &Ingestion, record: &TrialRecord, fired: &Fired) -> Option<String> {
    let fault = fired.at_us;
    let ready = record.metrics.get(&Metric::RecoveryDatabaseReady).copied();
    let first = measure::first_success(&ingestion.attempts, fired).map(|at| (at - fault) as f64);
    let done = ingestion.attempts.iter().filter(|a| a.exit == Exit::Code(0)).map(|a| a.ended_us).max();
    let done = done.filter(|&at| at > fault).map(|at| (at - fault) as f64);
    let told: Vec<String> = [("database ready", ready), ("first commit", first), ("caught up", done)]
        .into_iter()
        .filter_map(|(what, us)| us.map(|us| format!("{what} {}", format::duration(us))))
        .collect();
    (!told.is_empty()).then(|| format!("after the fault: {}", told.join(", ")))
}

/// `unit 2 begun; 1,024 laps sent; killed at mid-batch#1 (signal 9); lock free after 45 ms; …`
fn tell_attempt(index: usize, attempt: &Attempt) -> String {
    let mut parts = Vec::new();
    let by_itself = matches!(attempt.exit, Exit::Code(_));
    let step = attempt.last_step.as_ref().filter(|_| !by_itself);
    if let Some(step) = step {
        parts.extend(step.unit.map(|n| format!("unit {n} begun")));
        parts.extend(step.laps.map(|n| format!("{} laps of it sent", format::whole(n))));
    }
    let place = step.map(|step| format!(" behind {}#{}", step.name, step.occurrence)).unwrap_or_default();
    let place = match step {
        Some(StepReached { armed: Some(_), .. }) => place.replace(" behind ", " at "),
        _ => place,
    };
    let error = attempt.summary.as_ref().and_then(|s| s.error.as_deref()).map(|e| format!(": {e}")).unwrap_or_default();
    parts.push(format!("{}{place}{error}", ending(attempt.exit)));
    parts.extend(attempt.lock_free_us.map(|us| format!("its lock free after {}", format::duration(us as f64))));
    parts.push(format!(
        "it ran {} and committed {} races",
        format::duration(attempt.ended_us.saturating_sub(attempt.started_us) as f64),
        attempt.committed.len()
    ));
    format!("process {}: {}", index + 1, parts.join("; "))
}

/// How a process ended, as the end of a sentence.
#[must_use]
pub fn ending(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited {code}"),
        Exit::Signal(9) => "was killed (signal 9)".to_owned(),
        Exit::Signal(signal) => format!("died of signal {signal}"),
        Exit::TimedOut => "did not end in time and was killed by the harness".to_owned(),
    }
}
