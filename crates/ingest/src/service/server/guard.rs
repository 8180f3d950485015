//! What every request passes before it is answered: limits, the token, the deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::Shared;
use super::problem::{Code, Problem};

/// Addresses that are remembered before those that have been quiet are forgotten.
const REMEMBERED: usize = 10_000;

/// Who sent the request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A bearer token. Shown nowhere.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// Takes a token.
    ///
    /// # Errors
    /// It is too short to be a secret, or cannot stand in a header.
    pub fn new(token: &str) -> Result<Self, String> {
        let token = token.trim();
        if token.len() < 16 {
            return Err("the token must have 16 characters or more; `openssl rand -hex 32` makes a good one".to_owned());
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the token may hold visible ASCII characters only".to_owned());
        }
        Ok(Self(token.to_owned()))
    }

    /// The token itself, for the header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a header bears this token. Takes the same time wherever the first difference is.
    fn is_borne_by(&self, authorization: Option<&HeaderValue>) -> bool {
        let given = authorization.map_or(&b""[..], HeaderValue::as_bytes);
        let (scheme, given) = given.split_at_checked(7).unwrap_or((b"", b""));
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(self.0.as_bytes().ct_eq(given))
    }
}

/// How much the server takes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest body, bytes.
    pub body: usize,
    /// Longest time for a body to come.
    pub body_timeout: Duration,
    /// Requests per second from one address; 0 is no limit.
    pub rate: u32,
    /// Requests that are answered at once.
    pub in_flight: u32,
    /// Connections at once.
    pub connections: u32,
    /// Jobs that may wait.
    pub queue: u32,
    /// Longest time for one request.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4096,
            body_timeout: Duration::from_secs(10),
            rate: 50,
            in_flight: 512,
            connections: 1024,
            queue: 1000,
            deadline: Duration::from_secs(600),
        }
    }
}

impl Limits {
    /// How long a request may wait for its job, so that it is answered before the deadline.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.deadline.saturating_sub((self.deadline / 4).min(Duration::from_secs(5)))
    }
}

type Rates = RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>;

/// The state of the limits.
pub struct Guard {
    token: Option<Token>,
    limits: Limits,
    rates: Option<Rates>,
    in_flight: Arc<Semaphore>,
}

impl Guard {
    pub(super) fn new(limits: Limits, token: Option<Token>) -> Self {
        let quota = std::num::NonZeroU32::new(limits.rate).map(Quota::per_second);
        Self {
            token,
            limits,
            rates: quota.map(RateLimiter::hashmap),
            in_flight: Arc::new(Semaphore::new(limits.in_flight as usize)),
        }
    }

    /// Requests that are being answered.
    pub(super) fn in_flight(&self) -> usize {
        (self.limits.in_flight as usize).saturating_sub(self.in_flight.available_permits())
    }

    fn check_rate(&self, peer: Option<&Peer>) -> Result<(), Problem> {
        let (Some(rates), Some(Peer(address))) = (&self.rates, peer) else { return Ok(()) };
        if rates.len() > REMEMBERED {
            rates.retain_recent();
        }
        rates.check_key(&address.ip()).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            let detail = format!("more than {} requests a second came from {}", self.limits.rate, address.ip());
            Problem::new(Code::RateLimited, detail).after(wait.as_secs_f64().ceil() as u64)
        })
    }

    fn check_token(&self, authorization: Option<&HeaderValue>) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !token.is_borne_by(authorization) => {
                Err(Problem::new(Code::Unauthorized, "send the header `Authorization: Bearer TOKEN`"))
            }
            _ => Ok(()),
        }
    }
}

/// Lets a request pass, or answers it.
pub async fn pass(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let mut response = guarded(&shared, &route, request, next).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = response.status().as_u16();
    shared.figures.answered(&method, &route, status, begun.elapsed());
    tracing::info!(%method, route, status, took_us = crate::probe::micros(begun.elapsed()), "answered");
    response
}

async fn guarded(shared: &Shared, route: &str, request: Request, next: Next) -> Response {
    // Whoever asks whether the server is well must be answered when it is not.
    if matches!(route, "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let guard = &shared.guard;
    let checked = guard
        .check_rate(request.extensions().get())
        .and_then(|()| guard.check_token(request.headers().get(header::AUTHORIZATION)));
    if let Err(problem) = checked {
        return problem.into_response();
    }
    let Ok(_permit) = guard.in_flight.try_acquire() else {
        let detail = format!("{} requests are being answered, as many as may be", guard.limits.in_flight);
        return Problem::new(Code::Busy, detail).after(1).into_response();
    };
    match tokio::time::timeout(guard.limits.deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail =
                format!("no answer within {:?}; whether an import was queued is unknown", guard.limits.deadline);
            Problem::new(Code::Deadline, detail).after(5).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token::new("0123456789abcdef").unwrap();
        let opens = |header: &'static str| token.is_borne_by(Some(&HeaderValue::from_static(header)));
        assert!(opens("Bearer 0123456789abcdef") && opens("bearer 0123456789abcdef"));
        for bad in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdeff", "0123456789abcdef"] {
            assert!(!opens(bad), "{bad}");
        }
        assert!(!token.is_borne_by(None));
        assert!(!format!("{token:?}").contains("0123"));
        assert!(Token::new("short").is_err() && Token::new("with space in it 0123").is_err());
    }
}
