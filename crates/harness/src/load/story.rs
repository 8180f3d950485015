//! What happened in a load, in a few plain sentences. Pure.

use super::client::{ACCEPTED, IMPORTED, LAPS_FULL};
use super::record::LoadRecord;
use crate::format;
use crate::stats::Histogram;
use crate::trial::record::{Exit, TrialRecord};

/// Percentiles that are told, where the sample supports them.
pub const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// The story.
#[must_use]
pub fn tell(record: &TrialRecord) -> Vec<String> {
    let mut story = Vec::new();
    if let Some(load) = &record.load {
        story.push(asked(load));
        story.push(took(load));
        story.push(jobs(load));
        story.extend(load.jobs.taken_over.iter().cloned());
        for run in load.processes.iter().filter(|run| run.exit != Exit::Code(0)) {
            let why = match (run.asked, run.exit) {
                // Only a process that is hardly up yet does not take SIGTERM in good order.
                (true, Exit::Signal(15)) => "with the repetition, before it was up",
                (true, _) => "by a fault",
                (false, _) => "by itself",
            };
            story.push(format!("{} (process {}) ended {why}: {:?}", run.place, run.pid, run.exit));
        }
        story.extend(load.generated.harness_limited());
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

fn asked(load: &LoadRecord) -> String {
    let made = &load.generated;
    let told: Vec<String> = made.classes.iter().map(|(class, n)| format!("{} {class}", format::whole(*n))).collect();
    let mut text =
        format!("{}: {} asked, told {}", load.arrivals, format::plural(made.due as usize, "client"), told.join(", "));
    for (n, what) in [(made.dropped, "dropped"), (made.late, "started late"), (made.unfinished, "never answered")] {
        if n > 0 {
            text += &format!(", {} {what}", format::whole(n));
        }
    }
    if load.recovered > 0 {
        text += &format!("; {} lost an answer and found out what had become of it", format::whole(load.recovered));
    }
    text
}

fn took(load: &LoadRecord) -> String {
    let of = |name: &str| load.generated.marks.get(name);
    let part = |what: &str, name: &str| Some(format!("{what} {}", percentiles(of(name)?)?));
    let parts: Vec<String> =
        [("accepted in", ACCEPTED), ("laps_full in", LAPS_FULL), ("with pages to read in", IMPORTED)]
            .into_iter()
            .filter_map(|(what, name)| part(what, name))
            .collect();
    let rate = format!("{} done", format::rate(load.generated.throughput()));
    if parts.is_empty() { rate } else { format!("{}; {rate}", parts.join("; ")) }
}

/// `p50 12 ms, p95 40 ms`; `None` without a sample that supports any.
fn percentiles(samples: &Histogram) -> Option<String> {
    let parts: Vec<String> = QUANTILES
        .iter()
        .filter_map(|&q| Some(format!("{} {}", format::percentile(q), format::duration(samples.quantile(q)? as f64))))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn jobs(load: &LoadRecord) -> String {
    let jobs = &load.jobs;
    let queue = load.samples.iter().filter_map(|s| s.queued).max().unwrap_or(0);
    let mut text = format!(
        "{} completed ({} found nothing to do), {} failed, {} taken over; at most {queue} waited; {} served",
        format::plural(jobs.completed as usize, "job"),
        format::whole(jobs.already_there),
        format::whole(jobs.failed),
        format::whole(jobs.taken_over.len() as u64),
        format::plural(load.pages as usize, "page"),
    );
    if !jobs.live.is_empty() {
        text += &format!("; {}", jobs.live.join(", "));
    }
    text
}
