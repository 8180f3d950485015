//! The seam: what every kind of server does.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::capability::{Capabilities, Capability};
use super::error::Error;
use super::url::ServerUrl;

/// The kinds of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A container.
    Docker,
    /// A child process of ours.
    Local,
    /// A server that others own.
    Url,
}

impl Kind {
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Docker => "a server in Docker",
            Self::Local => "a local server",
            Self::Url => "the server of a URL",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Local => "local",
            Self::Url => "url",
        })
    }
}

/// How a server is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// SIGKILL to every process of it: a crash. The next start recovers.
    Kill,
    /// SIGQUIT: immediate shutdown without a checkpoint. The next start recovers.
    Quit,
    /// SIGINT: transactions are rolled back, a checkpoint is made. Nothing to recover.
    Fast,
}

impl Down {
    pub(crate) fn capability(self) -> Capability {
        match self {
            Self::Kill => Capability::Kill,
            Self::Quit => Capability::Quit,
            Self::Fast => Capability::StopFast,
        }
    }
}

/// Proof that a server went down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// How.
    pub how: Down,
    /// Exit status or signal of its main process, as the system reported it.
    pub status: String,
    /// From the signal until no process of it was left.
    pub took: Duration,
}

/// A server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// From the start of its process until a statement was answered; includes recovery.
    pub took: Duration,
}

/// A server was taken down and is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    /// How it went down.
    pub stopped: Stopped,
    /// How it came back.
    pub ready: Ready,
}

/// How a standby follows its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// A COMMIT is answered when the standby has it on disk (`synchronous_standby_names`).
    Synchronous,
    /// A COMMIT is answered at once; the standby follows.
    Asynchronous,
}

/// Proof that a standby has taken its primary's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedOver {
    /// How the primary went down.
    pub primary: Stopped,
    /// How far the primary's log had come when it went down (`pg_current_wal_flush_lsn`).
    pub primary_at: super::figures::Lsn,
    /// How far the standby had it when it was promoted.
    pub standby_at: super::figures::Lsn,
    /// Timeline that the standby writes on since: another than its primary's.
    pub timeline: u32,
    /// The primary's timeline.
    pub primary_timeline: u32,
    /// From the primary's end until the standby was no longer in recovery (`pg_is_in_recovery()` false).
    pub promoted_within: Duration,
}

/// A PostgreSQL server. What a kind cannot do it refuses with [`Error::Unsupported`], whose reason its [`Capabilities`] hold.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> Kind;

    /// Where it comes from: an image, a directory of binaries, a host. For reports.
    fn origin(&self) -> String;

    /// The image, when it is a container.
    fn image(&self) -> Option<String> {
        None
    }

    /// URL of the admin role, database `postgres` (or what a given URL names). The same across restarts.
    fn admin_url(&self) -> &ServerUrl;

    /// What can be done to it.
    fn capabilities(&self) -> &Capabilities;

    /// Starts it again after [`Backend::stop`], and waits until it answers.
    fn start(&self) -> BoxFuture<'_, Result<Ready, Error>> {
        refuse(self.capabilities(), Capability::Restart)
    }

    /// Takes it down and waits until it is.
    fn stop(&self, how: Down) -> BoxFuture<'_, Result<Stopped, Error>> {
        refuse(self.capabilities(), how.capability())
    }

    /// Takes it down and starts it again.
    fn restart(&self, how: Down) -> BoxFuture<'_, Result<Restarted, Error>> {
        Box::pin(async move {
            self.capabilities().require(Capability::Restart)?;
            let stopped = self.stop(how).await?;
            let ready = self.start().await?;
            Ok(Restarted { stopped, ready })
        })
    }

    /// Freezes all its processes: connections stay open, nothing answers.
    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        refuse(self.capabilities(), Capability::Pause)
    }

    /// Lets them go on.
    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        refuse(self.capabilities(), Capability::Pause)
    }

    /// Cuts it off its network.
    fn disconnect(&self) -> BoxFuture<'_, Result<(), Error>> {
        refuse(self.capabilities(), Capability::NetworkDisconnect)
    }

    /// Puts it back on its network, and waits until it answers.
    fn reconnect(&self) -> BoxFuture<'_, Result<Ready, Error>> {
        refuse(self.capabilities(), Capability::NetworkDisconnect)
    }

    /// Makes a streaming standby of it, and waits until that has all there is. Under [`Replication::Synchronous`] no COMMIT is
    /// answered from then on that the standby does not have.
    fn add_standby(&self, _replication: Replication) -> BoxFuture<'_, Result<(), Error>> {
        refuse(self.capabilities(), Capability::Failover)
    }

    /// Lets the standby have what there is now, and nothing that comes. Returns in words how far it has come.
    fn hold_standby_back(&self) -> BoxFuture<'_, Result<String, Error>> {
        refuse(self.capabilities(), Capability::Failover)
    }

    /// Kills the primary and promotes the standby, which [`Backend::start`] then puts in the primary's place: under the same
    /// address, with the same databases and roles.
    fn fail_over(&self) -> BoxFuture<'_, Result<FailedOver, Error>> {
        refuse(self.capabilities(), Capability::Failover)
    }

    /// Ends a standby that was not promoted. Nothing to do when there is none.
    fn remove_standby(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Process id, in this machine's numbering, of the postmaster.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when its processes cannot be seen from here, [`Error::State`] when it is down.
    fn postmaster(&self) -> Result<i32, Error>;

    /// CPU of earlier incarnations, which went down by [`Backend::stop`].
    fn spent_before(&self) -> super::figures::Cpu {
        super::figures::Cpu::default()
    }

    /// The last lines of its log; empty when it cannot be had.
    fn log_tail(&self) -> BoxFuture<'_, String>;

    /// A command line that opens one of its databases. Shows no password.
    fn psql(&self, database: &str) -> String;

    /// Lets it outlive this process; what it leaves then is not a leftover. Returns lines that say how to get at it and how to
    /// remove it. It counts as disposed of afterwards.
    fn keep(&self) -> BoxFuture<'_, Result<String, Error>>;

    /// Ends it for good and removes what it left. Idempotent.
    fn dispose(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// The refusal of something that a kind of server does not do.
fn refuse<'a, T: Send + 'a>(capabilities: &Capabilities, capability: Capability) -> BoxFuture<'a, Result<T, Error>> {
    let refusal = capabilities.refusal_of(capability);
    Box::pin(async move { Err(refusal.into()) })
}
