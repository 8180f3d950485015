//! The client that fetches pages: politely, within limits, and with errors that say what to do about them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;

pub use super::fetch_error::{Advice, FetchCause, FetchError};
use super::gate::Gate;
use super::html::check_whole;
use super::{retry_after, urls};
use crate::retry::{Retries, RetryPolicy};

/// How pages are fetched. The default is polite, for the real site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Header `User-Agent`.
    pub user_agent: String,
    /// Longest time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Longest time from the request to the head of the response, connecting included.
    pub first_byte_timeout: Duration,
    /// Longest silence between two parts of a body.
    pub silence_timeout: Duration,
    /// Longest time from the head of the response to the end of its body.
    pub body_timeout: Duration,
    /// Largest page, in bytes after decompression.
    pub max_body: usize,
    /// Requests to one host at once.
    pub max_in_flight: usize,
    /// Least time between the starts of two requests to one host.
    pub min_delay: Duration,
    /// How often and how long a page is tried again.
    pub retry: RetryPolicy,
    /// Longest wait that a host may ask for by `Retry-After`; where it asks for more, the page fails at once.
    pub max_retry_after: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            user_agent: concat!("ingest/", env!("CARGO_PKG_VERSION"), " (race results reader)").to_owned(),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            max_body: 16 * 1024 * 1024,
            max_in_flight: 1,
            min_delay: Duration::from_secs(1),
            retry: RetryPolicy {
                attempts: 5,
                base: Duration::from_millis(250),
                cap: Duration::from_secs(10),
                budget: Duration::from_secs(120),
            },
            max_retry_after: Duration::from_secs(120),
        }
    }
}

impl ClientSettings {
    /// For a site of one's own, such as a mock: no pause, many requests at once.
    #[must_use]
    pub fn unthrottled() -> Self {
        Self { max_in_flight: 1024, min_delay: Duration::ZERO, ..Self::default() }
    }
}

/// A fetched page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The text; bytes that are no UTF-8 are replaced by U+FFFD.
    pub text: String,
    /// Size of the body after decompression.
    pub bytes: usize,
    /// Attempts made, this one included.
    pub attempts: u32,
    /// Time of the last attempt from its request to the end of its body, without the waits of politeness.
    pub elapsed: Duration,
}

/// What a client has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent.
    pub requests: u64,
    /// Most requests that were in flight at once.
    pub max_in_flight: u64,
}

/// Fetches pages. Clones share their gates and counters.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ClientSettings,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    requests: AtomicU64,
    in_flight: AtomicU64,
    max_in_flight: AtomicU64,
    observer: OnceLock<Observer>,
}

/// What is told of each request: how long it took, and the size of the page or why there is none.
pub type OnRequest = dyn Fn(Duration, Result<usize, &FetchCause>) + Send + Sync;

