//! The faults of a trial: armed, struck, proven, healed.
//!
//! A fault at a step strikes while the engine holds there; one at a moment on the wire while that connection stands still and the
//! engine is stopped. Either way nothing goes on before the fault is in force and what is durable has been read. What lasts is
//! counted from the traffic that met it, so that no clock decides whether a fault is felt.

use std::path::Path;
use std::time::{Duration, Instant};

use contract::feed::{Line, Record, StepReached};
use contract::{ArmAction, Arming, Step, Trigger};
use futures::FutureExt as _;
use futures::future::select_all;
use nix::sys::signal::Signal;
use sandbox::proxy::{self, Hold};

use super::drive::Broken;
use super::observe::database;
use super::observe::feed::FeedFile;
use super::record::{Attempt, Exit, FaultRecord, Fired, Interlude};
use crate::clock::monotonic_us;
use crate::faults::{Action, Fault, Frame, Moment, When};
use crate::world::action::{Healing, Proof, World};
use crate::world::engine::{Ended, Engine, ProcessEvent};
use crate::world::raised::Raised;
use crate::world::wires::{self, words};

/// How soon it is looked again whether a fault that is in force was met.
const AGAIN: Duration = Duration::from_millis(20);
/// How long PostgreSQL may keep the lock of an engine that was killed before it is no longer waited for.
const LOCK_FREE: Duration = Duration::from_secs(20);

/// What a fault waits for.
enum At {
    Step(Trigger),
    Wire { frame: Frame, occurrence: u32, moment: Moment, hold: Option<Hold> },
    Raised(Option<Raised>),
    Time(Duration),
}

enum State {
    /// For its trigger.
    Waiting,
    /// It is in force; who meets it is the proof.
    InForce(Proof),
    /// The engine was killed at the trigger that this says.
    Killed(u64, String),
    Fired(Fired),
    Not(String),
}

struct Slot {
    fault: Fault,
    at: At,
    state: State,
}

struct Pending {
    slot: usize,
    due: Instant,
    lasts: Duration,
    healing: Healing,
}

/// Something that a fault waits for, or its end.
pub enum Happening {
    /// The time of a fault, or of a healing.
    Due,
    /// A connection stands still at a fault's moment.
    Wire(usize, proxy::Fired),
}

/// How the engine goes on after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It goes on, or will when its pause is over.
    Goes,
    /// It stays as it is until another engine has finished the event.
    Stalled,
}

/// The faults of a trial.
pub struct Faults<'a> {
    world: World<'a>,
    slots: Vec<Slot>,
    pending: Vec<Pending>,
    revision: Option<u32>,
    event_id: u64,
    started: Option<Instant>,
    /// Hold lines of the current process that were acted on.
    handled: usize,
    /// Stops that may still come without a line of their own.
    extra_stops: usize,
    paused: bool,
    database_down: bool,
    interludes: Vec<Interlude>,
    /// From a fault that took PostgreSQL away until it was back, µs.
    pub database_ready_us: Option<u64>,
}

impl<'a> Faults<'a> {
    /// Prepares the faults. `half_statements`: the engine sends a lap batch as one statement, so that `mid-batch` is a moment on
    /// the wire.
    #[must_use]
    pub fn new(world: World<'a>, faults: &[Fault], half_statements: bool) -> Self {
        let slots = faults.iter().map(|fault| Slot {
            fault: fault.clone(),
            state: State::Waiting,
            at: match fault.when() {
                _ if fault.action().is_raised() => At::Raised(None),
                When::Step(Trigger { step: Step::MidBatch, occurrence }) if half_statements => {
                    At::Wire { frame: Frame::Batch, occurrence: *occurrence, moment: Moment::Half, hold: None }
                }
                When::Step(trigger) => At::Step(*trigger),
                When::Wire { frame, occurrence, moment } => {
                    At::Wire { frame: *frame, occurrence: *occurrence, moment: *moment, hold: None }
                }
                When::Row(_) => At::Raised(None),
                When::Time(after) => At::Time(after.0),
            },
        });
        Self {
            slots: slots.collect(),
            world,
            pending: Vec::new(),
            revision: None,
            event_id: 0,
            started: None,
            handled: 0,
            extra_stops: 0,
            paused: false,
            database_down: false,
            interludes: Vec::new(),
            database_ready_us: None,
        }
    }

