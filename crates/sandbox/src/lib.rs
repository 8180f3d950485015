//! Real things to test against: PostgreSQL servers, template databases, a TCP proxy. Knows no engine and no scenario.

pub mod leftovers;
pub mod postgres;
pub mod process;
pub mod proxy;
