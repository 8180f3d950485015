//! This machine's own PostgreSQL, as a direct child of this process.

mod binaries;
mod child;
pub(crate) mod cluster;
mod family;
pub(crate) mod home;
mod pause;
mod standby;
mod user;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use nix::sys::signal::Signal;

pub use binaries::Binaries;
use child::Child;
use family::{family_after, kill_family};
use home::Home;
use standby::Standby;
use user::RunAs;
pub use user::memory;

use super::backend::{Backend, Down, FailedOver, Kind, Ready, Replication, Stopped};
use super::capability::{Capabilities, Capability};
use super::connect::{connect, literal, run, wait_until_ready};
use super::error::Error;
use super::figures::{self, Cpu};
use super::port::{free_port, random_password};
use super::server::Options;
use super::url::ServerUrl;
use super::watchdog::Watchdog;
use crate::leftovers::{Registry, Thing, start_of};

/// How long a server may take to go down before that is an error. A fast shutdown writes a checkpoint.
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// Attempts at a first start, each with another port.
const PORTS_TRIED: u32 = 8;

/// A server that is a child of this process.
#[derive(Debug)]
pub struct Local {
    binaries: Binaries,
    run_as: Option<RunAs>,
    home: Home,
    settings: Vec<(String, String)>,
    start_within: Duration,
    capabilities: Capabilities,
    port: u16,
    admin: ServerUrl,
    socket: ServerUrl,
    /// The data directory of the primary: another one after a failover.
    data: Mutex<PathBuf>,
    standby: Mutex<Option<Standby>>,
    /// Only one thing is done to the server at a time.
    turn: tokio::sync::Mutex<()>,
    child: Mutex<Option<Running>>,
    spent_before: Mutex<Cpu>,
}

#[derive(Debug)]
struct Running {
    child: Arc<Child>,
    noted: Option<Thing>,
    frozen: Option<Watchdog>,
}

impl Running {
    /// Crosses it out, after its end.
    fn forget(&self) {
        if let Some(thing) = &self.noted {
            Registry::own().forget(thing);
        }
    }
}

impl Local {
    /// Makes a data directory and starts a server on it.
    ///
    /// # Errors
    /// When the data directory cannot be made, or the server does not start; with the end of its log.
    pub async fn start_new(binaries: Binaries, options: &Options) -> Result<Self, Error> {
        let run_as = RunAs::find()?;
        let temporary = user::temporary_parent(run_as, options.temporary.as_deref())?;
        let home = Home::create(&temporary, run_as)?;
        let cache = options.cache.clone().unwrap_or_else(cluster::cache_directory);
        let data = home.data();
        let made = {
            let (binaries, data) = (binaries.clone(), data.clone());
            tokio::task::spawn_blocking(move || cluster::create(&binaries, run_as, &data, Some(&cache))).await
        };
        made.map_err(|error| Error::Local(format!("making a data directory failed: {error}")))??;
        let placeholder = ServerUrl::from_parts("postgres", None, 1, "postgres", &[]);
        let mut server = Self {
            binaries,
            run_as,
            home,
            settings: settings(options),
            start_within: options.start_within,
            capabilities: Capabilities::all(Kind::Local)
                .without(Capability::NetworkDisconnect, "a local process has no network of its own; use the proxy"),
            port: 0,
            admin: placeholder.clone(),
            socket: placeholder,
            data: Mutex::new(data),
            standby: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            child: Mutex::new(None),
            spent_before: Mutex::new(Cpu::default()),
        };
        server.first_start().await?;
        Ok(server)
    }

    async fn first_start(&mut self) -> Result<(), Error> {
        let password = random_password();
        let mut attempt = 1;
        loop {
            self.port = free_port().ok_or_else(|| Error::Local("no free TCP port on 127.0.0.1".to_owned()))?;
            self.socket = self.through_socket(self.port);
            self.admin =
                ServerUrl::from_parts("postgres", Some(&password), self.port, "postgres", &[("sslmode", "disable")]);
            match self.bring_up().await {
                Ok(_) => break,
                Err(Error::Ended { log, .. }) if attempt < PORTS_TRIED && log.contains("could not bind") => {
                    tracing::debug!(port = self.port, "the port was taken in between, trying another");
                }
                Err(Error::Ended { log, .. }) if attempt < PORTS_TRIED && lacks_pg_stat_statements(&log) => {
                    tracing::warn!(
                        "this PostgreSQL has no pg_stat_statements (contrib): statements will not be counted"
                    );
                    self.settings.retain(|(name, _)| name != "shared_preload_libraries");
                }
                Err(error) => return Err(error),
            }
            self.home.empty_log()?;
            attempt += 1;
        }
        // Through the socket, whose directory is private: over TCP a password is asked for.
        let mut connection = connect(&self.socket).await?;
        run(&mut connection, format!("ALTER ROLE postgres PASSWORD {}", literal(&password)))
            .await
            .map_err(Error::sql("setting the admin's password"))
    }

