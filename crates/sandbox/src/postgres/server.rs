//! A running server with its two roles: what a harness holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;

use super::backend::{Backend, Down, Kind, Ready, Restarted, Stopped};
use super::capability::Capabilities;
use super::choice::Choice;
use super::connect::{connect, literal, quoted, run};
use super::error::Error;
use super::facts::Facts;
use super::figures::{self, Meter, Used};
use super::local::{Binaries, Local};
use super::port::random_password;
use super::url::ServerUrl;

/// The engine's role on a server of ours.
const ENGINE_ROLE: &str = "engine";

/// How a server is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Image for Docker; by default an official one, else the local one of `fixtures/postgres-image/build`.
    pub image: Option<String>,
    /// `max_connections` of a server of ours.
    pub max_connections: u32,
    /// More settings for a server of ours, as `name`, `value`. They win over all others; durability is at its defaults
    /// unless one of these says otherwise.
    pub settings: Vec<(String, String)>,
    /// How long a start may take, recovery included.
    pub start_within: Duration,
    /// How long the pull of an image may take.
    pub pull_within: Duration,
    /// Where data directories are made; by default the system's temporary directory.
    pub temporary: Option<PathBuf>,
    /// Where finished data directories are kept for the next run; by default below the user's cache directory.
    pub cache: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image: None,
            max_connections: 200,
            settings: Vec::new(),
            start_within: Duration::from_secs(60),
            pull_within: Duration::from_secs(120),
            temporary: None,
            cache: None,
        }
    }
}

/// A running PostgreSQL. Ends with [`Server::dispose`]; one of ours also when it is dropped, or when this process dies.
#[derive(Debug)]
pub struct Server {
    backend: Arc<dyn Backend>,
    engine: ServerUrl,
    facts: Facts,
}

impl Server {
    /// Gets a server.
    ///
    /// # Errors
    /// [`Error::NoDatabase`] when no way leads to one; else what failed. [`Error::exit_code`] says how to exit.
    pub async fn obtain(choice: &Choice, options: &Options) -> Result<Self, Error> {
        let backend: Arc<dyn Backend> = match choice {
            Choice::Auto | Choice::Docker | Choice::Url(_) | Choice::Local => {
                Arc::new(Local::start_new(Binaries::find()?, options).await?)
            }
        };
        Self::on(backend).await
    }

    /// Sets up the roles on a running backend.
    ///
    /// # Errors
    /// [`Error::Sql`] when it refuses that, [`Error::TooOld`].
    pub async fn on(backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let admin = backend.admin_url().clone();
        let mut connection = connect(&admin).await?;
        let password = random_password();
        let create = format!("CREATE ROLE {} LOGIN PASSWORD {}", quoted(ENGINE_ROLE), literal(&password));
        run(&mut connection, create).await.map_err(Error::sql("creating the engine's role"))?;
        // Absent where contrib is not installed; the facts then say so.
        if let Err(error) = run(&mut connection, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements".to_owned()).await {
            tracing::warn!(%error, "pg_stat_statements cannot be had: statements will not be counted");
        }
        let _ = connection.close().await;
        let facts = Facts::read(backend.as_ref()).await?;
        let engine = admin.with_role(ENGINE_ROLE, Some(&password));
        Ok(Self { backend, engine, facts })
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.backend.kind()
    }

    /// What it is; read when it was got.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What can be done to it.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.backend.capabilities()
    }

    /// URL of the admin role: for the harness only, so that what it does is not counted as the engine's.
    #[must_use]
    pub fn admin_url(&self) -> &ServerUrl {
        self.backend.admin_url()
    }

    /// URL of the engine's role and a database.
    #[must_use]
    pub fn engine_url(&self, database: &str) -> ServerUrl {
        self.engine.with_database(database)
    }

    /// Name of the engine's role.
    #[must_use]
    pub fn engine_role(&self) -> String {
        self.engine.role()
    }

    /// Takes the server down.
    ///
    /// # Errors
    /// [`Error::Unsupported`] by kind; else what failed.
    pub async fn stop(&self, how: Down) -> Result<Stopped, Error> {
        self.backend.stop(how).await
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn start(&self) -> Result<Ready, Error> {
        self.backend.start().await
    }

    /// Takes it down and starts it again.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn restart(&self, how: Down) -> Result<Restarted, Error> {
        self.backend.restart(how).await
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn pause(&self) -> Result<(), Error> {
        self.backend.pause().await
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn resume(&self) -> Result<(), Error> {
        self.backend.resume().await
    }

    /// Cuts it off its network.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.backend.disconnect().await
    }

    /// Puts it back on its network.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn reconnect(&self) -> Result<Ready, Error> {
        self.backend.reconnect().await
    }

    /// Process id of the postmaster, in this machine's numbering.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it cannot be seen from here, [`Error::State`] when it is down.
    pub fn postmaster(&self) -> Result<i32, Error> {
        self.backend.postmaster()
    }

    /// What its processes have used up to now.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when they cannot be seen from here, [`Error::State`] when it is down.
    pub fn used(&self) -> Result<Used, Error> {
        figures::read(self.backend.as_ref())
    }

    /// Starts watching its memory, sampled `every` so often, and its CPU.
    ///
    /// # Errors
    /// As [`Server::used`].
    pub fn meter(&self, every: Duration) -> Result<Meter, Error> {
        Meter::start(Arc::clone(&self.backend), every)
    }

    /// The last lines of its log; empty when it cannot be had.
    pub async fn log_tail(&self) -> String {
        self.backend.log_tail().await
    }

    /// Ends it and removes what it left. Idempotent.
    ///
    /// # Errors
    /// When something of it stays.
    pub async fn dispose(&self) -> Result<(), Error> {
        self.backend.dispose().await
    }
}
