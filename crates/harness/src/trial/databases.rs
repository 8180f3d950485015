//! Databases of trials that run side by side.
//!
//! To make and drop a database costs two checkpoints of the whole server, most of a second. Trials whose time is not judged
//! therefore use a database again that an earlier one left: everything in it is removed, and it is looked at whether it is then
//! as it was made. One that is not, or whose trial did not pass, is not used again. The harness's own connections stay with it:
//! what a new one has to read of the catalogue costs more than most of a trial's queries.

use std::sync::{Mutex, PoisonError};

use sandbox::postgres::{Database, Template, Templates};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::sync::OnceCell;

use super::drive::Broken;

/// Relations of users, the harness's own left out.
const RELATIONS: &str = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'harness')";

/// What a new database holds.
#[derive(Debug)]
struct Layout {
    /// Tables without a row, as SQL names.
    empty: Vec<String>,
    relations: i64,
}

/// A database with the harness's connections to it.
#[derive(Debug)]
pub struct Connected {
    /// The database.
    pub database: Database,
    /// The harness's connections.
    pub pool: PgPool,
}

impl Connected {
    /// Connects to a database.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn to(database: Database) -> Result<Self, Broken> {
        let pool = PgPoolOptions::new().max_connections(5).connect(database.admin_url().expose()).await?;
        Ok(Self { database, pool })
    }
}

/// Databases that wait for their next trial, and the names of those that were kept.
#[derive(Debug, Default)]
pub struct Databases {
    kept: Mutex<Vec<String>>,
    idle: Mutex<Vec<Connected>>,
    layout: OnceCell<Layout>,
}

impl Databases {
    /// Lets a trial's database outlive the run, under the name that is returned.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn keep(&self, database: Database) -> Result<String, Broken> {
        let name = database.keep().await?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        Ok(name)
    }

    /// Names of the databases that were kept: where there are any, the server is not to end with the run.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An empty migrated database: one that waits, else a new one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn take(&self, templates: &Templates, template: &Template) -> Result<Connected, Broken> {
        let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(waiting) = waiting {
            return Ok(waiting);
        }
        let new = Connected::to(templates.copy(template, "side_by_side").await?).await?;
        self.layout.get_or_try_init(|| read_layout(&new.pool)).await?;
        Ok(new)
    }

    /// Takes a database back, empties it and lets it wait. What cannot be made as new stays with the server and goes with it.
    pub async fn give_back(&self, used: Connected) {
        match self.empty(&used.pool).await {
            Ok(true) => return self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(used),
            Ok(false) => tracing::debug!(database = used.database.name(), "not as it was made, so not used again"),
            Err(error) => tracing::debug!(database = used.database.name(), %error, "not used again"),
        }
        used.pool.close().await;
    }

    /// `true`: it is as it was made.
    async fn empty(&self, pool: &PgPool) -> sqlx::Result<bool> {
        let Some(layout) = self.layout.get() else { return Ok(false) };
        let mut tx = pool.begin().await?;
        sqlx::raw_sql("SET LOCAL client_min_messages = warning; DROP SCHEMA IF EXISTS harness CASCADE")
            .execute(&mut *tx)
            .await?;
        // TRUNCATE makes new files, which costs more than to delete a few thousand rows. Everything goes, so no key need be looked up.
        let mut sql = "SET LOCAL session_replication_role = replica;".to_owned();
        for table in &layout.empty {
            sql += &format!(" DELETE FROM {table};");
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        tx.commit().await?;
        if !layout.empty.is_empty() {
            sqlx::raw_sql(AssertSqlSafe(format!("VACUUM {}", layout.empty.join(", ")))).execute(pool).await?;
        }
        let relations: i64 = sqlx::query_scalar(RELATIONS).fetch_one(pool).await?;
        // Of the harness's own connections none may be at work any more.
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND (usename <> current_user OR state IS DISTINCT FROM 'idle')",
        )
        .fetch_one(pool)
        .await?;
        Ok(relations == layout.relations && others == 0)
    }
}

/// Reads what a new database holds.
async fn read_layout(pool: &PgPool) -> sqlx::Result<Layout> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
    )
    .fetch_all(pool)
    .await?;
    let mut empty = Vec::new();
    for table in tables {
        let sql = format!("SELECT EXISTS (SELECT FROM {table})");
        let holds: bool = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await?;
        if !holds {
            empty.push(table);
        }
    }
    let relations = sqlx::query_scalar(RELATIONS).fetch_one(pool).await?;
    Ok(Layout { empty, relations })
}
