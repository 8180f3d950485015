//! What came of a load. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::Row;
use crate::stats::Histogram;

/// What came of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// When it began, CLOCK_MONOTONIC, µs.
    pub began_us: u64,
    /// From there to the end of the last request.
    pub took_us: u64,
    /// Requests that were due: started and dropped.
    pub due: u64,
    /// Requests that were started: ended and unfinished.
    pub started: u64,
    /// Requests that ended, well or badly.
    pub ended: u64,
    /// Requests that ended well.
    pub ok: u64,
    /// Requests that ended badly.
    pub failed: u64,
    /// Requests that were due while too many were in flight, and so were not started.
    pub dropped: u64,
    /// Requests that the generator started later than `late_after_us` after they were due.
    pub late: u64,
    /// Requests that were still in flight when the drain ended or the load was interrupted.
    pub unfinished: u64,
    /// The load was interrupted before its end.
    pub cut_short: bool,
    /// Most requests that were in flight at once.
    pub max_in_flight: u64,
    /// Most that may be in flight at once; in closed loop the number of users.
    pub in_flight_limit: u64,
    /// What counts as late.
    pub late_after_us: u64,
    /// CPU time of this whole process meanwhile, µs.
    pub cpu_us: u64,
    /// Requests that ended, by class.
    pub classes: BTreeMap<String, u64>,
    /// From due to end, of those that ended well.
    pub latency: Histogram,
    /// From due to end, of those that ended badly.
    pub failed_latency: Histogram,
    /// From start to end, of those that ended well: what a generator would report that does not count the waiting.
    pub from_start: Histogram,
    /// From due to a moment on the way, of those that ended.
    pub marks: BTreeMap<String, Histogram>,
    /// From due to start, of those that ended: the generator's own delay.
    pub lag: Histogram,
    /// The timeline.
    pub rows: Vec<Row>,
}

/// A quantile over everything that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// Its value, µs.
    At(u64),
    /// It lies among those that never ended well.
    Never,
    /// There were too few requests to tell.
    Unsupported,
}

/// The quantile of `latency` together with so many that took longer than any time.
#[must_use]
pub fn quantile(latency: &Histogram, missing: u64, q: f64) -> Quantile {
    let n = latency.len() + missing;
    // As `Histogram::supports`, of all; the largest is supported by any sample.
    if n == 0 || q < 1.0 && (n as f64 * (1.0 - q.max(1.0 - q)) * 1e9).round() < 1e9 {
        return Quantile::Unsupported;
    }
    // Rounded against representation error: 0.99 · 100 is a little less than 99.
    let rank = ((q * n as f64 * 1e9).round() / 1e9).ceil().max(1.0) as u64;
    latency.at_rank(rank).map_or(Quantile::Never, Quantile::At)
}

