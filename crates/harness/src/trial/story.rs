//! What happened in a trial, in a few plain sentences. Pure.

use std::collections::BTreeSet;

use contract::feed::StepReached;

use super::measure;
use super::record::{Attempt, Exit, FaultRecord, Ingestion, Purpose, RowKind, TrialRecord};
use crate::format;
use crate::oracle::durable;

/// The story of a trial.
#[must_use]
pub fn tell(record: &TrialRecord) -> Vec<String> {
    let mut story = Vec::new();
    for ingestion in &record.ingestions {
        story.push(tell_ingestion(ingestion));
        if ingestion.attempts.len() > 1 || !matches!(ingestion.attempts.first().map(|a| a.exit), Some(Exit::Code(0))) {
            story.extend(ingestion.attempts.iter().enumerate().map(|(i, a)| tell_attempt(i, a)));
            story.push(tell_recovery(ingestion, &record.faults));
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

/// What was lost, doubled and done twice, and how long it took from the fault to the end.
fn tell_recovery(ingestion: &Ingestion, faults: &[FaultRecord]) -> String {
    let (mut lost, mut doubled) = (0, 0);
    let empty = std::collections::BTreeMap::new();
    let expected = ingestion.expected.get(&RowKind::Laps).unwrap_or(&empty);
    let observed = ingestion.observed.tables.get(&RowKind::Laps).unwrap_or(&empty);
    let races: std::collections::BTreeSet<_> = expected.keys().chain(observed.keys()).collect();
    for race in races {
        let rows = |of: &std::collections::BTreeMap<u64, super::record::Group>| of.get(race).map_or(0, |g| g.rows);
        lost += rows(expected).saturating_sub(rows(observed));
        doubled += rows(observed).saturating_sub(rows(expected));
    }
    let twice = format!(
        "{} race pages and {} laps done twice",
        format::whole(measure::pages_twice(&ingestion.attempts)),
        format::whole(measure::laps_twice(&ingestion.attempts))
    );
    let at = faults.iter().filter_map(|f| f.fired.as_ref()).map(|f| f.at_us).min();
    let end = ingestion.attempts.iter().filter(|a| a.exit == Exit::Code(0)).map(|a| a.ended_us).max();
    let took = match (at, end) {
        (Some(at), Some(end)) if end > at => {
            format!("; caught up {} after the fault", format::duration((end - at) as f64))
        }
        _ => String::new(),
    };
    format!("in the end {} laps lost, {} doubled; {twice}{took}", format::whole(lost), format::whole(doubled))
}

/// `unit 2 begun, 1,024 laps sent`: where a killed process was.
fn whereabouts(step: &StepReached) -> String {
    let unit = step.unit.map(|n| format!("unit {n} begun, ")).unwrap_or_default();
    let laps = step.laps.map(|n| format!("{} laps sent, ", format::whole(n))).unwrap_or_default();
    format!("{unit}{laps}last step {}#{}: ", step.name, step.occurrence)
}

fn tell_attempt(index: usize, attempt: &Attempt) -> String {
    let place = match (&attempt.last_step, attempt.exit) {
        (Some(step), Exit::Signal(_) | Exit::TimedOut) => whereabouts(step),
        _ => String::new(),
    };
    let lock = attempt
        .lock_free_us
        .map(|us| format!(", its lock free after {}", format::duration(us as f64)))
        .unwrap_or_default();
    let how = format!("{place}{}{lock}", ending(attempt.exit));
    let error = attempt.summary.as_ref().and_then(|s| s.error.as_deref()).map(|e| format!(": {e}")).unwrap_or_default();
    format!(
        "process {}: {how}; it ran {}, {} races committed{error}",
        index + 1,
        format::duration(attempt.ended_us.saturating_sub(attempt.started_us) as f64),
        attempt.committed.len()
    )
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
