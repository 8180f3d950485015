//! Workers: claim a job, run the engine's pipeline on its event, end the job. Any number in a process, any number of
//! processes; each process shares one pool, one LiveRC client and so one pace.
//!
//! A worker that dies leaves its lease to end; the next one takes the event's lock, raises the fence and goes on where
//! the checkpoints end. A worker that only seemed dead is told so when it renews: its run is stopped, the engine's fence
//! keeps it from writing, and its claim number from ending the job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use contract::exit;
use tokio::sync::broadcast;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::model::{JobProgress, Outcome};
use super::queue::{Claimed, Ending, Queue, Signal, Signals, wait_for};
use crate::error::chain;
use crate::liverc::Client;
use crate::pipeline::{Progress, Run, Source};
use crate::probe::Probe;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// How long a run that was told to stop has to end. What it does then no transaction depends on: it waits for a page or a lock.
const LAST_WORK: Duration = Duration::from_secs(15);
/// How often progress is told, where there is some.
const TELL: Duration = Duration::from_millis(500);

/// How the workers of a process work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkSettings {
    /// Jobs at once in this process.
    pub jobs: u32,
    /// How long a job stays with a worker that gives no sign of life.
    pub lease: Duration,
    /// Attempts at a job that fail in a way that is worth another, before it has failed for good.
    pub attempts: u32,
    /// Wait before the second attempt; doubled each time, with jitter, up to `backoff_cap`.
    pub backoff: Duration,
    /// Longest wait between attempts.
    pub backoff_cap: Duration,
    /// Workers that may die with a job before it counts as the cause.
    pub takeovers: u32,
    /// Jobs of one track at once, anywhere; 0 is no bound.
    pub track_jobs: u32,
    /// How long ended jobs are kept.
    pub keep: Duration,
}

impl Default for WorkSettings {
    fn default() -> Self {
        Self {
            jobs: 2,
            lease: Duration::from_secs(30),
            attempts: 8,
            backoff: Duration::from_secs(5),
            backoff_cap: Duration::from_secs(600),
            takeovers: 5,
            track_jobs: 0,
            keep: Duration::from_secs(30 * 86_400),
        }
    }
}

/// What every job of a process shares.
pub struct Engine {
    /// The database, over one pool.
    pub store: Store,
    /// LiveRC, at one pace.
    pub client: Client,
    /// How events are ingested.
    pub settings: Settings,
    /// The feed and the arming, where a harness watches.
    pub probe: Arc<Probe>,
}

/// A worker of this process ended by a panic.
#[derive(Debug, thiserror::Error)]
#[error(
    "a worker was lost ({0}); the others were stopped, and what it worked on goes to another when its lease ends: start it again"
)]
pub struct WorkerLost(JoinError);

/// Waits for all of them; the first that is lost stops the others.
async fn together(mut workers: JoinSet<()>, stop: &CancellationToken) -> Result<(), WorkerLost> {
    let mut lost = Ok(());
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a worker was lost");
            stop.cancel();
            lost = lost.and(Err(WorkerLost(error)));
        }
    }
    lost
}

/// The workers of a process.
pub struct Workers {
    queue: Queue,
    engine: Engine,
    settings: WorkSettings,
    name: String,
    busy: AtomicU32,
}

