//! Percentiles, intervals, comparison. Pure.

mod compare;
mod histogram;
mod interval;
mod metric;
mod pairs;
mod slope;
mod spread;

pub use compare::{
    Bound, CONFIDENCE, Comparison, Extension, FEWEST_PAIRS, Finding, Floor, Met, NoComparison, UNBOUNDED, differences,
    is_counted,
};
pub use histogram::Histogram;
pub use interval::{MedianInterval, median_interval, rank};
pub use metric::{Better, Metric, Stage, Unit};
pub use pairs::{Place, Side, abba, pair_up, turn};
pub use slope::{Slope, slope, stretches};
pub use spread::Spread;
