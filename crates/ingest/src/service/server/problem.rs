//! Errors as problem documents (RFC 9457), with a code that does not change.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::chain;
use crate::store::StoreError;

/// What went wrong, in a form that programs can read. The codes stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request cannot be read.
    Malformed,
    /// A value is out of the question.
    Invalid,
    /// The token is missing or wrong.
    Unauthorized,
    /// No such resource.
    NotFound,
    /// The resource does not know the method.
    MethodNotAllowed,
    /// The body did not come in time.
    SlowBody,
    /// The event is known at another track.
    OtherTrack,
    /// The key of the request stands for the import of another event.
    KeyInUse,
    /// The request was withdrawn before it came.
    Withdrawn,
    /// The body is too large.
    TooLarge,
    /// The body is no JSON.
    NotJson,
    /// Too many requests from this address.
    RateLimited,
    /// As many jobs wait as may.
    QueueFull,
    /// As many requests are being answered as may.
    Busy,
    /// The server is about to end.
    ShuttingDown,
    /// The database did not do what it should. Whether an import was queued is unknown.
    Database,
    /// The answer took too long. Whether an import was queued is unknown.
    Deadline,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::OtherTrack | Self::KeyInUse | Self::Withdrawn => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::QueueFull | Self::Busy | Self::ShuttingDown | Self::Database | Self::Deadline => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request cannot be read",
            Self::Invalid => "A value is not possible",
            Self::Unauthorized => "A valid token is needed",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "This cannot be done here",
            Self::SlowBody => "The body did not come in time",
            Self::OtherTrack => "The event is known at another track",
            Self::KeyInUse => "The key stands for another import",
            Self::Withdrawn => "The request was withdrawn",
            Self::TooLarge => "The body is too large",
            Self::NotJson => "The body must be JSON",
            Self::RateLimited => "Too many requests",
            Self::QueueFull => "The queue is full",
            Self::Busy => "The server is busy",
            Self::ShuttingDown => "The server is about to end",
            Self::Database => "The database cannot be used",
            Self::Deadline => "The answer took too long",
        }
    }

    /// Whether a request with this answer has certainly had no effect.
    #[must_use]
    pub fn refused(self) -> bool {
        !matches!(self, Self::Database | Self::Deadline)
    }

    /// Whether the same request may be taken later.
    #[must_use]
    pub fn worth_retrying(self) -> bool {
        matches!(
            self,
            Self::SlowBody
                | Self::RateLimited
                | Self::QueueFull
                | Self::Busy
                | Self::ShuttingDown
                | Self::Database
                | Self::Deadline
        )
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:ingest:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The code.
    pub code: Code,
    /// Seconds after which to try again, as in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// The media type.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let name = serde_json::to_value(code).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        Self {
            kind: format!("urn:ingest:problem:{name}"),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            retry_after: None,
        }
    }

    /// Tells when to try again.
    #[must_use]
    pub fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let cause = chain(&error);
        tracing::warn!(cause, advice = error.advice(), "the database failed a request");
        Self::new(Code::Database, cause).after(2)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA_TYPE));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ingest\""));
        }
        response
    }
}
