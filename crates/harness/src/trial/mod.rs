//! A trial: the ingestion of one or more revisions of one or more events into a fresh database, with its faults,
//! restarts and verification.

pub mod attempt;
pub mod beside;
pub mod count;
pub mod databases;
pub mod drive;
pub mod faults;
pub mod measure;
pub mod measuring;
pub mod observe;
pub mod plan;
pub mod record;
pub mod story;
pub mod undisturbed;
