//! A streaming standby beside the primary: made from a base backup, a direct child like it, and put in its place.
//!
//! Clients know one address. A promoted standby is therefore stopped in good order and started again on the primary's port, with
//! its own data directory: the server is whole then, on a new timeline.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::user::RunAs;
use super::{Local, PORTS_TRIED, Running, cluster, end, with_log};
use crate::postgres::backend::{Down, FailedOver, Replication};
use crate::postgres::connect::{connect, run, wait_until_ready};
use crate::postgres::error::Error;
use crate::postgres::figures::Lsn;
use crate::postgres::port::free_port;
use crate::postgres::url::ServerUrl;

/// Name under which the standby is known to its primary.
const NAME: &str = "liverc_standby";

/// How long the standby may take to follow, or to be promoted.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at how far it is.
const BETWEEN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Standby {
    pub(super) running: Running,
    data: PathBuf,
    /// Through its socket.
    url: ServerUrl,
}

impl Local {
    fn standby(&self) -> std::sync::MutexGuard<'_, Option<Standby>> {
        self.standby.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standby_url(&self, asked: &'static str) -> Result<ServerUrl, Error> {
        let url = self.standby().as_ref().map(|standby| standby.url.clone());
        url.ok_or(Error::State { state: "without a standby", asked })
    }

    /// Makes one, and waits until it has all there is.
    pub(super) async fn make_standby(&self, replication: Replication) -> Result<(), Error> {
        if self.standby().is_some() {
            return Err(Error::State { state: "with a standby already", asked: "making another" });
        }
        self.child("making a standby")?;
        let data = self.next_directory()?;
        let made = self.follow_from(&data, replication).await;
        if made.is_err() {
            let _ = self.end_standby().await;
            let _ = fs::remove_dir_all(&data);
        }
        made
    }

    async fn follow_from(&self, data: &Path, replication: Replication) -> Result<(), Error> {
        self.back_up(data).await?;
        self.start_standby(data).await?;
        let mut primary = connect(&self.socket).await?;
        if replication == Replication::Synchronous {
            set(&mut primary, "synchronous_standby_names", Some(NAME)).await?;
        }
        let wanted = match replication {
            Replication::Synchronous => "sync",
            Replication::Asynchronous => "async",
        };
        let sql = format!(
            "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = '{NAME}' \
             AND state = 'streaming' AND sync_state = '{wanted}' AND replay_lsn >= pg_current_wal_flush_lsn()"
        );
        until(&mut primary, &sql, "waiting for the standby to follow").await?;
        let _ = primary.close().await;
        Ok(())
    }

