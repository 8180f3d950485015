//! A search in words, for terminal and summary: what was tried, what failed, and how to run it again.

use crate::oracle::Verdict;
use crate::search::record::{Part, PointRecord, SearchRecord, Verb};

use super::format;

/// Failures that are listed before the reader is sent to the report.
pub const LISTED: usize = 20;

/// `swept 412 of 412` or `sampled 60 of 12,480`: never the one for the other.
#[must_use]
pub fn tried(verb: Verb, part: &Part) -> String {
    let word = match (verb, part.tried == part.of) {
        (Verb::Chaos, _) => "ran",
        (Verb::Sweep, true) => "swept",
        (Verb::Sweep, false) => "sampled",
    };
    format!("{word} {} of {}", format::whole(part.tried), format::whole(part.of))
}

/// The parts of a search, a line each, and how fast it went.
#[must_use]
pub fn lines(search: &SearchRecord) -> Vec<String> {
    let width = search.parts.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        search.parts.iter().map(|p| format!("{:width$}  {}", p.name, tried(search.verb, p))).collect();
    if search.parts.len() > 1 && search.verb == Verb::Sweep {
        let (tried, of) = search.parts.iter().fold((0, 0), |(t, o), p| (t + p.tried, o + p.of));
        let all = Part { name: String::new(), tried, of };
        lines.push(format!("{:width$}  {}", "all", self::tried(search.verb, &all)));
    }
    let seconds = search.search_us as f64 / 1e6;
    if seconds > 0.0 && !search.points.is_empty() {
        lines.push(format!("{:.1} trials per second, {} at a time", search.points.len() as f64 / seconds, search.jobs));
    }
    lines
}

/// Trials that did not hold: violated ones first.
#[must_use]
pub fn failures(search: &SearchRecord) -> Vec<&PointRecord> {
    search.with(Verdict::Violated).chain(search.with(Verdict::Unknown)).chain(search.with(Verdict::NotJudged)).collect()
}

/// What was done to a trial, and to what, in a line.
#[must_use]
pub fn title(point: &PointRecord) -> String {
    let event = point.event.as_ref().unwrap_or(&point.profile);
    format!("Trial {} · {event}: {}", point.trial, schedule(point))
}

/// The faults of a trial in a line.
#[must_use]
pub fn schedule(point: &PointRecord) -> String {
    if point.faults.is_empty() { "no fault".to_owned() } else { point.faults.join(", then ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_never_called_a_sweep() {
        let part = |tried, of| Part { name: "fast, steps".into(), tried, of };
        assert_eq!(tried(Verb::Sweep, &part(412, 412)), "swept 412 of 412");
        assert_eq!(tried(Verb::Sweep, &part(60, 12_480)), "sampled 60 of 12,480");
        assert_eq!(tried(Verb::Sweep, &part(411, 412)), "sampled 411 of 412");
    }
}
