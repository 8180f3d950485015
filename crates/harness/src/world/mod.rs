//! The world of a trial: LiveRC's mock, the engine's process, and what is needed to act on them.

pub mod action;
pub mod cores;
pub mod disk;
pub mod engine;
pub mod liverc;
pub mod memory;
mod misbehave;
pub mod page;
pub mod raised;
pub mod reference;
pub mod wires;