struct Observer(Box<OnRequest>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// Installs the process's TLS provider (ring). Harmless when there is one already.
pub fn install_tls_provider() {
    // The only error is that another is installed, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    /// Where TLS cannot be set up (no root certificates, say), or the user agent is no header value.
    pub fn new(settings: ClientSettings) -> Result<Self, reqwest::Error> {
        install_tls_provider();
        let http = reqwest::Client::builder()
            .user_agent(settings.user_agent.as_str())
            .connect_timeout(settings.connect_timeout)
            .redirect(same_host_redirects())
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        let shared = Shared {
            settings,
            gates: Mutex::default(),
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            max_in_flight: AtomicU64::new(0),
            observer: OnceLock::new(),
        };
        Ok(Self { http, shared: Arc::new(shared) })
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &ClientSettings {
        &self.shared.settings
    }

    /// Tells of every request from now on, to the first who asks.
    pub fn on_request(&self, told: impl Fn(Duration, Result<usize, &FetchCause>) + Send + Sync + 'static) {
        let _ = self.shared.observer.set(Observer(Box::new(told)));
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            requests: self.shared.requests.load(Ordering::Relaxed),
            max_in_flight: self.shared.max_in_flight.load(Ordering::Relaxed),
        }
    }

    /// Makes one attempt at a page.
    ///
    /// # Errors
    /// With what happened and what to do about it.
    pub async fn fetch(&self, url: &str) -> Result<Page, FetchError> {
        let parsed = Url::parse(url).map_err(|e| FetchError {
            url: urls::redact_text(url),
            attempts: 1,
            cause: FetchCause::BadUrl(e.to_string()),
            advice: Advice::Permanent,
        })?;
        let shown = urls::redact(&parsed);
        self.attempt(parsed).await.map_err(|(cause, advice)| FetchError { url: shown, attempts: 1, cause, advice })
    }

    /// Fetches a page, and again where that may help, within the settings' bounds. `on_retry` is told of each failed
    /// attempt that is followed by another: the error, and the wait before it.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn fetch_with_retries(
        &self,
        url: &str,
        mut on_retry: impl FnMut(&FetchError, Duration),
    ) -> Result<Page, FetchError> {
        let settings = &self.shared.settings;
        let mut retries = Retries::new(settings.retry);
        loop {
            let mut error = match self.fetch(url).await {
                Ok(page) => return Ok(Page { attempts: retries.failures() + 1, ..page }),
                Err(error) => error,
            };
            let asked = match error.advice {
                Advice::RetryLater(Some(asked)) => Some(asked),
                _ => None,
            };
            let backoff = retries.failed(asked);
            error.attempts = retries.failures();
            let wait = match (error.advice, backoff) {
                (Advice::Permanent | Advice::NextCall, _) | (_, None) => return Err(error),
                (Advice::RetryNow, Some(_)) if error.attempts == 1 => Duration::ZERO,
                (Advice::RetryLater(_), Some(_)) if asked.is_some_and(|a| a > settings.max_retry_after) => {
                    return Err(error);
                }
                (_, Some(backoff)) => backoff,
            };
            on_retry(&error, wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, url: Url) -> Result<Page, (FetchCause, Advice)> {
        let settings = &self.shared.settings;
        let gate = self.gate(&url);
        let permit = gate
            .enter(settings.max_retry_after)
            .await
            .map_err(|wait| (FetchCause::Closed { wait }, Advice::RetryLater(Some(wait))))?;
        let in_flight = InFlight::enter(&self.shared);
        let begin = Instant::now();
        let answer = self.answer(url, &gate).await;
        let elapsed = begin.elapsed();
        drop((in_flight, permit));
        if let Some(observer) = self.shared.observer.get() {
            observer.0(elapsed, answer.as_ref().map(|(_, bytes)| *bytes).map_err(|(cause, _)| cause));
        }
        let (text, bytes) = answer?;
        Ok(Page { text, bytes, attempts: 1, elapsed })
    }

    /// The text of a page, and its size.
    async fn answer(&self, url: Url, gate: &Gate) -> Result<(String, usize), (FetchCause, Advice)> {
        let settings = &self.shared.settings;
        let response = tokio::time::timeout(settings.first_byte_timeout, self.http.get(url).send())
            .await
            .map_err(|_| timed_out("the answer", settings.first_byte_timeout))?
            .map_err(|e| send_error(e, settings.connect_timeout))?;
        check_head(&response, gate)?;
        let body = read_body(response, settings.max_body, settings.silence_timeout);
        let body = tokio::time::timeout(settings.body_timeout, body)
            .await
            .map_err(|_| timed_out("the body", settings.body_timeout))??;
        let bytes = body.len();
        let text = match String::from_utf8(body) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        check_whole(&text).map_err(|e| (FetchCause::CutShort(e.to_string()), Advice::RetryNow))?;
        Ok((text, bytes))
    }

    /// How long the host of a track has asked to be left alone yet.
    #[must_use]
    pub fn closed_for(&self, pattern: &str, track: &str) -> Duration {
        let url = urls::LivercUrls::new(pattern, track).map(|urls| urls.event(0));
        let url = url.ok().and_then(|url| Url::parse(&url).ok());
        url.map_or(Duration::ZERO, |url| self.gate(&url).closed_for())
    }

    fn gate(&self, url: &Url) -> Arc<Gate> {
        let host = format!("{}:{}", url.host_str().unwrap_or(""), url.port_or_known_default().unwrap_or(0));
        let settings = &self.shared.settings;
        let mut gates = self.shared.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry(host).or_insert_with(|| Arc::new(Gate::new(settings.max_in_flight, settings.min_delay)));
        Arc::clone(gate)
    }
}

/// Counts a request while it is in flight, whatever becomes of it.
struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    fn enter(shared: &'a Shared) -> Self {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let now = shared.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        shared.max_in_flight.fetch_max(now, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Redirections are followed on the same host only: another host's pages are not this track's.
fn same_host_redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let first = attempt.previous().first();
        if attempt.previous().len() > 5 {
            return attempt.error("more than five redirections");
        }
        if first.is_some_and(|first| first.host() == attempt.url().host()) {
            return attempt.follow();
        }
        let host = attempt.url().host_str().unwrap_or("").to_owned();
        attempt.error(format!("to host {host}"))
    })
}

