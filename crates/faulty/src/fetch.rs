//! Pages over HTTP, one after the other.

use std::collections::HashMap;
use std::time::Duration;

use contract::feed::{Record, Retry};
use ingest::liverc::retry_after;
use ingest::probe::{Probe, micros};

use crate::bug::Bug;

/// Attempts at a page.
const ATTEMPTS: u32 = 6;

/// Pause before the second attempt, doubled for each that follows.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests of a storm, which do not wait for each other's answers: their number does not depend on the machine.
const STORM: usize = 20;

/// What an engine waits that does not look at `Retry-After`.
const IMPATIENT: Duration = Duration::from_millis(300);

/// Why a page was not had.
#[derive(Debug)]
pub struct NotHad {
    /// The cause.
    pub cause: String,
    /// Whether asking again later may help.
    pub retry: bool,
}

/// Fetches pages and counts requests.
pub struct Fetcher<'a> {
    http: reqwest::Client,
    bug: Option<Bug>,
    probe: &'a Probe,
    ahead: HashMap<String, String>,
    /// Requests so far.
    pub requests: u64,
}

impl<'a> Fetcher<'a> {
    /// One that has fetched nothing.
    pub fn new(bug: Option<Bug>, probe: &'a Probe) -> anyhow::Result<Self> {
        ingest::liverc::client::install_tls_provider();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { http, bug, probe, ahead: HashMap::new(), requests: 0 })
    }

    /// A page, and the requests made for it. Tried again as long as that may help.
    pub async fn page(&mut self, url: &str, race: Option<u64>) -> Result<(String, u32), NotHad> {
        if let Some(text) = self.ahead.remove(url) {
            return Ok((text, 1));
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (cause, wait) = match self.attempt(url).await {
                Ok(text) => return Ok((text, attempt)),
                Err((cause, None)) => return Err(NotHad { cause, retry: false }),
                Err((cause, Some(asked))) => (cause, asked.max(PAUSE * 2_u32.pow(attempt.min(ATTEMPTS) - 1))),
            };
            if self.bug == Some(Bug::RetryStorm) {
                self.all_at_once(std::iter::repeat_n(url.to_owned(), STORM)).await;
                self.ahead.clear();
            }
            let wait = match self.bug {
                Some(Bug::RetryStorm) => Duration::ZERO,
                Some(Bug::RetryAfterIgnored) => IMPATIENT,
                _ => wait,
            };
            if attempt >= ATTEMPTS && self.bug != Some(Bug::RetryStorm) {
                return Err(NotHad { cause, retry: true });
            }
            let wait_us = micros(wait);
            self.probe.record(|| Record::Retry(Retry { what: "fetch".into(), id: race, attempt, wait_us, cause }));
            tokio::time::sleep(wait).await;
        }
    }

    /// Fetches pages ahead, all at the same time. One that does not come is fetched again when it is asked for.
    pub async fn all_at_once(&mut self, urls: impl Iterator<Item = String>) {
        let mut tasks = tokio::task::JoinSet::new();
        for url in urls {
            let http = self.http.clone();
            self.requests += 1;
            tasks.spawn(async move {
                let text = http.get(&url).send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
                Some((url, text))
            });
        }
        self.ahead.extend(tasks.join_all().await.into_iter().flatten());
    }

    /// One attempt; an error with the pause that is asked for, if another may help.
    async fn attempt(&mut self, url: &str) -> Result<String, (String, Option<Duration>)> {
        self.requests += 1;
        let broken = |e: reqwest::Error| (e.to_string(), Some(Duration::ZERO));
        let mut response = self.http.get(url).send().await.map_err(broken)?;
        let status = response.status();
        if !status.is_success() {
            let asked = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|v| v.to_str().ok());
            let asked = asked.and_then(|v| retry_after::parse(v, jiff::Timestamp::now())).unwrap_or_default();
            let again = status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS;
            return Err((format!("the host answered {status}"), again.then_some(asked)));
        }
        let accepts_parts = self.bug == Some(Bug::TruncatedAccepted);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) if accepts_parts => break,
                Err(e) => return Err(broken(e)),
            }
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        if !accepts_parts && !text.contains("</html>") {
            return Err(("the page came cut short".to_owned(), Some(Duration::ZERO)));
        }
        Ok(text)
    }
}
