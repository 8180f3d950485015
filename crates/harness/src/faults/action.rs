//! Actions: everything that can go wrong on purpose. A closed set.

use std::time::Duration;

use super::when::names;
use crate::quantity::Span;

names! {
    /// What a fault does.
    Action, "fault";
    /// SIGKILL of the engine's process.
    Crash = "crash",
    /// SIGSTOP of the engine's process, SIGCONT when it is over.
    Pause = "pause",
    /// SIGSTOP of the engine's process until another one has finished its event.
    Stall = "stall",
    /// The engine may have no more memory than it has: a cgroup limit where one can be set, else a limit on its data.
    OutOfMemory = "out-of-memory",
    /// The engine's connections to PostgreSQL are reset.
    DbReset = "db-reset",
    /// The network to PostgreSQL swallows everything, and heals without losing a byte.
    DbBlackhole = "db-blackhole",
    /// PostgreSQL refuses connections, and those that are there are closed.
    DbRefuse = "db-refuse",
    /// Every round trip to PostgreSQL takes 200 ms longer.
    DbSlow = "db-slow",
    /// The connection to PostgreSQL is cut halfway through the frame that is on its way.
    DbCut = "db-cut",
    /// The server ends the engine's backends.
    DbTerminate = "db-terminate",
    /// The postmaster is killed with SIGKILL, and started again when it is over.
    DbKill = "db-kill",
    /// The postmaster is stopped at once, without a checkpoint, and started again when it is over.
    DbStop = "db-stop",
    /// PostgreSQL is restarted in good order.
    DbRestart = "db-restart",
    /// Every process of PostgreSQL is stopped with SIGSTOP, and goes on when it is over.
    DbPause = "db-pause",
    /// The disk under the tables is full.
    DbFull = "db-full",
    /// PostgreSQL has no connection left to give.
    DbConnections = "db-connections",
    /// Another session holds a lock on the tables.
    DbLocked = "db-locked",
    /// PostgreSQL reports a deadlock (40P01), at a row or at COMMIT.
    DbDeadlock = "db-deadlock",
    /// PostgreSQL reports a serialization failure (40001), at a row or at COMMIT.
    DbSerialization = "db-serialization",
    /// PostgreSQL reports a lock timeout (55P03), at a row or at COMMIT.
    DbLockTimeout = "db-lock-timeout",
    /// PostgreSQL reports a statement timeout (57014), at a row or at COMMIT.
    DbStatementTimeout = "db-statement-timeout",
    /// The primary is killed and its synchronous standby takes its place: nothing acknowledged may be lost.
    DbFailover = "db-failover",
    /// The primary is killed and an asynchronous standby that lags takes its place: the report says what was lost.
    DbFailoverAsync = "db-failover-async",
    /// Connections to LiveRC are reset.
    NetReset = "net-reset",
    /// The network to LiveRC swallows everything, and heals.
    NetBlackhole = "net-blackhole",
    /// LiveRC refuses connections.
    NetRefuse = "net-refuse",
    /// LiveRC takes 500 ms longer to answer.
    NetSlow = "net-slow",
    /// LiveRC's bodies trickle.
    SlowBody = "slow-body",
    /// LiveRC answers 429 with Retry-After in seconds.
    Http429 = "http-429",
    /// LiveRC answers 429 with Retry-After as a date.
    Http429Date = "http-429-date",
    /// LiveRC answers 500, 502 and 503 in turn.
    Http5xx = "http-5xx",
    /// A body is shorter than its Content-Length says.
    Truncate = "truncate",
    /// A chunked body ends without its last chunk.
    TruncateChunked = "truncate-chunked",
    /// The connection is closed in the middle of a body of no declared length.
    TruncateClosed = "truncate-closed",
    /// A page whose HTML is broken.
    MalformedHtml = "malformed-html",
    /// A race page whose script is broken.
    MalformedScript = "malformed-script",
    /// An answer of 200 without a body.
    EmptyPage = "empty-page",
    /// The page of another race.
    WrongPage = "wrong-page",
    /// A page of 50 MB.
    HugePage = "huge-page",
    /// SIGKILL of the service's server process, in a load.
    ServerKill = "server-kill",
    /// The clients' connections to the service are reset, in a load: the one at the moment, or all.
    ClientReset = "client-reset",
}

