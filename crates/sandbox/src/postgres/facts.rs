//! What a server is, for reports and for deciding what may be compared. Never a password.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{Connection, Row};

use super::backend::{Backend, Kind};
use super::connect::connect;
use super::error::Error;

/// Settings that bear on what is measured.
const SETTINGS: &[&str] = &[
    "autovacuum",
    "checkpoint_timeout",
    "client_connection_check_interval",
    "commit_delay",
    "data_checksums",
    "default_toast_compression",
    "effective_io_concurrency",
    "fsync",
    "full_page_writes",
    "huge_pages",
    "idle_in_transaction_session_timeout",
    "io_method",
    "jit",
    "lc_collate",
    "max_connections",
    "max_wal_size",
    "pg_stat_statements.track",
    "server_encoding",
    "shared_buffers",
    "shared_preload_libraries",
    "ssl",
    "synchronous_commit",
    "wal_buffers",
    "wal_compression",
    "wal_level",
    "wal_sync_method",
    "work_mem",
];

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How it was got.
    pub kind: Kind,
    /// Image, directory of the binaries, or host and port.
    pub origin: String,
    /// The image, when it is a container.
    pub image: Option<String>,
    /// `server_version_num`: 150014 is 15.14.
    pub version_num: u32,
    /// `server_version`, as the server words it.
    pub version: String,
    /// Settings by name, with units where the server has them (`128MB`). Those that a version does not have are absent.
    pub settings: BTreeMap<String, String>,
    /// Whether `pg_stat_statements` can be read in the admin's database.
    pub pg_stat_statements: bool,
}

impl Facts {
    /// 15 of 15.14.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.version_num / 10_000
    }

    /// Asks the server.
    ///
    /// # Errors
    /// [`Error::Sql`] when it cannot be asked.
    pub async fn read(backend: &dyn Backend) -> Result<Self, Error> {
        let mut connection = connect(backend.admin_url()).await?;
        let names: Vec<String> = SETTINGS.iter().map(|&name| name.to_owned()).collect();
        let rows = sqlx::query("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)")
            .bind(&names)
            .fetch_all(&mut connection)
            .await
            .map_err(Error::sql("reading settings"))?;
        let mut settings = BTreeMap::new();
        for row in rows {
            let read = || Ok((row.try_get(0)?, row.try_get(1)?));
            let (name, value): (String, String) = read().map_err(Error::sql("reading settings"))?;
            settings.insert(name, value);
        }
        let (version_num, version): (i32, String) =
            sqlx::query_as("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
                .fetch_one(&mut connection)
                .await
                .map_err(Error::sql("reading the version"))?;
        // The view exists without the library being preloaded; then reading it fails.
        let pg_stat_statements =
            sqlx::query("SELECT 1 FROM pg_stat_statements LIMIT 1").fetch_optional(&mut connection).await.is_ok();
        let _ = connection.close().await;
        Ok(Self {
            kind: backend.kind(),
            origin: backend.origin(),
            image: backend.image(),
            version_num: u32::try_from(version_num).unwrap_or(0),
            version,
            settings,
            pg_stat_statements,
        })
    }
}
