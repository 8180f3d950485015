//! The ingestion engine: reads race meetings from LiveRC and writes them to PostgreSQL.
//!
//! One direction only: `liverc` (pages → [`model`]) → `pipeline` (races → commit units) → `store` (units → rows).
//! `liverc` knows no PostgreSQL, `store` knows no LiveRC; only `pipeline` knows the order of work.

pub mod cli;
pub mod error;
#[doc(hidden)]
pub mod fixture;
pub mod liverc;
pub mod metrics;
pub mod model;
pub mod pipeline;
pub mod probe;
pub mod retry;
pub mod service;
pub mod settings;
pub mod store;
