//! The processes of the service: a server and its workers, started, watched, started again when they die, and ended in good order.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::env;
use futures::FutureExt as _;
use futures::future::select_all;
use nix::sys::signal::Signal;

use super::plan::LoadPlan;
use super::record::ProcessRun;
use crate::quantity::Span;
use crate::scenario::Restart;
use crate::trial::drive::Broken;
use crate::trial::record::Exit;
use crate::world::engine::{Ended, Engine, EngineCommand, ProcessEvent, tail};

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(30);
/// How long a process may take to end in good order.
const GRACE: Duration = Duration::from_secs(30);
/// Lines of a process's log that are kept.
const TAIL: usize = 20;

/// Where processes find what they need.
pub struct Surroundings {
    /// The program.
    pub program: PathBuf,
    /// Where to. Holds a password.
    pub database_url: OsString,
    /// Where from.
    pub liverc_url: String,
    /// Port of the server.
    pub port: u16,
    /// Where feeds and logs go.
    pub dir: PathBuf,
}

/// A place in the service that a process fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `server`, `worker-1`.
    pub name: String,
    args: Vec<String>,
    /// Processes started here so far.
    started: u32,
    /// What the first process here is armed with.
    arming: String,
}

/// A process that lives.
pub struct Live {
    /// Index of its place.
    pub place: usize,
    /// The process.
    pub engine: Engine,
    /// Its feed.
    pub feed: PathBuf,
    log: PathBuf,
    /// Whether the harness has asked for its end.
    pub asked: bool,
    /// Whether the harness has stopped it.
    pub paused: bool,
    /// Hold lines of its feed that were acted on.
    pub handled: usize,
}

/// Pids of living processes by place, for the sampler.
pub type Pids = Arc<Mutex<BTreeMap<String, u32>>>;

/// The service.
pub struct Service {
    around: Surroundings,
    settings: BTreeMap<String, OsString>,
    restart: Restart,
    /// All places: the server first.
    pub places: Vec<Place>,
    /// Processes that live.
    pub live: Vec<Live>,
    /// Processes that have ended.
    pub ended: Vec<ProcessRun>,
    /// Feeds of all processes, living and ended, with their pids.
    pub feeds: Vec<(u32, PathBuf)>,
    due: Vec<(Instant, usize)>,
    /// What other processes did while a server was waited for: told by [`Service::next`].
    meanwhile: VecDeque<Meanwhile>,
    pids: Pids,
    http: reqwest::Client,
}

enum Meanwhile {
    Stopped { pid: u32 },
    Ended { place: usize, pid: u32, ended: Ended },
}

/// What a process of the service did.
pub enum Happened {
    /// It stopped itself or was stopped: index in [`Service::live`].
    Stopped(usize),
    /// It ended: its place and how.
    Ended(usize, u32, Ended),
    /// A place is to be filled again.
    Due,
}

