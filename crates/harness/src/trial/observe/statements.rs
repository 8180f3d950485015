//! Statements of the engine's role in the trial's database, from `pg_stat_statements`.
//!
//! The trial's database is new, so nothing of its migrations is counted (they ran in the template), and the harness works
//! under another role. BEGIN, COMMIT and COPY count; statements that failed do not (PostgreSQL does not count them).

use sqlx::PgPool;

use crate::trial::record::StatementCost;

/// All statements so far, dearest first; `None` where the extension is not there. The view is read through a connection
/// to the database in which the extension was made: it shows the statements of all databases.
///
/// # Errors
/// When the server does not answer.
pub async fn read(admin: &PgPool, database: &str, engine_role: &str) -> sqlx::Result<Option<Vec<StatementCost>>> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('pg_stat_statements') IS NOT NULL").fetch_one(admin).await?;
    if !there {
        return Ok(None);
    }
    let rows: Vec<(String, i64, i64, f64, i64)> = sqlx::query_as(
        "SELECT s.query, s.calls, s.rows, s.total_exec_time * 1000, s.wal_bytes::bigint \
         FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid \
         WHERE r.rolname = $1 AND d.datname = $2 ORDER BY s.total_exec_time DESC, s.query",
    )
    .bind(engine_role)
    .bind(database)
    .fetch_all(admin)
    .await?;
    let n = |v: i64| u64::try_from(v).unwrap_or(0);
    Ok(Some(
        rows.into_iter()
            .map(|(query, calls, rows, exec_us, wal)| StatementCost {
                query: query.split_whitespace().collect::<Vec<_>>().join(" "),
                calls: n(calls),
                rows: n(rows),
                exec_us,
                wal_bytes: n(wal),
            })
            .collect(),
    ))
}

/// What came after `before`.
#[must_use]
pub fn since(before: &[StatementCost], after: &[StatementCost]) -> Vec<StatementCost> {
    let mut delta: Vec<StatementCost> = after
        .iter()
        .map(|now| {
            let then = before.iter().find(|b| b.query == now.query);
            StatementCost {
                query: now.query.clone(),
                calls: now.calls - then.map_or(0, |t| t.calls.min(now.calls)),
                rows: now.rows - then.map_or(0, |t| t.rows.min(now.rows)),
                exec_us: now.exec_us - then.map_or(0.0, |t| t.exec_us),
                wal_bytes: now.wal_bytes - then.map_or(0, |t| t.wal_bytes.min(now.wal_bytes)),
            }
        })
        .filter(|s| s.calls > 0)
        .collect();
    delta.sort_by(|a, b| b.exec_us.total_cmp(&a.exec_us));
    delta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_was_not_called_again_is_left_out() {
        let cost = |query: &str, calls| StatementCost {
            query: query.into(),
            calls,
            rows: calls,
            exec_us: calls as f64,
            wal_bytes: 0,
        };
        let delta = since(&[cost("a", 2), cost("b", 1)], &[cost("a", 5), cost("b", 1), cost("c", 4)]);
        assert_eq!(delta, [cost("c", 4), cost("a", 3)]);
    }
}
