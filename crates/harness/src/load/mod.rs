//! Load on the service: requests by a pattern of arrivals, what became of each, and the highest rate that still meets an
//! objective.
//!
//! A repetition of a load is a trial ([`drive::repetition`]): the service's processes are started on a database of their own, clients
//! ask for imports while faults strike, and when all is over what every client was told is held against the database.

pub mod arrivals;
pub mod capacity;
pub mod client;
pub mod drive;
pub mod faults;
pub mod feeds;
pub mod generated;
pub mod generator;
pub mod jobs;
pub mod plan;
pub mod processes;
pub mod record;
pub mod rows;
pub mod sample;
pub mod settle;
pub mod story;
