//! How connections are made, and what state they may come back in.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool, Row};

use super::StoreError;
use crate::settings::DatabaseSettings;

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Connection options with the engine's session settings. They travel in the startup packet: no statement is made for them.
pub(super) fn options(url: &str, settings: &DatabaseSettings) -> Result<PgConnectOptions, StoreError> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(StoreError::Url("it is not one of PostgreSQL".to_owned()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|e| match e {
        sqlx::Error::Configuration(reason) => StoreError::Url(reason.to_string()),
        other => StoreError::Url(other.to_string()),
    })?;
    Ok(options
        .application_name("ingest")
        .options([
            ("statement_timeout", ms(settings.statement_timeout)),
            ("idle_in_transaction_session_timeout", ms(settings.lock_lease)),
            // a peer that vanished without a word is noticed within seconds on both paths: idle and in mid-statement
            ("tcp_keepalives_idle", "10".to_owned()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", "25000".to_owned()),
            ("client_connection_check_interval", "1000".to_owned()),
            // Every statement here, and every foreign-key check that it causes, goes by a key. A plan that was cached
            // while a table was empty would otherwise scan it for ever after.
            ("enable_seqscan", "off".to_owned()),
            // Where a scan cannot be avoided that makes its cost look astronomical, which would have the statement
            // compiled: a hundred milliseconds for one of two.
            ("jit", "off".to_owned()),
        ])
        .disable_statement_logging())
}

/// The pool. A connection that comes back in an open or a failed transaction is closed.
pub(super) fn pool(options: PgConnectOptions, settings: &DatabaseSettings) -> PgPool {
    let port = options.get_port();
    PgPoolOptions::new()
        .max_connections(settings.pool_size)
        .min_connections(0)
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(true)
        .after_connect(move |_, _| {
            super::socket::send_at_once(port);
            Box::pin(std::future::ready(Ok(())))
        })
        .after_release(|conn, _| Box::pin(outside_transaction(conn)))
        .connect_lazy_with(options)
}

/// Whether a connection is outside any transaction. In a failed one this statement fails; in an open one the
/// transaction began before the statement did.
async fn outside_transaction(conn: &mut PgConnection) -> sqlx::Result<bool> {
    use sqlx::Executor;
    let asked = tokio::time::timeout(
        Duration::from_secs(5),
        conn.fetch_one(sqlx::raw_sql("SELECT (now() = statement_timestamp())::text")),
    );
    match asked.await {
        Ok(Ok(row)) => Ok(row.try_get::<String, _>(0)? == "true"),
        Ok(Err(_)) | Err(_) => Ok(false),
    }
}
