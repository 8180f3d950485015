//! Actions carried out: each does one thing to the world and gives the proof that it was done, or says why it cannot be.

use std::time::Duration;

use nix::sys::signal::Signal;
use sandbox::postgres::{Down, Replication, Server, ServerUrl};
use sandbox::proxy::{Effect, Hold, Keep, Rule, RuleId, Truncation};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::disk::Disk;
use super::engine::Engine;
use super::liverc::Liverc;
use super::wires::{Side, Wires, words};
use crate::clock::monotonic_us;
use crate::faults::{Action, Moment};
use crate::trial::record::Fired;

/// Rate at which a slow body comes.
const SLOW_BODY: u64 = 20_000;
/// How long the server may take to carry out what it was asked to do.
const PROMPT: Duration = Duration::from_secs(10);

/// What an action can reach.
pub struct World<'a> {
    /// The server.
    pub server: &'a Server,
    /// The harness's connections to the trial's database.
    pub pool: &'a PgPool,
    /// Name of that database.
    pub database: &'a str,
    /// The engine's role.
    pub role: String,
    /// The engine's URL without a proxy. Holds a password.
    pub engine_url: ServerUrl,
    /// The proxies.
    pub wires: &'a Wires,
    /// LiveRC's mock.
    pub liverc: &'a Liverc,
    /// The small disk, or why there is none; `None`: no fault asks for it.
    pub disk: Option<&'a Result<Disk, String>>,
    /// The standby, or why there is none; `None`: no fault asks for it.
    pub standby: Option<Result<Replication, String>>,
}

/// Why an action cannot be carried out here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

