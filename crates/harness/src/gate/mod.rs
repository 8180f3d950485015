//! The gate: whether a change made ingestion slower, chattier or unsafe. Pure: a verdict is computed from a recorded run.
//!
//! Counts are compared with a stored [`Baseline`]; time with a base build in the same run, or as a ratio to a reference COPY
//! of the same rows that took turns with the trials. What is not comparable is refused or *not judged*, and said.

mod baseline;
mod checks;
mod plan;
mod record;
pub mod report;
mod verdict;
mod why;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use baseline::{
    BASELINE_SCHEMA, Baseline, BaselineError, Calls, Conditions, Difference, Range, Ratio, TimeRatios, Unlike, Work,
};
pub use checks::{COUNTED, Check, CheckVerdict, REFERENCE_FLOOR, checks};
pub use plan::{Pairs, next};
pub use record::{BaseBuild, GateRecord, Placed, ReferenceCopy, TimeBy};
pub use verdict::{GateVerdict, Headline, baseline, verdict};
pub use why::{StageChange, StatementChange};
