//! The faults of a trial: armed, struck, proven, healed.
//!
//! A fault at a step strikes while the engine holds there; one at a moment on the wire while that connection stands still and the
//! engine is stopped. Either way nothing goes on before the fault is in force and what is durable has been read. What lasts is
//! counted from the traffic that met it, so that no clock decides whether a fault is felt.

mod proof;
mod strike;

pub use strike::Came;

use std::time::{Duration, Instant};

use contract::{ArmAction, Arming, Step, Trigger};
use futures::FutureExt as _;
use futures::future::select_all;
use sandbox::proxy::{self, Hold};

use super::drive::Broken;
use super::record::{Attempt, FaultRecord, Fired, Interlude, Missed};
use crate::faults::{Action, Fault, Frame, Moment, When};
use crate::world::action::{Healing, Proof, World};
use crate::world::raised::Raised;
use crate::world::wires;

/// How soon it is looked again whether a fault that is in force was met.
const AGAIN: Duration = Duration::from_millis(20);
/// How long PostgreSQL may keep the lock of an engine that was killed before it is no longer waited for.
const LOCK_FREE: Duration = Duration::from_secs(20);

/// What a fault waits for.
enum At {
    Step(Trigger),
    Wire {
        frame: Frame,
        occurrence: u32,
        moment: Moment,
        hold: Option<Hold>,
    },
    Raised(Option<Raised>),
    Time(Duration),
    /// At a moment that only a load has.
    Nowhere,
}

