//! A running server with its two roles: what a harness holds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::backend::{Backend, Down, FailedOver, Kind, Ready, Replication, Restarted, Stopped};
use super::capability::Capabilities;
use super::choice::Choice;
use super::connect::{connect, literal, quoted, run};
use super::error::Error;
use super::facts::Facts;
use super::figures::{self, Meter, Used};
use super::local::{Binaries, Local};
use super::port::random_password;
use super::remote::Remote;
use super::templates::{DATABASE_PREFIX, KEPT_PREFIX, drop_database};
use super::url::ServerUrl;
use crate::leftovers::{self, Identity};

/// The engine's role on a server of ours.
const ENGINE_ROLE: &str = "engine";

/// Oldest version that is driven, as `server_version_num`: `DROP DATABASE … WITH (FORCE)` came with 13.
const OLDEST: u32 = 130_000;

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
    databases: Databases,
}

/// What of ours is on the server.
#[derive(Debug, Default)]
struct Databases {
    ours: Mutex<BTreeSet<String>>,
    any_kept: AtomicBool,
    role_dropped: AtomicBool,
}

impl Server {
    /// Gets a server. The first call of a process also removes what runs that were killed have left on this machine; and where
    /// the server is a container or one of others, what they left there goes.
    ///
    /// # Errors
    /// [`Error::NoDatabase`] when no way leads to one; else what failed. [`Error::exit_code`] says how to exit.
    pub async fn obtain(choice: &Choice, options: &Options) -> Result<Self, Error> {
        leftovers::sweep_once().await;
        let backend: Arc<dyn Backend> = match choice {
            Choice::Local => Arc::new(Local::start_new(Binaries::find().map_err(how_to_get_one)?, options).await?),
            Choice::Docker => docker(options).await?,
            Choice::Auto => auto(options).await?,
            Choice::Url(url) => Arc::new(Remote::reach(url).await?),
        };
        match backend.kind() {
            Kind::Url => leftovers::sweep_server(backend.admin_url()).await,
            #[cfg(feature = "docker")]
            Kind::Docker => leftovers::sweep_containers().await,
            _ => {}
        }
        Self::on(backend).await
    }

    /// Sets up the roles on a running backend.
    ///
    /// # Errors
    /// [`Error::Sql`] when it refuses that, [`Error::TooOld`].
    pub async fn on(backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let admin = backend.admin_url().clone();
        let mut connection = connect(&admin).await?;
        let engine = engine_role(backend.kind(), &admin, &mut connection).await?;
        if backend.kind() != Kind::Url {
            // Absent where contrib is not installed; the facts then say so. Nothing is installed on a server of others.
            let create = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements".to_owned();
            if let Err(error) = run(&mut connection, create).await {
                tracing::warn!(%error, "pg_stat_statements cannot be had: statements will not be counted");
            }
        }
        let _ = connection.close().await;
        let facts = Facts::read(backend.as_ref()).await?;
        let server = Self { backend, engine, facts, databases: Databases::default() };
        if server.facts.version_num < OLDEST {
            let found = server.facts.version.clone();
            server.dispose().await?;
            return Err(Error::TooOld { found });
        }
        Ok(server)
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

    /// Makes a streaming standby of it, see [`Backend::add_standby`].
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn add_standby(&self, replication: Replication) -> Result<(), Error> {
        self.backend.add_standby(replication).await
    }

    /// Lets the standby have nothing that is written from now on; in words, how far it has come.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub async fn hold_standby_back(&self) -> Result<String, Error> {
        self.backend.hold_standby_back().await
    }

    /// Kills the primary and promotes the standby; [`Server::start`] puts it in the primary's place.
    ///
    /// # Errors
    /// As [`Server::stop`]. The primary then runs again, without a standby.
    pub async fn fail_over(&self) -> Result<FailedOver, Error> {
        self.backend.fail_over().await
    }

    /// Ends a standby that was not promoted.
    ///
    /// # Errors
    /// When the primary cannot be told that it has none.
    pub async fn remove_standby(&self) -> Result<(), Error> {
        self.backend.remove_standby().await
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

    /// A command line that opens one of its databases. Shows no password.
    #[must_use]
    pub fn psql(&self, database: &str) -> String {
        self.backend.psql(database)
    }

    /// Lets it outlive this process, with the databases that are on it (`--keep`). Returns lines that say how to get at it and how
    /// to remove it.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn keep(&self) -> Result<String, Error> {
        if self.kind() == Kind::Url {
            self.remove_from_foreign_server().await?;
        }
        self.backend.keep().await
    }

    /// Ends it and removes what it left; from a server of others, our databases (but for kept ones) and our role. Idempotent.
    ///
    /// # Errors
    /// When something of it stays.
    pub async fn dispose(&self) -> Result<(), Error> {
        if self.kind() == Kind::Url {
            self.remove_from_foreign_server().await?;
        }
        self.backend.dispose().await
    }

    /// Remembers a database, so that it is removed with the server.
    pub(super) fn remember(&self, database: &str) {
        self.databases.ours.lock().unwrap_or_else(PoisonError::into_inner).insert(database.to_owned());
    }

