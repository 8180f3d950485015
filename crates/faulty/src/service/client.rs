//! A client that finds out what became of an import in its own way: it makes the same request again, under the same key, until
//! it has an answer. The service promises that the same key is the same job.

use std::time::Duration;

use ingest::service::client::{News, Patience, Told, Verdict};
use ingest::service::model::{ImportRequest, Job, JobState};
use ingest::service::server::{KEY, Problem};
use reqwest::RequestBuilder;
use tokio::time::{Instant, sleep};

use crate::bug::ServiceBug;

/// Calls that failed and are told.
const TRIES: usize = 3;

/// Asks for imports, in the form of [`ingest::service::client::Importer`].
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    patience: Patience,
    bug: Option<ServiceBug>,
}

/// Why a call has no good answer.
enum Bad {
    /// The server said no.
    Problem(Problem),
    /// The connection broke, or what came is no answer.
    Lost(String),
}

impl Client {
    /// Prepares to call a server, right or with a bug.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(server: &str, bug: Option<ServiceBug>, patience: Patience) -> Result<Self, String> {
        ingest::liverc::client::install_tls_provider();
        let http = reqwest::Client::builder().no_proxy().timeout(patience.whole).build();
        let http = http.map_err(|e| format!("cannot make an HTTP client: {e}"))?;
        Ok(Self { http, server: server.trim_end_matches('/').to_owned(), patience, bug })
    }

    /// Imports an event under a name for the request, and says what became of it.
    pub async fn import_as(&self, key: &str, request: &ImportRequest, mut news: impl FnMut(News) + Send) -> Told {
        let mut told = Told {
            event_id: request.event_id,
            track: request.track.clone(),
            verdict: Verdict::Unknown,
            recovered: false,
            failed_calls: 0,
            tries: Vec::new(),
        };
        let until = Instant::now() + self.patience.whole;
        told.verdict = match self.submit(key, request, until, &mut told).await {
            Ok(job) => self.follow(job, until, &mut told, &mut news).await,
            Err(verdict) => verdict,
        };
        told
    }

    /// Makes the request until it is answered.
    async fn submit(
        &self,
        key: &str,
        request: &ImportRequest,
        until: Instant,
        told: &mut Told,
    ) -> Result<Job, Verdict> {
        let url = format!("{}/api/v1/events/ingest?wait={}", self.server, self.patience.wait.as_secs());
        let body = serde_json::to_vec(request).unwrap_or_default();
        loop {
            let call = self.http.post(&url).header("content-type", "application/json").header(KEY, key);
            let pause = match call_for_job(call.body(body.clone())).await {
                Ok(job) => return Ok(job),
                Err(Bad::Problem(problem)) if !problem.code.worth_retrying() => {
                    return Err(Verdict::Refused { problem });
                }
                Err(Bad::Problem(problem)) => {
                    note(told, format!("{} ({})", problem.title, problem.detail));
                    Duration::from_secs(problem.retry_after.unwrap_or(1))
                }
                Err(Bad::Lost(why)) => {
                    note(told, why);
                    if self.bug == Some(ServiceBug::LostToldFailed) {
                        return Err(Verdict::NotDone);
                    }
                    told.recovered = true;
                    self.patience.recovery
                }
            };
            if !wait(pause, until).await {
                return Err(Verdict::Unknown);
            }
        }
    }

    /// Looks at the job until it has ended.
    async fn follow(
        &self,
        mut job: Job,
        until: Instant,
        told: &mut Told,
        news: &mut (impl FnMut(News) + Send),
    ) -> Verdict {
        loop {
            news(News::Job(Box::new(job.clone())));
            match job.state {
                JobState::Completed => return Verdict::Complete { job: Some(job), state: None },
                JobState::Failed if self.bug == Some(ServiceBug::FailureToldComplete) => {
                    return Verdict::Complete { job: None, state: None };
                }
                JobState::Failed => return Verdict::Failed { job },
                JobState::Queued | JobState::Running => {}
            }
            if !wait(self.patience.poll, until).await {
                return Verdict::GoesOn { job };
            }
            match call_for_job(self.http.get(format!("{}/api/v1/jobs/{}", self.server, job.id))).await {
                Ok(now) => job = now,
                Err(Bad::Problem(problem)) => note(told, format!("{} ({})", problem.title, problem.detail)),
                Err(Bad::Lost(why)) => {
                    note(told, why);
                    told.recovered = true;
                    wait(self.patience.recovery, until).await;
                }
            }
        }
    }
}

async fn call_for_job(call: RequestBuilder) -> Result<Job, Bad> {
    let lost = |e: reqwest::Error| Bad::Lost(e.to_string());
    let answer = call.send().await.map_err(lost)?;
    let good = answer.status().is_success();
    let body = answer.bytes().await.map_err(lost)?;
    let foreign = |e: serde_json::Error| Bad::Lost(format!("not an answer of the service: {e}"));
    if good {
        return serde_json::from_slice(&body).map_err(foreign);
    }
    Err(serde_json::from_slice(&body).map_or_else(foreign, Bad::Problem))
}

fn note(told: &mut Told, why: String) {
    told.failed_calls += 1;
    if told.tries.len() < TRIES {
        told.tries.push(why);
    }
}

/// Waits. `false`: the time is over.
async fn wait(pause: Duration, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    sleep(pause.min(left)).await;
    !left.is_zero()
}
