//! Faults while a load goes on: at a step of a worker, as a job begins to run, at a moment on the wire, at a time. A fault is
//! counted only with its proof.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use contract::feed::Record;
use contract::{ArmAction, Trigger};
use futures::FutureExt as _;
use futures::future::select_all;
use nix::sys::signal::Signal;
use sandbox::proxy::{self, Hold};

use super::processes::Service;
use crate::clock::monotonic_us;
use crate::faults::{Action, Fault, Moment, When};
use crate::trial::drive::Broken;
use crate::trial::observe::feed::FeedFile;
use crate::trial::record::{Exit, FaultRecord, Fired, Missed};
use crate::world::action::{Healing, Proof, World};
use crate::world::engine::Ended;
use crate::world::wires::{self, words};

/// How often it is looked whether a job has begun, a proof has come or something is over.
pub const LOOK: Duration = Duration::from_millis(10);

enum At {
    Step(Trigger),
    Wire {
        hold: Option<Hold>,
        moment: Moment,
    },
    Job(u32),
    Time(Duration),
    /// It cannot come here.
    Nowhere,
}

enum State {
    Waiting,
    /// It is in force; who meets it is the proof.
    InForce(Proof),
    /// A process was told to die: its id, and why it.
    Killed(u32, String),
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
    /// The process that goes on, of a pause.
    pid: Option<u32>,
}

/// The faults of a load.
pub struct Faults<'a> {
    world: World<'a>,
    slots: Vec<Slot>,
    pending: Vec<Pending>,
    began: Option<Instant>,
}

/// What a fault waited for.
pub enum Came {
    /// It is time to look.
    Look,
    /// A connection stands still at a fault's moment.
    Wire(usize, proxy::Fired),
}

/// What workers' first processes are armed with, by the worker's number from 0. A fault for no process in particular strikes the
/// first that comes to its step: all hold there, and those that come later go on.
#[must_use]
pub fn arming(faults: &[Fault], workers: usize) -> BTreeMap<usize, String> {
    let mut all: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for fault in faults {
        let Some((trigger, action)) = fault.when().arming(fault.action()) else { continue };
        match fault.process() {
            Some(_) => all.entry(worker_of(fault)).or_default().push(format!("{trigger}={action}")),
            None => (0..workers).for_each(|w| all.entry(w).or_default().push(format!("{trigger}={}", ArmAction::Hold))),
        }
    }
    all.into_iter().map(|(worker, texts)| (worker, texts.join(","))).collect()
}

/// The worker that a fault is for, from 0.
fn worker_of(fault: &Fault) -> usize {
    fault.process().map_or(0, |n| n.get() as usize - 1)
}

impl<'a> Faults<'a> {
    /// Prepares the faults; connections are held at their moments from now on.
    #[must_use]
    pub fn new(world: World<'a>, faults: &[Fault]) -> Self {
        let mut slots = Vec::new();
        for fault in faults {
            let mut state = State::Waiting;
            let at = match fault.when() {
                When::Step(trigger) => At::Step(*trigger),
                When::Job(n) => At::Job(*n),
                When::Time(after) => At::Time(after.0),
                When::Row(_) => At::Nowhere,
                When::Wire { frame, occurrence, moment } => {
                    let held = wires::moment(*frame, *occurrence, *moment)
                        .and_then(|(side, at)| world.wires.on(side)?.hold(at).map_err(|e| e.to_string()));
                    match held {
                        Ok(hold) => At::Wire { hold: Some(hold), moment: *moment },
                        Err(why) => {
                            state = State::Not(Missed::Failed, why);
                            At::Nowhere
                        }
                    }
                }
            };
            slots.push(Slot { fault: fault.clone(), at, state });
        }
        Self { world, slots, pending: Vec::new(), began: None }
    }

    /// The load begins: times count from here.
    pub fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    fn waiting(&self) -> Vec<usize> {
        let open = self.slots.iter().enumerate().filter(|(_, s)| matches!(s.state, State::Waiting));
        open.map(|(i, _)| i).collect()
    }

