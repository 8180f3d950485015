//! PostgreSQL in a container.
//!
//! testcontainers starts it; what testcontainers does not have (signals, networks, names, labels) goes to the same daemon through the
//! API client that it uses. Nothing cleans up after a container by itself: it carries a label that tells whose it is, and
//! a watchdog removes it when this process dies.

mod image;
mod launch;

use std::collections::HashMap;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use testcontainers::bollard::Docker as Client;
use testcontainers::bollard::errors::Error as ApiError;
use testcontainers::bollard::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use testcontainers::bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use testcontainers::{ContainerAsync, GenericImage};

use super::backend::{Backend, Down, Kind, Ready, Stopped};
use super::capability::{Capabilities, Capability};
use super::connect::wait_until_ready;
use super::error::Error;
use super::figures::{self, Cpu};
use super::port::{free_port, random_password};
use super::server::Options;
use super::url::ServerUrl;
use super::watchdog::Watchdog;
use crate::leftovers::{Identity, Registry, Thing};

pub use image::{DEFAULT_IMAGE, LOCAL_IMAGE};
use launch::launch;

pub(crate) use image::{chain, client, resolve, status};

/// Label of our containers; its value is the [`Identity`] of the run.
const LABEL: &str = "liverc-harness";

/// Start of the names of our containers.
const NAME: &str = "liverc-harness-";

/// Start of the names of those that were kept, which no sweep removes.
const KEPT_NAME: &str = "liverc-kept-";

/// How long it may take to go down.
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// Lines of a failed start that are kept.
const LOG_LINES: usize = 40;

/// A server in a container.
pub struct Docker {
    client: Client,
    container: Mutex<Option<ManuallyDrop<ContainerAsync<GenericImage>>>>,
    name: String,
    image: String,
    admin: ServerUrl,
    capabilities: Capabilities,
    start_within: Duration,
    turn: tokio::sync::Mutex<()>,
    postmaster: Mutex<Option<i32>>,
    spent_before: Mutex<Cpu>,
    paused: AtomicBool,
    /// Networks that it was cut off.
    cut: Mutex<Vec<String>>,
    watchdog: Mutex<Option<Watchdog>>,
}

impl Docker {
    /// Starts a container on a daemon that answers, from an image that is there.
    pub(crate) async fn start_new(client: Client, image: String, options: &Options) -> Result<Self, Error> {
        let port = free_port().ok_or_else(|| Error::Docker("no free TCP port on 127.0.0.1".to_owned()))?;
        let password = random_password();
        let name = next_name();
        let thing = Thing::Container(name.clone());
        Registry::own().note(thing.clone()).map_err(Error::io("writing to", crate::leftovers::runtime_directory()))?;
        // Before the container: there is no moment in which it is there and nobody would remove it.
        let watchdog = watch(&name);
        let container = match launch(&name, &image, port, &password, options).await {
            Ok(container) => container,
            Err(error) => {
                let _ = remove(&client, &name).await;
                Registry::own().forget(&thing);
                return Err(error);
            }
        };
        let server = Self {
            client,
            container: Mutex::new(Some(ManuallyDrop::new(container))),
            name,
            image,
            admin: ServerUrl::from_parts("postgres", Some(&password), port, "postgres", &[("sslmode", "disable")]),
            capabilities: Capabilities::all(Kind::Docker).without(
                Capability::Failover,
                "a container is one server; --postgres local can have a standby beside it",
            ),
            start_within: options.start_within,
            turn: tokio::sync::Mutex::new(()),
            postmaster: Mutex::new(None),
            spent_before: Mutex::new(Cpu::default()),
            paused: AtomicBool::new(false),
            cut: Mutex::new(Vec::new()),
            watchdog: Mutex::new(watchdog),
        };
        server.wait_until_ready().await?;
        let mut server = server;
        if server.find_postmaster().await.is_none() {
            let reason = "the container's processes are not visible in this machine's /proc";
            server.capabilities = server.capabilities.clone().without(Capability::ProcessFigures, reason);
        }
        Ok(server)
    }

