//! Errors typed by what to do about them, and cause chains for people.

use std::error::Error;
use std::time::Duration;

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Trying the same again may succeed at once: a deadlock, a serialization failure, a plan that was overtaken.
    RetryNow,
    /// Trying again later may succeed; after this time, where somebody named one.
    RetryLater(Option<Duration>),
    /// The race is bad: record it and go on with the others.
    BadRace,
    /// Nothing that this process can do will help.
    Stop,
}

impl Remedy {
    /// Whether another call with the same input may succeed.
    #[must_use]
    pub fn worth_retrying(self) -> bool {
        matches!(self, Self::RetryNow | Self::RetryLater(_))
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal,)+) => {
        /// The kind of a cause: few enough to count by. The cause itself is the chain of the error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CauseKind { $($(#[$doc])+ $variant,)+ }

        impl CauseKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As metrics and logs have it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

kinds! {
    /// No connection to the host of the pages.
    HostConnect = "host_connect",
    /// The host of the pages was too slow.
    HostTimeout = "host_timeout",
    /// The transfer of a page broke, or the page came cut short.
    Transfer = "transfer",
    /// The host asked for a pause (429, or 503 with `Retry-After`), or is still to be left alone.
    RateLimited = "rate_limited",
    /// The host answered 5xx.
    HostError = "host_error",
    /// The host has no such page (404, 410).
    NotFound = "not_found",
    /// The host refused: another 4xx, a redirection elsewhere.
    HostRefused = "host_refused",
    /// What came is no page: too large, or no HTML.
    NotAPage = "not_a_page",
    /// The page cannot be read, is of another race, or its numbers cannot be.
    Unreadable = "unreadable",
    /// A race whose numbers fit no column, or that a constraint refuses.
    Refused = "refused",
    /// A deadlock.
    Deadlock = "deadlock",
    /// A serialization failure, a lock that was not to be had, a plan that was overtaken.
    Conflict = "conflict",
    /// The connection to the database was lost, or could not be made.
    DbConnection = "db_connection",
    /// The database was too slow.
    DbTimeout = "db_timeout",
    /// Every connection of the pool was in use for too long.
    Pool = "pool",
    /// The database is out of disk, memory or connections.
    DbResources = "db_resources",
    /// Another engine works on the event.
    Locked = "locked",
    /// The database refuses for a reason that stays: schema, privilege, password.
    DbRefused = "db_refused",
    /// Something else.
    Other = "other",
}

/// The cause chain of an error on one line, outermost first. Repetitions are left out: several libraries print their
/// source in their own message as well.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = one_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let message = one_line(&cause.to_string());
        if !message.is_empty() && !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("race 7 not written")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection\n lost")]
    struct Inner;

    #[test]
    fn a_chain_is_one_line_outermost_first() {
        assert_eq!(chain(&Outer(Inner)), "race 7 not written: connection lost");
    }

    #[test]
    fn only_what_may_succeed_is_worth_retrying() {
        assert!(Remedy::RetryNow.worth_retrying() && Remedy::RetryLater(None).worth_retrying());
        assert!(!Remedy::BadRace.worth_retrying() && !Remedy::Stop.worth_retrying());
    }
}
