//! The report of a run: pure functions from a [`RunRecord`] to text, one file per format, and a rim that reads and writes.
//!
//! Every text passes [`scrub()`] last, so that no password leaves by any field.

pub mod compared;
pub mod groups;
pub mod html;
pub mod index;
pub mod junit;
pub mod load;
pub mod notes;
pub mod overall;
pub mod plots;
mod scrub;
pub mod search;
mod selftest;
mod store;
pub mod summary;
pub mod terminal;
pub mod words;

pub use crate::format;
use crate::trial::record::RunRecord;

pub use scrub::scrub;
pub(crate) use store::replace;
pub use store::{ReportError, Written, append_trial, is_root, load, write, write_header, write_index};

/// `result.json`: the whole record, readable, without passwords.
///
/// # Errors
/// When the record cannot be serialised.
pub fn result_json(run: &RunRecord) -> Result<String, serde_json::Error> {
    let mut run = run.clone();
    for trial in &mut run.trials {
        // JSON has no NaN: it would become null, and the file could not be read back.
        trial.metrics.retain(|_, value| value.is_finite());
        trial.statements.retain(|s| s.exec_us.is_finite());
    }
    serde_json::to_string_pretty(&run).map(|text| scrub(&text) + "\n")
}