enum State {
    /// For its trigger.
    Waiting,
    /// It is in force; who meets it is the proof.
    InForce(Proof),
    /// The engine was killed at the trigger that this says.
    Killed(u64, String),
    Fired(Fired),
    Not(Missed, String),
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
    /// The process that runs or is about to, counted from 1 in its ingestion.
    process: u32,
    event_id: u64,
    started: Option<Instant>,
    /// Hold lines of the current process that were acted on.
    handled: usize,
    /// Stops that may still come without a line of their own.
    extra_stops: usize,
    paused: bool,
    database_down: bool,
    interludes: Vec<Interlude>,
    /// How the standby came to lag, once it does.
    lag: Option<String>,
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
                // A scenario without a load has no such fault.
                When::Job(_) => At::Nowhere,
                When::Time(after) => At::Time(after.0),
            },
        });
        Self {
            slots: slots.collect(),
            world,
            pending: Vec::new(),
            revision: None,
            process: 0,
            event_id: 0,
            started: None,
            handled: 0,
            extra_stops: 0,
            paused: false,
            database_down: false,
            interludes: Vec::new(),
            lag: None,
            database_ready_us: None,
        }
    }

    /// Begins an ingestion; `None`: one in which nothing goes wrong.
    pub async fn begin(&mut self, revision: Option<u32>, event_id: u64) {
        (self.revision, self.process, self.event_id, self.started) = (revision, 0, event_id, None);
        for index in self.waiting() {
            let slot = &mut self.slots[index];
            match &mut slot.at {
                // One of a certain process is counted from that process's start.
                At::Wire { .. } if slot.fault.process().is_some() => {}
                At::Wire { .. } => self.hold(index),
                At::Raised(raised) => {
                    match Raised::install(self.world.pool, index + 1, slot.fault.action(), slot.fault.when()).await {
                        Ok(installed) => *raised = installed,
                        Err(e) => {
                            let why = format!("no trigger can be made in the database: {e}");
                            slot.state = State::Not(Missed::Failed, why);
                        }
                    }
                }
                At::Step(_) | At::Time(_) | At::Nowhere => {}
            }
        }
        // So that what is lost is no matter of luck, an asynchronous standby lags before its primary does anything to be lost.
        if self.open().into_iter().any(|i| self.lags(i) && self.lag_trigger(i).is_none()) {
            self.make_it_lag("the ingestion began").await;
        }
    }

    /// Whether a fault wants the standby to lag, and it does not yet.
    fn lags(&self, index: usize) -> bool {
        self.slots[index].fault.action() == Action::DbFailoverAsync && self.lag.is_none()
    }

    /// From when on the standby of a failover lags: the occurrence of its step before; `None`: from the beginning.
    fn lag_trigger(&self, index: usize) -> Option<Trigger> {
        match self.slots[index].at {
            At::Step(Trigger { step, occurrence }) if occurrence > 1 => {
                Some(Trigger { step, occurrence: occurrence - 1 })
            }
            _ => None,
        }
    }

    async fn make_it_lag(&mut self, since: &str) {
        match self.world.server.hold_standby_back().await {
            Ok(how) => self.lag = Some(format!("since {since}, {how}")),
            // The failover will say why there is no standby.
            Err(error) => tracing::debug!(%error, "the standby does not lag"),
        }
    }

    /// Lets the proxy hold the connection at a fault's moment.
    fn hold(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let At::Wire { frame, occurrence, moment, hold } = &mut slot.at else { return };
        let held = wires::moment(*frame, *occurrence, *moment)
            .and_then(|(side, moment)| self.world.wires.on(side)?.hold(moment).map_err(|e| e.to_string()));
        match held {
            Ok(held) => *hold = Some(held),
            Err(why) => slot.state = State::Not(Missed::Failed, why),
        }
    }

    /// Faults of this ingestion that still wait and may strike the process that runs.
    fn open(&self) -> Vec<usize> {
        self.waiting().into_iter().filter(|&i| self.slots[i].fault.may_strike(self.process)).collect()
    }

    /// Faults of this ingestion that still wait, for this process or a later one.
    fn waiting(&self) -> Vec<usize> {
        let of_now = |slot: &Slot| self.revision == Some(slot.fault.revision());
        let waiting = |slot: &Slot| matches!(slot.state, State::Waiting) && of_now(slot);
        self.slots.iter().enumerate().filter(|(_, s)| waiting(s)).map(|(i, _)| i).collect()
    }

    /// What the process of this number (from 1) is armed with. A fault that an earlier process did not reach waits for it in the next.
    #[must_use]
    pub fn arm(&mut self, process: u32) -> String {
        self.process = process;
        for index in self.open() {
            let Slot { fault, at, .. } = &self.slots[index];
            if fault.process().is_some() && matches!(at, At::Wire { hold: None, .. }) {
                self.hold(index);
            }
        }
        let mut all: Vec<(Trigger, ArmAction)> = Vec::new();
        for index in self.open() {
            let slot = &self.slots[index];
            if let At::Step(trigger) = slot.at {
                let action = if slot.fault.action() == Action::Crash { ArmAction::Kill } else { ArmAction::Hold };
                if !all.iter().any(|(t, _)| *t == trigger) {
                    all.push((trigger, action));
                }
                if let Some(earlier) = self.lag_trigger(index).filter(|_| self.lags(index))
                    && !all.iter().any(|(t, _)| *t == earlier)
                {
                    all.push((earlier, ArmAction::Hold));
                }
            }
        }
        Arming(all).to_string()
    }

    /// Whether the next process may have its memory taken away.
    #[must_use]
    pub fn starves(&self) -> bool {
        self.open().into_iter().any(|index| self.slots[index].fault.action() == Action::OutOfMemory)
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

    /// Ends an ingestion: what did not fire in it will not. Returns what was durable in between.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn end(&mut self, attempts: &[&Attempt]) -> Result<Vec<Interlude>, Broken> {
        self.look().await?;
        for index in self.waiting() {
            let slot = &mut self.slots[index];
            let of_process = slot.fault.process();
            let why = match &mut slot.at {
                _ if of_process.is_some_and(|n| attempts.len() < n.get() as usize) => {
                    format!("the ingestion was over in {} processes", attempts.len())
                }
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
                At::Nowhere => format!("`{}` is a moment of a load, and this is none", slot.fault.when()),
                At::Time(after) => format!("the ingestion was over before {} ms had passed", after.as_millis()),
            };
            slot.state = State::Not(Missed::NotReached, why);
        }
        for slot in &mut self.slots {
            if let State::InForce(proof) = &slot.state {
                if let Proof::Traffic(side, rule) = proof {
                    self.world.wires.remove(*side, *rule);
                }
                if let Proof::Page(number) = proof {
                    self.world.liverc.behave(*number);
                }
                let why = "nothing met it before the ingestion was over".to_owned();
                slot.state = State::Not(Missed::NotMet, why);
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
            let not = |missed, why: &str| (None, Some(why.to_owned()), Some(missed));
            let (fired, why_not, missed) = match &slot.state {
                State::Fired(fired) => (Some(fired.clone()), None, None),
                State::Not(missed, why) => not(*missed, why),
                State::Waiting => not(Missed::NotReached, "its ingestion never began"),
                State::InForce(_) | State::Killed(..) => not(Missed::NotMet, "the trial ended before its proof came"),
            };
            FaultRecord { fault: slot.fault.describe(), fired, why_not, missed }
        };
        self.slots.iter().map(record).collect()
    }
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
        (_, 1) => format!("step `{step}` was reached once, not {} times", trigger.occurrence),
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
