//! The client that is never wrong about what became of an import.
//!
//! The review's users were told that imports had failed which had succeeded: the connection broke or timed out, and the
//! import went on. Here a broken connection is where the questions begin: wait 2 s, ask for the event's state; a complete
//! event is success; an import that goes on is followed to its end; only one that certainly did not happen is told
//! as such. To be certain, the client takes its request back by its key: the server refuses it should it still come.
//! What cannot be found out is told as unknown, never as a failure.

mod api;
mod decide;
mod names;
mod tell;
mod trouble;

use std::time::Duration;

use tokio::time::Instant;

use api::{Api, Cause};
pub use api::{CallError, Cause as CallCause};
pub use decide::{Known, decide};
pub use names::NameError;
pub use tell::{Told, Verdict};
pub use trouble::{Trouble, trouble_of};

use super::model::{EventState, ImportRequest, Job, JobState};
use super::server::{Code, Problem, Token};
use crate::error::chain;

/// How long the client waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For an answer, and for the import as a whole. More than the server's deadline of 10 minutes, so that the server
    /// always speaks first.
    pub whole: Duration,
    /// Before the first question after a connection broke; doubled each time up to eightfold.
    pub recovery: Duration,
    /// Between two looks at a job that goes on.
    pub poll: Duration,
    /// How long the server is asked to wait for the job's end before it answers.
    pub wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            whole: Duration::from_secs(660),
            recovery: Duration::from_secs(2),
            poll: Duration::from_secs(1),
            wait: Duration::from_secs(10),
        }
    }
}

/// What happens while an import goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The job as it is now.
    Job(Box<Job>),
    /// Somebody else's import of the event goes on.
    Others(u64),
    /// A call failed; the next one is made after this time.
    Trouble(String, Duration),
}

/// Imports events through a server.
#[derive(Debug, Clone)]
pub struct Importer {
    api: Api,
    patience: Patience,
}

/// Most times that a request which the server did not take is made again.
const RESUBMISSIONS: u32 = 5;
/// Longest pause that the server may ask for between two questions.
const MOST_PATIENT: Duration = Duration::from_secs(60);
/// Calls that failed and are told in full.
const TOLD_TRIES: usize = 20;

impl Importer {
    /// Prepares to call a server.
    ///
    /// # Errors
    /// The URL is none; TLS cannot be set up.
    pub fn new(server: &str, token: Option<Token>, patience: Patience) -> Result<Self, String> {
        Ok(Self { api: Api::new(server, token)?, patience })
    }

    /// Imports an event and says what became of it.
    pub async fn import(&self, request: &ImportRequest, news: impl FnMut(News) + Send) -> Told {
        self.import_as(&format!("{:032x}", rand::random::<u128>()), request, news).await
    }

    /// The same under a name for the request, so that it can be asked later what became of it. No other import may have had it
    /// (see [`is_request_key`](super::model::is_request_key) for its form).
    pub async fn import_as(&self, key: &str, request: &ImportRequest, mut news: impl FnMut(News) + Send) -> Told {
        let mut import = Import {
            api: &self.api,
            patience: self.patience,
            request,
            key: key.to_owned(),
            until: Instant::now() + self.patience.whole,
            job: None,
            tries: Vec::new(),
            failed_calls: 0,
            recovered: false,
            news: &mut news,
        };
        let verdict = import.run().await;
        let Import { tries, recovered, failed_calls, .. } = import;
        Told { event_id: request.event_id, track: request.track.clone(), verdict, recovered, failed_calls, tries }
    }
}

struct Import<'a> {
    api: &'a Api,
    patience: Patience,
    request: &'a ImportRequest,
    key: String,
    until: Instant,
    /// This import's job as it was last told.
    job: Option<Job>,
    tries: Vec<String>,
    failed_calls: u32,
    recovered: bool,
    news: &'a mut (dyn FnMut(News) + Send),
}

