//! Imports as a service: an HTTP API, durable jobs and their workers, and the client that is never wrong about what
//! became of an import.
//!
//! `server` and `client` speak the types of [`model`]; `server` and `worker` meet only in the [`queue`], which is two
//! tables of the database. So workers may be in the server's process, in others, or on other machines.
//!
//! The queue is our own, some 400 lines of SQL and its edges. Weighed in November 2026:
//!
//! | crate | why not |
//! |---|---|
//! | apalis-postgres 1.0 | The nearest: sqlx 0.9, no OpenSSL. Its idempotency key is unique for ever, so an event could be imported once; a job is taken back when its *worker* is silent, not when its lease ends; no claim number guards the end of a job against a worker that was thought dead; no position, no progress. All of that would have been SQL of ours beside its tables. |
//! | graphile_worker 0.14 | sqlx 0.9, but brings tokio-postgres and 100 crates more. A job key that is locked makes a second job, so two of one event could run; ended jobs are deleted, so no cause is kept. |
//! | pgmq 0.34 (alpha) | A message queue with a visibility timeout: neither uniqueness nor a job's end. |
//! | sqlxmq 0.6, underway 0.2, fang 0.11 | A second sqlx (0.8); sqlxmq OpenSSL as well, fang Diesel. |

pub mod client;
pub mod events;
pub mod model;
pub mod queue;
pub mod server;
pub mod worker;