    /// Forgets a database that is gone.
    pub(super) fn forget(&self, database: &str) {
        self.databases.ours.lock().unwrap_or_else(PoisonError::into_inner).remove(database);
    }

    /// Forgets a database that stays, and with it the role that owns it.
    pub(super) fn forget_kept(&self, database: &str) {
        self.databases.any_kept.store(true, Ordering::SeqCst);
        self.forget(database);
    }

    async fn remove_from_foreign_server(&self) -> Result<(), Error> {
        let databases: Vec<String> =
            self.databases.ours.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let has_role = self.engine.role() != self.admin_url().role();
        let role_stays = !has_role || self.databases.role_dropped.load(Ordering::SeqCst);
        if databases.is_empty() && role_stays {
            return Ok(());
        }
        let mut connection = connect(self.admin_url()).await?;
        for name in databases {
            drop_database(&mut connection, &name).await.map_err(Error::sql(format!("dropping the database {name}")))?;
            self.forget(&name);
        }
        if !role_stays {
            let role = self.engine.role();
            // The owner of a kept database stays, under a name that no sweep removes.
            let sql = if self.databases.any_kept.load(Ordering::SeqCst) {
                let kept = role.replacen(DATABASE_PREFIX, KEPT_PREFIX, 1);
                format!("ALTER ROLE {} RENAME TO {}", quoted(&role), quoted(&kept))
            } else {
                format!("DROP ROLE IF EXISTS {}", quoted(&role))
            };
            run(&mut connection, sql).await.map_err(Error::sql(format!("removing the role {role}")))?;
            self.databases.role_dropped.store(true, Ordering::SeqCst);
        }
        let _ = connection.close().await;
        Ok(())
    }
}

#[cfg(feature = "docker")]
async fn docker(options: &Options) -> Result<Arc<dyn Backend>, Error> {
    let client = super::docker::client().await?;
    let image = super::docker::resolve(&client, options).await?;
    Ok(Arc::new(super::docker::Docker::start_new(client, image, options).await?))
}

#[cfg(not(feature = "docker"))]
async fn docker(_: &Options) -> Result<Arc<dyn Backend>, Error> {
    Err(Error::Docker("this program was built without the feature `docker`".to_owned()))
}

/// Adds what to do to the error of somebody who wants this machine's binaries and no other way.
fn how_to_get_one(error: Error) -> Error {
    match error {
        Error::Local(why) => Error::Local(format!(
            "{why}\nInstall PostgreSQL 13 or newer (Debian: apt install postgresql), point PG_BIN at its bin directory, or use \
             another way: --postgres docker, --postgres postgres://user:password@host:5432/database"
        )),
        other => other,
    }
}

/// Docker when it can be used, else this machine's binaries. What goes wrong after a way was chosen is not covered up by the other.
async fn auto(options: &Options) -> Result<Arc<dyn Backend>, Error> {
    #[cfg(feature = "docker")]
    let why_not_docker = match async {
        let client = super::docker::client().await?;
        let image = super::docker::resolve(&client, options).await?;
        Ok::<_, Error>((client, image))
    }
    .await
    {
        Ok((client, image)) => {
            return Ok(Arc::new(super::docker::Docker::start_new(client, image, options).await?));
        }
        Err(error) => error.to_string(),
    };
    #[cfg(not(feature = "docker"))]
    let why_not_docker = "this program was built without the feature `docker`".to_owned();
    match Binaries::find() {
        Ok(binaries) => {
            tracing::info!(%why_not_docker, "using this machine's PostgreSQL {}", binaries.version());
            Ok(Arc::new(Local::start_new(binaries, options).await?))
        }
        Err(error) => Err(Error::NoDatabase { docker: why_not_docker, local: error.to_string() }),
    }
}

/// Makes the engine's role, and gives its URL. On a server of others it has a name that tells whose it is, and where no role may be
/// made there the engine works under the given one: its statements are then not told apart from the harness's.
async fn engine_role(kind: Kind, admin: &ServerUrl, connection: &mut PgConnection) -> Result<ServerUrl, Error> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let role = match kind {
        Kind::Url => {
            format!("{DATABASE_PREFIX}{}_e{}", Identity::own(), COUNT.fetch_add(1, Ordering::Relaxed))
        }
        Kind::Docker | Kind::Local => ENGINE_ROLE.to_owned(),
    };
    let password = random_password();
    let create = format!("CREATE ROLE {} LOGIN PASSWORD {}", quoted(&role), literal(&password));
    match run(connection, create).await {
        Ok(()) => {}
        Err(sqlx::Error::Database(error)) if kind == Kind::Url && error.code().as_deref() == Some("42501") => {
            tracing::warn!("the role of the URL may not create roles: the engine works under it as well");
            return Ok(admin.clone());
        }
        Err(error) => return Err(Error::sql("creating the engine's role")(error)),
    }
    if kind == Kind::Url {
        // Only a member (or a superuser) may make a database that the role owns.
        let grant = format!("GRANT {} TO CURRENT_USER", quoted(&role));
        run(connection, grant).await.map_err(Error::sql("becoming a member of the engine's role"))?;
    }
    Ok(admin.with_role(&role, Some(&password)))
}
