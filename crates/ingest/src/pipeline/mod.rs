//! Event → races → commit units → written. The only place that knows the order of work.

mod database;
mod fetch;
mod progress;
mod source;
mod tally;
mod units;
mod writer;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use contract::Step;
use contract::feed::{Changes, Counts, Record, Started, Summary};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use progress::{Progress, RaceStage};
pub use source::{Again, Canned, RacePage, Source, SourceError};
use tally::Tally;
pub use units::{Former, ReadyUnit};

use crate::error::{Remedy, chain};
use crate::metrics::{EventProgress, Metrics};
use crate::model::{Entry, Event, ListedRace};
use crate::probe::{EVENT, Probe, micros};
use crate::settings::Settings;
use crate::store::{self, Completion, Depth, EventLock, KnownDrivers, Recorded, Session, State, Store, StoreError};
use fetch::Fetched;
use writer::Writer;

/// Pages of one host that fail one after the other before no more are asked for.
const HOST_PATIENCE: u32 = 3;

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page without which there is nothing to do.
    #[error("cannot read {0}")]
    Page(#[from] SourceError),
    /// The feed cannot be written.
    #[error("{0}; the engine stops, since a feed with holes is worse than none")]
    Feed(String),
    /// Somebody asked the engine to stop.
    #[error("stopped by a signal; what was committed stays, run it again to go on")]
    Stopped,
    /// The host is not to be had.
    #[error("the host does not answer ({0}); the rest of the event was not asked for")]
    HostDown(String),
    /// The checkpoints disagree with what this process did.
    #[error("every page was written, yet not every listed race is in the database; run it again")]
    NotWhole,
}

impl RunError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Store(e) => e.remedy(),
            Self::Page(e) => e.remedy,
            Self::Feed(_) | Self::Stopped | Self::HostDown(_) | Self::NotWhole => Remedy::RetryLater(None),
        }
    }

    /// Exit code that follows.
    #[must_use]
    pub fn exit(&self) -> u8 {
        if self.remedy().worth_retrying() { contract::exit::RETRY } else { contract::exit::FAILED }
    }

    /// What the user should do, where the message itself does not say it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Store(e) => e.advice(),
            _ => None,
        }
    }
}

/// One ingestion of one event.
pub struct Run {
    event: u64,
    store: Store,
    source: Source,
    settings: Settings,
    probe: Arc<Probe>,
    metrics: Arc<Metrics>,
    in_progress: EventProgress,
    lock: OnceLock<EventLock>,
    tally: Mutex<Tally>,
    sessions: Mutex<Vec<Session>>,
    drivers: KnownDrivers,
    stop: CancellationToken,
    progress: Arc<Progress>,
}

impl Run {
    /// Prepares an ingestion.
    #[must_use]
    pub fn new(event: u64, store: Store, source: Source, settings: Settings, probe: Arc<Probe>) -> Self {
        let metrics = Arc::clone(store.metrics());
        probe.count_in(&metrics);
        source.count_in(&metrics);
        let in_progress = metrics.event_begun();
        Self {
            event,
            store,
            source,
            settings,
            probe,
            metrics,
            in_progress,
            lock: OnceLock::new(),
            tally: Mutex::default(),
            sessions: Mutex::default(),
            drivers: KnownDrivers::default(),
            stop: CancellationToken::new(),
            progress: Arc::default(),
        }
    }

    /// Cancelled, it ends the run: units that are being written are finished, nothing else is begun.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// How far each race has come, readable while the run goes on.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Where the races come from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    fn lock(&self) -> &EventLock {
        #[expect(clippy::expect_used, reason = "nothing is written before `execute` has taken the lock")]
        self.lock.get().expect("the lock is taken first")
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ingests the event. The summary is also the last line of the feed.
    pub async fn execute(self) -> Summary {
        let begun = Instant::now();
        self.probe.record(|| {
            let settings = self.settings.resolved().iter().map(|r| (r.name.to_owned(), r.value.clone())).collect();
            Record::Started(Started { event_id: self.event, profile: self.settings.profile.to_string(), settings })
        });
        let run = Arc::new(self);
        let result = Self::all(&run).await;
        let delay = run.probe.delay(begun.elapsed());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut summary = run.summary(result);
        summary.total_us = micros(begun.elapsed());
        run.probe.record(|| Record::Summary(Box::new(summary.clone())));
        run.in_progress.ended(u8::try_from(summary.exit).unwrap_or(contract::exit::FAILED));
        run.log_end(&summary);
        run.close_sessions().await;
        if let Some(lock) = run.lock.get() {
            lock.release().await;
        }
        summary
    }

