//! Connections and transactions against a real PostgreSQL: what must never be taken for success, and never come back.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use common::{database, settings};
use ingest::settings::Profile;
use ingest::store::{Session, Store, StoreError, send_at_once};
use sandbox::proxy::{Protocol, Proxy};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Connection, Executor, Row};
use std::sync::Arc;

fn no_args() -> Result<PgArguments, StoreError> {
    Ok(PgArguments::default())
}

#[tokio::test]
async fn a_commit_after_a_failed_statement_is_refused() {
    let db = database().await;
    let store = db.store(&settings(Profile::Fast, &[]));
    let mut session = Session::acquire(&store).await.unwrap();
    session.begin().await.unwrap();
    session.execute("x", "INSERT INTO tracks VALUES ('a', 'A')", no_args()).await.unwrap();
    let error = session.execute("x", "INSERT INTO tracks VALUES ('a', 'A')", no_args()).await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("23505"));
    // The error was not attended to. The driver's own commit would say Ok here.
    assert!(matches!(session.commit().await, Err(StoreError::Aborted { .. })));
    assert!(matches!(session.begin().await, Err(StoreError::Aborted { .. })), "nor can it be used again");
    drop(session);
    assert_eq!(db.text("SELECT count(*)::text FROM tracks").await, "0");
}

async fn backend(session: &mut Session) -> i32 {
    session.rows("x", "SELECT pg_backend_pid()", no_args()).await.unwrap()[0].get(0)
}

#[tokio::test]
async fn a_session_dropped_in_a_transaction_or_in_mid_statement_is_closed() {
    let db = database().await;
    let store = db.store(&settings(Profile::Fast, &[("pool_size", "1")]));
    let mut session = Session::acquire(&store).await.unwrap();
    let first = backend(&mut session).await;
    drop(session);
    let mut session = Session::acquire(&store).await.unwrap();
    assert_eq!(backend(&mut session).await, first, "a clean one comes back");
    session.begin().await.unwrap();
    drop(session);
    let mut session = Session::acquire(&store).await.unwrap();
    let second = backend(&mut session).await;
    assert_ne!(second, first, "one in a transaction does not");
    let asleep = session.execute("x", "SELECT pg_sleep(60)", no_args());
    tokio::time::timeout(std::time::Duration::from_millis(50), asleep).await.unwrap_err();
    drop(session);
    let mut session = Session::acquire(&store).await.unwrap();
    assert_ne!(backend(&mut session).await, second, "nor does one that was left in mid-statement");
}

/// Not through a session, which sees to it itself, but as a cancelled `begin()` of the driver would leave it.
#[tokio::test]
async fn the_pool_never_hands_out_a_connection_in_a_transaction() {
    let db = database().await;
    let store = db.store(&settings(Profile::Fast, &[("pool_size", "1")]));
    for broken in ["BEGIN", "BEGIN; SELECT 1/0"] {
        let mut conn = store.pool().acquire().await.unwrap();
        let _ = conn.execute(sqlx::raw_sql(broken)).await;
        drop(conn);
        let mut conn = store.pool().acquire().await.unwrap();
        conn.execute("INSERT INTO tracks VALUES ('a', 'A')").await.unwrap();
        drop(conn);
        assert_eq!(db.text("SELECT count(*)::text FROM tracks").await, "1", "after `{broken}`");
        db.clear().await;
    }
}

#[tokio::test]
async fn sessions_run_under_deadlines_and_say_who_they_are() {
    let db = database().await;
    let store = db.store(&settings(Profile::Fast, &[("statement_timeout", "70ms"), ("lock_lease", "9s")]));
    let mut session = Session::acquire(&store).await.unwrap();
    for (setting, value) in [
        ("statement_timeout", "70ms"),
        ("idle_in_transaction_session_timeout", "9s"),
        ("application_name", "ingest"),
        ("client_connection_check_interval", "1s"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
    ] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT current_setting('{setting}')"));
        let rows = session.rows("x", sql, no_args()).await.unwrap();
        assert_eq!(rows[0].get::<String, _>(0), value, "{setting}");
    }
    let error = session.execute("x", "SELECT pg_sleep(60)", no_args()).await.unwrap_err();
    assert_eq!(error.remedy(), ingest::error::Remedy::RetryNow, "{error}");
}

#[tokio::test]
async fn migrations_run_twice_and_a_password_is_never_told() {
    let db = database().await;
    let own = settings(Profile::Fast, &[]);
    db.store(&own).migrate().await.unwrap();
    let error = ingest::store::Store::new("postgres://me:s3cret@host:no/x", own.database, Default::default());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("cannot be read") && !error.contains("s3cret"), "{error}");
}

/// Through a port of the test's own: other tests connect to the server's.
#[tokio::test]
async fn connections_of_the_pool_send_small_packets_at_once() {
    let db = database().await;
    let url = db.database.engine_url();
    let upstream = format!("{}:{}", url.host(), url.port()).parse().unwrap();
    let proxy = Proxy::start(upstream, Protocol::Postgres, Vec::new(), 1).await.unwrap();
    let (url, port) = (url.with_address(proxy.addr()), proxy.addr().port());
    let store = Store::new(url.expose(), settings(Profile::Fast, &[]).database, Arc::default()).unwrap();
    let _session = Session::acquire(&store).await.unwrap();
    assert_eq!(send_at_once(port), 0, "it was done when the connection was made");
    let _other = PgConnection::connect(url.expose()).await.unwrap();
    assert_eq!(send_at_once(port), 1, "sqlx does it by itself: ours can go");
}
