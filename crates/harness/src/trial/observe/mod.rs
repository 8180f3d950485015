//! What is looked at during and after a trial, one file per observer.

pub mod aftermath;
pub mod changes;
pub mod database;
pub mod feed;
pub mod resources;
pub mod sampler;
pub mod statements;
