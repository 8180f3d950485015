//! Errors that PostgreSQL itself raises, at a chosen row or at a chosen COMMIT, whatever the engine.
//!
//! A trigger function draws a number from a sequence for each row (or each writing transaction) and raises the error when the
//! number is the chosen one. A sequence is not rolled back: the error comes exactly once, and the sequence's value is the proof.

use sqlx::{AssertSqlSafe, PgPool};

use crate::faults::{Action, When};

/// The schema of the harness's own things.
const SCHEMA: &str = "harness";

/// A trigger that waits for its row or COMMIT.
#[derive(Debug, Clone)]
pub struct Raised {
    name: String,
    occurrence: u32,
    what: String,
}

/// SQLSTATE and text, as PostgreSQL itself gives them.
fn error_of(action: Action) -> Option<(&'static str, &'static str)> {
    match action {
        Action::DbDeadlock => Some(("40P01", "deadlock detected")),
        Action::DbSerialization => Some(("40001", "could not serialize access due to concurrent update")),
        Action::DbLockTimeout => Some(("55P03", "canceling statement due to lock timeout")),
        Action::DbStatementTimeout => Some(("57014", "canceling statement due to statement timeout")),
        _ => None,
    }
}

impl Raised {
    /// Creates the trigger. `number` tells several apart.
    ///
    /// # Errors
    /// When the database does not allow it.
    pub async fn install(pool: &PgPool, number: usize, action: Action, when: &When) -> sqlx::Result<Option<Self>> {
        let Some((state, text)) = error_of(action) else { return Ok(None) };
        let (occurrence, at_commit) = match when {
            When::Row(n) => (*n, false),
            When::Wire { occurrence, .. } => (*occurrence, true),
            When::Step(_) | When::Job(_) | When::Time(_) => return Ok(None),
        };
        let name = format!("{SCHEMA}.fault_{number}");
        let raise = format!("RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = '{text} (fault {number})'");
        let draw = format!("IF nextval('{name}') = {occurrence} THEN {raise}; END IF;");
        // A transaction is counted once, however many rows it wrote: the setting goes with the transaction.
        let body = if at_commit {
            format!(
                "IF coalesce(current_setting('harness.fault_{number}', true), '') <> pg_current_xact_id()::text THEN \
                 PERFORM set_config('harness.fault_{number}', pg_current_xact_id()::text, true); {draw} END IF;"
            )
        } else {
            draw
        };
        let mut sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {SCHEMA}; CREATE SEQUENCE {name}; \
             CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
             $$ BEGIN {body} RETURN NEW; END $$; "
        );
        if at_commit {
            for table in ["events", "entries", "drivers", "races", "ingest_checkpoints"] {
                sql += &format!(
                    "CREATE CONSTRAINT TRIGGER fault_{number} AFTER INSERT OR UPDATE ON public.{table} \
                     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}(); "
                );
            }
        } else {
            sql += &format!(
                "CREATE TRIGGER fault_{number} BEFORE INSERT ON public.laps FOR EACH ROW EXECUTE FUNCTION {name}(); "
            );
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
        let place = match at_commit {
            true => format!("COMMIT {occurrence} of the transactions that write"),
            false => format!("lap row {occurrence}"),
        };
        Ok(Some(Self { name, occurrence, what: format!("{state} ({text}) at {place}") }))
    }

    /// What shows that it was raised, once it was.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn proof(&self, pool: &PgPool) -> sqlx::Result<Option<String>> {
        let drawn = self.drawn(pool).await?;
        Ok((drawn >= i64::from(self.occurrence))
            .then(|| format!("PostgreSQL raised {}; the sequence that counts them stands at {drawn}", self.what)))
    }

    /// How many rows or COMMITs were counted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drawn(&self, pool: &PgPool) -> sqlx::Result<i64> {
        let sql = format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}", self.name);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await
    }

    /// Takes the trigger away.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn remove(&self, pool: &PgPool) -> sqlx::Result<()> {
        let sql = format!("DROP FUNCTION {0}() CASCADE; DROP SEQUENCE {0}", self.name);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop)
    }
}