    /// URL of the admin through the socket of a port.
    fn through_socket(&self, port: u16) -> ServerUrl {
        let directory = self.home.socket().display().to_string();
        let parameters = [("host", directory.as_str()), ("sslmode", "disable")];
        ServerUrl::from_parts("postgres", None, port, "postgres", &parameters)
    }

    fn data(&self) -> PathBuf {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the postmaster and waits until it answers.
    async fn bring_up(&self) -> Result<Ready, Error> {
        let start = Instant::now();
        let running = self.launch(&self.data(), self.port)?;
        let child = Arc::clone(&running.child);
        *self.running() = Some(running);
        let gone = || child.exited().map(|exit| exit.status);
        match wait_until_ready(&self.socket, self.start_within, gone).await {
            Ok(()) => Ok(Ready { took: start.elapsed() }),
            Err(error) => {
                let log = self.home.log_tail(30);
                self.end_now().await;
                Err(with_log(error, log))
            }
        }
    }

    /// Starts a postmaster on a data directory.
    fn launch(&self, data: &Path, port: u16) -> Result<Running, Error> {
        // Left by a kill. Its process is known to be gone, and its id may by now be another's: PostgreSQL would then refuse.
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
        let log = self.home.open_log()?;
        let mut command = Command::new(self.binaries.program("postgres"));
        cluster::quiet_environment(&mut command);
        command.arg("-D").arg(data);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.home.socket().display()));
        command.arg("-c").arg(format!("port={port}"));
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.current_dir(self.home.base()).stdin(std::process::Stdio::null());
        let second = log.try_clone().map_err(Error::io("opening", self.home.log()))?;
        command.stdout(log).stderr(second);
        // Ctrl-C on a terminal goes to its foreground group: it must not end the server under the harness.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        RunAs::apply(self.run_as, &mut command);
        // SIGQUIT: the postmaster takes its children along at once, also one in the middle of a long statement.
        let child = Child::spawn(command, Signal::SIGQUIT)
            .map_err(Error::process(format!("starting {}", self.binaries.program("postgres").display())))?;
        let child = Arc::new(child);
        let noted =
            start_of(child.pid()).map(|start| Thing::Process { pid: child.pid(), start, what: "postgres".to_owned() });
        if let Some(thing) = &noted {
            Registry::own()
                .note(thing.clone())
                .map_err(Error::io("writing to", crate::leftovers::runtime_directory()))?;
        }
        Ok(Running { child, noted, frozen: None })
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running child, or the state that says why not.
    fn child(&self, asked: &'static str) -> Result<Arc<Child>, Error> {
        match self.running().as_ref() {
            Some(running) if running.child.exited().is_none() => Ok(Arc::clone(&running.child)),
            _ => Err(Error::State { state: "not running", asked }),
        }
    }

    async fn take_down(&self, how: Down) -> Result<Stopped, Error> {
        let child = self.child("stopping it")?;
        let is_frozen = self.running().as_ref().is_some_and(|running| running.frozen.is_some());
        if is_frozen && how != Down::Kill {
            return Err(Error::State { state: "paused", asked: "an orderly shutdown" });
        }
        let (stopped, spent) = end(&child, how).await?;
        self.cross_out(spent);
        Ok(stopped)
    }

    fn cross_out(&self, spent: Cpu) {
        if let Some(running) = self.running().take() {
            running.forget();
        }
        let mut before = self.spent_before.lock().unwrap_or_else(PoisonError::into_inner);
        *before = before.plus(spent);
    }

    /// Ends the server by force and without errors.
    async fn end_now(&self) {
        if let Ok(child) = self.child("ending it")
            && let Ok(family) = kill_family(&child)
        {
            let _ = tokio::time::timeout(DOWN_WITHIN, child.wait()).await;
            let _ = wait_until_gone(&family, Instant::now()).await;
        }
        self.cross_out(Cpu::default());
    }
}

/// Takes a postmaster down and waits until no process of it is left; with what they used.
async fn end(child: &Child, how: Down) -> Result<(Stopped, Cpu), Error> {
    let start = Instant::now();
    let spent = figures::cpu_of_family(child.pid());
    let signalled = match how {
        Down::Kill => kill_family(child),
        Down::Quit => family_after(child, Signal::SIGQUIT),
        Down::Fast => family_after(child, Signal::SIGINT),
    };
    let family = signalled.map_err(Error::process("signalling PostgreSQL"))?;
    let Ok(exit) = tokio::time::timeout(DOWN_WITHIN, child.wait()).await else {
        return Err(still_there());
    };
    wait_until_gone(&family, start).await?;
    Ok((Stopped { how, status: exit.status, took: start.elapsed() }, exit.cpu.at_least(spent)))
}

