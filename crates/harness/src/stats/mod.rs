//! Percentiles, intervals, comparison. Pure.

mod histogram;
mod metric;

pub use histogram::Histogram;
pub use metric::{Better, Metric, Stage, Unit};
