//! From listed races to checked ones: fetched side by side, read off the async threads, given on in the page's order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::Step;
use contract::feed::{Failed, RaceStages, Record, Warning};
use futures::{Stream, StreamExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Run;
use super::source::{Again, SourceError, off_thread};
use crate::error::CauseKind;
use crate::model::ListedRace;
use crate::probe::{At, micros};
use crate::store::UnitRace;

/// Looks at a page that reads as if it had been cut or swapped, before the race counts as bad.
const LOOKS: u32 = 3;

/// What became of a listed race.
pub(super) enum Fetched {
    /// It can be written.
    Race(Box<UnitRace>),
    /// It cannot be had or read.
    Failed {
        /// As it is recorded.
        failed: Failed,
        /// Kind of its cause.
        kind: CauseKind,
        /// The host is not to be had at all.
        host_down: bool,
    },
}

struct AbortOnDrop(JoinHandle<Fetched>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Fetches and reads these races. At most `race_concurrency` pages are in flight and twice that many ahead of the one
/// that is next in order, so memory is bounded however slow one page is.
pub(super) fn races(run: &Arc<Run>, listed: Vec<ListedRace>) -> impl Stream<Item = Fetched> + use<> {
    let concurrency = run.settings.race_concurrency as usize;
    let in_flight = Arc::new(Semaphore::new(concurrency));
    let run = Arc::clone(run);
    let tasks = listed.into_iter().map(move |listed| {
        let (run, in_flight) = (Arc::clone(&run), Arc::clone(&in_flight));
        async move {
            let failed = |cause: String| Fetched::Failed {
                failed: Failed { race: listed.id, url: run.source.race_url(listed.id), cause, retry: true },
                kind: CauseKind::Other,
                host_down: false,
            };
            let task = tokio::spawn(one(Arc::clone(&run), listed.clone(), in_flight));
            let mut task = AbortOnDrop(task);
            match (&mut task.0).await {
                Ok(fetched) => fetched,
                Err(e) => failed(format!("the task that read it ended: {e}")),
            }
        }
    });
    futures::stream::iter(tasks).buffered(concurrency.saturating_mul(2))
}

async fn one(run: Arc<Run>, listed: ListedRace, in_flight: Arc<Semaphore>) -> Fetched {
    let race = listed.id;
    let failed = |cause, kind, retry| {
        let url = run.source.race_url(race);
        Fetched::Failed { failed: Failed { race, url, cause, retry }, kind, host_down: false }
    };
    let begun = Instant::now();
    let mut attempts = 0;
    let mut look = 1;
    loop {
        let page = {
            let Ok(_permit) = in_flight.acquire().await else {
                return failed("stopped".to_owned(), CauseKind::Other, true);
            };
            let mut on_retry = |again| run.tell_retry("fetch", Some(race), again);
            run.source.race(race, &mut on_retry).await
        };
        let page = match page {
            Ok(page) => page,
            Err(SourceError { url, cause, kind, remedy, host_down }) => {
                let failed = Failed { race, url, cause, retry: remedy.worth_retrying() };
                return Fetched::Failed { failed, kind, host_down };
            }
        };
        run.probe.reach(Step::RaceFetched, At { race: Some(race), ..At::default() });
        let fetch_us = micros(begun.elapsed());
        attempts += page.attempts;
        let page_bytes = page.bytes;
        let parsing = Instant::now();
        let of = listed.clone();
        let parsed = off_thread(move || page.parse(of).map(|race| UnitRace::new(race, false))).await;
        let parse_us = micros(parsing.elapsed());
        let parsed = match parsed {
            Ok(Ok(Ok(parsed))) => parsed,
            Ok(Ok(Err(e))) => return failed(crate::error::chain(&e), e.kind(), false),
            Ok(Err((cause, again))) if again && look < LOOKS => {
                look += 1;
                let again = Again { cause, kind: CauseKind::Unreadable, attempt: attempts, wait: Duration::ZERO };
                run.tell_retry("fetch", Some(race), again);
                continue;
            }
            Ok(Err((cause, again))) => return failed(cause, CauseKind::Unreadable, again),
            Err((cause, again)) => return failed(cause, CauseKind::Unreadable, again),
        };
        run.probe.reach(Step::RaceParsed, At { race: Some(race), ..At::default() });
        let laps = parsed.race().lap_count() as u64;
        run.probe.record(|| Record::Race(RaceStages { race, fetch_us, parse_us, page_bytes, laps, attempts }));
        run.in_progress.made();
        tracing::info!(event = run.event, race, attempts, page_bytes, laps, fetch_us, parse_us, "race read");
        for text in &parsed.race().warnings {
            run.probe.record(|| Record::Warning(Warning { race, text: text.clone() }));
        }
        return Fetched::Race(Box::new(parsed));
    }
}