impl Import<'_> {
    async fn run(&mut self) -> Verdict {
        match self.submit().await {
            Ok(job) => self.job = Some(job),
            Err(error) if is_final(&error.cause) => return final_verdict(error.cause),
            Err(error) => {
                self.recovered = true;
                let never_sent = error.cause.had_no_effect();
                if let Some(verdict) = self.recover(never_sent).await {
                    return verdict;
                }
            }
        }
        self.follow().await
    }

    /// Asks for the import, again where the server says that it did not take it and may later.
    async fn submit(&mut self) -> Result<Job, CallError> {
        let mut resubmissions = 0;
        loop {
            let timeout = self.left();
            let asked = self.api.import(self.request, &self.key, self.patience.wait, timeout).await;
            let error = match asked {
                Ok(job) => return Ok(job),
                Err(error) => error,
            };
            let later = match &error.cause {
                Cause::Problem(p) if p.code.refused() && p.code.worth_retrying() => Some(after(p)),
                _ => None,
            };
            match later {
                Some(wait) if resubmissions < RESUBMISSIONS && wait < self.left() => {
                    self.note(&error, wait);
                    resubmissions += 1;
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    self.note(&error, if is_final(&error.cause) { Duration::ZERO } else { self.patience.recovery });
                    return Err(error);
                }
            }
        }
    }

    /// Finds out what became of a request whose answer was lost. A verdict, or `None` when the import goes on.
    async fn recover(&mut self, never_sent: bool) -> Option<Verdict> {
        let mut wait = self.patience.recovery;
        // An answer that was waited for to the end must not leave no time for the questions.
        self.until = self.until.max(Instant::now() + self.patience.recovery * 16);
        loop {
            if !self.pause(wait).await {
                return Some(self.out_of_time());
            }
            let error = match self.settle().await {
                Ok(Settled::Verdict(verdict)) => return Some(*verdict),
                Ok(Settled::GoesOn) => return None,
                Ok(Settled::OthersGoOn(job)) => {
                    (self.news)(News::Others(job));
                    wait = self.patience.poll;
                    continue;
                }
                Err(error) => error,
            };
            let hopeless = match &error.cause {
                Cause::Problem(problem) => problem.code == Code::Unauthorized,
                Cause::Foreign { status, .. } => *status < 500,
                Cause::Connection { .. } => false,
            };
            if hopeless {
                self.note(&error, Duration::ZERO);
                return Some(Verdict::Unknown);
            }
            // The request never left, and nobody is there to be asked.
            if never_sent && matches!(&error.cause, Cause::Connection { sent: false, .. }) {
                self.note(&error, Duration::ZERO);
                return Some(Verdict::NotDone);
            }
            wait = (wait.max(self.patience.recovery) * 2).min(self.patience.recovery * 8);
            if let Cause::Problem(problem) = &error.cause {
                wait = wait.max(after(problem).min(MOST_PATIENT));
            }
            self.note(&error, wait.min(self.left()));
        }
    }

    /// Asks for the event's state and, should the request not be there, takes it back.
    async fn settle(&mut self) -> Result<Settled, CallError> {
        let state = match self.api.event(self.request.event_id, &self.key).await {
            Ok(state) => Some(state),
            Err(CallError { cause: Cause::Problem(problem), .. }) if problem.code == Code::NotFound => None,
            Err(error) => return Err(error),
        };
        match decide(state.as_ref(), self.request.refresh) {
            Known::Complete(job) => Ok(Settled::Verdict(Box::new(complete(job, state)))),
            Known::Failed(job) => Ok(Settled::Verdict(Box::new(Verdict::Failed { job }))),
            Known::GoesOn(job) => {
                self.job = Some(job);
                Ok(Settled::GoesOn)
            }
            Known::OthersGoesOn(job) => Ok(Settled::OthersGoOn(job)),
            // The server had taken it, and knows nothing of it now: another database, or one that was restored.
            Known::Absent if self.job.is_some() => Ok(Settled::Verdict(Box::new(Verdict::Unknown))),
            Known::Absent => match self.api.withdraw(&self.key).await?.job {
                None => Ok(Settled::Verdict(Box::new(Verdict::NotDone))),
                Some(job) => {
                    self.job = Some(job);
                    Ok(Settled::GoesOn)
                }
            },
        }
    }

    /// Follows a job to its end.
    async fn follow(&mut self) -> Verdict {
        loop {
            let Some(job) = self.job.clone() else { return Verdict::Unknown };
            (self.news)(News::Job(Box::new(job.clone())));
            if job.state == JobState::Completed {
                return complete(Some(job), None);
            }
            if job.state == JobState::Failed && self.request.refresh {
                return Verdict::Failed { job };
            }
            if job.state == JobState::Failed {
                // What this import did not do another may have done.
                return match self.recover(false).await {
                    Some(Verdict::Unknown) | None => Verdict::Failed { job },
                    Some(verdict) => verdict,
                };
            }
            if !self.pause(self.patience.poll).await {
                return self.out_of_time();
            }
            match self.api.job(job.id).await {
                Ok(job) => self.job = Some(job),
                // A question may be asked again as it is.
                Err(CallError { cause: Cause::Problem(problem), .. }) if problem.code.worth_retrying() => {
                    self.pause(after(&problem).min(MOST_PATIENT)).await;
                }
                Err(error) => {
                    self.recovered = true;
                    self.note(&error, self.patience.recovery);
                    if let Some(verdict) = self.recover(false).await {
                        return verdict;
                    }
                }
            }
        }
    }

    fn out_of_time(&self) -> Verdict {
        match &self.job {
            Some(job) => Verdict::GoesOn { job: job.clone() },
            None => Verdict::Unknown,
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Waits. `false`: there is no time left.
    async fn pause(&mut self, wait: Duration) -> bool {
        if self.left().is_zero() {
            return false;
        }
        tokio::time::sleep(wait.min(self.left())).await;
        true
    }

    fn note(&mut self, error: &CallError, wait: Duration) {
        let text = chain(error);
        tracing::debug!(cause = text, "a call failed");
        self.failed_calls += 1;
        if self.tries.len() < TOLD_TRIES {
            self.tries.push(text.clone());
        }
        (self.news)(News::Trouble(text, wait));
    }
}

/// Whether an error of the request says all there is to say. (A connection that could not be made is a pattern of the
/// review's: the questions are asked after it, too.)
fn is_final(cause: &Cause) -> bool {
    cause.had_no_effect() && !matches!(cause, Cause::Connection { trouble: Some(_), .. })
}

fn final_verdict(cause: Cause) -> Verdict {
    match cause {
        Cause::Problem(problem) => Verdict::Refused { problem },
        // A certificate that is not trusted, or something else than the service.
        Cause::Connection { .. } | Cause::Foreign { .. } => Verdict::NotDone,
    }
}

enum Settled {
    Verdict(Box<Verdict>),
    GoesOn,
    OthersGoOn(u64),
}

fn complete(job: Option<Job>, state: Option<EventState>) -> Verdict {
    Verdict::Complete { job: job.filter(|job| job.state == JobState::Completed), state: state.map(Box::new) }
}

fn after(problem: &Problem) -> Duration {
    Duration::from_secs(problem.retry_after.unwrap_or(1))
}
