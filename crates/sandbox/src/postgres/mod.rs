//! PostgreSQL servers to test against: one interface, three ways to get one.
//!
//! [`Server::obtain`] takes a [`Choice`] (`auto`, `docker`, `local` or a URL) and gives a running server. What a test may
//! do to it is in its [`Capabilities`]; what it is, in its [`Facts`]. [`Templates`] gives each trial a database of its own.
//!
//! On a server of ours there are two roles: the admin (a superuser, for the harness) and the *engine* role that owns the
//! trial databases. Statements are counted per role, so the harness never works under the engine's.

mod backend;
mod capability;
mod choice;
pub(crate) mod connect;
mod daemon;
#[cfg(feature = "docker")]
pub(crate) mod docker;
mod error;
mod facts;
mod figures;
pub(crate) mod local;
mod port;
mod remote;
mod server;
pub(crate) mod shared_memory;
pub(crate) mod templates;
mod url;
mod watchdog;

pub use backend::{Backend, Down, FailedOver, Kind, Ready, Replication, Restarted, Stopped};
pub use capability::{Capabilities, Capability};
pub use choice::{BadChoice, Choice};
pub use connect::{connect, wait_until_ready};
pub use daemon::{Daemon, docker_daemon};
#[cfg(feature = "docker")]
pub use docker::{DEFAULT_IMAGE, Docker, LOCAL_IMAGE};
pub use error::{Error, Unsupported};
pub use facts::Facts;
pub use figures::{Cpu, Lsn, Measured, Meter, Peak, Used, wal_position};
pub use local::{Binaries, Local, memory};
pub use port::free_port;
pub use remote::Remote;
pub use server::{Options, Server};
pub use templates::{DATABASE_PREFIX, Database, Template, Templates};
pub use url::ServerUrl;

/// Process ids of the children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    figures::family(pid).iter().map(|process| process.pid).filter(|&child| child != pid).collect()
}
