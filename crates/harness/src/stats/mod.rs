//! Percentiles, intervals, comparison. Pure.

mod histogram;
mod interval;
mod metric;

pub use histogram::Histogram;
pub use interval::{MedianInterval, median_interval, rank};
pub use metric::{Better, Metric, Stage, Unit};
