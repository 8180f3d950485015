//! The load-testing and failure-injection harness: scenario → plan → world + engine + faults → observations → oracles,
//! metrics → statistics → verdict → report.
//!
//! Everything from the observations on is a pure function of recorded data: it runs again on a stored run.

pub mod ab;
pub mod clock;
pub mod commands;
pub mod faults;
pub mod format;
pub mod gate;
pub mod load;
pub mod nearest;
pub mod oracle;
pub mod phases;
pub mod quantity;
pub mod report;
pub mod scenario;
pub mod search;
pub mod selftest;
pub mod stats;
pub mod synth;
pub mod trial;
pub mod world;