impl From<String> for Unsupported {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<sandbox::postgres::Error> for Unsupported {
    fn from(error: sandbox::postgres::Error) -> Self {
        Self(error.to_string())
    }
}

/// An action that was carried out.
#[derive(Debug)]
pub struct Applied {
    /// What shows it.
    pub proof: Proof,
    /// What makes the world whole again; `None`: it was over at once.
    pub healing: Option<Healing>,
}

/// What shows that an action happened.
#[derive(Debug)]
pub enum Proof {
    /// It is there.
    Shown(Fired),
    /// It comes with the first traffic that meets the proxy's rule.
    Traffic(Side, RuleId),
    /// It comes with the first request that meets LiveRC's misbehaviour.
    Page(usize),
    /// It comes when the lock is granted: (CLOCK_MONOTONIC µs, what was granted).
    Lock(oneshot::Receiver<(u64, String)>),
    /// It comes when PostgreSQL says that its disk is full: (CLOCK_MONOTONIC µs, how it was filled).
    DiskFull(u64, String),
    /// It comes with the process's end for want of memory: CLOCK_MONOTONIC µs of the limit.
    Memory(u64),
    /// It comes with the process's death by signal 9.
    Death,
}

/// What makes the world whole again.
#[derive(Debug)]
pub enum Healing {
    /// The proxy's rule goes.
    Rule(Side, RuleId),
    /// LiveRC behaves.
    Page(usize),
    /// The server is started.
    Start,
    /// The server's processes go on.
    Resume,
    /// Connections are allowed again.
    Connections,
    /// The lock is given back.
    Unlock(oneshot::Sender<()>, JoinHandle<()>),
    /// The disk has room again.
    Disk,
    /// The engine's process goes on.
    Continue,
}

impl Healing {
    /// Whether PostgreSQL does not answer the harness until then.
    #[must_use]
    pub fn database_is_down(&self) -> bool {
        matches!(self, Self::Start | Self::Resume)
    }
}

/// How the standby follows that an action wants; `None`: it wants none.
#[must_use]
pub fn standby_for(action: Action) -> Option<Replication> {
    match action {
        Action::DbFailover => Some(Replication::Synchronous),
        Action::DbFailoverAsync => Some(Replication::Asynchronous),
        _ => None,
    }
}

fn shown(at_us: u64, evidence: impl Into<String>) -> Proof {
    Proof::Shown(Fired { at_us, healed_us: None, evidence: evidence.into() })
}

fn nobody() -> Unsupported {
    Unsupported("no process that it could strike was there".into())
}

fn over(proof: Proof) -> Applied {
    Applied { proof, healing: None }
}

fn lasting(proof: Proof, healing: Healing) -> Applied {
    Applied { proof, healing: Some(healing) }
}

impl World<'_> {
    /// Carries an action out. `held`: the connection that stands still at the fault's moment on the wire.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub async fn apply(
        &mut self,
        action: Action,
        engine: Option<&mut Engine>,
        lasts: Duration,
        held: Option<(&mut Option<Hold>, Moment)>,
    ) -> Result<Applied, Unsupported> {
        let at = monotonic_us();
        match action {
            Action::Crash => {
                let engine = engine.ok_or_else(nobody)?;
                engine.signal(Signal::SIGKILL);
                Ok(over(Proof::Death))
            }
            Action::Pause | Action::Stall => {
                let engine = engine.ok_or_else(nobody)?;
                engine.signal(Signal::SIGSTOP);
                let evidence = format!("process {} stands still (SIGSTOP)", engine.pid());
                Ok(lasting(shown(at, evidence), Healing::Continue))
            }
            Action::DbReset => self.cut(at, Side::Database, Effect::Reset).await,
            Action::NetReset => self.cut(at, Side::Liverc, Effect::Reset).await,
            Action::DbBlackhole => self.rule(Side::Database, Effect::black_hole()),
            Action::NetBlackhole => self.rule(Side::Liverc, Effect::black_hole()),
            Action::DbSlow => self.rule(Side::Database, Effect::rtt(Duration::from_millis(200))),
            Action::NetSlow => self.rule(Side::Liverc, Effect::rtt(Duration::from_millis(500))),
            Action::SlowBody => self.rule(Side::Liverc, Effect::SlowBody { bytes_per_second: SLOW_BODY }),
            Action::DbRefuse => self.refuse(Side::Database).await,
            Action::NetRefuse => self.refuse(Side::Liverc).await,
            Action::DbCut => self.cut_frame(at, held),
            Action::Truncate => self.truncate(Truncation::ShortLength),
            Action::TruncateChunked => self.truncate(Truncation::UnterminatedChunks),
            Action::TruncateClosed => self.truncate(Truncation::NoLength),
            Action::DbTerminate => {
                let n = self.terminate().await?;
                if n == 0 {
                    return Err(Unsupported("the engine had no backend that could have been ended".into()));
                }
                Ok(over(shown(at, format!("pg_terminate_backend ended {n} backends of the engine"))))
            }
            Action::DbKill => self.stop(at, Down::Kill).await,
            Action::DbStop => self.stop(at, Down::Quit).await,
            Action::DbRestart => self.stop(at, Down::Fast).await,
            Action::DbPause => {
                self.server.pause().await?;
                Ok(lasting(shown(at, "every process of PostgreSQL stands still (SIGSTOP)"), Healing::Resume))
            }
            Action::DbConnections => self.no_connections(at).await,
            Action::DbLocked => Ok(self.lock()),
            Action::DbFull => {
                let disk = match self.disk {
                    Some(Ok(disk)) => disk,
                    Some(Err(why)) => return Err(Unsupported(why.clone())),
                    None => return Err(Unsupported("the trial has no small disk".into())),
                };
                let evidence = disk.fill().map_err(|e| Unsupported(format!("the disk could not be filled: {e}")))?;
                Ok(lasting(Proof::DiskFull(at, evidence), Healing::Disk))
            }
            Action::Http429
            | Action::Http429Date
            | Action::Http5xx
            | Action::MalformedHtml
            | Action::MalformedScript
            | Action::EmptyPage
            | Action::WrongPage
            | Action::HugePage => {
                // Ends by itself, counted from the request that meets it.
                Ok(over(Proof::Page(self.liverc.misbehave(action, lasts))))
            }
            Action::DbDeadlock | Action::DbSerialization | Action::DbLockTimeout | Action::DbStatementTimeout => {
                Err(Unsupported("it is raised by PostgreSQL itself, at a row or a commit".into()))
            }
            Action::OutOfMemory => {
                let engine = engine.ok_or_else(nobody)?;
                let pid = engine.pid();
                let limit =
                    engine.memory().ok_or_else(|| Unsupported("the engine was started without a limit".into()))?;
                limit.starve(pid).map_err(|e| Unsupported(format!("no limit on its memory could be set: {e}")))?;
                Ok(over(Proof::Memory(at)))
            }
            Action::ServerKill => Err(Unsupported("there is no server of a service here".into())),
            Action::ClientReset => match held {
                Some(held) => self.cut_frame(at, Some(held)),
                None => self.cut(at, Side::Service, Effect::Reset).await,
            },
            Action::DbFailover => self.fail_over(at, Replication::Synchronous).await,
            Action::DbFailoverAsync => self.fail_over(at, Replication::Asynchronous).await,
        }
    }

    async fn cut(&self, at: u64, side: Side, effect: Effect) -> Result<Applied, Unsupported> {
        let fired = self.wires.cut_all(side, effect).await?;
        Ok(over(shown(at, words(&fired))))
    }

    fn rule(&self, side: Side, effect: Effect) -> Result<Applied, Unsupported> {
        let rule = self.wires.add(side, Rule::always(effect))?;
        Ok(lasting(Proof::Traffic(side, rule), Healing::Rule(side, rule)))
    }

    async fn refuse(&self, side: Side) -> Result<Applied, Unsupported> {
        let rule = self.wires.add(side, Rule::always(Effect::Refuse))?;
        let fired = self.wires.fired(side, rule).await?;
        // A connection that is there would go on as if nothing had happened.
        let _ = self.wires.cut_all(side, Effect::Close).await;
        Ok(lasting(shown(fired.at_us, words(&fired)), Healing::Rule(side, rule)))
    }

    fn cut_frame(&self, at: u64, held: Option<(&mut Option<Hold>, Moment)>) -> Result<Applied, Unsupported> {
        if let Some((hold, moment)) = held
            && let Some(hold) = hold.take()
        {
            let rule = hold.rule();
            hold.cut();
            return Ok(over(shown(at, format!("the proxy cut the connection at `{moment}` ({rule})"))));
        }
        let next: sandbox::proxy::Moment =
            "frame#1:half".parse().map_err(|e: sandbox::proxy::MomentError| Unsupported(e.to_string()))?;
        let rule = self.wires.add(Side::Database, Rule::at(next, Effect::Reset))?;
        Ok(over(Proof::Traffic(Side::Database, rule)))
    }

    fn truncate(&self, form: Truncation) -> Result<Applied, Unsupported> {
        let next: sandbox::proxy::Moment = "response(view_race_result)#1"
            .parse()
            .map_err(|e: sandbox::proxy::MomentError| Unsupported(e.to_string()))?;
        let rule = Rule::at(next, Effect::Truncate { form, keep: Keep::Percent(50) });
        let rule = self.wires.add(Side::Liverc, rule)?;
        Ok(over(Proof::Traffic(Side::Liverc, rule)))
    }

    /// Ends the engine's backends and waits until they are gone.
    async fn terminate(&self) -> Result<i64, Unsupported> {
        const LEFT: &str = "FROM pg_stat_activity WHERE datname = current_database() AND usename = $1 \
                            AND pid <> pg_backend_pid()";
        let sql = |e: sqlx::Error| Unsupported(format!("the engine's backends could not be ended: {e}"));
        let ended: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(pg_terminate_backend(pid)) {LEFT}")))
            .bind(&self.role)
            .fetch_one(self.pool)
            .await
            .map_err(sql)?;
        let deadline = tokio::time::Instant::now() + PROMPT;
        loop {
            let left: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) {LEFT}")))
                .bind(&self.role)
                .fetch_one(self.pool)
                .await
                .map_err(sql)?;
            if left == 0 {
                return Ok(ended);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Unsupported(format!("{left} backends of the engine did not end")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn stop(&self, at: u64, how: Down) -> Result<Applied, Unsupported> {
        let stopped = self.server.stop(how).await?;
        let evidence = format!("the postmaster ended ({}) within {} ms", stopped.status, stopped.took.as_millis());
        Ok(lasting(shown(at, evidence), Healing::Start))
    }

    /// The primary is killed and the standby promoted; it answers under the primary's address when the world is healed.
    async fn fail_over(&mut self, at: u64, wanted: Replication) -> Result<Applied, Unsupported> {
        match self.standby.take() {
            Some(Ok(found)) if found == wanted => {}
            Some(Err(why)) => return Err(Unsupported(why)),
            Some(Ok(_)) => return Err(Unsupported("a trial has one standby, and it is of the other kind".into())),
            None => return Err(Unsupported("a trial has one standby, and it has taken over already".into())),
        }
        let over = self.server.fail_over().await?;
        let missing = over.primary_at.bytes_since(over.standby_at);
        let evidence = format!(
            "the primary was killed ({}) with its log at {}; the standby, which had it up to {} ({missing} bytes less), was \
             promoted within {} ms: timeline {} after {}, pg_is_in_recovery() is false",
            over.primary.status,
            over.primary_at,
            over.standby_at,
            over.promoted_within.as_millis(),
            over.timeline,
            over.primary_timeline,
        );
        Ok(lasting(shown(at, evidence), Healing::Start))
    }

    /// PostgreSQL answers 53300 to every new connection of the engine, and its old ones are ended.
    async fn no_connections(&self, at: u64) -> Result<Applied, Unsupported> {
        self.connection_limit(0).await?;
        let ended = self.terminate().await?;
        let evidence = match sandbox::postgres::connect(&self.engine_url).await {
            Ok(_) => return Err(Unsupported("PostgreSQL took a connection past the limit".into())),
            Err(error) => format!("{ended} backends of the engine ended; a new connection was refused: {error}"),
        };
        Ok(lasting(shown(at, evidence), Healing::Connections))
    }

    async fn connection_limit(&self, limit: i32) -> Result<(), Unsupported> {
        let sql = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT {limit}", self.database);
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.pool).await;
        done.map(drop).map_err(|e| Unsupported(format!("connections could not be limited: {e}")))
    }

    /// Queues for a lock that writers of laps must wait for, and readers need not. Results first, as writers take them: a unit that
    /// has written its results would else wait for the laps, and this session for the results, until PostgreSQL ended one.
    fn lock(&self) -> Applied {
        let (granted, proof) = oneshot::channel();
        let (unlock, unlocked) = oneshot::channel();
        let pool = self.pool.clone();
        let task = tokio::spawn(async move {
            let Ok(mut tx) = pool.begin().await else { return };
            let taken = sqlx::query("LOCK TABLE results, laps IN EXCLUSIVE MODE").execute(&mut *tx).await;
            if taken.is_ok() {
                let evidence = "another session was granted EXCLUSIVE on results and laps".to_owned();
                let _ = granted.send((monotonic_us(), evidence));
                let _ = unlocked.await;
            }
            let _ = tx.rollback().await;
        });
        lasting(Proof::Lock(proof), Healing::Unlock(unlock, task))
    }

    /// Looks whether a proof has come. `Ok(None)`: not yet.
    ///
    /// # Errors
    /// When it cannot come any more, with the reason.
    pub async fn look(&self, proof: &mut Proof) -> Result<Option<Fired>, String> {
        let fired = |at_us, evidence| Some(Fired { at_us, healed_us: None, evidence });
        Ok(match proof {
            Proof::Shown(shown) => Some(shown.clone()),
            Proof::Traffic(side, rule) => self.wires.met(*side, *rule).and_then(|f| fired(f.at_us, words(&f))),
            Proof::Page(number) => self.liverc.misbehaved(*number).and_then(|(at, what)| fired(at, what)),
            Proof::Lock(granted) => match granted.try_recv() {
                Ok((at, what)) => fired(at, what),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => return Err("the lock was not granted".to_owned()),
            },
            Proof::DiskFull(at, how) => {
                // The log is the server's, of all trials: a line that names this trial's database.
                let said = self
                    .server
                    .log_tail()
                    .await
                    .lines()
                    .rev()
                    .find(|l| l.contains("No space left") && l.contains(self.database))
                    .map(str::to_owned);
                said.and_then(|line| fired(*at, format!("{how}; PostgreSQL's log: {}", line.trim())))
            }
            Proof::Death | Proof::Memory(..) => None,
        })
    }

    /// Makes the world whole again.
    ///
    /// # Errors
    /// When that fails: the environment is broken then.
    pub async fn heal(&mut self, healing: Healing, engine: Option<&Engine>) -> Result<(), Unsupported> {
        match healing {
            Healing::Rule(side, rule) => self.wires.remove(side, rule),
            Healing::Page(number) => self.liverc.behave(number),
            Healing::Start => drop(self.server.start().await?),
            Healing::Resume => self.server.resume().await?,
            Healing::Connections => self.connection_limit(-1).await?,
            Healing::Unlock(unlock, task) => {
                let _ = unlock.send(());
                let _ = task.await;
            }
            Healing::Disk => {
                if let Some(Ok(disk)) = self.disk {
                    disk.empty().map_err(|e| Unsupported(format!("the disk could not be emptied: {e}")))?;
                }
            }
            Healing::Continue => {
                if let Some(engine) = engine {
                    engine.signal(Signal::SIGCONT);
                }
            }
        }
        Ok(())
    }
}