impl Workers {
    /// Prepares workers.
    #[must_use]
    pub fn new(queue: Queue, engine: Engine, settings: WorkSettings) -> Arc<Self> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("{}:{}:{:08x}", host.trim(), std::process::id(), rand::random::<u32>());
        Arc::new(Self { queue, engine, settings, name, busy: AtomicU32::new(0) })
    }

    /// The name under which this process claims jobs: host, process id, and something that no other process has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Jobs that are being worked on.
    #[must_use]
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Works until told to stop; then the unit that is being written is finished, and each job handed back. A worker that is lost
    /// stops the others, too (through `stop`): a process that works with fewer than it should, or none, is better started anew.
    ///
    /// # Errors
    /// [`WorkerLost`].
    pub async fn work(self: Arc<Self>, signals: &Signals, stop: CancellationToken) -> Result<(), WorkerLost> {
        let mut workers = JoinSet::new();
        for _ in 0..self.settings.jobs {
            workers.spawn(Arc::clone(&self).one(signals.subscribe(), stop.clone()));
        }
        if self.settings.jobs > 0 {
            workers.spawn(Arc::clone(&self).prune(stop.clone()));
        }
        let ended = together(workers, &stop).await;
        self.engine.store.close().await;
        ended
    }

    async fn one(self: Arc<Self>, mut signals: broadcast::Receiver<Signal>, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let pause = match self.queue.claim(&self.name, self.settings.lease, self.settings.track_jobs).await {
                Ok(Some(job)) => {
                    failures = 0;
                    self.busy.fetch_add(1, Ordering::Relaxed);
                    self.attend(job, &stop).await;
                    self.busy.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                Ok(None) => {
                    failures = 0;
                    spread(Duration::from_secs(1))
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(cause = chain(&error), advice = error.advice(), "cannot claim a job; trying again");
                    spread(Duration::from_secs(1).saturating_mul(1 << failures.min(3)))
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                true = wait_for(&mut signals, |s| s == Signal::Due), if failures == 0 => {}
            }
        }
    }

    /// Runs a claimed job to its end and writes that down.
    async fn attend(&self, job: Claimed, stop: &CancellationToken) {
        tracing::info!(job = job.id, event = job.event_id, track = job.track, takeovers = job.takeovers, "job begun");
        let Some(ending) = self.run(&job, stop).await else {
            return tracing::warn!(job = job.id, event = job.event_id, "the job was taken over by another worker");
        };
        match &ending {
            Ending::Completed(_) => tracing::info!(job = job.id, event = job.event_id, "job completed"),
            Ending::HandedBack => tracing::info!(job = job.id, event = job.event_id, "job handed back"),
            Ending::Failed(o) => tracing::error!(job = job.id, event = job.event_id, cause = o.error, "job failed"),
            Ending::Later(o, wait) => {
                tracing::warn!(job = job.id, event = job.event_id, cause = o.error, ?wait, "job put off");
            }
        }
        // Until the lease ends nobody else can have it, and after that somebody else will go on with it.
        let begun = Instant::now();
        loop {
            match self.queue.end(&job, &ending).await {
                Ok(true) => return,
                Ok(false) => return tracing::debug!(job = job.id, "the job's end was written already, or by another"),
                Err(error) if begun.elapsed() < self.settings.lease * 2 && !stop.is_cancelled() => {
                    tracing::warn!(job = job.id, cause = chain(&error), "cannot write the job's end; trying again");
                    tokio::time::sleep(spread(Duration::from_millis(500))).await;
                }
                Err(error) => {
                    return tracing::error!(job = job.id, cause = chain(&error), "the job's end is left to another");
                }
            }
        }
    }

    /// Runs a job. `None`: it is no longer this worker's.
    async fn run(&self, job: &Claimed, stop: &CancellationToken) -> Option<Ending> {
        if job.takeovers >= self.settings.takeovers {
            let error =
                format!("{} workers in turn died or fell silent with this job; it is not tried again", job.takeovers);
            return Some(Ending::Failed(Outcome::failed(exit::FAILED, error)));
        }
        if !job.refresh {
            match self.queue.complete(job.event_id).await {
                Ok(Some(races)) => return Some(Ending::Completed(Outcome::already_there(races))),
                Ok(None) => {}
                Err(error) => return Some(self.ending_of(job, &failed_by(&error), stop)),
            }
        }
        let source = match Source::through(self.engine.client.clone(), &self.engine.settings.liverc, &job.track) {
            Ok(source) => source,
            Err(error) => return Some(Ending::Failed(Outcome::failed(exit::FAILED, error))),
        };
        let Engine { store, settings, probe, .. } = &self.engine;
        let run = Run::new(job.event_id, store.share(), source, settings.clone(), Arc::clone(probe));
        let (run_stop, progress) = (run.stop(), run.progress());
        // A task of its own, so that a panic ends one attempt and not the worker.
        let mut execution = tokio::spawn(run.execute());
        let ended = self.watch(job, &progress, &mut execution, &run_stop, stop).await;
        let (summary, ours) = ended;
        if !ours {
            return None;
        }
        let outcome = match summary {
            Ok(summary) => Outcome::from(summary),
            Err(error) => Outcome::failed(exit::RETRY, format!("the engine ended in an unforeseen way: {error}")),
        };
        Some(self.ending_of(job, &outcome, stop))
    }

    /// Waits for a run, renews the lease and tells how far it has come. Its result, and whether the job is still ours.
    async fn watch<T>(
        &self,
        job: &Claimed,
        progress: &Progress,
        execution: &mut tokio::task::JoinHandle<T>,
        run_stop: &CancellationToken,
        stop: &CancellationToken,
    ) -> (Result<T, JoinError>, bool) {
        let every = self.settings.lease / 3;
        let mut ticks = tokio::time::interval(TELL.min(every));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told, mut renewed, mut ours) = (0, Instant::now(), true);
        let mut too_long = std::pin::pin!(async {
            run_stop.cancelled().await;
            tokio::time::sleep(LAST_WORK).await;
        });
        let mut cut_short = false;
        loop {
            tokio::select! {
                ended = &mut *execution => return (ended, ours),
                () = stop.cancelled(), if !run_stop.is_cancelled() => run_stop.cancel(),
                () = &mut too_long, if !cut_short => {
                    tracing::warn!(job = job.id, "the run does not come to its end and is cut short");
                    cut_short = true;
                    execution.abort();
                }
                _ = ticks.tick(), if ours => {
                    let news = progress.since(told);
                    if news.is_none() && renewed.elapsed() < every {
                        continue;
                    }
                    let (seen, races) = news.map_or((told, None), |(seen, races)| (seen, Some(races)));
                    match self.queue.renew(job, self.settings.lease, races.map(JobProgress::of)).await {
                        Ok(true) => (told, renewed) = (seen, Instant::now()),
                        Ok(false) => {
                            ours = false;
                            run_stop.cancel();
                        }
                        Err(error) => {
                            tracing::warn!(job = job.id, cause = chain(&error), "cannot renew the lease; trying again");
                        }
                    }
                }
            }
        }
    }

    /// What an attempt's outcome means for its job.
    fn ending_of(&self, job: &Claimed, outcome: &Outcome, stop: &CancellationToken) -> Ending {
        let outcome = outcome.clone();
        match outcome.exit {
            exit::COMPLETE => Ending::Completed(outcome),
            exit::RETRY if stop.is_cancelled() => Ending::HandedBack,
            exit::RETRY if job.attempts + 1 < self.settings.attempts => {
                let doubled = self.settings.backoff.saturating_mul(1 << job.attempts.min(16));
                let backoff = spread(doubled.min(self.settings.backoff_cap));
                // Where the site asked for a pause, an attempt before its end would be none.
                let asked = self.engine.client.closed_for(&self.engine.settings.liverc.base_url, &job.track);
                Ending::Later(outcome, backoff.max(asked))
            }
            _ => Ending::Failed(outcome),
        }
    }

    async fn prune(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(3600));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => match self.queue.prune(self.settings.keep).await {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(jobs, "removed jobs that ended long ago"),
                    Err(error) => tracing::debug!(cause = chain(&error), "cannot remove old jobs"),
                },
            }
        }
    }
}

fn failed_by(error: &StoreError) -> Outcome {
    let code = if error.remedy().worth_retrying() { exit::RETRY } else { exit::FAILED };
    Outcome::failed(code, chain(error))
}

/// A pause with jitter, three quarters to five quarters of what was asked for: many workers must not come at once.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_lost_stops_the_others_and_is_told() {
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        let told = stop.clone();
        workers.spawn(async move { told.cancelled().await });
        workers.spawn(async { panic!("on purpose") });
        let lost = together(workers, &stop).await.unwrap_err().to_string();
        assert!(lost.starts_with("a worker was lost (") && lost.contains("on purpose"), "{lost}");
        let mut well = JoinSet::new();
        well.spawn(async {});
        assert!(together(well, &CancellationToken::new()).await.is_ok());
    }
}