/// Backends outlive their postmaster for a moment, and hold its shared memory: a start before their end would fail.
async fn wait_until_gone(family: &[(i32, u64)], start: Instant) -> Result<(), Error> {
    while family.iter().any(|&(pid, started)| start_of(pid) == Some(started)) {
        if start.elapsed() > DOWN_WITHIN {
            return Err(still_there());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn with_log(error: Error, log: String) -> Error {
    match error {
        Error::NotReady { after, why, .. } => Error::NotReady { after, why, log },
        Error::Ended { status, during, .. } => Error::Ended { status, during, log },
        other => other,
    }
}

/// What a server of ours runs with. Durability is left at its defaults, always; `options.settings` come last and win.
pub(in crate::postgres) fn settings(options: &Options) -> Vec<(String, String)> {
    let ours = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("max_connections", options.max_connections.to_string()),
        ("shared_preload_libraries", "pg_stat_statements".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_line_prefix", "%m [%p] %q%u@%d ".to_owned()),
        // In the data directory, where it goes with the rest: a killed server would leave it in /dev/shm.
        ("dynamic_shared_memory_type", "mmap".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
    ];
    let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value));
    ours.chain(options.settings.iter().cloned()).collect()
}

fn lacks_pg_stat_statements(log: &str) -> bool {
    log.contains("could not access file \"pg_stat_statements\"")
}

fn still_there() -> Error {
    let late = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("its processes are still there after {} s", DOWN_WITHIN.as_secs()),
    );
    Error::process("waiting for PostgreSQL to end")(late)
}

impl Backend for Local {
    fn kind(&self) -> Kind {
        Kind::Local
    }

    fn origin(&self) -> String {
        self.binaries.directory().display().to_string()
    }

    fn admin_url(&self) -> &ServerUrl {
        &self.admin
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn start(&self) -> BoxFuture<'_, Result<Ready, Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            if self.child("").is_ok() {
                return Err(Error::State { state: "running", asked: "starting it" });
            }
            // One that ended by itself has not been crossed out yet.
            let ended = self.running().as_ref().and_then(|running| running.child.exited());
            if let Some(exit) = ended {
                self.cross_out(exit.cpu);
            }
            self.bring_up().await
        })
    }

    fn stop(&self, how: Down) -> BoxFuture<'_, Result<Stopped, Error>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.take_down(how).await
        })
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.freeze()
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.thaw()
        })
    }

    fn add_standby(&self, replication: Replication) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.make_standby(replication).await
        })
    }

    fn hold_standby_back(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.cut_stream().await
        })
    }

    fn fail_over(&self) -> BoxFuture<'_, Result<FailedOver, Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.promote_standby().await
        })
    }

    fn remove_standby(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.end_standby().await
        })
    }

    fn postmaster(&self) -> Result<i32, Error> {
        self.child("reading its figures").map(|child| child.pid())
    }

    fn spent_before(&self) -> Cpu {
        *self.spent_before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_tail(&self) -> BoxFuture<'_, String> {
        Box::pin(async { self.home.log_tail(60) })
    }

    fn psql(&self, database: &str) -> String {
        format!("psql -h {} -p {} -U postgres {database}", self.home.socket().display(), self.port)
    }

    fn keep(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            if self.child("").is_ok() {
                self.take_down(Down::Fast).await?;
            }
            self.kill_standby().await;
            let data = self.data().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let kept = self.home.keep()?;
            let user = if self.run_as.is_some() { "as the owner of its data: " } else { "" };
            Ok(format!(
                "The data directory was kept in {}. Start the server on it with ({user}{} -D {}/{data} -k /tmp -p {}), then: psql -h \
                 /tmp -p {} -U postgres",
                kept.display(),
                self.binaries.program("postgres").display(),
                kept.display(),
                self.port,
                self.port,
            ))
        })
    }

    fn dispose(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.kill_standby().await;
            self.end_now().await;
            self.home.remove()
        })
    }
}

impl Drop for Local {
    /// For a server that was not disposed of: a panicking test, an early return. Waits a moment for the processes to be gone, since the
    /// directory cannot be removed under them.
    fn drop(&mut self) {
        let standby = self.standby.lock().unwrap_or_else(PoisonError::into_inner).take();
        let standby = standby.map(|standby| standby.running);
        for running in self.running().take().into_iter().chain(standby) {
            if running.child.exited().is_none()
                && let Ok(family) = kill_family(&running.child)
            {
                for _ in 0..1000 {
                    let alive = family.iter().any(|&(pid, started)| start_of(pid) == Some(started));
                    if running.child.exited().is_some() && !alive {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            running.forget();
        }
    }
}
