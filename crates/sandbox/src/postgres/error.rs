//! What can go wrong with a server, and the exit code that says so.

use std::path::PathBuf;
use std::time::Duration;

use super::backend::Kind;
use super::capability::Capability;
use super::choice::BadChoice;

/// A server does not allow what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{capability} is not possible on {}: {reason}", kind.phrase())]
pub struct Unsupported {
    /// The kind of server.
    pub kind: Kind,
    /// What was asked.
    pub capability: Capability,
    /// Why not.
    pub reason: String,
}

/// A failure of getting or handling a PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--postgres` was given something unreadable.
    #[error(transparent)]
    Choice(#[from] BadChoice),
    /// No way leads to a PostgreSQL.
    #[error(
        "there is no PostgreSQL to be had\n  docker: {docker}\n  local: {local}\n\
         Do one of these: start Docker (and, where no registry can be reached, run fixtures/postgres-image/build); install \
         PostgreSQL 13 or newer on this machine (Debian: apt install postgresql) or point PG_BIN at its bin directory; or \
         name a server with --postgres postgres://user:password@host:5432/database"
    )]
    NoDatabase {
        /// Why not Docker.
        docker: String,
        /// Why not this machine's binaries.
        local: String,
    },
    /// This machine's PostgreSQL cannot be used.
    #[error("this machine's PostgreSQL cannot be used: {0}")]
    Local(String),
    /// Docker cannot be used.
    #[error("Docker cannot be used: {0}")]
    Docker(String),
    /// A server did not become ready.
    #[error("PostgreSQL was not ready within {} s: {why}{}", .after.as_secs_f32(), log_block(.log))]
    NotReady {
        /// How long it was waited for.
        after: Duration,
        /// The last answer.
        why: String,
        /// The end of the server's log.
        log: String,
    },
    /// A server ended where it should have run.
    #[error("PostgreSQL ended ({status}) {during}{}", log_block(.log))]
    Ended {
        /// Exit status or signal.
        status: String,
        /// What was going on.
        during: &'static str,
        /// The end of the server's log.
        log: String,
    },
    /// The server is not in the state that the call needs.
    #[error("PostgreSQL is {state}: {asked} is not possible now")]
    State {
        /// Running, stopped, paused.
        state: &'static str,
        /// What was asked.
        asked: &'static str,
    },
    /// A server refused or lost a connection, or a statement failed.
    #[error("PostgreSQL: {doing} failed: {source}")]
    Sql {
        /// What was being done.
        doing: String,
        /// The driver's error.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// A migration given by the caller failed.
    #[error("the template database {template} could not be migrated: {source}")]
    Migrate {
        /// Its name.
        template: String,
        /// The caller's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is too old.
    #[error("PostgreSQL {found} is too old: version 13 or newer is needed")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The server does not allow this.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A file or directory could not be handled.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A process could not be handled.
    #[error("{doing}: {source}")]
    Process {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Exit code that stands for this error (DESIGN 10): 2 for a mistake of the user, 5 when the environment failed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Choice(_) => 2,
            _ => 5,
        }
    }

    pub(crate) fn sql(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Sql { doing, source: Box::new(source) }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn process(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Process { doing, source }
    }
}

fn log_block(log: &str) -> String {
    if log.trim().is_empty() { String::new() } else { format!("\nThe end of the server's log:\n{}", log.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_mistakes_from_failures() {
        assert_eq!(Error::from("nonsense".parse::<super::super::Choice>().unwrap_err()).exit_code(), 2);
        let none = Error::NoDatabase { docker: "no daemon".to_owned(), local: "no binaries".to_owned() };
        assert_eq!(none.exit_code(), 5);
        let text = none.to_string();
        for part in ["no daemon", "no binaries", "fixtures/postgres-image/build", "PG_BIN", "--postgres postgres://"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
