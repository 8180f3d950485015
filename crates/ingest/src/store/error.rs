//! What can go wrong with the database, and what to do about it.

use std::time::Duration;

use crate::error::{CauseKind, Remedy};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL refused, or was not there.
    #[error("{what}")]
    Database {
        /// What was being done.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// No answer in time.
    #[error("{what}: no answer from the database within {after:?}")]
    Deadline {
        /// What was being done.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// A statement of the transaction had failed before: COMMIT would have rolled back and said that all was well.
    #[error("{what}: refused, since a statement of this transaction failed and was not attended to")]
    Aborted {
        /// What was being done.
        what: &'static str,
    },
    /// Every connection of the pool was in use for too long.
    #[error("all {connections} connections of the pool were in use for {waited:?}; raise pool_size, or lower writers")]
    Exhausted {
        /// Connections of the pool.
        connections: u32,
        /// How long one was waited for.
        waited: Duration,
    },
    /// Another engine has taken over the event.
    #[error(
        "another engine has taken over event {event} (fence {ours} is no longer the newest); nothing was overwritten"
    )]
    Fenced {
        /// The event.
        event: u64,
        /// Our fencing number.
        ours: i64,
    },
    /// Another engine is at work on the event.
    #[error("another engine holds the lock of event {event}, waited {waited:?}; try again when it is done")]
    Locked {
        /// The event.
        event: u64,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The database URL is no use. The URL itself is not told: it may hold a password.
    #[error("the database URL cannot be read: {0}; the form is postgres://user@host:port/database")]
    Url(String),
    /// A migration failed.
    #[error("migration failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A race cannot be stored as it is.
    #[error("race {race}: {reason}")]
    Race {
        /// LiveRC's id.
        race: u64,
        /// Why.
        reason: String,
    },
    /// No such event.
    #[error("event {0} is not in the database")]
    NoEvent(u64),
    /// What is stored is not what an engine writes.
    #[error("stored rows make no sense: {0}")]
    Stored(String),
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Database { source, .. } => of_driver(source),
            Self::Deadline { .. } | Self::Exhausted { .. } => Remedy::RetryLater(None),
            Self::Aborted { .. } => Remedy::RetryNow,
            Self::Fenced { .. } | Self::Locked { .. } => Remedy::RetryLater(None),
            Self::Race { .. } => Remedy::BadRace,
            Self::Migrate(sqlx::migrate::MigrateError::Execute(e)) => of_driver(e),
            Self::Url(_) | Self::Migrate(_) | Self::NoEvent(_) | Self::Stored(_) => Remedy::Stop,
        }
    }

    /// Its kind, for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        match self {
            Self::Database { source, .. } | Self::Migrate(sqlx::migrate::MigrateError::Execute(source)) => match source
            {
                sqlx::Error::Database(e) => kind_of_sqlstate(e.code().as_deref().unwrap_or_default()),
                // `PoolTimedOut`: a place in the pool was free, and no connection could be made.
                sqlx::Error::Io(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::PoolTimedOut => CauseKind::DbConnection,
                sqlx::Error::Encode(_) => CauseKind::Refused,
                _ => CauseKind::Other,
            },
            Self::Deadline { .. } => CauseKind::DbTimeout,
            Self::Exhausted { .. } => CauseKind::Pool,
            Self::Fenced { .. } | Self::Locked { .. } => CauseKind::Locked,
            Self::Race { .. } => CauseKind::Refused,
            Self::Url(_) | Self::Migrate(_) | Self::NoEvent(_) => CauseKind::DbRefused,
            Self::Aborted { .. } | Self::Stored(_) => CauseKind::Other,
        }
    }

    /// Whether the engine must end since another one works on the event.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::Locked { .. })
    }

    /// SQLSTATE, where PostgreSQL gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Database { source, .. } => Some(source.as_database_error()?.code()?.into_owned()),
            _ => None,
        }
    }

    /// What the user should do, where the message itself does not say it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self.sqlstate().as_deref() {
            Some("42P01" | "42703" | "3F000") => Some("the schema is missing or old: run `ingest migrate`"),
            Some("3D000") => Some("create the database, then run `ingest migrate`"),
            Some("28P01" | "28000") => Some("check user and password in DATABASE_URL"),
            Some("42501") => Some("the role in DATABASE_URL lacks a privilege"),
            Some("53100") => Some("the database's disk is full: make room, then run this again"),
            Some("53300") => Some("the server is out of connections: lower pool_size or raise max_connections"),
            _ => None,
        }
    }
}