    /// Name of the container.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.name
    }

    fn failed<'a>(&'a self, doing: &'a str) -> impl FnOnce(ApiError) -> Error + 'a {
        move |error| Error::Docker(format!("{doing} the container {} failed: {}", self.name, chain(&error)))
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        // A published port accepts connections while nothing listens behind it, so the end of the container is watched for as well.
        let ready = wait_until_ready(&self.admin, self.start_within, || None);
        let result = tokio::select! {
            result = ready => result,
            status = self.exited() => Err(Error::Ended { status, during: "while it was starting", log: String::new() }),
        };
        match result {
            Err(Error::NotReady { after, why, .. }) => {
                Err(Error::NotReady { after, why, log: self.read_log(LOG_LINES).await })
            }
            Err(Error::Ended { status, during, .. }) => {
                Err(Error::Ended { status, during, log: self.read_log(LOG_LINES).await })
            }
            other => other,
        }
    }

    /// Waits until the container is not running; its status in words.
    async fn exited(&self) -> String {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut stream = std::pin::pin!(self.client.wait_container(&self.name, Some(options)));
        let code = match stream.next().await {
            Some(Ok(response)) => response.status_code,
            Some(Err(ApiError::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return format!("unknown: {}", chain(&error)),
            None => return "unknown".to_owned(),
        };
        // A container's code for a signal is that of a shell.
        match i32::try_from(code - 128).ok().and_then(|number| nix::sys::signal::Signal::try_from(number).ok()) {
            Some(signal) => format!("signal {}", signal.as_str()),
            None => format!("exit code {code}"),
        }
    }

    /// Finds the process in this machine's numbering; `None` when the daemon's machine is another (Docker Desktop's).
    async fn find_postmaster(&self) -> Option<i32> {
        let state = self.client.inspect_container(&self.name, None).await.ok()?.state?;
        let pid = i32::try_from(state.pid?).ok().filter(|&pid| pid > 0)?;
        let is_it = procfs::process::Process::new(pid)
            .and_then(|process| process.stat())
            .is_ok_and(|stat| stat.comm.starts_with("postgres"));
        let found = is_it.then_some(pid);
        *lock(&self.postmaster) = found;
        found
    }

    async fn is_running(&self) -> Result<bool, Error> {
        let found = self.client.inspect_container(&self.name, None).await.map_err(self.failed("looking at"))?;
        Ok(found.state.and_then(|state| state.running).unwrap_or(false))
    }

    async fn read_log(&self, lines: usize) -> String {
        let tail = lines.to_string();
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&tail).build();
        let mut stream = std::pin::pin!(self.client.logs(&self.name, Some(options)));
        let mut text = String::new();
        while let Some(Ok(part)) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&part.into_bytes()));
        }
        text
    }

    async fn take_down(&self, how: Down) -> Result<Stopped, Error> {
        if !self.is_running().await? {
            return Err(Error::State { state: "not running", asked: "stopping it" });
        }
        if self.paused.load(Ordering::SeqCst) && how != Down::Kill {
            return Err(Error::State { state: "paused", asked: "an orderly shutdown" });
        }
        let signal = match how {
            Down::Kill => "SIGKILL",
            Down::Quit => "SIGQUIT",
            Down::Fast => "SIGINT",
        };
        let start = Instant::now();
        let spent = lock(&self.postmaster).map(figures::cpu_of_family).unwrap_or_default();
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        self.client.kill_container(&self.name, Some(options)).await.map_err(self.failed("signalling"))?;
        let Ok(status) = tokio::time::timeout(DOWN_WITHIN, self.exited()).await else {
            return Err(Error::Docker(format!(
                "the container {} still runs {} s after {signal}",
                self.name,
                DOWN_WITHIN.as_secs()
            )));
        };
        let took = start.elapsed();
        self.paused.store(false, Ordering::SeqCst);
        *lock(&self.postmaster) = None;
        let mut before = lock(&self.spent_before);
        *before = before.plus(spent);
        Ok(Stopped { how, status, took })
    }

    async fn bring_up(&self) -> Result<Ready, Error> {
        if self.is_running().await? {
            return Err(Error::State { state: "running", asked: "starting it" });
        }
        let start = Instant::now();
        self.client.start_container(&self.name, None).await.map_err(self.failed("starting"))?;
        self.wait_until_ready().await?;
        let took = start.elapsed();
        self.find_postmaster().await;
        Ok(Ready { took })
    }

    async fn cut_off(&self) -> Result<(), Error> {
        if !lock(&self.cut).is_empty() {
            return Err(Error::State { state: "cut off its network", asked: "cutting it off again" });
        }
        let found = self.client.inspect_container(&self.name, None).await.map_err(self.failed("looking at"))?;
        let networks: Vec<String> =
            found.network_settings.and_then(|settings| settings.networks).unwrap_or_default().into_keys().collect();
        for network in networks {
            let request = NetworkDisconnectRequest { container: self.name.clone(), force: Some(true) };
            self.client.disconnect_network(&network, request).await.map_err(self.failed("disconnecting"))?;
            lock(&self.cut).push(network);
        }
        Ok(())
    }

    async fn put_back(&self) -> Result<Ready, Error> {
        let networks = lock(&self.cut).clone();
        if networks.is_empty() {
            return Err(Error::State { state: "on its network", asked: "connecting it" });
        }
        let start = Instant::now();
        for network in networks {
            let request = NetworkConnectRequest { container: self.name.clone(), ..NetworkConnectRequest::default() };
            self.client.connect_network(&network, request).await.map_err(self.failed("connecting"))?;
            lock(&self.cut).retain(|other| *other != network);
        }
        self.wait_until_ready().await?;
        Ok(Ready { took: start.elapsed() })
    }

    async fn end(&self) -> Result<(), Error> {
        let container = lock(&self.container).take();
        if let Some(container) = container {
            let removed = ManuallyDrop::into_inner(container).rm().await;
            removed.map_err(|error| {
                Error::Docker(format!("removing the container {} failed: {}", self.name, chain(&error)))
            })?;
            Registry::own().forget(&Thing::Container(self.name.clone()));
        }
        let disarmed = lock(&self.watchdog).take();
        drop(disarmed);
        Ok(())
    }
}