    /// Begins an ingestion; `None`: one in which nothing goes wrong.
    pub async fn begin(&mut self, revision: Option<u32>, event_id: u64) {
        (self.revision, self.event_id, self.started) = (revision, event_id, None);
        for index in self.open() {
            let slot = &mut self.slots[index];
            match &mut slot.at {
                At::Wire { frame, occurrence, moment, hold } => {
                    let held = wires::moment(*frame, *occurrence, *moment)
                        .and_then(|(side, moment)| self.world.wires.on(side)?.hold(moment).map_err(|e| e.to_string()));
                    match held {
                        Ok(held) => *hold = Some(held),
                        Err(why) => slot.state = State::Not(why),
                    }
                }
                At::Raised(raised) => {
                    match Raised::install(self.world.pool, index + 1, slot.fault.action(), slot.fault.when()).await {
                        Ok(installed) => *raised = installed,
                        Err(e) => slot.state = State::Not(format!("no trigger can be made in the database: {e}")),
                    }
                }
                At::Step(_) | At::Time(_) => {}
            }
        }
    }

    /// Faults of this ingestion that still wait.
    fn open(&self) -> Vec<usize> {
        let of_now = |slot: &Slot| self.revision == Some(slot.fault.revision());
        let waiting = |slot: &Slot| matches!(slot.state, State::Waiting) && of_now(slot);
        self.slots.iter().enumerate().filter(|(_, s)| waiting(s)).map(|(i, _)| i).collect()
    }

    /// What the next process is armed with. A fault that an earlier process did not reach waits for it in the next.
    #[must_use]
    pub fn arming(&self) -> String {
        let mut all: Vec<(Trigger, ArmAction)> = Vec::new();
        for index in self.open() {
            let slot = &self.slots[index];
            if let At::Step(trigger) = slot.at {
                let action = if slot.fault.action() == Action::Crash { ArmAction::Kill } else { ArmAction::Hold };
                if !all.iter().any(|(t, _)| *t == trigger) {
                    all.push((trigger, action));
                }
            }
        }
        Arming(all).to_string()
    }

    /// A process was started.
    pub fn process_started(&mut self) {
        self.started.get_or_insert_with(Instant::now);
        (self.handled, self.extra_stops, self.paused) = (0, 0, false);
    }

