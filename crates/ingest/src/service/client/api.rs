//! The calls of the API, each made once, with errors that say what is known of their effect.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;

use super::names::Names;
use super::trouble::{Trouble, trouble_of};
use crate::error::chain;
use crate::service::model::{EventState, ImportRequest, Job, Withdrawal};
use crate::service::server::{KEY, Problem, Token};

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for a question, which the server answers at once.
const QUESTION: Duration = Duration::from_secs(30);
/// Largest answer that is read, bytes.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: {cause}")]
pub struct CallError {
    /// What was asked.
    pub method: Method,
    /// Where, without credentials.
    pub url: String,
    /// What happened.
    #[source]
    pub cause: Cause,
}

/// What happened to a call.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The connection failed.
    #[error("{}", chain(.source))]
    Connection {
        /// What is wrong with it, where that is one of the known patterns.
        trouble: Option<Trouble>,
        /// The request may have reached the server.
        sent: bool,
        /// The client's error.
        #[source]
        source: reqwest::Error,
    },
    /// The server said no.
    #[error("{} ({})", .0.title, .0.detail)]
    Problem(Problem),
    /// Something answered that is not the server, or not as it should.
    #[error("HTTP {status}, not an answer of the import service: {text}")]
    Foreign {
        /// HTTP status.
        status: u16,
        /// How the answer begins, or why it cannot be read.
        text: String,
    },
}

impl Cause {
    /// Whether the request has certainly had no effect.
    pub fn had_no_effect(&self) -> bool {
        match self {
            Self::Connection { sent, .. } => !sent,
            Self::Problem(problem) => problem.code.refused(),
            // Whoever refuses a request in its own name has not passed it on.
            Self::Foreign { status, .. } => (400..500).contains(status) && *status != 408,
        }
    }
}

/// A server.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
    token: Option<Token>,
}

impl Api {
    /// Prepares to call a server.
    ///
    /// # Errors
    /// The URL is none, or TLS cannot be set up.
    pub fn new(server: &str, token: Option<Token>) -> Result<Self, String> {
        let form = "give one such as http://127.0.0.1:8080";
        let mut base = Url::parse(server).map_err(|e| format!("the server's URL cannot be read ({e}): {form}"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
            return Err(format!("the server's URL must begin with http:// or https:// and name a host: {form}"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err("the server's URL must not hold a user or password; a token goes into INGEST_TOKEN".to_owned());
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(format!("the server's URL must have neither query nor fragment: {form}"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        crate::liverc::client::install_tls_provider();
        let http = reqwest::Client::builder()
            .user_agent(concat!("ingest/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .dns_resolver(std::sync::Arc::new(Names))
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = http.map_err(|e| format!("cannot make an HTTP client: {}", chain(&e)))?;
        Ok(Self { http, base, token })
    }

    /// Asks for an import; the server waits up to `wait` for its end.
    pub async fn import(
        &self,
        request: &ImportRequest,
        key: &str,
        wait: Duration,
        timeout: Duration,
    ) -> Result<Job, CallError> {
        let url = self.url(&format!("api/v1/events/ingest?wait={}", wait.as_secs()));
        let body = serde_json::to_vec(request).unwrap_or_default();
        let call = self.http.post(url.clone()).header(CONTENT_TYPE, "application/json").header(KEY, key).body(body);
        self.call(Method::POST, url, call.timeout(timeout)).await
    }

    /// Tells of a job.
    pub async fn job(&self, id: u64) -> Result<Job, CallError> {
        self.ask(&format!("api/v1/jobs/{id}")).await
    }

    /// Tells of an event, and of the job that the request of this key became.
    pub async fn event(&self, event: u64, key: &str) -> Result<EventState, CallError> {
        self.ask(&format!("api/v1/events/{event}?request={key}")).await
    }

    /// Takes a request back.
    pub async fn withdraw(&self, key: &str) -> Result<Withdrawal, CallError> {
        let url = self.url(&format!("api/v1/requests/{key}"));
        let call = self.http.delete(url.clone()).timeout(QUESTION);
        self.call(Method::DELETE, url, call).await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let url = self.url(path);
        let call = self.http.get(url.clone()).timeout(QUESTION);
        self.call(Method::GET, url, call).await
    }

    fn url(&self, path: &str) -> Url {
        // The paths are made here, of numbers and checked keys: they always join.
        self.base.join(path).unwrap_or_else(|_| self.base.clone())
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, url: Url, call: RequestBuilder) -> Result<T, CallError> {
        let mut call = call.header(ACCEPT, "application/json");
        if let Some(token) = &self.token
            && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        {
            value.set_sensitive(true);
            call = call.header(AUTHORIZATION, value);
        }
        let answered = async {
            let mut response = call.send().await.map_err(|e| connection(e, false))?;
            let status = response.status();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| connection(e, true))? {
                body.extend_from_slice(&chunk);
                if body.len() > LARGEST {
                    let text = format!("longer than {LARGEST} bytes");
                    return Err(Cause::Foreign { status: status.as_u16(), text });
                }
            }
            if status.is_success() {
                return serde_json::from_slice(&body)
                    .map_err(|e| Cause::Foreign { status: status.as_u16(), text: e.to_string() });
            }
            match serde_json::from_slice(&body) {
                Ok(problem) => Err(Cause::Problem(problem)),
                Err(_) => {
                    let text = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
                    Err(Cause::Foreign { status: status.as_u16(), text: text.chars().take(200).collect() })
                }
            }
        };
        answered.await.map_err(|cause| CallError { method, url: url.to_string(), cause })
    }
}

fn connection(error: reqwest::Error, answering: bool) -> Cause {
    let error = error.without_url();
    let never_sent = !answering && (error.is_connect() || error.is_builder());
    Cause::Connection { trouble: trouble_of(&error), sent: !never_sent, source: error }
}
