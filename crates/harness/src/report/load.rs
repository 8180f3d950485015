//! The figures of a load, in words that page, summary and terminal share.

use crate::load::capacity::{Capacity, Found};
use crate::load::client::{ACCEPTED, IMPORTED, LAPS_FULL};
use crate::load::story::QUANTILES;
use crate::stats::{Histogram, Spread, median_interval};
use crate::trial::record::RunRecord;

use super::format;
use super::plots::load::pooled;

/// Confidence of intervals over repetitions.
const CONFIDENCE: f64 = 0.95;

/// Moments whose times are told: mark, and what it is called.
pub const MARKS: [(&str, &str); 3] =
    [(ACCEPTED, "due to accepted"), (LAPS_FULL, "due to laps_full"), (IMPORTED, "due to laps_full, pages to read")];

/// Whether any trial of a run is a load.
#[must_use]
pub fn is_load(run: &RunRecord) -> bool {
    run.trials.iter().any(|t| t.load.is_some())
}

/// Heads of the percentile table.
#[must_use]
pub fn heads() -> Vec<String> {
    std::iter::once("samples".to_owned()).chain(QUANTILES.iter().map(|&q| format::percentile(q))).collect()
}

/// Rows of the percentile table: what, and a cell per head. Over all repetitions together; with several, the interval of the
/// repetitions' own percentiles (or their range where they are too few for one) follows in brackets.
#[must_use]
pub fn percentiles(run: &RunRecord) -> Vec<(&'static str, Vec<String>)> {
    let rows = MARKS.iter().map(|&(mark, label)| {
        let all = pooled(run, mark);
        let of_trials: Vec<&Histogram> =
            run.trials.iter().filter_map(|t| t.load.as_ref()?.generated.marks.get(mark)).collect();
        let cells = QUANTILES.iter().map(|&q| cell(&all, &of_trials, q));
        (label, std::iter::once(format::whole(all.len())).chain(cells).collect::<Vec<_>>(), all.is_empty())
    });
    rows.filter(|(.., empty)| !empty).map(|(label, cells, _)| (label, cells)).collect()
}

fn cell(all: &Histogram, of_trials: &[&Histogram], q: f64) -> String {
    let Some(us) = all.quantile(q) else { return format::NONE.to_owned() };
    let value = format::duration(us as f64);
    let each: Vec<f64> = of_trials.iter().filter_map(|h| h.quantile(q)).map(|us| us as f64).collect();
    if of_trials.len() < 2 || each.len() < of_trials.len() {
        return value;
    }
    let (low, high) = match median_interval(&each, CONFIDENCE) {
        Some(interval) => (interval.low, interval.high),
        None => Spread::of(each).map_or((us as f64, us as f64), |s| (s.min, s.max)),
    };
    format!("{value} ({} … {})", format::duration(low), format::duration(high))
}

/// What the brackets of [`percentiles`] hold.
#[must_use]
pub fn brackets(run: &RunRecord) -> &'static str {
    match run.trials.len() {
        0 | 1 => "No percentile is given that the sample cannot support.",
        2..6 => "In brackets the range over the repetitions, which are too few for an interval.",
        _ => "In brackets the 95 % interval over the repetitions.",
    }
}

/// What a search for the capacity came to, in a sentence.
#[must_use]
pub fn capacity(found: &Capacity) -> String {
    let objective = found.objective.to_string();
    let n = format::plural(found.points.len(), "measurement");
    let text = match &found.found {
        Found::Between { met, missed } => {
            format!("{} meets {objective}, {} misses it", format::rate(*met), format::rate(*missed))
        }
        Found::AtLeast { met } => {
            format!("{objective} is met at {}, the highest rate that was tried", format::rate(*met))
        }
        Found::Nowhere { missed } => {
            format!("{objective} is missed at {}, the lowest rate that was tried", format::rate(*missed))
        }
        Found::Limited { met, rate, why } => format!(
            "the capacity is unknown: at {} the harness was the limit ({why}); {}",
            format::rate(*rate),
            met.map_or_else(
                || "no rate was seen to meet it".to_owned(),
                |met| format!("{} meets it", format::rate(met))
            )
        ),
        Found::Open { met, missed, why } => {
            let side = |rate: &Option<f64>, verb: &str| rate.map(|r| format!("; {} {verb} it", format::rate(r)));
            format!(
                "the capacity stays open: {why}{}{}",
                side(met, "meets").unwrap_or_default(),
                side(missed, "misses").unwrap_or_default()
            )
        }
    };
    format!("capacity: {text} ({n})")
}
