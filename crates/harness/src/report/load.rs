//! The figures of a load, in words that page, summary and terminal share.

use crate::load::capacity::{Capacity, Found};
use crate::load::client::{ACCEPTED, IMPORTED, LAPS_FULL};
use crate::load::record::LoadRecord;
use crate::load::story::QUANTILES;
use crate::stats::{Histogram, Spread, median_interval};
use crate::trial::record::RunRecord;

use super::format;

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

/// Rows of the percentile table: what, and a cell per head. Over all repetitions of one rate together; with several, the
/// interval of the repetitions' own percentiles (or their range where they are too few for one) follows in brackets. A search
/// for the capacity has a row per rate: latencies of different rates are no sample of anything.
#[must_use]
pub fn percentiles(run: &RunRecord) -> Vec<(String, Vec<String>)> {
    let groups = by_rate(run);
    let rows = MARKS.iter().flat_map(|&(mark, label)| {
        groups.iter().map(move |(rate, loads)| {
            let of_trials: Vec<&Histogram> = loads.iter().filter_map(|l| l.generated.marks.get(mark)).collect();
            let mut all = Histogram::new();
            of_trials.iter().for_each(|samples| all.merge(samples));
            let cells = QUANTILES.iter().map(|&q| cell(&all, &of_trials, q));
            let cells: Vec<_> = std::iter::once(format::whole(all.len())).chain(cells).collect();
            let label = rate.map_or_else(|| label.to_owned(), |rate| format!("{label}, at {}", format::rate(rate)));
            (label, cells, all.is_empty())
        })
    });
    rows.filter(|(.., empty)| !empty).map(|(label, cells, _)| (label, cells)).collect()
}

/// The repetitions that are one sample: those of a rate where rates were searched, rising; else all.
fn by_rate(run: &RunRecord) -> Vec<(Option<f64>, Vec<&LoadRecord>)> {
    let mut groups: Vec<(Option<f64>, Vec<&LoadRecord>)> = Vec::new();
    for load in run.trials.iter().filter_map(|t| t.load.as_deref()) {
        let rate = load.rate_per_s.filter(|_| run.capacity.is_some());
        match groups.iter_mut().find(|(of, _)| *of == rate) {
            Some((_, loads)) => loads.push(load),
            None => groups.push((rate, vec![load])),
        }
    }
    groups.sort_by(|a, b| a.0.unwrap_or_default().total_cmp(&b.0.unwrap_or_default()));
    groups
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
    match by_rate(run).iter().map(|(_, loads)| loads.len()).max().unwrap_or(0) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::capacity::{Capacity, Found};
    use crate::oracle::fixture;

    #[test]
    fn a_search_for_the_capacity_does_not_mix_rates() {
        let mut run = fixture::run();
        for (rate, us) in [(20.0, 9_000), (10.0, 1_000), (20.0, 9_000)] {
            let mut trial = fixture::loaded();
            let load = trial.load.as_mut().unwrap();
            load.rate_per_s = Some(rate);
            let samples = load.generated.marks.entry(ACCEPTED.to_owned()).or_default();
            (0..20).for_each(|_| samples.record(us));
            run.trials.push(trial);
        }
        let of = |run: &RunRecord| -> Vec<String> {
            percentiles(run).into_iter().map(|(label, cells)| format!("{label}: {}", cells[0])).collect()
        };
        assert_eq!(of(&run), ["due to accepted: 60"]);
        let objective = "p50 < 5ms".parse().unwrap();
        let found = Found::Between { met: 10.0, missed: 20.0 };
        run.capacity = Some(Box::new(Capacity { objective, points: Vec::new(), found }));
        assert_eq!(of(&run), ["due to accepted, at 10.0 /s: 20", "due to accepted, at 20.0 /s: 40"]);
        assert!(brackets(&run).contains("range"));
    }
}
