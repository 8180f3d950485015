//! The service against a real PostgreSQL: queue, workers as processes, API, client.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod api;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod help;
mod limits;
mod openapi;
mod queue;
mod workers;
