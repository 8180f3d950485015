//! The review's phases: what each cure buys, alone and on top of the others, beside what the review expected of it. Pure.

mod cures;
mod judge;
pub mod report;

pub use cures::{CURES, Cure, Variant, variants};
pub use judge::{Against, Evidence, PhasesRecord, Placed, Row, rows};
