//! What can be wrong with the engine: closed sets, so that nobody can ask for a bug that is not there.

use std::fmt;

macro_rules! names {
    ($(#[$meta:meta])* $type:ident; $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[doc = $doc])+ $variant,)+ }

        impl $type {
            /// Every one, in order.
            pub const ALL: &'static [$type] = &[$($type::$variant,)+];

            /// The name on command lines and in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }

            /// What it does, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $($type::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = Unknown;

            fn from_str(name: &str) -> Result<Self, Unknown> {
                Self::ALL.iter().copied().find(|b| b.name() == name).ok_or_else(|| Unknown(name.to_owned()))
            }
        }
    };
}

/// A name that is none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Bug::ALL.iter().map(|b| b.name()).chain(Sham::ALL.iter().map(|s| s.name()));
        write!(f, "`{}` is neither a bug nor a sham; there are: {}", self.0, all.collect::<Vec<_>>().join(", "))
    }
}

impl std::error::Error for Unknown {}

names! {
    /// One thing that is wrong with the engine.
    Bug;
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
    /// Something that only pretends to be an engine under test: a control that must never pass.
    Sham;
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
        let unknown = "nothing-wrong".parse::<Bug>().map_err(|e| e.to_string());
        assert!(unknown.is_err_and(|e| e.contains("nothing-wrong") && e.contains("does-nothing")));
    }
}