    /// Waits for the next thing that a fault waits for; for ever when there is none. May be dropped at any time.
    pub async fn next(&self) -> Happening {
        let times = self.open().into_iter().filter_map(|i| match (&self.slots[i].at, self.started) {
            (At::Time(after), Some(started)) => Some(started + *after),
            _ => None,
        });
        let due = times.chain(self.pending.iter().map(|p| p.due)).min();
        let holds: Vec<_> = self
            .open()
            .into_iter()
            .filter_map(|i| match &self.slots[i].at {
                At::Wire { hold: Some(hold), .. } => Some(hold.reached().map(move |fired| (i, fired)).boxed()),
                _ => None,
            })
            .collect();
        let wire = async { if holds.is_empty() { std::future::pending().await } else { select_all(holds).await.0 } };
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (slot, fired) = wire => Happening::Wire(slot, fired),
            () = due => Happening::Due,
        }
    }

    /// The engine stopped: acts on the step that it holds at.
    ///
    /// # Errors
    /// A stop that nothing asked for; the environment fails.
    pub async fn stopped(&mut self, engine: &Engine, feed: &Path) -> Result<Stop, Broken> {
        if let Some(stop) = self.act_on_holds(engine, feed).await? {
            return Ok(stop);
        }
        if self.paused {
            return Ok(Stop::Goes);
        }
        if self.extra_stops > 0 {
            self.extra_stops -= 1;
            engine.signal(Signal::SIGCONT);
            return Ok(Stop::Goes);
        }
        engine.signal(Signal::SIGKILL);
        Err(Broken::Stopped(engine.pid()))
    }

    /// Strikes for every hold line that was not acted on; `None`: there is none.
    async fn act_on_holds(&mut self, engine: &Engine, feed: &Path) -> Result<Option<Stop>, Broken> {
        let lines = read(feed)?;
        let holds: Vec<Trigger> = lines
            .iter()
            .filter_map(|line| match &line.record {
                Record::Step(s) if s.armed == Some(ArmAction::Hold) => {
                    Some(Trigger { step: s.name, occurrence: s.occurrence })
                }
                _ => None,
            })
            .skip(self.handled)
            .collect();
        if holds.is_empty() {
            return Ok(None);
        }
        self.handled += holds.len();
        self.extra_stops += holds.len() - 1;
        let due: Vec<usize> = self
            .open()
            .into_iter()
            .filter(|&i| matches!(self.slots[i].at, At::Step(trigger) if holds.contains(&trigger)))
            .collect();
        for &index in &due {
            self.strike(index, engine, None).await?;
        }
        self.go_on(engine, &due).await.map(Some)
    }

    /// Reads what is durable, and lets the engine go on.
    async fn go_on(&mut self, engine: &Engine, struck: &[usize]) -> Result<Stop, Broken> {
        let names: Vec<String> = struck.iter().map(|&i| self.slots[i].fault.to_string()).collect();
        self.read_durable(&names.join(", ")).await?;
        if struck.iter().any(|&i| self.slots[i].fault.action() == Action::Stall && self.in_force(i)) {
            return Ok(Stop::Stalled);
        }
        if !self.paused {
            engine.signal(Signal::SIGCONT);
        }
        Ok(Stop::Goes)
    }

    fn in_force(&self, index: usize) -> bool {
        !matches!(self.slots[index].state, State::Not(_) | State::Waiting)
    }

    /// Carries a fault out.
    async fn strike(&mut self, index: usize, engine: &Engine, seen: Option<&proxy::Fired>) -> Result<(), Broken> {
        let fault = self.slots[index].fault.clone();
        let lasts = fault.duration().map_or(Duration::ZERO, |span| span.0);
        let mut held = match &mut self.slots[index].at {
            At::Wire { hold, moment, .. } => Some((hold, *moment)),
            _ => None,
        };
        let held = held.as_mut().map(|(hold, moment)| (&mut **hold, *moment));
        let applied = match self.world.apply(fault.action(), engine, lasts, held).await {
            Ok(applied) => applied,
            Err(why) => {
                self.slots[index].state = State::Not(why.0);
                return Ok(());
            }
        };
        let place = seen.map(|f| format!("; {}", words(f))).unwrap_or_default();
        self.slots[index].state = match applied.proof {
            Proof::Shown(mut fired) => {
                fired.evidence += &place;
                State::Fired(fired)
            }
            Proof::Death => {
                let trigger = if place.is_empty() { format!("; the scheduler's time {}", fault.when()) } else { place };
                State::Killed(monotonic_us(), trigger)
            }
            proof => State::InForce(proof),
        };
        let Some(healing) = applied.healing else { return Ok(()) };
        self.database_down |= healing.database_is_down();
        self.paused |= matches!(healing, Healing::Continue);
        if fault.action() == Action::Stall {
            return Ok(());
        }
        let pending = Pending { slot: index, due: Instant::now() + lasts, lasts, healing };
        // While the engine holds anyway, it can be over before it goes on.
        if lasts.is_zero() { self.heal(pending, Some(engine)).await } else { Ok(self.pending.push(pending)) }
    }

    /// Acts on what came. `Some`: the process ended meanwhile.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn happened(
        &mut self,
        happening: Happening,
        engine: &mut Engine,
        feed: &Path,
    ) -> Result<Option<Ended>, Broken> {
        match happening {
            Happening::Wire(index, fired) => self.at_wire(index, &fired, engine, feed).await,
            Happening::Due => self.due(engine, feed).await,
        }
    }

    async fn at_wire(
        &mut self,
        index: usize,
        fired: &proxy::Fired,
        engine: &mut Engine,
        feed: &Path,
    ) -> Result<Option<Ended>, Broken> {
        if self.slots[index].fault.action() == Action::Crash {
            // The connection stands still until the process is gone.
            self.strike(index, engine, Some(fired)).await?;
            return Ok(None);
        }
        if let Some(ended) = self.freeze(engine).await {
            return Ok(Some(ended));
        }
        self.strike(index, engine, Some(fired)).await?;
        let name = self.slots[index].fault.to_string();
        self.read_durable(&name).await?;
        if let At::Wire { hold, .. } = &mut self.slots[index].at {
            drop(hold.take());
        }
        self.thaw(engine, feed).await?;
        Ok(None)
    }

    async fn due(&mut self, engine: &mut Engine, feed: &Path) -> Result<Option<Ended>, Broken> {
        self.look().await?;
        let now = Instant::now();
        for index in self.open() {
            if let (At::Time(after), Some(started)) = (&self.slots[index].at, self.started)
                && started + *after <= now
            {
                self.strike(index, engine, None).await?;
                let name = self.slots[index].fault.to_string();
                self.read_durable(&name).await?;
            }
        }
        while let Some(at) = self.pending.iter().position(|p| p.due <= now) {
            let mut pending = self.pending.remove(at);
            match &self.slots[pending.slot].state {
                State::InForce(_) => {
                    pending.due = now + AGAIN;
                    self.pending.push(pending);
                    continue;
                }
                State::Fired(fired) => {
                    let felt = Duration::from_micros(monotonic_us().saturating_sub(fired.at_us));
                    if felt < pending.lasts {
                        pending.due = now + (pending.lasts - felt);
                        self.pending.push(pending);
                        continue;
                    }
                }
                _ => {}
            }
            // A database that comes back is read before the engine can write to it again.
            let starts = matches!(pending.healing, Healing::Start);
            if starts && let Some(ended) = self.freeze(engine).await {
                self.pending.push(pending);
                return Ok(Some(ended));
            }
            self.heal(pending, Some(engine)).await?;
            if starts {
                self.thaw(engine, feed).await?;
            }
        }
        Ok(None)
    }

    async fn heal(&mut self, pending: Pending, engine: Option<&Engine>) -> Result<(), Broken> {
        let Pending { slot, healing, .. } = pending;
        let down = healing.database_is_down();
        let continues = matches!(healing, Healing::Continue);
        self.world.heal(healing, engine).await.map_err(|e| Broken::Healing(e.0))?;
        if down {
            self.database_down = false;
        }
        if continues {
            self.paused = false;
        }
        let now = monotonic_us();
        let name = self.slots[slot].fault.to_string();
        let takes_database = name.contains("=db-");
        let fired_at = match &mut self.slots[slot].state {
            State::Fired(fired) => {
                fired.healed_us = Some(now);
                Some(fired.at_us)
            }
            State::InForce(_) => {
                self.slots[slot].state = State::Not("nothing met it while it was in force".to_owned());
                None
            }
            _ => None,
        };
        if let Some(at) = fired_at.filter(|_| takes_database) {
            self.database_ready_us = self.database_ready_us.max(Some(now.saturating_sub(at)));
        }
        if down && engine.is_some() {
            self.read_durable(&format!("{name}, healed")).await?;
        }
        Ok(())
    }

    /// The stalled process goes on.
    pub fn wake(&mut self) {
        self.paused = false;
        self.extra_stops += 1;
        let healed = Some(monotonic_us());
        for slot in &mut self.slots {
            if slot.fault.action() == Action::Stall
                && let State::Fired(fired) = &mut slot.state
            {
                fired.healed_us = fired.healed_us.or(healed);
            }
        }
    }

    /// Stops the engine's process. `Some`: it ended instead.
    async fn freeze(&mut self, engine: &mut Engine) -> Option<Ended> {
        if self.paused {
            return None;
        }
        engine.signal(Signal::SIGSTOP);
        loop {
            match engine.next().await {
                Some(ProcessEvent::Stopped) => return None,
                Some(ProcessEvent::Ended(ended)) => return Some(ended),
                None => return None,
            }
        }
    }

    /// Lets it go on; should it have reached a step's hold just then, that strikes first.
    async fn thaw(&mut self, engine: &Engine, feed: &Path) -> Result<(), Broken> {
        let before = self.handled;
        let acted = self.act_on_holds(engine, feed).await?;
        // A stop of its own may follow or not: that of the freeze may have been taken for it.
        self.extra_stops += self.handled - before;
        if acted.is_none() && !self.paused {
            engine.signal(Signal::SIGCONT);
        }
        Ok(())
    }

    /// Looks for proofs that had not come yet.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn look(&mut self) -> Result<(), Broken> {
        let mut came = Vec::new();
        for slot in &mut self.slots {
            match &mut slot.state {
                State::InForce(proof) => match self.world.look(proof).await {
                    Ok(None) => {}
                    Ok(Some(fired)) => {
                        came.push(slot.fault.to_string());
                        slot.state = State::Fired(fired);
                    }
                    Err(why) => slot.state = State::Not(why),
                },
                State::Waiting if !self.database_down => {
                    if let At::Raised(Some(raised)) = &slot.at
                        && let Ok(Some(evidence)) = raised.proof(self.world.pool).await
                    {
                        came.push(slot.fault.to_string());
                        slot.state = State::Fired(Fired { at_us: monotonic_us(), healed_us: None, evidence });
                    }
                }
                _ => {}
            }
        }
        if came.is_empty() { Ok(()) } else { self.read_durable(&came.join(", ")).await }
    }

    /// Reads what is durable, when the database answers.
    async fn read_durable(&mut self, after: &str) -> Result<(), Broken> {
        if self.database_down || after.is_empty() {
            return Ok(());
        }
        let interlude = database::interlude(self.world.pool, self.event_id, after.to_owned()).await?;
        self.interludes.push(interlude);
        Ok(())
    }

    /// A process ended: proves crashes, and makes the world whole before the next one.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn process_ended(&mut self, ended: &Ended, lines: &[Line], timed_out: bool) -> Result<(), Broken> {
        self.look().await?;
        let killed = ended.exit == Exit::Signal(9) && !timed_out;
        let last = lines.iter().rev().find_map(|line| match &line.record {
            Record::Step(step) => Some((line.t_us, step)),
            _ => None,
        });
        for slot in &mut self.slots {
            if let State::InForce(Proof::Abort(at_us, limit)) = &slot.state {
                slot.state = match ended.exit {
                    Exit::Signal(6) => State::Fired(Fired {
                        at_us: *at_us,
                        healed_us: Some(ended.ended_us),
                        evidence: format!("the process died of signal 6 (it aborts when an allocation fails); {limit}"),
                    }),
                    exit => State::Not(format!("{limit}, but it needed no more and {}", super::story::ending(exit))),
                };
            }
            match (&slot.state, &slot.at) {
                (State::Killed(at_us, trigger), _) => {
                    let fired = Fired {
                        at_us: *at_us,
                        healed_us: None,
                        evidence: format!("the process died of signal 9{trigger}"),
                    };
                    slot.state = if killed {
                        State::Fired(fired)
                    } else {
                        State::Not(format!("the process was killed but {}", super::story::ending(ended.exit)))
                    };
                    if let At::Wire { hold, .. } = &mut slot.at
                        && let Some(hold) = hold.take()
                    {
                        hold.cut();
                    }
                }
                (State::Waiting, At::Step(trigger)) if killed && slot.fault.action() == Action::Crash => {
                    if let Some((at_us, StepReached { name, occurrence, armed: Some(ArmAction::Kill), .. })) = last
                        && *name == trigger.step
                        && *occurrence == trigger.occurrence
                    {
                        let evidence =
                            format!("the process died of signal 9; the feed's last step is {trigger}, armed");
                        slot.state = State::Fired(Fired { at_us, healed_us: None, evidence });
                    }
                }
                _ => {}
            }
        }
        for pending in std::mem::take(&mut self.pending) {
            // LiveRC misbehaves on, whoever asks.
            self.heal(pending, None).await?;
        }
        self.paused = false;
        Ok(())
    }

    /// Reads what a killed process left: when its lock was free (µs after its end), and what is durable.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn after_death(&mut self, after: String, ended_us: u64) -> Result<Option<u64>, Broken> {
        let deadline = Instant::now() + LOCK_FREE;
        let mut free = None;
        while Instant::now() < deadline {
            let locks: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()",
            )
            .fetch_one(self.world.pool)
            .await?;
            if locks == 0 {
                free = Some(monotonic_us().saturating_sub(ended_us));
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.read_durable(&after).await?;
        Ok(free)
    }

    /// Ends an ingestion: what did not fire in it will not. Returns what was durable in between.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn end(&mut self, attempts: &[&Attempt]) -> Result<Vec<Interlude>, Broken> {
        self.look().await?;
        for index in self.open() {
            let slot = &mut self.slots[index];
            let why = match &mut slot.at {
                At::Step(trigger) => never_reached(*trigger, attempts),
                At::Wire { frame, occurrence, moment, hold } => {
                    drop(hold.take());
                    format!("no `{frame}#{occurrence}:{moment}` was seen on the wire")
                }
                At::Raised(Some(raised)) => {
                    let drawn = raised.drawn(self.world.pool).await.unwrap_or(0);
                    format!("only {drawn} were counted")
                }
                At::Raised(None) => "its trigger was not installed".to_owned(),
                At::Time(after) => format!("the ingestion was over before {} ms had passed", after.as_millis()),
            };
            slot.state = State::Not(why);
        }
        for slot in &mut self.slots {
            if let State::InForce(proof) = &slot.state {
                if let Proof::Traffic(side, rule) = proof {
                    self.world.wires.remove(*side, *rule);
                }
                if let Proof::Page(number) = proof {
                    self.world.liverc.behave(*number);
                }
                slot.state = State::Not("nothing met it before the ingestion was over".to_owned());
            }
            if let At::Raised(raised) = &mut slot.at
                && let Some(raised) = raised.take()
                && let Err(error) = raised.remove(self.world.pool).await
            {
                tracing::warn!(%error, "a trigger of the harness stays in the trial's database");
            }
        }
        self.revision = None;
        Ok(std::mem::take(&mut self.interludes))
    }

    /// What became of each.
    #[must_use]
    pub fn records(&self) -> Vec<FaultRecord> {
        let record = |slot: &Slot| {
            let (fired, why_not) = match &slot.state {
                State::Fired(fired) => (Some(fired.clone()), None),
                State::Not(why) => (None, Some(why.clone())),
                State::Waiting => (None, Some("its ingestion never began".to_owned())),
                State::InForce(_) | State::Killed(..) => {
                    (None, Some("the trial ended before its proof came".to_owned()))
                }
            };
            FaultRecord { fault: slot.fault.describe(), fired, why_not }
        };
        self.slots.iter().map(record).collect()
    }
}

