//! Figures of a trial, from what was recorded of it. Pure.

use std::collections::BTreeMap;

use super::record::{Attempt, Exit, FaultRecord, Fired, Ingestion, Purpose};
use crate::stats::Metric;

/// What was measured around the ingestions, outside the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around {
    /// CPU of the harness during the first ingestion, µs; `None` where it worked for other trials, too.
    pub harness_cpu_us: Option<u64>,
    /// CPU of the server during the first ingestion, µs.
    pub postgres_cpu_us: Option<u64>,
    /// Peak memory of the server, bytes.
    pub postgres_peak_rss_bytes: Option<u64>,
    /// Statements of the first ingestion, and their time in the server, µs.
    pub statements: Option<(u64, f64)>,
    /// Statements of the second ingestion of the same revision.
    pub again_statements: Option<u64>,
    /// ReadyForQuery replies that the proxy counted in the first ingestion.
    pub round_trips: Option<u64>,
    /// Most sessions waiting for a lock at once.
    pub lock_waits: Option<u64>,
    /// From a fault that took PostgreSQL away until it was back, µs.
    pub database_ready_us: Option<u64>,
}

/// Whether a trial had no fault, crash or restart: only then statements and round trips are reported (DESIGN 8).
#[must_use]
pub fn uninterrupted(ingestion: &Ingestion, faults: &[FaultRecord]) -> bool {
    faults.is_empty() && ingestion.attempts.len() == 1 && matches!(ingestion.attempts[0].exit, Exit::Code(_))
}

/// The metrics of a trial.
#[must_use]
pub fn metrics(ingestions: &[Ingestion], faults: &[FaultRecord], around: &Around) -> BTreeMap<Metric, f64> {
    let mut metrics = BTreeMap::new();
    let Some(first) = ingestions.first() else { return metrics };
    let mut put = |metric: Metric, value: f64| {
        metrics.insert(metric, value);
    };
    put(Metric::EventTime, first.wall_us as f64);
    let attempts = &first.attempts;
    let engine_cpu: u64 = attempts.iter().map(|a| a.cpu_user_us + a.cpu_system_us).sum();
    put(Metric::EngineCpu, engine_cpu as f64);
    if let Some(peak) = attempts.iter().map(|a| a.peak_rss_bytes).max().filter(|&p| p > 0) {
        put(Metric::EnginePeakRss, peak as f64);
    }
    if let Some(cpu) = around.harness_cpu_us {
        put(Metric::HarnessCpu, cpu as f64);
    }
    if let Some(cpu) = around.postgres_cpu_us {
        put(Metric::PostgresCpu, cpu as f64);
        let all = engine_cpu + cpu + around.harness_cpu_us.unwrap_or(0);
        if let Some(own) = around.harness_cpu_us.filter(|_| all > 0) {
            put(Metric::HarnessShare, own as f64 / all as f64);
        }
    }
    if let Some(peak) = around.postgres_peak_rss_bytes {
        put(Metric::PostgresPeakRss, peak as f64);
    }
    if let Some(wal) = first.wal_bytes {
        put(Metric::Wal, wal as f64);
    }
    put(Metric::Pages, attempts.iter().map(|a| f64::from(a.fetched)).sum());
    put(Metric::Commits, attempts.iter().map(|a| a.commits as f64).sum());
    let write_stage: u64 = attempts.iter().map(|a| a.write_stage_us).sum();
    if write_stage > 0 {
        put(Metric::WriteStage, write_stage as f64);
    }
    put(Metric::Batches, attempts.iter().map(|a| a.batches as f64).sum());
    if let Some(rows) = sum(attempts, |s| {
        [s.rows.drivers, s.rows.entries, s.rows.races, s.rows.results, s.rows.laps]
            .iter()
            .map(|c| c.inserted + c.updated + c.deleted)
            .sum()
    }) {
        put(Metric::RowsWritten, rows);
    }
    if let Some(peak) = attempts.iter().filter_map(|a| a.summary.as_ref().map(|s| s.pool_peak)).max() {
        put(Metric::PoolPeak, f64::from(peak));
    }
    let laps: u64 = first.observed.laps_stored.values().sum();
    if first.wall_us > 0 && laps > 0 {
        put(Metric::LapRate, laps as f64 * 1e6 / first.wall_us as f64);
    }
    if uninterrupted(first, faults) {
        if let Some((calls, time)) = around.statements {
            put(Metric::Statements, calls as f64);
            put(Metric::StatementTime, time);
        }
        if let Some(trips) = around.round_trips {
            put(Metric::RoundTrips, trips as f64);
        }
    }
    recovery(ingestions, faults, around, &mut put);
    if let Some(waits) = around.lock_waits {
        put(Metric::LockWaits, waits as f64);
    }
    if let Some(again) = ingestions.iter().find(|i| i.purpose == Purpose::Again) {
        put(Metric::AgainTime, again.wall_us as f64);
        put(Metric::RowsRewritten, again.observed.rewritten.values().sum::<u64>() as f64);
        if let Some(wal) = again.wal_bytes {
            put(Metric::AgainWal, wal as f64);
        }
        if let Some(calls) = around.again_statements.filter(|_| faults.is_empty()) {
            put(Metric::AgainStatements, calls as f64);
        }
    }
    metrics
}