fn timed_out(what: &'static str, limit: Duration) -> (FetchCause, Advice) {
    (FetchCause::Timeout { what, limit }, Advice::RetryLater(None))
}

fn send_error(error: reqwest::Error, connect_timeout: Duration) -> (FetchCause, Advice) {
    let error = error.without_url();
    if error.is_redirect() {
        (FetchCause::Redirect(chain(&error)), Advice::Permanent)
    } else if error.is_connect() && error.is_timeout() {
        timed_out("connecting", connect_timeout)
    } else if error.is_connect() {
        (FetchCause::Connect(chain(&error)), Advice::RetryLater(None))
    } else if error.is_builder() {
        (FetchCause::BadUrl(chain(&error)), Advice::Permanent)
    } else {
        (FetchCause::Broken(chain(&error)), Advice::RetryNow)
    }
}

/// The causes of an error, innermost last.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// Judges status and type. A host that asks for a pause is left alone by all from here on.
fn check_head(response: &Response, gate: &Gate) -> Result<(), (FetchCause, Advice)> {
    let status = response.status();
    if status.is_success() {
        let content_type = header(response.headers(), &CONTENT_TYPE).to_ascii_lowercase();
        let text = content_type.is_empty() || content_type.starts_with("text/") || content_type.contains("html");
        return if text { Ok(()) } else { Err((FetchCause::NotHtml { content_type }, Advice::NextCall)) };
    }
    let wait = retry_after::parse(header(response.headers(), &RETRY_AFTER), Timestamp::now());
    let advice = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            if let Some(wait) = wait {
                gate.close_for(wait);
            }
            Advice::RetryLater(wait)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Advice::RetryNow,
        _ if status.is_server_error() => Advice::RetryLater(wait),
        _ => Advice::Permanent,
    };
    let cause = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => FetchCause::NotFound(status.as_u16()),
        _ => FetchCause::Status(status.as_u16()),
    };
    Err((cause, advice))
}

fn header<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// Reads a body as it comes, so that one that is too large is not held first.
async fn read_body(mut response: Response, limit: usize, silence: Duration) -> Result<Vec<u8>, (FetchCause, Advice)> {
    let too_large = || (FetchCause::TooLarge { limit }, Advice::NextCall);
    let declared = response.content_length().and_then(|l| usize::try_from(l).ok()).unwrap_or(0);
    if declared > limit {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(declared);
    loop {
        let chunk = tokio::time::timeout(silence, response.chunk()).await;
        let chunk = chunk.map_err(|_| timed_out("the next part of the body", silence))?;
        let chunk = chunk.map_err(|e| (FetchCause::Broken(chain(&e.without_url())), Advice::RetryNow))?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
}
