//! What was left in the database after the last engine process ended.

use std::time::Duration;

use sqlx::PgPool;

use crate::trial::record::Aftermath;

/// Waits until the engine's sessions are gone, then looks. What is still there after `patience` is reported as left behind.
///
/// # Errors
/// When the database does not answer.
pub async fn settle(pool: &PgPool, engine_role: &str, patience: Duration) -> sqlx::Result<Aftermath> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let seen = look(pool, engine_role).await?;
        if seen.connections == 0 || tokio::time::Instant::now() >= deadline {
            return Ok(seen);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn look(pool: &PgPool, engine_role: &str) -> sqlx::Result<Aftermath> {
    let (connections, open_transactions): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE xact_start IS NOT NULL) FROM pg_stat_activity \
         WHERE datname = current_database() AND usename = $1 AND pid <> pg_backend_pid()",
    )
    .bind(engine_role)
    .fetch_one(pool)
    .await?;
    let (advisory_locks, temporary_tables, prepared_transactions, deadlocks): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()), \
                (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname LIKE 'pg\\_temp%' AND c.relkind = 'r'), \
                (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()), \
                (SELECT coalesce(sum(deadlocks), 0)::bigint FROM pg_stat_database WHERE datname = current_database())",
    )
    .fetch_one(pool)
    .await?;
    let n = |v: i64| u64::try_from(v).unwrap_or(0);
    // A session drops its temporary tables as it ends. Those of none are what a killed server leaves in its catalogue,
    // until autovacuum comes by.
    let temporary_tables = if connections == 0 { 0 } else { temporary_tables };
    Ok(Aftermath {
        observed: true,
        advisory_locks: n(advisory_locks),
        connections: n(connections),
        open_transactions: n(open_transactions),
        temporary_tables: n(temporary_tables),
        prepared_transactions: n(prepared_transactions),
        deadlocks: n(deadlocks),
    })
}