/// What an action needs of the world. Where that is not to be had, the fault is *unsupported*, and the trial unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Nothing beyond any backend.
    Nothing,
    /// The proxy in front of PostgreSQL, which cannot read a connection under TLS.
    Proxy,
    /// A PostgreSQL of the harness's own: `--postgres docker` or `local`.
    OwnServer,
    /// A local server, and root to mount a small file system for it: `--postgres local`.
    LocalAndRoot,
    /// A local server, and a second one beside it: `--postgres local`.
    Local,
    /// The right to create trigger functions: any database of the harness's own.
    OwnDatabase,
    /// A cgroup that may be written, or else an engine that aborts on a failed allocation.
    Cgroup,
}

impl Need {
    /// In a few words, for `harness list faults`; empty: nothing.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Proxy => "no TLS to PostgreSQL",
            Self::OwnServer => "docker or local server",
            Self::LocalAndRoot => "local server, root",
            Self::Local => "local server",
            Self::OwnDatabase => "a database in which triggers may be made",
            Self::Cgroup => "root and a cgroup that can be written, or a limit on data",
        }
    }

    /// Whether only a local server has it.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Self::Local | Self::LocalAndRoot)
    }
}

impl Action {
    /// What it needs of the world.
    #[must_use]
    pub fn needs(self) -> Need {
        match self {
            Self::OutOfMemory => Need::Cgroup,
            Self::DbReset | Self::DbBlackhole | Self::DbRefuse | Self::DbSlow | Self::DbCut => Need::Proxy,
            Self::DbKill | Self::DbStop | Self::DbRestart | Self::DbPause | Self::DbConnections => Need::OwnServer,
            Self::DbFull => Need::LocalAndRoot,
            Self::DbFailover | Self::DbFailoverAsync => Need::Local,
            Self::DbLocked
            | Self::DbDeadlock
            | Self::DbSerialization
            | Self::DbLockTimeout
            | Self::DbStatementTimeout => Need::OwnDatabase,
            Self::Crash
            | Self::Pause
            | Self::Stall
            | Self::DbTerminate
            | Self::NetReset
            | Self::NetBlackhole
            | Self::NetRefuse
            | Self::NetSlow
            | Self::SlowBody
            | Self::Http429
            | Self::Http429Date
            | Self::Http5xx
            | Self::Truncate
            | Self::TruncateChunked
            | Self::TruncateClosed
            | Self::MalformedHtml
            | Self::MalformedScript
            | Self::EmptyPage
            | Self::WrongPage
            | Self::HugePage
            | Self::ServerKill
            | Self::ClientReset => Need::Nothing,
        }
    }

    /// How long it lasts when nothing is said; `None`: it is over at once, or strikes one page, and takes no duration.
    #[must_use]
    pub fn default_duration(self) -> Option<Span> {
        let millis = match self {
            Self::Crash
            | Self::Stall
            | Self::OutOfMemory
            | Self::DbReset
            | Self::DbCut
            | Self::DbTerminate
            | Self::DbDeadlock
            | Self::DbSerialization
            | Self::DbLockTimeout
            | Self::DbStatementTimeout
            | Self::NetReset
            | Self::Truncate
            | Self::TruncateChunked
            | Self::TruncateClosed
            | Self::MalformedHtml
            | Self::MalformedScript
            | Self::EmptyPage
            | Self::WrongPage
            | Self::HugePage
            | Self::ServerKill
            | Self::ClientReset => return None,
            Self::DbKill | Self::DbStop | Self::DbRestart | Self::DbFailover | Self::DbFailoverAsync => 0,
            Self::Http429 | Self::Http429Date => 1_000,
            Self::Pause
            | Self::DbBlackhole
            | Self::DbRefuse
            | Self::DbSlow
            | Self::DbPause
            | Self::DbFull
            | Self::DbConnections
            | Self::DbLocked
            | Self::NetBlackhole
            | Self::NetRefuse
            | Self::NetSlow
            | Self::SlowBody
            | Self::Http5xx => 500,
        };
        Some(Span(Duration::from_millis(millis)))
    }

    /// Whether it acts on a service, and so needs a load.
    #[must_use]
    pub fn is_of_load(self) -> bool {
        matches!(self, Self::ServerKill | Self::ClientReset)
    }

    /// Whether a load can carry it out. What it cannot is tied to one engine process and its event.
    #[must_use]
    pub fn fits_load(self) -> bool {
        !(self.is_raised()
            || matches!(
                self,
                Self::Stall | Self::OutOfMemory | Self::DbCut | Self::DbFull | Self::DbFailover | Self::DbFailoverAsync
            ))
    }

    /// Whether it is an error that PostgreSQL itself raises, at a row or at COMMIT.
    #[must_use]
    pub fn is_raised(self) -> bool {
        matches!(self, Self::DbDeadlock | Self::DbSerialization | Self::DbLockTimeout | Self::DbStatementTimeout)
    }
}
