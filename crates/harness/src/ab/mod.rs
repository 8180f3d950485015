//! Two sides compared: what they are, what is asked of them, and what the recorded trials say. Pure.
//!
//! A comparison is a number of *sets*: the main one, one with background faults for the error rate, one for each load
//! condition. A set is a number of pairs, a trial of each side in each ([`crate::stats::turn`]).

pub mod calibrate;
pub mod conditions;
pub mod criteria;
pub mod errors;
pub mod judge;
pub mod predict;
pub mod record;

pub use criteria::{Criteria, Judged};
pub use judge::{Results, Row, judge};
pub use record::{ComparisonRecord, InSet, SetKind, SideRecord};
