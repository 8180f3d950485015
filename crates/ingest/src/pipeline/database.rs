//! How the pipeline reaches the database: the lock, connections that are kept while they are well, retries.

use std::time::Duration;

use contract::feed::{Failed, Record, Retry};

use super::{RaceStage, Run, RunError};
use crate::error::{Remedy, chain};
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
            self.tell_retry("lock", None, retries.failures(), micros(wait), &error);
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
            self.tell_retry(what, None, retries.failures(), micros(wait), &error);
            tokio::time::sleep(wait).await;
        }
    }

    /// Records a race that is given up.
    pub(super) async fn give_up(&self, failed: Failed) -> Result<(), RunError> {
        tracing::error!(race = failed.race, url = failed.url, cause = failed.cause, "race given up");
        let (one, fence, event) = (std::slice::from_ref(&failed), self.lock().fence(), self.event);
        self.in_database("failed race", |mut session| async move {
            store::fail_races(&mut session, event, fence, one).await?;
            Ok(((), session))
        })
        .await?;
        self.probe.record(|| Record::Failed(failed.clone()));
        self.progress.set(failed.race, RaceStage::Failed);
        self.tally().summary.failed.push(failed);
        Ok(())
    }

    pub(super) fn tell_retry(&self, what: &str, id: Option<u64>, attempt: u32, wait_us: u64, error: &StoreError) {
        let cause = chain(error);
        tracing::warn!(what, id, attempt, wait_us, cause, "failed; trying again");
        self.probe.record(|| Record::Retry(Retry { what: what.to_owned(), id, attempt, wait_us, cause }));
    }
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