    async fn all(run: &Arc<Self>) -> Result<(), RunError> {
        let lock = run.take_lock().await?;
        let _ = run.lock.set(lock);
        let event = run.source.event(run.event, &mut run.on_retry()).await?;
        run.tally().summary.listed = event.races.len() as u64;
        run.progress.listed(event.races.iter().map(|race| race.id));
        run.probe.reach(Step::EventFetched, EVENT);
        let fence = run.lock().fence();
        let (page, in_doubt) = (&event, &Mutex::default());
        let recorded = run
            .in_database("event", |mut session| async move {
                Ok((store::record_event(&mut session, page, fence, in_doubt).await?, session))
            })
            .await?;
        run.tally().summary.removed = recorded.removed;
        run.changed(recorded.changes);
        run.in_progress.made();
        let new_entries = run.entries(&event, &recorded).await?;
        let left = run.left(&event, &recorded);
        let result = Self::races(run, left, &recorded).await;
        run.end(&event, recorded.depth, &new_entries, result).await
    }

    fn on_retry(&self) -> impl FnMut(Again) + Send + '_ {
        |again| self.tell_retry("fetch", Some(self.event), again)
    }

    fn log_end(&self, summary: &Summary) {
        let Summary { exit, listed, written, skipped, removed, total_us, .. } = *summary;
        let (failed, error) = (summary.failed.len(), summary.error.as_deref());
        tracing::info!(
            event = self.event,
            exit,
            listed,
            written,
            skipped,
            removed,
            failed,
            total_us,
            error,
            "ingestion ended"
        );
    }

    /// Fetches and writes the entry list, where that has yet to be done. Returns the entries that are new.
    async fn entries(&self, event: &Event, recorded: &Recorded) -> Result<HashSet<Entry>, RunError> {
        let done = recorded.depth != Depth::LapsFull && recorded.entries_at >= recorded.since.max(0);
        if done || (!event.has_entry_list && recorded.depth == Depth::None) {
            return Ok(HashSet::new());
        }
        let entries = if event.has_entry_list {
            self.source.entries(event.id, &mut self.on_retry()).await?.unwrap_or_default()
        } else {
            Vec::new()
        };
        let fence = self.lock().fence();
        let (entries, settings, id, in_doubt) = (&entries, &self.settings.unit, event.id, &Mutex::default());
        let written = self
            .in_database("entries", |mut session| async move {
                Ok((store::write_entries(&mut session, id, fence, settings, entries, in_doubt).await?, session))
            })
            .await?;
        self.probe.reach(Step::EntriesWritten, EVENT);
        self.changed(Changes { entries: written.counts, ..Changes::default() });
        self.in_progress.made();
        Ok(written.inserted)
    }

    /// The races whose pages have yet to be read: all of a finished event, of an unfinished one those that are left.
    fn left(&self, event: &Event, recorded: &Recorded) -> Vec<ListedRace> {
        let finished = recorded.depth == Depth::LapsFull;
        let done = |race: &ListedRace| {
            !finished
                && recorded
                    .checkpoints
                    .get(&race.id)
                    .is_some_and(|c| c.stored && c.state == Some(State::Written) && c.fence >= recorded.since)
        };
        let (done, left): (Vec<_>, Vec<_>) = event.races.iter().cloned().partition(done);
        done.iter().for_each(|race| self.progress.set(race.id, RaceStage::Unchanged));
        self.tally().summary.skipped = (event.races.len() - left.len()) as u64;
        left
    }

    /// Fetches, forms units and writes them, all at once.
    async fn races(run: &Arc<Self>, left: Vec<ListedRace>, recorded: &Recorded) -> Result<(), RunError> {
        let (units, queue) = mpsc::channel::<ReadyUnit>(1);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let halt = run.stop.child_token();
        let mut writers = JoinSet::new();
        // Each keeps a connection, and one must be left for whatever else is written meanwhile.
        let most = run.store.allowance().allowed().saturating_sub(1).max(1);
        for _ in 0..run.settings.writers.min(most) {
            writers.spawn(Self::write_units(Arc::clone(run), Arc::clone(&queue), halt.clone()));
        }
        drop(queue); // the writers hold it: with the last of them gone, sending fails instead of waiting for ever
        let produced = Self::form_units(run, left, recorded, units, &halt).await;
        let mut result = produced;
        while let Some(ended) = writers.join_next().await {
            let ended = ended.unwrap_or_else(|e| {
                Err(RunError::Store(StoreError::Stored(format!("a writer ended in an unforeseen way: {e}"))))
            });
            // What a writer ran into is the cause; that the rest was stopped is its effect.
            if let Err(error) = ended
                && !matches!(result, Err(ref e) if !matches!(e, RunError::Stopped))
            {
                result = Err(error);
            }
        }
        result
    }

    async fn write_units(
        run: Arc<Self>,
        queue: Arc<tokio::sync::Mutex<mpsc::Receiver<ReadyUnit>>>,
        halt: CancellationToken,
    ) -> Result<(), RunError> {
        let mut writer = Writer::new(&run);
        let result = loop {
            let unit = tokio::select! {
                biased;
                () = halt.cancelled() => break Ok(()),
                unit = async { queue.lock().await.recv().await } => unit,
            };
            let Some(unit) = unit else { break Ok(()) };
            let written = writer.write(unit).await;
            let written = written.and_then(|()| match run.probe.failure() {
                None => Ok(()),
                Some(failure) => Err(RunError::Feed(failure.to_owned())),
            });
            if written.is_err() {
                halt.cancel();
                break written;
            }
        };
        writer.end();
        result
    }

    async fn form_units(
        run: &Arc<Self>,
        left: Vec<ListedRace>,
        recorded: &Recorded,
        units: mpsc::Sender<ReadyUnit>,
        halt: &CancellationToken,
    ) -> Result<(), RunError> {
        let mut former = Former::new(run.settings.unit);
        let mut races = std::pin::pin!(fetch::races(run, left));
        let mut failures = 0;
        loop {
            let fetched = tokio::select! {
                biased;
                () = halt.cancelled() => return Err(RunError::Stopped),
                fetched = races.next() => fetched,
            };
            let ready = match fetched {
                None => break,
                Some(Fetched::Race(mut race)) => {
                    failures = 0;
                    run.tally().summary.fetched += 1;
                    run.progress.set(race.race().listed.id, RaceStage::Fetched);
                    let checkpoint = recorded.checkpoints.get(&race.race().listed.id);
                    race.set_stored(checkpoint.is_some_and(|c| c.stored));
                    let equal = checkpoint.is_some_and(|c| c.speaks_of(&race));
                    if equal && run.settings.unit.skip_unchanged {
                        run.left_out(&race);
                        run.progress.set(race.race().listed.id, RaceStage::Unchanged);
                        continue;
                    }
                    former.push(*race)
                }
                Some(Fetched::Failed { failed, kind, host_down }) => {
                    failures = if failed.retry && host_down { failures + 1 } else { 0 };
                    let cause = failed.cause.clone();
                    run.give_up(failed, kind).await?;
                    if failures >= HOST_PATIENCE {
                        if let Some(unit) = former.finish() {
                            let _ = units.send(unit).await;
                        }
                        return Err(RunError::HostDown(cause));
                    }
                    continue;
                }
            };
            for unit in ready {
                if units.send(unit).await.is_err() {
                    return Err(RunError::Stopped);
                }
            }
        }
        if let Some(unit) = former.finish() {
            // A writer that is gone has an error of its own to tell.
            let _ = units.send(unit).await;
        }
        Ok(())
    }

    /// Completes the event, or leaves it in a state that the next run goes on from.
    async fn end(
        &self,
        event: &Event,
        recorded: Depth,
        new_entries: &HashSet<Entry>,
        result: Result<(), RunError>,
    ) -> Result<(), RunError> {
        let fence = self.lock().fence();
        let failures = !self.tally().summary.failed.is_empty();
        let taken_over = matches!(&result, Err(RunError::Store(e)) if e.is_taken_over());
        if taken_over || matches!(result, Err(RunError::Feed(_))) {
            return result;
        }
        let whole = result.is_ok() && !failures;
        let every_page_read = result.is_ok();
        let relinked = &AtomicU64::new(0);
        if whole {
            self.probe.reach(Step::BeforeComplete, EVENT);
        }
        let ended = self
            .in_database("completion", |mut session| async move {
                let ended = if whole {
                    store::complete(&mut session, event, fence, recorded, new_entries, relinked).await
                } else {
                    store::settle_unfinished(&mut session, event, fence, new_entries, relinked, every_page_read).await
                };
                Ok((ended?, session))
            })
            .await;
        let Completion { full, relinked, ambiguous } = match ended {
            Ok(completion) => completion,
            Err(error) => return result.and(Err(error)),
        };
        let entries = Counts { updated: relinked, ..Counts::default() };
        self.changed(Changes { entries, ..Changes::default() });
        self.tally().summary.ambiguous_entries = ambiguous;
        if !whole {
            return result;
        }
        if !full {
            return Err(RunError::NotWhole);
        }
        self.probe.reach(Step::EventCompleted, EVENT);
        self.probe.failure().map_or(Ok(()), |failure| Err(RunError::Feed(failure.to_owned())))
    }

    fn summary(&self, result: Result<(), RunError>) -> Summary {
        let mut summary = std::mem::take(&mut self.tally().summary);
        summary.event_id = self.event;
        let code = match &result {
            Err(error) => error.exit(),
            Ok(()) if summary.failed.is_empty() => contract::exit::COMPLETE,
            Ok(()) if summary.failed.iter().any(|f| f.retry) => contract::exit::RETRY,
            Ok(()) => contract::exit::FAILED,
        };
        summary.exit = code.into();
        summary.error = result.err().map(|e| match e.advice() {
            None => chain(&e),
            Some(advice) => format!("{}; {advice}", chain(&e)),
        });
        summary.lock_wait_us = self.lock.get().map_or(0, |lock| micros(lock.waited()));
        (summary.requests, summary.max_in_flight) = self.source.requests();
        summary.largest_batch = Metrics::get(&self.metrics.largest_batch);
        summary.lap_batch = store::rows_per_batch(&self.settings.unit) as u64;
        summary.pool_peak = self.metrics.pool_peak.load(Ordering::Relaxed);
        summary.pool_size = self.store.allowance().allowed();
        summary
    }
}
