//! How the pipeline reaches the database: the lock, connections that are kept while they are well, retries.

use std::time::Duration;

use contract::feed::{Failed, Record, Retry};

use super::source::Again;
use super::{RaceStage, Run, RunError};
use crate::error::{CauseKind, Remedy, chain};
use crate::probe::micros;
use crate::retry::Retries;
use crate::store::{self, EventLock, Session, StoreError};

impl Run {
    /// A connection: one that is kept, or a new one.
    pub(super) async fn session(&self) -> Result<Session, StoreError> {
        let kept = self.sessions().pop();
        match kept {
            Some(session) => Ok(session),
            None => Session::acquire(&self.store).await,
        }
    }

    /// Keeps a connection for whoever needs one next. (Through the pool it would cost a statement and two round trips.)
    pub(super) fn give_back(&self, session: Session) {
        if session.is_clean() {
            self.sessions().push(session);
        }
    }

    pub(super) async fn close_sessions(&self) {
        let kept = std::mem::take(&mut *self.sessions());
        for session in kept {
            if !self.store.is_shared() {
                session.close().await;
            } // else it goes back to the pool
        }
        self.store.close().await;
    }

    /// Takes the event's lock, trying again where the database is not to be had.
    pub(super) async fn take_lock(&self) -> Result<EventLock, RunError> {
        let mut retries = Retries::new(self.settings.retry);
        loop {
            let taken = async { EventLock::take(&self.store, self.session().await?, self.event).await };
            let error = match taken.await {
                Ok((lock, session)) => {
                    self.give_back(session);
                    return Ok(lock);
                }
                Err(error) => error,
            };
            let Some(wait) = pause(&mut retries, &error) else { return Err(error.into()) };
            self.tell_retry("lock", None, again(&retries, wait, &error));
            tokio::time::sleep(wait).await;
        }
    }

    /// Does something in the database, again where that may help. The work gives the connection back with its result.
    pub(super) async fn in_database<T, F>(
        &self,
        what: &'static str,
        mut work: impl FnMut(Session) -> F,
    ) -> Result<T, RunError>
    where
        F: Future<Output = Result<(T, Session), StoreError>>,
    {
        let mut retries = Retries::new(self.settings.retry);
        loop {
            let attempt = async {
                let mut session = self.session().await?;
                if retries.failures() > 0 {
                    self.lock().ensure().await?;
                    session.end_lost().await?;
                }
                let (value, session) = work(session).await?;
                self.give_back(session);
                Ok::<_, StoreError>(value)
            };
            let error = match attempt.await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(wait) = pause(&mut retries, &error) else { return Err(error.into()) };
            self.tell_retry(what, None, again(&retries, wait, &error));
            tokio::time::sleep(wait).await;
        }
    }

    /// Records a race that is given up.
    pub(super) async fn give_up(&self, failed: Failed, kind: CauseKind) -> Result<(), RunError> {
        let Failed { race, url, cause, retry } = &failed;
        tracing::error!(event = self.event, race, url, kind = kind.name(), cause, retry, "race given up");
        let (one, fence, event) = (std::slice::from_ref(&failed), self.lock().fence(), self.event);
        self.in_database("failed race", |mut session| async move {
            store::fail_races(&mut session, event, fence, one).await?;
            Ok(((), session))
        })
        .await?;
        self.probe.record(|| Record::Failed(failed.clone()));
        self.metrics.race_failed(kind);
        self.progress.set(failed.race, RaceStage::Failed);
        self.tally().summary.failed.push(failed);
        Ok(())
    }

    /// Tells the log, the feed and the metrics that something failed and is tried again. `id`: the race or the unit.
    pub(super) fn tell_retry(&self, what: &str, id: Option<u64>, again: Again) {
        let Again { cause, kind, attempt, wait } = again;
        let wait_us = micros(wait);
        self.metrics.retry(kind);
        tracing::warn!(
            event = self.event,
            what,
            id,
            attempt,
            wait_us,
            kind = kind.name(),
            cause,
            "failed; trying again"
        );
        self.probe.record(|| Record::Retry(Retry { what: what.to_owned(), id, attempt, wait_us, cause }));
    }
}

/// An attempt in the database that failed and is followed by another.
pub(super) fn again(retries: &Retries, wait: Duration, error: &StoreError) -> Again {
    Again { cause: chain(error), kind: error.kind(), attempt: retries.failures(), wait }
}

/// How long to wait before an error's work is tried again, if it is.
pub(super) fn pause(retries: &mut Retries, error: &StoreError) -> Option<Duration> {
    match error.remedy() {
        _ if error.is_taken_over() => None,
        Remedy::RetryNow => retries.failed(None),
        Remedy::RetryLater(at_least) => retries.failed(at_least),
        Remedy::BadRace | Remedy::Stop => None,
    }
}
