//! The proxy against sockets: an echo server for each effect, spoken HTTP, a spoken and a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which fail by panicking")]

mod commit;
mod echo;
mod http;
mod postgres;
mod support;