/// Recovery from the first fault that fired, and the work that was done twice because of all of them.
fn recovery(ingestions: &[Ingestion], faults: &[FaultRecord], around: &Around, put: &mut impl FnMut(Metric, f64)) {
    let first_fired = faults.iter().filter_map(|f| f.fired.as_ref()).min_by_key(|f| f.at_us);
    if let Some(ready) = around.database_ready_us {
        put(Metric::RecoveryDatabaseReady, ready as f64);
    }
    let Some(fired) = first_fired else { return };
    let fault = fired.at_us;
    let hit = ingestions.iter().find(|i| i.attempts.iter().any(|a| a.started_us <= fault && fault <= a.ended_us));
    let Some(hit) = hit else { return };
    if let Some(first) = first_success(&hit.attempts, fired) {
        put(Metric::RecoveryFirstSuccess, (first - fault) as f64);
    }
    if let Some(last) = hit.attempts.iter().filter(|a| a.exit == Exit::Code(0)).map(|a| a.ended_us).max() {
        put(Metric::RecoveryCaughtUp, last.saturating_sub(fault) as f64);
    }
    put(Metric::PagesTwice, pages_twice(&hit.attempts) as f64);
    put(Metric::LapsTwice, laps_twice(&hit.attempts) as f64);
}

/// When the first COMMIT was confirmed after the world was whole again. (An answer that had come before a fault may be read by the
/// engine only after it: it counts for nothing.)
#[must_use]
pub fn first_success(attempts: &[Attempt], fired: &Fired) -> Option<u64> {
    let whole = fired.healed_us.unwrap_or(fired.at_us).max(fired.at_us);
    attempts.iter().flat_map(|a| &a.committed).map(|&(_, at)| at).filter(|&at| at > whole).min()
}

/// Race pages that a later process fetched again.
#[must_use]
pub fn pages_twice(attempts: &[Attempt]) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    attempts.iter().flat_map(|a| a.page_laps.keys()).filter(|&&race| !seen.insert(race)).count() as u64
}

/// Laps that were sent and not committed, and so had to be sent again.
#[must_use]
pub fn laps_twice(attempts: &[Attempt]) -> u64 {
    let sum = |of: fn(&Attempt) -> u64| attempts.iter().map(of).sum::<u64>();
    sum(|a| a.laps_sent).saturating_sub(sum(|a| a.laps_committed))
}

/// Sum over the summaries; `None` unless every process left one.
fn sum(attempts: &[Attempt], of: impl Fn(&contract::feed::Summary) -> u64) -> Option<f64> {
    attempts.iter().map(|a| a.summary.as_ref().map(&of)).sum::<Option<u64>>().map(|n| n as f64)
}

/// Laps durable over time: (µs since `zero`, laps so far), a step per confirmed COMMIT.
#[must_use]
pub fn progress(durable: &[(u64, u64)], zero: u64) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = durable.to_vec();
    all.sort_unstable();
    let mut laps = 0;
    all.into_iter()
        .map(|(at, n)| {
            laps += n;
            (at.saturating_sub(zero), laps)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_up_from_zero() {
        assert_eq!(progress(&[(30, 5), (20, 10)], 10), [(10, 10), (20, 15)]);
    }
}
