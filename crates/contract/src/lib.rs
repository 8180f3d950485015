//! What an engine and the harness share: the steps of an ingestion, how a process is armed to stop or die at one of
//! them, the records of the feed, and the exit codes.
//!
//! Nothing here does I/O: the engine appends [`feed::Line`]s to a file, the harness reads them. The format is JSON, a
//! line a record, so that an engine in any language can obey it.

pub mod arming;
pub mod env;
pub mod exit;
pub mod feed;
mod names;
pub mod step;

pub use arming::{ArmAction, Arming, Trigger};
pub use step::Step;
