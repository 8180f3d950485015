//! A database per trial, copied from a template that was migrated once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::OnceCell;

use super::connect::{connect, literal, quoted, run};
use super::error::Error;
use super::server::Server;
use super::url::ServerUrl;
use crate::leftovers::Identity;

/// Start of the names of all databases of ours; the identity of the run follows. By it leftovers are found.
pub const DATABASE_PREFIX: &str = "liverc_harness_";

/// Start of the names of databases that were kept, which no sweep removes.
pub(crate) const KEPT_PREFIX: &str = "liverc_kept_";

/// Longest name of a database that PostgreSQL does not cut.
const NAME_BYTES: usize = 63;

/// From this size on a template is copied as files: that forces a checkpoint, but does not write all of it to the log first.
const LARGE_BYTES: i64 = 64 * 1024 * 1024;

/// First version with `STRATEGY`.
const HAS_STRATEGY: u32 = 150_000;

/// The template databases of a server.
#[derive(Debug)]
pub struct Templates {
    server: Arc<Server>,
    made: Mutex<HashMap<String, Arc<OnceCell<Template>>>>,
}

/// A migrated database to copy from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    name: String,
    bytes: i64,
}

impl Template {
    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size on disk, in bytes.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.bytes
    }
}

impl Templates {
    /// None yet.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, made: Mutex::new(HashMap::new()) }
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The template of a key: made at the first call, by `migrate`, which gets the URL of an empty database that the engine's role
    /// owns. Concurrent calls wait for the first. A failed migration leaves nothing, and the next call tries again.
    ///
    /// # Errors
    /// [`Error::Migrate`] with the caller's error, [`Error::Sql`].
    pub async fn template<F, M, E>(&self, key: &str, migrate: F) -> Result<Template, Error>
    where
        F: FnOnce(ServerUrl) -> M,
        M: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let cell = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(made.entry(key.to_owned()).or_default())
        };
        cell.get_or_try_init(|| self.make_template(migrate)).await.cloned()
    }

    async fn make_template<F, M, E>(&self, migrate: F) -> Result<Template, Error>
    where
        F: FnOnce(ServerUrl) -> M,
        M: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = name("t", "");
        let mut admin = connect(self.server.admin_url()).await?;
        // From template0: what somebody put into template1 of a server of theirs is not ours.
        let create = format!(
            "CREATE DATABASE {} OWNER {} TEMPLATE template0",
            quoted(&name),
            quoted(&self.server.engine_role())
        );
        self.server.remember(&name);
        run(&mut admin, create).await.map_err(Error::sql(format!("creating the template database {name}")))?;
        if let Err(source) = migrate(self.server.engine_url(&name)).await {
            if drop_database(&mut admin, &name).await.is_ok() {
                self.server.forget(&name);
            }
            return Err(Error::Migrate { template: name, source: source.into() });
        }
        // A template with a connection cannot be copied; a pool's may take a moment to go.
        end_connections(&mut admin, &name).await.map_err(Error::sql("closing the template"))?;
        let closed = format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", quoted(&name));
        if let Err(error) = run(&mut admin, closed).await {
            tracing::debug!(%error, "the template stays open to connections");
        }
        let bytes = sqlx::query_scalar("SELECT pg_database_size($1::text::name)")
            .bind(&name)
            .fetch_one(&mut admin)
            .await
            .map_err(Error::sql("reading the template's size"))?;
        let _ = admin.close().await;
        Ok(Template { name, bytes })
    }

    /// A new database, a copy of the template, owned by the engine's role; with a CHECKPOINT after the copy, so that writing
    /// it out does not fall into what is measured. `label` becomes part of its name.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn create(&self, template: &Template, label: &str) -> Result<Database, Error> {
        let mut database = self.copy(template, label).await?;
        let mut admin = connect(self.server.admin_url()).await?;
        database.checkpointed = match run(&mut admin, "CHECKPOINT".to_owned()).await {
            Ok(()) => true,
            // On a server of others the role may not be allowed to.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => false,
            Err(error) => return Err(Error::sql("making a checkpoint")(error)),
        };
        let _ = admin.close().await;
        Ok(database)
    }

    /// As [`Templates::create`], without the CHECKPOINT: for trials whose time and WAL are not judged. It costs a tenth.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn copy(&self, template: &Template, label: &str) -> Result<Database, Error> {
        let name = name("d", label);
        let start = Instant::now();
        let mut admin = connect(self.server.admin_url()).await?;
        let strategy = match (self.server.facts().version_num >= HAS_STRATEGY, template.bytes >= LARGE_BYTES) {
            (false, _) => "",
            (true, false) => " STRATEGY wal_log",
            (true, true) => " STRATEGY file_copy",
        };
        let create = format!(
            "CREATE DATABASE {} OWNER {} TEMPLATE {}{strategy}",
            quoted(&name),
            quoted(&self.server.engine_role()),
            quoted(&template.name)
        );
        self.server.remember(&name);
        run(&mut admin, create).await.map_err(Error::sql(format!("creating the database {name}")))?;
        let created_in = start.elapsed();
        let _ = admin.close().await;
        Ok(Database { server: Arc::clone(&self.server), name, created_in, checkpointed: false })
    }
}

