//! What can go wrong with a fetch, and what to do about it.

use std::time::Duration;

use thiserror::Error;

use crate::error::CauseKind;

/// What to do about a failed fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The transfer broke: try again at once.
    RetryNow,
    /// The host is not well, or asks for a pause (its length, if it said so).
    RetryLater(Option<Duration>),
    /// What came is no page: the host, or something on the way to it, is not well. Not again in this call, since the
    /// next answer would cost as much; a later call may find it mended.
    NextCall,
    /// Trying again will not help.
    Permanent,
}

/// Why a fetch failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchCause {
    /// No connection.
    #[error("cannot connect ({0}); check the network and the address")]
    Connect(String),
    /// Too slow.
    #[error("{what} took longer than {} s", limit.as_secs_f64())]
    Timeout {
        /// Which part.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The transfer broke.
    #[error("the transfer broke ({0})")]
    Broken(String),
    /// The page has no `</html>`: a connection that was cut looks like this where no length was declared.
    #[error("the page came cut short: {0}")]
    CutShort(String),
    /// 404 or 410.
    #[error("there is no such page (HTTP {0}); check the track and the id")]
    NotFound(u16),
    /// Another status that is not success.
    #[error("the host answered HTTP {0}")]
    Status(u16),
    /// The host asks for a pause that is longer than we wait.
    #[error("the host asks to be left alone for {} s more; try again after that", wait.as_secs())]
    Closed {
        /// What is left of it.
        wait: Duration,
    },
    /// The page is too large.
    #[error("the page is larger than {limit} bytes, the limit; raise it if that is right")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Something else than a page.
    #[error("the host sent {content_type:?} where a page was asked for")]
    NotHtml {
        /// Header `Content-Type`.
        content_type: String,
    },
    /// A redirection to another host, or too many.
    #[error("redirected elsewhere ({0}); check the address")]
    Redirect(String),
    /// No URL.
    #[error("not a URL ({0})")]
    BadUrl(String),
}

/// A failed fetch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot fetch {url} ({attempts} attempt{}): {cause}", if *attempts == 1 { "" } else { "s" })]
pub struct FetchError {
    /// The URL, without credentials.
    pub url: String,
    /// Attempts made.
    pub attempts: u32,
    /// What happened.
    pub cause: FetchCause,
    /// What to do.
    pub advice: Advice,
}

impl FetchCause {
    /// Its kind, for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        match self {
            Self::Connect(_) => CauseKind::HostConnect,
            Self::Timeout { .. } => CauseKind::HostTimeout,
            Self::Broken(_) | Self::CutShort(_) => CauseKind::Transfer,
            Self::NotFound(_) => CauseKind::NotFound,
            Self::Status(429) | Self::Closed { .. } => CauseKind::RateLimited,
            Self::Status(500..) => CauseKind::HostError,
            Self::Status(_) | Self::Redirect(_) | Self::BadUrl(_) => CauseKind::HostRefused,
            Self::TooLarge { .. } | Self::NotHtml { .. } => CauseKind::NotAPage,
        }
    }
}
