//! A client and a worker of the service, plain and right, or wrong on purpose in one way.

mod client;
mod worker;

pub use client::Client;
pub use worker::work;
