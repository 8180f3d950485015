//! What can be wrong with the engine: closed sets, so that nobody can ask for a bug that is not there.

use std::fmt;

use contract::names;

/// A name that is none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    what: &'static str,
    given: String,
    known: Vec<String>,
}

impl Unknown {
    /// Describes a name that was looked for in vain.
    #[must_use]
    pub fn new(what: &'static str, given: &str, known: &[&str]) -> Self {
        Self { what, given: given.to_owned(), known: known.iter().map(|&name| name.to_owned()).collect() }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no {}; there are: {}", self.given, self.what, self.known.join(", "))
    }
}

impl std::error::Error for Unknown {}

names! {
    Unknown;
    /// One thing that is wrong with the engine.
    Bug, "bug";
    /// After a lost connection the batches that were already sent are not sent again.
    BatchLost = "batch-lost-after-reconnect",
    /// A restarted engine inserts every lap again, whatever is stored.
    PlainInsert = "plain-insert-on-retry",
    /// Checkpoints are committed before the rows that they speak of.
    CheckpointAhead = "checkpoint-ahead",
    /// Checkpoints are committed after the rows that they speak of.
    CheckpointBehind = "checkpoint-behind",
    /// An event with a failed race is marked complete.
    CompleteWithFailed = "complete-with-failed-race",
    /// The hash of a checkpoint stays when its race is written again.
    StaleHash = "checkpoint-hash-stale",
    /// Every batch is committed by itself, so that a part of a race can be seen.
    PartVisible = "race-visible-in-part",
    /// A statement's error is swallowed, and COMMIT of the aborted transaction is taken for success.
    SwallowedError = "swallowed-error",
    /// The session that holds the event's lock stays in the server when the engine ends.
    LockLeaked = "lock-leaked",
    /// A worker that wakes after another has finished its event writes on.
    StaleOverwrite = "stale-overwrite",
    /// A page that fails is asked for again at once, twenty times over, without end.
    RetryStorm = "retry-storm",
    /// Every page is kept, once for each of its laps.
    UnboundedMemory = "unbounded-memory",
    /// Inserted rows are reported as updated.
    WrongCounts = "wrong-counts",
    /// A commit whose answer got lost is taken for a failure, and done again without looking.
    AmbiguousDoubled = "ambiguous-commit-doubled",
    /// A commit whose answer got lost is taken for a success.
    AmbiguousSuccess = "ambiguous-commit-assumed",
    /// Every race page is asked for at once, whatever the bound.
    Crowding = "all-pages-at-once",
    /// `Retry-After` is not looked at.
    RetryAfterIgnored = "retry-after-ignored",
    /// What has come of a page that was cut short is taken for all of it.
    TruncatedAccepted = "truncated-page-accepted",
    /// A connection is left in an open transaction when the engine ends.
    OpenTransaction = "open-transaction",
    /// Of each race only the last driver's laps are kept.
    LastDriverOnly = "last-driver-only",
    /// The fastest lap is read with the digits of its superscript.
    Superscript = "superscript-read",
    /// A second ingestion writes every driver once more.
    DriversDoubled = "drivers-doubled",
    /// What is no longer on the pages stays in the database.
    LeftoversKept = "leftovers-kept",
    /// The exit code is 0 although a race failed.
    ExitZero = "exit-zero-after-failure",
    /// The feed acknowledges a unit before its COMMIT is sent.
    AcknowledgedEarly = "acknowledged-before-commit",
    /// A second ingestion writes unchanged races again.
    Rewrites = "rewrites-unchanged",
}

names! {
    Unknown;
    /// One thing that is wrong with a client or a worker of the service.
    ServiceBug, "bug of the service";
    /// A client that loses its answer tells that the import did not happen.
    LostToldFailed = "lost-answer-told-as-failure",
    /// A client tells success when its job has ended, however it ended.
    FailureToldComplete = "failed-import-told-as-success",
    /// A worker claims a job that another is working on, and both ingest its event, without lock or fence.
    TwoWorkers = "two-workers-on-one-event",
    /// A worker claims its job for a day, so that nobody takes it over when the worker dies.
    JobLost = "job-lost-with-its-worker",
}

impl ServiceBug {
    /// Whether it is the worker's; else the client's.
    #[must_use]
    pub fn of_worker(self) -> bool {
        matches!(self, Self::TwoWorkers | Self::JobLost)
    }
}

names! {
    Unknown;
    /// Something that only pretends to be an engine under test: a control that must never pass.
    Sham, "sham";
    /// Reaches PostgreSQL past the proxy that it was told to use.
    Bypass = "proxy-bypassed",
    /// Does nothing and exits 0.
    DoesNothing = "does-nothing",
    /// Reads every page, writes nothing, and claims in feed, counts and exit code to have written all.
    ClaimsAll = "claims-all",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_is_there_once() {
        for &bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(bug));
            assert!(bug.name().parse::<Sham>().is_err(), "{bug}");
            assert!(bug.description().ends_with('.'), "{bug}");
        }
        for &sham in Sham::ALL {
            assert_eq!(sham.name().parse(), Ok(sham));
        }
        for &bug in ServiceBug::ALL {
            assert_eq!(bug.name().parse(), Ok(bug));
            assert!(bug.name().parse::<Bug>().is_err(), "{bug}");
            assert!(bug.description().ends_with('.'), "{bug}");
        }
        let unknown = "nothing-wrong".parse::<Bug>().map_err(|e| e.to_string());
        assert!(unknown.is_err_and(|e| e.contains("`nothing-wrong` is no bug") && e.contains("lock-leaked")));
    }
}