/// A database of a trial. Stays until [`Database::remove`], or until its server is disposed of.
#[derive(Debug)]
pub struct Database {
    server: Arc<Server>,
    name: String,
    created_in: Duration,
    checkpointed: bool,
}

impl Database {
    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// URL for the engine.
    #[must_use]
    pub fn engine_url(&self) -> ServerUrl {
        self.server.engine_url(&self.name)
    }

    /// URL for the harness: the admin role, so that nothing it does is counted as the engine's.
    #[must_use]
    pub fn admin_url(&self) -> ServerUrl {
        self.server.admin_url().with_database(&self.name)
    }

    /// The server that it is on.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// How long the copy took, without the checkpoint.
    #[must_use]
    pub fn created_in(&self) -> Duration {
        self.created_in
    }

    /// Whether a CHECKPOINT followed the copy; `false` where the role may not make one.
    #[must_use]
    pub fn checkpointed(&self) -> bool {
        self.checkpointed
    }

    /// Ends every connection to it and drops it.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn remove(self) -> Result<(), Error> {
        let mut admin = connect(self.server.admin_url()).await?;
        drop_database(&mut admin, &self.name)
            .await
            .map_err(Error::sql(format!("dropping the database {}", self.name)))?;
        self.server.forget(&self.name);
        let _ = admin.close().await;
        Ok(())
    }

    /// Keeps it: connections are ended and it gets a name that no sweep removes, which is returned.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn keep(self) -> Result<String, Error> {
        let kept = self.name.replacen(DATABASE_PREFIX, KEPT_PREFIX, 1);
        let mut admin = connect(self.server.admin_url()).await?;
        end_connections(&mut admin, &self.name).await.map_err(Error::sql("ending connections"))?;
        let rename = format!("ALTER DATABASE {} RENAME TO {}", quoted(&self.name), quoted(&kept));
        run(&mut admin, rename).await.map_err(Error::sql(format!("renaming the database {}", self.name)))?;
        self.server.forget_kept(&self.name);
        let _ = admin.close().await;
        Ok(kept)
    }
}

/// A name that is used once: prefix, run, kind and number, and as much of the label as there is room for.
fn name(kind: &str, label: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nth = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = format!("{DATABASE_PREFIX}{}_{kind}{nth}", Identity::own());
    let label: String =
        label.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if !label.is_empty() {
        name.push('_');
        name.extend(label.chars().take(NAME_BYTES.saturating_sub(name.len())));
    }
    name.trim_end_matches('_').to_owned()
}

/// Drops a database with whoever is connected. A client that reconnects in that moment makes it fail, so it is tried again.
pub(crate) async fn drop_database(admin: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    for _ in 0..5 {
        match run(admin, sql.clone()).await {
            // 55006: it is in use.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55006") => {}
            result => return result,
        }
    }
    run(admin, sql).await
}

async fn end_connections(admin: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
        literal(name)
    );
    run(admin, sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_and_tells_whose_it_is() {
        let long = name("d", "Very Long Scenario's Name — with signs in it, and more");
        assert!(long.len() <= NAME_BYTES && long.starts_with(DATABASE_PREFIX), "{long}");
        assert!(long.contains(&Identity::own().to_string()));
        assert!(long.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{long}");
        assert_ne!(name("d", "same"), name("d", "same"));
    }
}