/// Not derived: the container's request holds the password in an environment variable.
impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = f.debug_struct("Docker");
        parts.field("name", &self.name).field("image", &self.image).field("admin", &self.admin);
        parts.field("capabilities", &self.capabilities).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{NAME}{}-{}", Identity::own(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Removes the container when this process dies; `None` where there is no `docker` command, and the next run has to sweep.
fn watch(name: &str) -> Option<Watchdog> {
    // `docker rm --force` prints what it removed. Nothing: the daemon may still be making the container that this process asked
    // for when it died. Once more, then, for a few seconds; what comes later still is labelled, and swept by the next run.
    const REMOVE: &str = r#"for try in 1 2 3 4 5; do
  [ -n "$(docker rm --force --volumes "$@" 2>/dev/null)" ] && exit 0
  sleep 1
done"#;
    let mut watchdog = Watchdog::arm(&["/bin/sh", "-c", REMOVE, "liverc-harness-watchdog"]).ok()?;
    watchdog.add(name).ok()?;
    Some(watchdog)
}

/// Removes a container with its volumes; one that is not there is fine.
pub(crate) async fn remove(client: &Client, name: &str) -> Result<(), ApiError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match client.remove_container(name, Some(options)).await {
        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        result => result,
    }
}

/// Names of the containers of dead runs of this machine; not of kept ones.
pub(crate) async fn of_dead_runs(client: &Client) -> Result<Vec<String>, ApiError> {
    let filters: HashMap<String, Vec<String>> = [("label".to_owned(), vec![LABEL.to_owned()])].into();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let mut names = Vec::new();
    for container in client.list_containers(Some(options)).await? {
        let owner = container.labels.as_ref().and_then(|labels| labels.get(LABEL)?.parse::<Identity>().ok());
        let name = container.names.unwrap_or_default().into_iter().next();
        let name = name.map(|name| name.trim_start_matches('/').to_owned()).or(container.id);
        if let (Some(owner), Some(name)) = (owner, name)
            && !owner.is_alive()
            && !name.starts_with(KEPT_NAME)
        {
            names.push(name);
        }
    }
    Ok(names)
}

impl Backend for Docker {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn origin(&self) -> String {
        self.image.clone()
    }

    fn image(&self) -> Option<String> {
        Some(self.image.clone())
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
            if self.paused.load(Ordering::SeqCst) {
                return Err(Error::State { state: "paused", asked: "pausing it again" });
            }
            self.client.pause_container(&self.name).await.map_err(self.failed("pausing"))?;
            self.paused.store(true, Ordering::SeqCst);
            Ok(())
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            if !self.paused.load(Ordering::SeqCst) {
                return Err(Error::State { state: "not paused", asked: "resuming it" });
            }
            self.client.unpause_container(&self.name).await.map_err(self.failed("resuming"))?;
            self.paused.store(false, Ordering::SeqCst);
            Ok(())
        })
    }

    fn disconnect(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.cut_off().await
        })
    }

    fn reconnect(&self) -> BoxFuture<'_, Result<Ready, Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.put_back().await
        })
    }

    fn postmaster(&self) -> Result<i32, Error> {
        self.capabilities.require(Capability::ProcessFigures)?;
        lock(&self.postmaster).ok_or(Error::State { state: "not running", asked: "reading its figures" })
    }

    fn spent_before(&self) -> Cpu {
        *lock(&self.spent_before)
    }

    fn log_tail(&self) -> BoxFuture<'_, String> {
        Box::pin(self.read_log(60))
    }

    fn psql(&self, database: &str) -> String {
        format!("docker exec -it {} psql -U postgres {database}", self.name)
    }

    fn keep(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            let kept = self.name.replacen(NAME, KEPT_NAME, 1);
            let options = RenameContainerOptionsBuilder::new().name(&kept).build();
            self.client.rename_container(&self.name, options).await.map_err(self.failed("renaming"))?;
            // Never dropped: dropping removes the container.
            let _kept = lock(&self.container).take();
            Registry::own().forget(&Thing::Container(self.name.clone()));
            let disarmed = lock(&self.watchdog).take();
            drop(disarmed);
            Ok(format!(
                "docker exec -it {kept} psql -U postgres\nThe container {kept} runs on; remove it with: docker rm -fv {kept}"
            ))
        })
    }

    fn dispose(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let _turn = self.turn.lock().await;
            self.end().await
        })
    }
}

impl Drop for Docker {
    /// For a server that was not disposed of: a panicking test, an early return.
    fn drop(&mut self) {
        let Some(container) = lock(&self.container).take() else { return };
        let watchdog = lock(&self.watchdog).take();
        let is_gone = match watchdog {
            // Works outside of a runtime too, where the container's own drop would panic.
            Some(watchdog) => watchdog.fire(),
            None if tokio::runtime::Handle::try_current().is_ok() => {
                drop(ManuallyDrop::into_inner(container));
                true
            }
            None => false,
        };
        if is_gone {
            Registry::own().forget(&Thing::Container(self.name.clone()));
        } else {
            tracing::warn!(container = %self.name, "a container is left over; `harness doctor --clean` removes it");
        }
    }
}
