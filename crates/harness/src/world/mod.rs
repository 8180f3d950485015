//! The world of a trial: LiveRC's mock, the engine's process, and what is needed to act on them.

pub mod engine;
pub mod liverc;
pub mod page;
