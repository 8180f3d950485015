//! The named moments of an ingestion. Crashes and faults are tied to them.

use std::fmt;
use std::str::FromStr;

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A named moment in the engine's work, in the order in which an ingestion meets them first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Step { $($(#[doc = $doc])+ $variant,)+ }

        impl Step {
            /// Every step, in order.
            pub const ALL: &'static [Step] = &[$(Step::$variant,)+];

            /// The name used on command lines, in scenarios and in the feed.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Step::$variant => $name,)+ }
            }

            /// The moment that it stands for, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Step::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

steps! {
    /// The event page has been read.
    EventFetched = "event-fetched",
    /// The entry list has been written and committed.
    EntriesWritten = "entries-written",
    /// A race page has arrived whole.
    RaceFetched = "race-fetched",
    /// A race page has been parsed and validated.
    RaceParsed = "race-parsed",
    /// The transaction of a commit unit is open.
    UnitBegun = "unit-begun",
    /// The races and results of a commit unit are written, its laps are not.
    ResultsWritten = "results-written",
    /// The first part of a lap batch has left the engine, its end has not.
    MidBatch = "mid-batch",
    /// Between two lap batches of a unit: rows are in the table, uncommitted.
    MidUnit = "mid-unit",
    /// A lap batch has been written.
    BatchWritten = "batch-written",
    /// The checkpoints of a unit are written, uncommitted.
    CheckpointWritten = "checkpoint-written",
    /// All of a unit is written, COMMIT has not been sent.
    BeforeCommit = "before-commit",
    /// COMMIT was confirmed by PostgreSQL, nothing was done since.
    AfterCommit = "after-commit",
    /// All units are durable, the event is not yet `laps_full`.
    BeforeComplete = "before-complete",
    /// The event is `laps_full`.
    EventCompleted = "event-completed",
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is not a step's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStep(pub String);

impl fmt::Display for UnknownStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown step `{}`; steps: ", self.0)?;
        for (i, step) in Step::ALL.iter().enumerate() {
            write!(f, "{}{step}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownStep {}

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|s| s.name() == name).ok_or_else(|| UnknownStep(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_equals_its_json() {
        for &step in Step::ALL {
            assert_eq!(step.name().parse::<Step>(), Ok(step));
            assert_eq!(serde_json::to_value(step).unwrap(), step.name());
            assert!(step.description().ends_with('.'), "{step}");
        }
    }

    #[test]
    fn a_typo_is_refused_and_names_the_choices() {
        let err = "mid-bacth".parse::<Step>().unwrap_err().to_string();
        assert!(err.contains("mid-bacth") && err.contains("mid-batch"), "{err}");
    }
}