impl Service {
    /// Prepares the places. `arming`: what the n-th worker's first process is armed with, from 0.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(plan: &LoadPlan, around: Surroundings, arming: &BTreeMap<usize, String>) -> Result<Self, Broken> {
        let spec = &plan.spec;
        let text = |span: Span| span.to_string();
        let work = |jobs: u32| -> Vec<String> {
            let flags = [
                ("--jobs", jobs.to_string()),
                ("--lease", text(spec.lease)),
                ("--job-attempts", spec.attempts.to_string()),
                ("--job-backoff", text(spec.backoff)),
            ];
            flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
        };
        let place = |name: String, args: Vec<String>| Place { name, args, started: 0, arming: String::new() };
        let mut serve = plan.serve.clone();
        // All clients have one address: a limit on its rate would judge the harness.
        serve.extend(["--rate-limit", "0", "--listen"].map(str::to_owned));
        serve.push(format!("127.0.0.1:{}", around.port));
        serve.extend(work(spec.server_jobs));
        let mut places = vec![place("server".to_owned(), serve)];
        for n in 1..=spec.workers {
            let args = plan.work.iter().cloned().chain(work(spec.jobs)).collect();
            places.push(place(format!("worker-{n}"), args));
        }
        for (worker, text) in arming {
            if let Some(place) = places.get_mut(worker + 1) {
                place.arming.clone_from(text);
            }
        }
        let named = |(name, value): (&String, &String)| {
            (format!("INGEST_{}", name.replace('.', "_").to_uppercase()), OsString::from(value))
        };
        let mut settings: BTreeMap<String, OsString> = plan.settings.iter().map(named).collect();
        settings.insert("INGEST_PROFILE".to_owned(), plan.profile.clone().into());
        ingest::liverc::client::install_tls_provider();
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.map_err(|e| Broken::io("making an HTTP client")(std::io::Error::other(e)))?;
        Ok(Self {
            around,
            settings,
            restart: spec.restart,
            places,
            live: Vec::new(),
            ended: Vec::new(),
            feeds: Vec::new(),
            due: Vec::new(),
            meanwhile: VecDeque::new(),
            pids: Pids::default(),
            http,
        })
    }

    /// Pids of the living processes by place.
    #[must_use]
    pub fn pids(&self) -> Pids {
        Arc::clone(&self.pids)
    }

    /// Starts every place, and waits until the server answers.
    ///
    /// # Errors
    /// A process cannot be started, or the server does not come up: with the end of its log.
    pub async fn start(&mut self) -> Result<(), Broken> {
        for place in 0..self.places.len() {
            self.fill(place).await?;
        }
        // None of them has anything to do before the first client comes: none may end.
        self.ready(&|_| true).await
    }

    /// Waits until the server says that it is ready, and the places that it is waited for with have not ended.
    async fn ready(&mut self, awaited: &(dyn Fn(usize) -> bool + Sync)) -> Result<(), Broken> {
        let url = format!("http://127.0.0.1:{}/readyz", self.around.port);
        let until = Instant::now() + READY;
        loop {
            let answered = self.http.get(&url).timeout(Duration::from_secs(2)).send().await;
            if answered.is_ok_and(|a| a.status().is_success()) {
                return Ok(());
            }
            let event = tokio::time::timeout(Duration::from_millis(20), next_event(&mut self.live)).await;
            match event {
                Ok((index, Some(ProcessEvent::Ended(ended)))) if awaited(self.live[index].place) => {
                    let live = &self.live[index];
                    let why = format!(
                        "{} ended at its start ({:?}): {}",
                        self.places[live.place].name,
                        ended.exit,
                        tail(&live.log, TAIL).join(" | ")
                    );
                    return Err(Broken::io("starting the service")(std::io::Error::other(why)));
                }
                Ok((index, Some(ProcessEvent::Ended(ended)))) => {
                    let (place, pid) = self.bury(index, ended);
                    self.meanwhile.push_back(Meanwhile::Ended { place, pid, ended });
                }
                Ok((index, Some(ProcessEvent::Stopped))) => {
                    self.meanwhile.push_back(Meanwhile::Stopped { pid: self.live[index].engine.pid() });
                }
                Ok((_, None)) => return Err(unwatched()),
                Err(_) => {}
            }
            if Instant::now() > until {
                let log = self.live.iter().find(|l| l.place == 0).map(|l| tail(&l.log, TAIL).join(" | "));
                let why = format!("the server does not become ready: {}", log.unwrap_or_default());
                return Err(Broken::io("starting the service")(std::io::Error::other(why)));
            }
        }
    }

    async fn fill(&mut self, index: usize) -> Result<(), Broken> {
        let place = &mut self.places[index];
        place.started += 1;
        let stem = format!("{}-{}", place.name, place.started);
        let (feed, log) =
            (self.around.dir.join(format!("feed-{stem}.jsonl")), self.around.dir.join(format!("{stem}.log")));
        let mut vars = self.settings.clone();
        vars.insert(env::DATABASE_URL.to_owned(), self.around.database_url.clone());
        vars.insert(env::LIVERC_BASE_URL.to_owned(), self.around.liverc_url.clone().into());
        vars.insert(env::HARNESS_FEED.to_owned(), feed.clone().into());
        if place.started == 1 && !place.arming.is_empty() {
            vars.insert(env::HARNESS_ARM.to_owned(), place.arming.clone().into());
        }
        let command = EngineCommand {
            program: self.around.program.clone(),
            args: place.args.iter().map(OsString::from).collect(),
            env: vars,
            log: log.clone(),
            one_core: false,
            memory: None,
        };
        let name = place.name.clone();
        let engine = Engine::start(command).await.map_err(Broken::io(format!("starting {name}")))?;
        self.feeds.push((engine.pid(), feed.clone()));
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).insert(name, engine.pid());
        self.live.push(Live { place: index, engine, feed, log, asked: false, paused: false, handled: 0 });
        Ok(())
    }

    /// Waits for the next thing that a process does. May be dropped at any time.
    pub async fn next(&mut self) -> Result<Happened, Broken> {
        while let Some(meanwhile) = self.meanwhile.pop_front() {
            match meanwhile {
                Meanwhile::Ended { place, pid, ended } => return Ok(Happened::Ended(place, pid, ended)),
                Meanwhile::Stopped { pid } => {
                    if let Some(index) = self.live.iter().position(|l| l.engine.pid() == pid) {
                        return Ok(Happened::Stopped(index));
                    }
                }
            }
        }
        let due = self.due.iter().map(|(at, _)| *at).min();
        let restart = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = restart => Ok(Happened::Due),
            (index, event) = next_event(&mut self.live) => match event {
                Some(ProcessEvent::Stopped) => Ok(Happened::Stopped(index)),
                Some(ProcessEvent::Ended(ended)) => {
                    let (place, pid) = self.bury(index, ended);
                    Ok(Happened::Ended(place, pid, ended))
                }
                None => Err(unwatched()),
            },
        }
    }

    /// Writes down that a process has ended, and when its place is filled again.
    fn bury(&mut self, index: usize, ended: Ended) -> (usize, u32) {
        let live = self.live.swap_remove(index);
        let name = self.places[live.place].name.clone();
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let good = ended.exit == Exit::Code(0) || live.asked;
        if let Restart::After(after) = self.restart {
            self.due.push((Instant::now() + after.0, live.place));
        }
        let pid = live.engine.pid();
        self.ended.push(ProcessRun {
            place: name,
            pid,
            started_us: live.engine.started_us(),
            ended_us: ended.ended_us,
            exit: ended.exit,
            asked: live.asked,
            cpu_us: ended.cpu_user_us + ended.cpu_system_us,
            peak_rss_bytes: ended.peak_rss_bytes,
            stderr_tail: if good { Vec::new() } else { tail(&live.log, TAIL) },
        });
        (live.place, pid)
    }

    /// Fills the places whose time has come. The places that were filled.
    ///
    /// # Errors
    /// A process cannot be started.
    pub async fn fill_due(&mut self) -> Result<Vec<usize>, Broken> {
        let now = Instant::now();
        let due: Vec<usize> = self.due.iter().filter(|(at, _)| *at <= now).map(|(_, place)| *place).collect();
        self.due.retain(|(at, _)| *at > now);
        for &place in &due {
            self.fill(place).await?;
            if place == 0 {
                self.ready(&|place| place == 0).await?;
            }
        }
        Ok(due)
    }

    /// Whether a dead process's place is still to be filled.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.due.is_empty()
    }

    /// The process that lives in a place.
    pub fn at(&mut self, place: usize) -> Option<&mut Live> {
        self.live.iter_mut().find(|l| l.place == place)
    }

    /// The process of this id.
    pub fn of_pid(&mut self, pid: u32) -> Option<&mut Live> {
        self.live.iter_mut().find(|l| l.engine.pid() == pid)
    }

    /// Ends every process in good order; one that does not come to its end is killed.
    pub async fn stop(&mut self) {
        self.restart = Restart::Never;
        self.due.clear();
        for live in &mut self.live {
            live.asked = true;
            live.engine.signal(Signal::SIGCONT);
            live.engine.signal(Signal::SIGTERM);
        }
        let until = tokio::time::Instant::now() + GRACE;
        while !self.live.is_empty() {
            match tokio::time::timeout_at(until, next_event(&mut self.live)).await {
                Ok((index, Some(ProcessEvent::Ended(ended)))) => drop(self.bury(index, ended)),
                Ok((_, Some(ProcessEvent::Stopped))) => {}
                Ok((index, None)) => drop(self.live.swap_remove(index)),
                Err(_) => {
                    for mut live in std::mem::take(&mut self.live) {
                        tracing::warn!(process = live.engine.pid(), "it did not end in good order and is killed");
                        if let Some(ended) = live.engine.kill().await {
                            live.asked = false;
                            self.live.push(live);
                            let ended = Ended { exit: Exit::TimedOut, ..ended };
                            self.bury(self.live.len() - 1, ended);
                        }
                    }
                    break;
                }
            }
        }
        self.ended.sort_by_key(|run| run.started_us);
    }

    /// Where feeds and logs are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.around.dir
    }
}

fn unwatched() -> Broken {
    Broken::io("waiting for a process")(std::io::Error::other("the watching thread died"))
}

async fn next_event(live: &mut [Live]) -> (usize, Option<ProcessEvent>) {
    if live.is_empty() {
        return std::future::pending().await;
    }
    let (event, index, _) = select_all(live.iter_mut().map(|l| l.engine.next().boxed())).await;
    (index, event)
}