fn read(feed: &Path) -> Result<Vec<Line>, Broken> {
    let lines = FeedFile::default().read(feed).map_err(Broken::io(format!("reading {}", feed.display())))?;
    Ok(lines.lines)
}

/// Why a step's occurrence did not come.
fn never_reached(trigger: Trigger, attempts: &[&Attempt]) -> String {
    let step = trigger.step;
    if !attempts.iter().any(|a| a.has_feed()) {
        return format!("the engine wrote no feed, so step `{step}` cannot be told");
    }
    let most = attempts.iter().filter_map(|a| a.steps.get(&step)).max().copied().unwrap_or(0);
    match (step, most) {
        (Step::MidUnit, 0) => format!("step `{step}` was never reached: each unit had one batch"),
        (_, 0) => format!("step `{step}` was never reached"),
        (_, n) if n >= trigger.occurrence => format!("step `{step}` was reached after it could have struck"),
        (_, n) => format!("step `{step}` was reached {n} times, not {}", trigger.occurrence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_never_came_is_told_with_its_reason() {
        let attempt: Attempt = serde_json::from_value(serde_json::json!({
            "pid": 1, "started_us": 0, "ended_us": 1, "exit": { "code": 0 }, "cpu_user_us": 0, "cpu_system_us": 0,
            "peak_rss_bytes": 0, "summary": null, "committed": [], "steps": { "before-commit": 2 }, "failed": [],
            "retries": {}, "fetched": 0, "stderr_tail": [], "feed_errors": [],
        }))
        .unwrap();
        let why = |text: &str| never_reached(text.parse().unwrap(), &[&attempt]);
        assert_eq!(why("mid-unit#1"), "step `mid-unit` was never reached: each unit had one batch");
        assert_eq!(why("before-commit#3"), "step `before-commit` was reached 2 times, not 3");
        assert_eq!(why("after-commit"), "step `after-commit` was never reached");
    }
}