    /// A data directory that was not there.
    fn next_directory(&self) -> Result<PathBuf, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(2);
        let data = self.home.base().join(format!("data{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&data).map_err(Error::io("creating", &data))?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).map_err(Error::io("closing", &data))?;
        RunAs::give(self.run_as, &data).map_err(Error::io("giving away", &data))?;
        Ok(data)
    }

    /// Copies the running primary, and tells the copy whom to follow.
    async fn back_up(&self, data: &Path) -> Result<(), Error> {
        let program = self.binaries.program("pg_basebackup");
        let mut command = Command::new(&program);
        cluster::quiet_environment(&mut command);
        command.args(["--checkpoint=fast", "--no-sync", "--wal-method=stream", "--no-password", "-U", "postgres"]);
        command.arg("-h").arg(self.home.socket()).arg("-p").arg(self.port.to_string()).arg("-D").arg(data);
        command.current_dir(data).stdin(Stdio::null());
        RunAs::apply(self.run_as, &mut command);
        // That thread waits for it, so it lives as long.
        let ran = tokio::task::spawn_blocking(move || {
            crate::process::die_with_us(&mut command);
            command.output()
        });
        let output = ran
            .await
            .map_err(|error| Error::Local(format!("the base backup failed: {error}")))?
            .map_err(Error::process(format!("running {}", program.display())))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::Local(format!("pg_basebackup failed ({}): {}", output.status, said.trim())));
        }
        let whom = format!(
            "primary_conninfo = 'host={} port={} user=postgres application_name={NAME}'\n",
            self.home.socket().display(),
            self.port
        );
        let settings = data.join("postgresql.auto.conf");
        let append = || {
            fs::OpenOptions::new().append(true).open(&settings)?.write_all(whom.as_bytes())?;
            let signal = data.join("standby.signal");
            fs::write(&signal, "")?;
            RunAs::give(self.run_as, &signal)
        };
        append().map_err(Error::io("writing to", &settings))
    }

    async fn start_standby(&self, data: &Path) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            let port = free_port().ok_or_else(|| Error::Local("no free TCP port on 127.0.0.1".to_owned()))?;
            let url = self.through_socket(port);
            let running = self.launch(data, port)?;
            let child = Arc::clone(&running.child);
            *self.standby() = Some(Standby { running, data: data.to_owned(), url: url.clone() });
            let gone = || child.exited().map(|exit| exit.status);
            let Err(error) = wait_until_ready(&url, self.start_within, gone).await else { return Ok(()) };
            let log = self.home.log_tail(30);
            let taken = matches!(error, Error::Ended { .. }) && log.contains("could not bind");
            if !taken || attempt == PORTS_TRIED {
                return Err(with_log(error, log));
            }
            self.standby().take().iter().for_each(|standby| standby.running.forget());
            attempt += 1;
        }
    }

    /// Lets it have what there is now, and nothing that comes.
    pub(super) async fn cut_stream(&self) -> Result<String, Error> {
        let url = self.standby_url("holding it back")?;
        let mut primary = connect(&self.socket).await?;
        let now = lsn(&mut primary, "pg_current_wal_flush_lsn()").await?;
        let _ = primary.close().await;
        let mut standby = connect(&url).await?;
        let has = format!("SELECT pg_last_wal_replay_lsn() >= '{now}'");
        until(&mut standby, &has, "waiting for the standby to catch up").await?;
        set(&mut standby, "primary_conninfo", Some("")).await?;
        until(&mut standby, "SELECT count(*) = 0 FROM pg_stat_wal_receiver", "waiting for the stream to end").await?;
        let at = lsn(&mut standby, "pg_last_wal_replay_lsn()").await?;
        let _ = standby.close().await;
        Ok(format!("the standby has the log up to {at} and receives no more"))
    }

    /// Kills the primary, promotes the standby, and stops that in good order, so that the next start puts it in the primary's place.
    pub(super) async fn promote_standby(&self) -> Result<FailedOver, Error> {
        let url = self.standby_url("failing over")?;
        let mut primary = connect(&self.socket).await?;
        let primary_at = lsn(&mut primary, "pg_current_wal_flush_lsn()").await?;
        let primary_timeline = timeline(&mut primary).await?;
        drop(primary);
        let primary = self.take_down(Down::Kill).await?;
        match self.promote(&url).await {
            Ok((standby_at, timeline, promoted_within)) => {
                Ok(FailedOver { primary, primary_at, standby_at, timeline, primary_timeline, promoted_within })
            }
            Err(error) => {
                // The primary goes on, alone.
                self.bring_up().await?;
                self.end_standby().await?;
                Err(error)
            }
        }
    }

    async fn promote(&self, url: &ServerUrl) -> Result<(Lsn, u32, Duration), Error> {
        let start = Instant::now();
        let mut standby = connect(url).await?;
        let asked: bool = sqlx::query_scalar("SELECT pg_promote(true, 60)")
            .fetch_one(&mut standby)
            .await
            .map_err(Error::sql("promoting the standby"))?;
        if !asked {
            return Err(Error::Local("the standby did not end its recovery within 60 s of its promotion".to_owned()));
        }
        until(&mut standby, "SELECT NOT pg_is_in_recovery()", "waiting for the promotion").await?;
        let within = start.elapsed();
        let at = lsn(&mut standby, "pg_last_wal_replay_lsn()").await?;
        let timeline = timeline(&mut standby).await?;
        drop(standby);
        let Some(promoted) = self.standby().take() else {
            return Err(Error::State { state: "without a standby", asked: "promoting it" });
        };
        let ended = end(&promoted.running.child, Down::Fast).await;
        promoted.running.forget();
        ended?;
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *data, promoted.data);
        drop(data);
        if let Err(error) = fs::remove_dir_all(&old) {
            // It goes with the server's directory.
            tracing::warn!(%error, directory = %old.display(), "the old primary's data cannot be removed");
        }
        Ok((at, timeline, within))
    }

    /// Ends a standby that was not promoted. The primary is told first: a synchronous one would wait for it for ever.
    pub(super) async fn end_standby(&self) -> Result<(), Error> {
        if self.standby().is_none() {
            return Ok(());
        }
        let told = match self.child("") {
            Ok(_) => {
                async {
                    let mut primary = connect(&self.socket).await?;
                    set(&mut primary, "synchronous_standby_names", None).await
                }
                .await
            }
            Err(_) => Ok(()),
        };
        self.kill_standby().await;
        told
    }

    /// Ends it by force and without errors, and removes its data.
    pub(super) async fn kill_standby(&self) {
        let Some(standby) = self.standby().take() else { return };
        if standby.running.child.exited().is_none()
            && let Err(error) = end(&standby.running.child, Down::Kill).await
        {
            tracing::warn!(%error, "a standby did not end");
        }
        standby.running.forget();
        let _ = fs::remove_dir_all(&standby.data);
    }
}

/// Changes a setting of a whole server, or takes the change back, and has it read.
async fn set(connection: &mut PgConnection, name: &str, value: Option<&str>) -> Result<(), Error> {
    let doing = || Error::sql(format!("setting {name}"));
    let change = value
        .map_or_else(|| format!("ALTER SYSTEM RESET {name}"), |value| format!("ALTER SYSTEM SET {name} = '{value}'"));
    run(connection, change).await.map_err(doing())?;
    run(connection, "SELECT pg_reload_conf()".to_owned()).await.map_err(doing())
}

/// Asks again and again until the answer is true.
async fn until(connection: &mut PgConnection, sql: &str, doing: &'static str) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        let there: Option<bool> = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut *connection)
            .await
            .map_err(Error::sql(doing))?;
        if there == Some(true) {
            return Ok(());
        }
        if start.elapsed() > FOLLOWS_WITHIN {
            let late = format!("it did not within {} s", FOLLOWS_WITHIN.as_secs());
            return Err(Error::process(doing)(std::io::Error::new(std::io::ErrorKind::TimedOut, late)));
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn lsn(connection: &mut PgConnection, what: &str) -> Result<Lsn, Error> {
    let sql = format!("SELECT pg_wal_lsn_diff({what}, '0/0')::bigint");
    let at: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .map_err(Error::sql("reading a position in the log"))?;
    Ok(Lsn(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0)))
}

/// The timeline on which a server writes.
async fn timeline(connection: &mut PgConnection) -> Result<u32, Error> {
    let name: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_current_wal_lsn())")
        .fetch_one(connection)
        .await
        .map_err(Error::sql("reading the timeline"))?;
    let digits = name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    digits.ok_or_else(|| Error::Local(format!("`{name}` is no name of a WAL file")))
}