/// Wraps a driver's error with what was being done.
pub(crate) fn doing(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { what, source }
}

fn of_driver(error: &sqlx::Error) -> Remedy {
    match error {
        sqlx::Error::Database(e) => of_sqlstate(e.code().as_deref().unwrap_or_default()),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            Remedy::RetryLater(None)
        }
        sqlx::Error::BeginFailed => Remedy::RetryNow,
        sqlx::Error::Encode(_) => Remedy::BadRace,
        _ => Remedy::Stop,
    }
}

/// What to do about an SQLSTATE. Source: PostgreSQL documentation, appendix A.
#[must_use]
pub fn of_sqlstate(code: &str) -> Remedy {
    match code {
        // serialization failure, deadlock, lock not available, statement timeout or cancel
        "40001" | "40P01" | "40003" | "55P03" | "57014" => Remedy::RetryNow,
        // unique: a first commit was still in flight, plan again · foreign key: a parent left meanwhile
        "23505" | "23503" => Remedy::RetryNow,
        // idle-in-transaction timeout, shutdown and its kin, cannot connect now
        "25P03" | "57P01" | "57P02" | "57P03" | "57P05" => Remedy::RetryLater(None),
        // aborted transaction: the statement that failed has been lost sight of
        "25P02" => Remedy::RetryNow,
        _ => match code.get(..2).unwrap_or_default() {
            // connection, resources (disk, memory, connections), system error, internal error
            "08" | "53" | "58" | "XX" => Remedy::RetryLater(None),
            // read-only transaction: a failover that is not over
            "25" => Remedy::RetryLater(None),
            // data, constraint, limit exceeded, raised by a trigger
            "22" | "23" | "54" | "P0" => Remedy::BadRace,
            _ => Remedy::Stop,
        },
    }
}

/// The kind of an SQLSTATE. Source: PostgreSQL documentation, appendix A.
fn kind_of_sqlstate(code: &str) -> CauseKind {
    match code {
        "40P01" => CauseKind::Deadlock,
        "40001" | "40003" | "55P03" | "23505" | "23503" => CauseKind::Conflict,
        "57014" | "25P03" | "57P05" => CauseKind::DbTimeout,
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "57" => CauseKind::DbConnection,
            "53" | "58" => CauseKind::DbResources,
            "22" | "23" | "54" | "P0" => CauseKind::Refused,
            "28" | "3D" | "3F" | "42" => CauseKind::DbRefused,
            _ => CauseKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_told_apart_by_what_to_do() {
        for (code, remedy) in [
            ("40P01", Remedy::RetryNow),
            ("40001", Remedy::RetryNow),
            ("57014", Remedy::RetryNow),
            ("23505", Remedy::RetryNow),
            ("57P01", Remedy::RetryLater(None)),
            ("08006", Remedy::RetryLater(None)),
            ("53100", Remedy::RetryLater(None)),
            ("25006", Remedy::RetryLater(None)),
            ("22021", Remedy::BadRace),
            ("23514", Remedy::BadRace),
            ("P0001", Remedy::BadRace),
            ("42P01", Remedy::Stop),
            ("28P01", Remedy::Stop),
            ("3D000", Remedy::Stop),
            ("", Remedy::Stop),
        ] {
            assert_eq!(of_sqlstate(code), remedy, "{code}");
        }
    }

    #[test]
    fn kinds_are_told_apart_too() {
        for (code, kind) in [
            ("40P01", CauseKind::Deadlock),
            ("23505", CauseKind::Conflict),
            ("57014", CauseKind::DbTimeout),
            ("57P01", CauseKind::DbConnection),
            ("53100", CauseKind::DbResources),
            ("23514", CauseKind::Refused),
            ("42P01", CauseKind::DbRefused),
            ("", CauseKind::Other),
        ] {
            assert_eq!(kind_of_sqlstate(code), kind, "{code}");
        }
        assert_eq!(doing("x")(sqlx::Error::PoolTimedOut).kind(), CauseKind::DbConnection);
    }

    #[test]
    fn a_lost_connection_is_retried_and_a_bad_url_is_not() {
        let lost = doing("x")(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!(lost.remedy(), Remedy::RetryLater(None));
        assert_eq!(StoreError::Url("no".into()).remedy(), Remedy::Stop);
    }
}
