//! Connections of the harness itself, and waiting for a server.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::error::Error;
use super::url::ServerUrl;
use crate::leftovers::Identity;

/// Longest that one attempt to connect may take. A frozen server accepts a connection (the kernel does) and then is silent.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between two attempts. Ready times of tens of milliseconds are measured by this, so it is short.
const BETWEEN: Duration = Duration::from_millis(4);

/// Connects under the URL's role, with an application name that tells whose connection it is.
///
/// # Errors
/// [`Error::Sql`] when the server refuses, is silent for [`ATTEMPT`], or the URL has a parameter that the driver cannot read.
pub async fn connect(url: &ServerUrl) -> Result<PgConnection, Error> {
    attempt(url).await.map_err(Error::sql(format!("connecting to {url}")))
}

async fn attempt(url: &ServerUrl) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.expose().parse()?;
    let options = options.application_name(&format!("liverc-harness {}", Identity::own())).disable_statement_logging();
    match tokio::time::timeout(ATTEMPT, PgConnection::connect_with(&options)).await {
        Ok(result) => result,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer for {} s", ATTEMPT.as_secs()),
        ))),
    }
}

/// Whether a failed attempt says that the server is there but the request is wrong: waiting will not help.
fn is_final(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(_) => true,
        // Class 28: wrong role or password. 3D000: no such database.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("28") || code == "3D000"),
        _ => false,
    }
}

/// Waits until the server answers a statement: neither an open port nor an accepted connection is proof of that.
///
/// `gone` is asked between attempts and ends the wait early: `Some(status)` when the server's process is no more.
///
/// # Errors
/// [`Error::NotReady`] after `limit`, [`Error::Ended`] when `gone` says so, [`Error::Sql`] when waiting cannot help.
pub async fn wait_until_ready(
    url: &ServerUrl,
    limit: Duration,
    mut gone: impl FnMut() -> Option<String> + Send,
) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        let why = match probe(url).await {
            Ok(()) => return Ok(()),
            Err(error) if is_final(&error) => return Err(Error::sql(format!("connecting to {url}"))(error)),
            Err(error) => error,
        };
        if let Some(status) = gone() {
            return Err(Error::Ended { status, during: "while it was starting", log: String::new() });
        }
        if start.elapsed() >= limit {
            return Err(Error::NotReady { after: limit, why: why.to_string(), log: String::new() });
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn probe(url: &ServerUrl) -> Result<(), sqlx::Error> {
    let mut connection = attempt(url).await?;
    connection.execute("SELECT 1").await?;
    connection.close().await
}

/// Runs a statement whose text is put together from names of ours. Every name in it has been through [`quoted`].
pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    // Through the simple protocol: CREATE DATABASE and its like run outside a transaction.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// A name as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    // `E''` so that it does not depend on standard_conforming_strings.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_break_out() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal(r"it's \ here"), r"E'it\'s \\ here'");
    }
}
