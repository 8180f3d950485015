//! The service over time: its queue, its connections, and what its processes use.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::processes::Pids;
use super::record::{Sample, Usage};
use crate::clock::monotonic_us;

/// How often is looked, at first.
const EVERY: Duration = Duration::from_millis(100);
/// Most samples that are kept: beyond, every second one goes and half as many are taken.
const MOST: usize = 600;
/// How long the database may take to answer before the sample goes without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks until it is ended.
pub struct Sampler {
    stop: CancellationToken,
    task: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    /// Begins.
    #[must_use]
    pub fn start(pool: PgPool, role: String, pids: Pids) -> Self {
        let stop = CancellationToken::new();
        let began_us = monotonic_us();
        let task = tokio::spawn(look(pool, role, pids, began_us, stop.clone()));
        Self { stop, task }
    }

    /// Ends, and gives what was seen.
    pub async fn finish(self) -> Vec<Sample> {
        self.stop.cancel();
        self.task.await.unwrap_or_default()
    }
}

async fn look(pool: PgPool, role: String, pids: Pids, began_us: u64, stop: CancellationToken) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut every = EVERY;
    while !stop.is_cancelled() {
        let mut sample = Sample { at_us: monotonic_us() - began_us, ..Sample::default() };
        if let Ok(Ok((queued, running))) = tokio::time::timeout(PATIENCE, jobs(&pool)).await {
            (sample.queued, sample.running) = (Some(queued), Some(running));
        }
        if let Ok(Ok((open, busy))) = tokio::time::timeout(PATIENCE, connections(&pool, &role)).await {
            (sample.connections, sample.pool_in_use) = (Some(open), Some(busy));
        }
        let living = pids.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sample.processes = living.into_iter().filter_map(|(place, pid)| Some((place, usage(pid)?))).collect();
        samples.push(sample);
        if samples.len() >= MOST {
            thin(&mut samples);
            every *= 2;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
    samples
}

/// Every second sample goes.
fn thin(samples: &mut Vec<Sample>) {
    let mut n = 0;
    samples.retain(|_| {
        n += 1;
        n % 2 == 1
    });
}

async fn jobs(pool: &PgPool) -> sqlx::Result<(u64, u64)> {
    let (queued, running): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running') FROM ingest_jobs \
         WHERE state IN ('queued', 'running')",
    )
    .fetch_one(pool)
    .await?;
    Ok((queued.unsigned_abs(), running.unsigned_abs()))
}

async fn connections(pool: &PgPool, role: &str) -> sqlx::Result<(u64, u64)> {
    let (open, busy): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity \
         WHERE datname = current_database() AND usename = $1 AND pid <> pg_backend_pid()",
    )
    .bind(role)
    .fetch_one(pool)
    .await?;
    Ok((open.unsigned_abs(), busy.unsigned_abs()))
}

/// What a process has used so far; `None`: it is gone.
fn usage(pid: u32) -> Option<Usage> {
    let stat = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let ticks = procfs::ticks_per_second().max(1);
    Some(Usage {
        pid,
        cpu_us: (stat.utime + stat.stime) * 1_000_000 / ticks,
        rss_bytes: stat.rss * procfs::page_size(),
    })
}

/// CPU that each place used between two samples, as a share of one core, by place. A process that was started again begins at 0.
#[must_use]
pub fn cpu_between(before: &Sample, after: &Sample) -> BTreeMap<String, f64> {
    let span = after.at_us.saturating_sub(before.at_us).max(1) as f64;
    let of = |place: &String, now: &Usage| {
        let was = before.processes.get(place).filter(|was| was.pid == now.pid).map_or(0, |was| was.cpu_us);
        (place.clone(), now.cpu_us.saturating_sub(was) as f64 / span)
    };
    after.processes.iter().map(|(place, now)| of(place, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_samples_are_thinned_evenly() {
        let mut samples: Vec<Sample> = (0..7).map(|at_us| Sample { at_us, ..Sample::default() }).collect();
        thin(&mut samples);
        assert_eq!(samples.iter().map(|s| s.at_us).collect::<Vec<_>>(), [0, 2, 4, 6]);
    }

    #[test]
    fn cpu_is_of_the_process_that_is_there() {
        let sample = |at_us, pid, cpu_us| Sample {
            at_us,
            processes: BTreeMap::from([("server".to_owned(), Usage { pid, cpu_us, rss_bytes: 1 })]),
            ..Sample::default()
        };
        assert_eq!(cpu_between(&sample(0, 1, 500), &sample(1_000, 1, 750))["server"], 0.25);
        assert_eq!(cpu_between(&sample(0, 1, 500), &sample(1_000, 2, 100))["server"], 0.1);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(usage(std::process::id()).unwrap().rss_bytes > 0);
        assert!(usage(u32::MAX >> 1).is_none());
    }
}
