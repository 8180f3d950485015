//! Whether memory, connections and latency of a service drift over a soak: the slope over time, with its interval.

use super::check::{Check, megabytes};
use crate::format;
use crate::load::record::LoadRecord;
use crate::stats::{slope, stretches};
use crate::trial::record::TrialRecord;

/// The first part of a soak, in which everything warms up, is not looked at.
const WARM_UP: f64 = 0.25;
/// Stretches whose medians the slope is made of.
const STRETCHES: usize = 24;

/// The load, where anything of it may not drift.
pub(super) fn limits(record: &TrialRecord) -> Option<&LoadRecord> {
    let load = record.load.as_deref()?;
    let limits = &load.drift;
    let any = limits.memory_bytes.is_some() || limits.connections.is_some() || limits.latency_us.is_some();
    any.then_some(load)
}

/// Judges each limit.
pub(super) fn judge(check: &mut Check, load: &LoadRecord) {
    let end = load.generated.rows.last().map_or(0, |row| row.until_us) as f64;
    let sampled = |of: fn(&crate::load::record::Sample) -> Option<f64>| {
        let points = load.samples.iter().filter_map(|s| Some((s.at_us as f64, of(s)?)));
        // Afterwards the service only idles.
        points.filter(|(at, _)| *at <= end).collect::<Vec<_>>()
    };
    if let Some(limit) = load.drift.memory_bytes {
        let points = sampled(|s| Some(s.memory_bytes() as f64).filter(|b| *b > 0.0));
        grows(check, "memory of the service", &points, limit as f64, |b| signed(b, |b| megabytes(b as u64)));
    }
    if let Some(limit) = load.drift.connections {
        let points = sampled(|s| s.connections.map(|n| n as f64));
        grows(check, "connections to PostgreSQL", &points, f64::from(limit), |n| signed(n, format::count));
    }
    if let Some(limit) = load.drift.latency_us {
        let rows = load.generated.rows.iter();
        let points: Vec<_> =
            rows.filter_map(|row| Some((row.from_us as f64, row.latency.quantile(0.5)? as f64))).collect();
        grows(check, "median latency", &points, limit as f64, |us| signed(us, format::duration));
    }
}

fn signed(value: f64, text: impl Fn(f64) -> String) -> String {
    let sign = if value < 0.0 { "−" } else { "+" };
    format!("{sign}{}", text(value.abs()))
}

/// Judges the growth over the time after warming up.
fn grows(check: &mut Check, what: &str, points: &[(f64, f64)], limit: f64, text: impl Fn(f64) -> String) {
    let (first, last) = match (points.first(), points.last()) {
        (Some(first), Some(last)) => (first.0, last.0),
        _ => return check.missing(format!("{what}: not observed")),
    };
    let from = first + (last - first) * WARM_UP;
    let warm: Vec<(f64, f64)> = points.iter().copied().filter(|(at, _)| *at >= from).collect();
    let Some(found) = slope(&stretches(&warm, STRETCHES)) else {
        return check.missing(format!("{what}: too few samples for a slope, let the soak last longer"));
    };
    let over = last - from;
    let (low, median, high) = (found.low * over, found.median * over, found.high * over);
    let said = format!(
        "{what}: {} over {} ({} … {}), the limit is {}",
        text(median),
        format::duration(over),
        text(low),
        text(high),
        text(limit)
    );
    if low > limit {
        check.violated(format!("it drifts. {said}"));
    } else if high > limit {
        check.missing(format!("it could not be told whether it drifts, let the soak last longer. {said}"));
    } else {
        check.held(said);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{OracleName, Verdict, fixture};
    use super::*;
    use crate::load::record::{DriftLimits, Sample, Usage};
    use crate::load::rows::Row;
    use crate::stats::Histogram;

    /// A minute in which memory grows by so much, connections stay, and latency stays.
    fn soak(growth_bytes: f64, latency_growth_us: f64) -> TrialRecord {
        let mut record = fixture::loaded();
        let Some(load) = &mut record.load else { return record };
        let second = 1_000_000;
        load.samples = (0..240)
            .map(|i: u64| {
                let rss_bytes = (50e6 + growth_bytes * i as f64 / 240.0 + (i * 7 % 13) as f64 * 20e3) as u64;
                let usage = Usage { pid: 1, cpu_us: 0, rss_bytes };
                let processes = BTreeMap::from([("server".to_owned(), usage)]);
                Sample { at_us: i * second / 4, connections: Some(12 + i % 2), processes, ..Sample::default() }
            })
            .collect();
        load.generated.rows = (0..60)
            .map(|i: u64| {
                let mut latency = Histogram::new();
                (0..9).for_each(|n| latency.record(20_000 + (latency_growth_us * i as f64 / 60.0) as u64 + n * 10));
                Row { from_us: i * second, until_us: (i + 1) * second, latency, ..Row::default() }
            })
            .collect();
        load.drift = DriftLimits { memory_bytes: Some(5_000_000), connections: Some(2), latency_us: Some(5_000) };
        record
    }

    #[test]
    fn what_stays_is_held_and_what_grows_is_violated() {
        let held = OracleName::Bounded.check(&soak(0.0, 0.0));
        assert_eq!(held.verdict, Verdict::Held, "{held:?}");
        assert_eq!(held.evidence.len(), 3);
        let memory = OracleName::Bounded.check(&soak(60e6, 0.0));
        assert_eq!(memory.verdict, Verdict::Violated);
        assert!(memory.evidence[0].contains("memory"), "{memory:?}");
        let latency = OracleName::Bounded.check(&soak(0.0, 60_000.0));
        assert_eq!(latency.verdict, Verdict::Violated);
        assert!(latency.evidence[0].contains("latency"), "{latency:?}");
    }

    #[test]
    fn without_samples_nothing_is_held() {
        let mut record = soak(0.0, 0.0);
        if let Some(load) = &mut record.load {
            load.samples.clear();
        }
        assert_eq!(OracleName::Bounded.check(&record).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_load_without_limits_is_not_judged() {
        assert_eq!(OracleName::Bounded.check(&fixture::loaded()).verdict, Verdict::NotJudged);
    }
}
