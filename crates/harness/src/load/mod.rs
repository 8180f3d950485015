//! Load on the service: requests by a pattern of arrivals, what became of each, and the highest rate that still meets an
//! objective.

pub mod arrivals;
pub mod capacity;
pub mod generated;
pub mod generator;
pub mod rows;