impl Generated {
    /// Requests that were due and did not end well.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.failed + self.dropped + self.unfinished
    }

    /// The latency at a quantile from 0 to 1 (1 is the largest), where what did not end well took longer than any time.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Quantile {
        quantile(&self.latency, self.missing(), q)
    }

    /// Requests that ended well per second, over the whole time.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.ok as f64 * 1e6 / self.took_us.max(1) as f64
    }

    /// Why the figures are those of the generator and not of the service, if they are: more than one request of a hundred
    /// was started late.
    #[must_use]
    pub fn harness_limited(&self) -> Option<String> {
        (self.late * 100 > self.due).then(|| {
            format!(
                "harness-limited: {} of {} requests ({:.1} %) were started more than {} after they were due; the latencies \
                 are partly the generator's own. Lower the rate, or give it more CPU",
                self.late,
                self.due,
                self.late as f64 * 100.0 / self.due as f64,
                crate::format::duration(self.late_after_us as f64),
            )
        })
    }

    /// What a reader of the figures must bear in mind.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.harness_limited().into_iter().collect();
        if notes.is_empty() && self.late > 0 {
            let after = crate::format::duration(self.late_after_us as f64);
            notes.push(format!("{} of {} requests were started more than {after} late.", self.late, self.due));
        }
        if self.dropped > 0 {
            notes.push(format!(
                "{} of {} requests were due and not made: {} were in flight, which is the limit.",
                self.dropped, self.due, self.in_flight_limit
            ));
        }
        if self.unfinished > 0 {
            notes.push(format!("{} requests had not ended when they were given up.", self.unfinished));
        }
        if self.cut_short {
            notes.push("The load was interrupted.".to_owned());
        }
        notes
    }

    /// Adds another load of the same sort: counts and histograms, not the timeline, which stays the first's.
    pub fn merge(&mut self, other: &Self) {
        self.took_us += other.took_us;
        self.due += other.due;
        self.started += other.started;
        self.ended += other.ended;
        self.ok += other.ok;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.late += other.late;
        self.unfinished += other.unfinished;
        self.cut_short |= other.cut_short;
        self.max_in_flight = self.max_in_flight.max(other.max_in_flight);
        self.cpu_us += other.cpu_us;
        for (class, n) in &other.classes {
            *self.classes.entry(class.clone()).or_default() += n;
        }
        self.latency.merge(&other.latency);
        self.failed_latency.merge(&other.failed_latency);
        self.from_start.merge(&other.from_start);
        for (mark, histogram) in &other.marks {
            self.marks.entry(mark.clone()).or_default().merge(histogram);
        }
        self.lag.merge(&other.lag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundred() -> Histogram {
        let mut latency = Histogram::new();
        (1..=100).for_each(|v| latency.record(v));
        latency
    }

    #[test]
    fn what_never_ended_is_longer_than_everything() {
        let latency = hundred();
        assert_eq!(quantile(&latency, 0, 0.5), Quantile::At(50));
        assert_eq!(quantile(&latency, 0, 0.99), Quantile::At(99));
        assert_eq!(quantile(&latency, 0, 1.0), Quantile::At(100));
        // Of 101 the 100th smallest.
        assert_eq!(quantile(&latency, 1, 0.99), Quantile::At(100));
        assert_eq!(quantile(&latency, 2, 0.99), Quantile::Never, "the 101st of 102");
        assert_eq!(quantile(&latency, 1, 1.0), Quantile::Never);
        assert_eq!(quantile(&latency, 100, 0.5), Quantile::At(100));
        assert_eq!(quantile(&latency, 101, 0.5), Quantile::Never);
        assert_eq!(quantile(&latency, 0, 0.999), Quantile::Unsupported);
        assert_eq!(quantile(&latency, 900, 0.999), Quantile::Never, "enough were due to tell");
        assert_eq!(quantile(&Histogram::new(), 0, 1.0), Quantile::Unsupported);
    }

    #[test]
    fn loads_add_up_and_tell_what_is_wrong_with_them() {
        let mut load = Generated { due: 200, late: 3, late_after_us: 10_000, latency: hundred(), ..Default::default() };
        assert!(load.harness_limited().unwrap().contains("3 of 200 requests (1.5 %)"), "{load:?}");
        let other = Generated { due: 200, late: 1, dropped: 4, in_flight_limit: 7, ..Default::default() };
        assert_eq!(other.harness_limited(), None);
        assert_eq!(other.notes().len(), 2, "{:?}", other.notes());
        load.classes.insert("complete".to_owned(), 2);
        load.marks.insert("accepted".to_owned(), hundred());
        let first = load.clone();
        load.merge(&first);
        load.merge(&other);
        assert_eq!((load.due, load.late, load.dropped, load.latency.len()), (600, 7, 4, 200));
        assert_eq!((load.classes["complete"], load.marks["accepted"].len()), (4, 200));
        let json = serde_json::to_string(&load).unwrap();
        assert_eq!(serde_json::from_str::<Generated>(&json).unwrap(), load);
    }
}