    /// Waits for the next thing to do. May be dropped at any time.
    pub async fn next(&self) -> Came {
        let holds: Vec<_> = self
            .waiting()
            .into_iter()
            .filter_map(|i| match &self.slots[i].at {
                At::Wire { hold: Some(hold), .. } => Some(hold.reached().map(move |fired| (i, fired)).boxed()),
                _ => None,
            })
            .collect();
        let wire = async { if holds.is_empty() { std::future::pending().await } else { select_all(holds).await.0 } };
        let open = !self.waiting().is_empty()
            || !self.pending.is_empty()
            || self.slots.iter().any(|s| matches!(s.state, State::InForce(_)));
        let look = async { if open { tokio::time::sleep(LOOK).await } else { std::future::pending().await } };
        tokio::select! {
            (slot, fired) = wire => Came::Wire(slot, fired),
            () = look => Came::Look,
        }
    }

    /// Acts on what came.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn came(&mut self, came: Came, service: &mut Service) -> Result<(), Broken> {
        match came {
            Came::Wire(slot, fired) => {
                self.strike(slot, service, None, Some(&fired)).await?;
                if let At::Wire { hold, .. } = &mut self.slots[slot].at {
                    drop(hold.take());
                }
                Ok(())
            }
            Came::Look => self.look(service).await,
        }
    }

    async fn look(&mut self, service: &mut Service) -> Result<(), Broken> {
        for index in self.waiting() {
            match self.slots[index].at {
                At::Time(after) if self.began.is_some_and(|began| began.elapsed() >= after) => {
                    self.strike(index, service, None, None).await?;
                }
                At::Job(n) => {
                    if let Some((job, pid, state)) = self.nth_job(n).await {
                        let why = format!("; job {job}, number {n} to begin, was {state} in process {pid}");
                        self.strike(index, service, Some((pid, why)), None).await?;
                    }
                }
                _ => {}
            }
        }
        for index in 0..self.slots.len() {
            if let State::InForce(proof) = &mut self.slots[index].state {
                match self.world.look(proof).await {
                    Ok(Some(fired)) => self.slots[index].state = State::Fired(fired),
                    Ok(None) => {}
                    Err(why) => self.slots[index].state = State::Not(Missed::Failed, why),
                }
            }
        }
        self.heal_due(service).await
    }

    /// The n-th job that began: its id, the process that has it, and its state.
    async fn nth_job(&self, n: u32) -> Option<(i64, u32, String)> {
        // A database that is down is asked again.
        let found: Option<(i64, Option<String>, String)> = sqlx::query_as(
            "SELECT id, worker, state FROM ingest_jobs WHERE started_at IS NOT NULL ORDER BY started_at, id OFFSET $1 LIMIT 1",
        )
        .bind(i64::from(n) - 1)
        .fetch_optional(self.world.pool)
        .await
        .ok()?;
        let (id, worker, state) = found?;
        // A worker's name: host, process id, and something that no other has.
        let pid = worker?.rsplit(':').nth(1)?.parse().ok()?;
        Some((id, pid, state))
    }

    /// A process stopped: at a step that it was armed to hold at, or since it was paused.
    ///
    /// # Errors
    /// A stop that nothing asked for; the environment fails.
    pub async fn stopped(&mut self, index: usize, service: &mut Service) -> Result<(), Broken> {
        let Some(live) = service.live.get_mut(index) else { return Ok(()) };
        if live.paused {
            return Ok(());
        }
        let pid = live.engine.pid();
        let lines = FeedFile::default().read(&live.feed).map_err(Broken::io("reading a feed"))?;
        let holds: Vec<Trigger> = lines
            .lines
            .iter()
            .filter_map(|line| match &line.record {
                Record::Step(s) if s.armed == Some(ArmAction::Hold) => {
                    Some(Trigger { step: s.name, occurrence: s.occurrence })
                }
                _ => None,
            })
            .skip(live.handled)
            .collect();
        if holds.is_empty() {
            return Err(Broken::Stopped(pid));
        }
        live.handled += holds.len();
        let worker = live.place.saturating_sub(1);
        let due: Vec<usize> = self
            .waiting()
            .into_iter()
            .filter(|&i| self.slots[i].fault.process().is_none_or(|_| worker_of(&self.slots[i].fault) == worker))
            .filter(|&i| matches!(self.slots[i].at, At::Step(trigger) if holds.contains(&trigger)))
            .collect();
        for slot in due {
            let why = format!("; it held at {}", self.slots[slot].fault.when());
            self.strike(slot, service, Some((pid, why)), None).await?;
        }
        if let Some(live) = service.of_pid(pid).filter(|l| !l.paused) {
            live.engine.signal(Signal::SIGCONT);
        }
        Ok(())
    }

    /// A process ended: was it a fault?
    ///
    /// # Errors
    /// The environment fails.
    pub fn ended(&mut self, place: usize, pid: u32, ended: &Ended, service: &mut Service) -> Result<(), Broken> {
        let by_signal = ended.exit == Exit::Signal(9);
        let mut ours = false;
        for slot in self.slots.iter_mut().filter(|_| by_signal) {
            let evidence = match &slot.state {
                State::Killed(of, why) if *of == pid => Some(why.clone()),
                State::Waiting => armed_death(slot, place, pid, service)?,
                _ => None,
            };
            if let Some(why) = evidence {
                ours = true;
                let name = service.places.get(place).map(|p| p.name.as_str()).unwrap_or_default();
                let evidence = format!("process {pid} ({name}) was killed (SIGKILL){why}");
                slot.state = State::Fired(Fired { at_us: ended.ended_us, healed_us: None, evidence });
            }
        }
        if let Some(run) = service.ended.iter_mut().find(|run| run.pid == pid).filter(|_| ours) {
            run.asked = true;
            run.stderr_tail.clear();
        }
        Ok(())
    }

    /// A place is filled again: whoever killed its process has healed.
    pub fn filled(&mut self, places: &[usize], service: &Service) {
        let names: Vec<String> =
            places.iter().filter_map(|p| service.places.get(*p)).map(|p| format!("({})", p.name)).collect();
        for slot in &mut self.slots {
            if let State::Fired(fired) = &mut slot.state
                && fired.healed_us.is_none()
                && matches!(slot.fault.action(), Action::Crash | Action::ServerKill)
                && names.iter().any(|name| fired.evidence.contains(name))
            {
                fired.healed_us = Some(monotonic_us());
            }
        }
    }

    /// Carries a fault out. `of`: the process that it is about, and how that is known.
    async fn strike(
        &mut self,
        index: usize,
        service: &mut Service,
        of: Option<(u32, String)>,
        seen: Option<&proxy::Fired>,
    ) -> Result<(), Broken> {
        let fault = self.slots[index].fault.clone();
        let lasts = fault.duration().map_or(Duration::ZERO, |span| span.0);
        let place = match (&of, seen, fault.when()) {
            (Some((_, why)), ..) => why.clone(),
            (None, Some(fired), _) => format!("; {}", words(fired)),
            (None, None, when) => format!("; the scheduler's time {when}"),
        };
        let by_pid = of.as_ref().map(|(pid, _)| *pid);
        let worker = worker_of(&fault) + 1;
        let target = match (fault.action(), by_pid) {
            (Action::ServerKill, _) => service.at(0),
            (_, Some(pid)) => service.of_pid(pid),
            (_, None) if service.places.len() > worker => service.at(worker),
            (_, None) => service.at(0),
        };
        if matches!(fault.action(), Action::ServerKill | Action::Crash) {
            self.slots[index].state = match target {
                Some(live) => {
                    live.asked = true;
                    live.engine.signal(Signal::SIGKILL);
                    State::Killed(live.engine.pid(), place)
                }
                None => State::Not(Missed::NotMet, "the process that it was for did not live".to_owned()),
            };
            return Ok(());
        }
        let pauses = fault.action() == Action::Pause;
        let (pid, engine) = match target {
            Some(live) => {
                live.paused |= pauses;
                (Some(live.engine.pid()), Some(&mut live.engine))
            }
            None => (None, None),
        };
        let mut held = match &mut self.slots[index].at {
            At::Wire { hold, moment } => Some((hold, *moment)),
            _ => None,
        };
        let held = held.as_mut().map(|(hold, moment)| (&mut **hold, *moment));
        let applied = match self.world.apply(fault.action(), engine, lasts, held).await {
            Ok(applied) => applied,
            Err(why) => {
                self.slots[index].state = State::Not(Missed::Failed, why.0);
                return Ok(());
            }
        };
        self.slots[index].state = match applied.proof {
            Proof::Shown(mut fired) => {
                fired.evidence += &place;
                State::Fired(fired)
            }
            proof => State::InForce(proof),
        };
        if let Some(healing) = applied.healing {
            let pid = pid.filter(|_| pauses);
            self.pending.push(Pending { slot: index, due: Instant::now() + lasts, lasts, healing, pid });
        }
        self.heal_due(service).await
    }

    async fn heal_due(&mut self, service: &mut Service) -> Result<(), Broken> {
        let now = Instant::now();
        let mut later = Vec::new();
        for mut pending in std::mem::take(&mut self.pending) {
            let met = match &self.slots[pending.slot].state {
                // Nobody has met it yet: it goes on until somebody does.
                State::InForce(_) => false,
                State::Fired(fired) => {
                    let felt = Duration::from_micros(monotonic_us().saturating_sub(fired.at_us));
                    if felt < pending.lasts {
                        pending.due = now + (pending.lasts - felt);
                    }
                    true
                }
                _ => true,
            };
            if !met || pending.due > now {
                later.push(pending);
                continue;
            }
            self.heal(pending, service).await?;
        }
        self.pending.extend(later);
        Ok(())
    }

    async fn heal(&mut self, pending: Pending, service: &mut Service) -> Result<(), Broken> {
        let fault = self.slots[pending.slot].fault.to_string();
        let engine = match pending.pid.and_then(|pid| service.of_pid(pid)) {
            Some(live) => {
                live.paused = false;
                Some(&live.engine)
            }
            None => None,
        };
        let healed = self.world.heal(pending.healing, engine).await;
        healed.map_err(|why| Broken::Healing(format!("{fault}: {why}")))?;
        if let State::Fired(fired) = &mut self.slots[pending.slot].state {
            fired.healed_us = Some(monotonic_us());
        }
        Ok(())
    }

    /// Whether a fault that has struck is still to be over.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.pending.iter().any(|p| matches!(self.slots[p.slot].state, State::Fired(_)))
    }

    /// The load is over: what has not struck will not, and what is in force ends. The world is whole afterwards.
    ///
    /// # Errors
    /// It cannot be made whole.
    pub async fn end(&mut self, service: &mut Service) -> Result<(), Broken> {
        self.look(service).await?;
        for slot in &mut self.slots {
            let why = match (&slot.state, &mut slot.at) {
                (State::InForce(_), _) => {
                    slot.state = State::Not(Missed::NotMet, "nothing met it before the load was over".to_owned());
                    continue;
                }
                (State::Waiting, At::Wire { hold, .. }) => {
                    drop(hold.take());
                    format!("no `{}` was seen on the wire", slot.fault.when())
                }
                (State::Waiting, At::Job(n)) => format!("fewer than {n} jobs had begun when the load was over"),
                (State::Waiting, At::Step(trigger)) => match slot.fault.process() {
                    Some(n) => format!("worker-{n} never came to `{trigger}`"),
                    None => format!("no worker came to `{trigger}`"),
                },
                (State::Waiting, At::Time(after)) => {
                    format!("the load was over before {} ms had passed", after.as_millis())
                }
                (State::Waiting, At::Nowhere) => "no load has such a moment".to_owned(),
                _ => continue,
            };
            slot.state = State::Not(Missed::NotReached, why);
        }
        for pending in std::mem::take(&mut self.pending) {
            self.heal(pending, service).await?;
        }
        Ok(())
    }

    /// What became of each.
    #[must_use]
    pub fn records(&self) -> Vec<FaultRecord> {
        let record = |slot: &Slot| {
            let (fired, why_not, missed) = match &slot.state {
                State::Fired(fired) => (Some(fired.clone()), None, None),
                State::Not(missed, why) => (None, Some(why.clone()), Some(*missed)),
                State::Killed(pid, ..) => {
                    (None, Some(format!("process {pid} did not end by the signal")), Some(Missed::Failed))
                }
                State::Waiting | State::InForce(_) => {
                    (None, Some("the load was broken off before".to_owned()), Some(Missed::NotReached))
                }
            };
            FaultRecord { fault: slot.fault.describe(), fired, why_not, missed }
        };
        self.slots.iter().map(record).collect()
    }
}

/// The proof that a process died of the step that it was armed with, if it did.
fn armed_death(slot: &Slot, place: usize, pid: u32, service: &Service) -> Result<Option<String>, Broken> {
    let At::Step(trigger) = slot.at else { return Ok(None) };
    if slot.fault.action() != Action::Crash || worker_of(&slot.fault) + 1 != place {
        return Ok(None);
    }
    let Some((_, feed)) = service.feeds.iter().find(|(of, _)| *of == pid) else { return Ok(None) };
    let lines = FeedFile::default().read(feed).map_err(Broken::io("reading a feed"))?;
    let armed = lines.lines.iter().any(|line| {
        matches!(&line.record, Record::Step(s) if s.armed == Some(ArmAction::Kill)
            && s.name == trigger.step && s.occurrence == trigger.occurrence)
    });
    Ok(armed.then(|| format!("; its feed's last armed step is {trigger}")))
}
