//! Striking: at a step's hold, at a moment on the wire, at a time; and what is over is healed.

use std::path::Path;
use std::time::{Duration, Instant};

use contract::feed::{Line, Record};
use contract::{ArmAction, Trigger};
use nix::sys::signal::Signal;
use sandbox::proxy;

use super::{AGAIN, At, Faults, Happening, Pending, State, Stop};
use crate::clock::monotonic_us;
use crate::faults::Action;
use crate::trial::drive::Broken;
use crate::trial::observe::feed::FeedFile;
use crate::trial::record::Missed;
use crate::world::action::{Healing, Proof};
use crate::world::engine::{Ended, Engine, ProcessEvent};
use crate::world::wires::words;

/// What became of the process while a fault was acted on.
#[derive(Debug)]
pub enum Came {
    /// It goes on, or will when its pause is over.
    Goes,
    /// It stays as it is until another engine has finished the event.
    Stalled,
    /// It ended.
    Ended(Ended),
}

impl Faults<'_> {
    /// The engine stopped: acts on the step that it holds at.
    ///
    /// # Errors
    /// A stop that nothing asked for; the environment fails.
    pub async fn stopped(&mut self, engine: &mut Engine, feed: &Path) -> Result<Stop, Broken> {
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
    pub(super) async fn act_on_holds(&mut self, engine: &mut Engine, feed: &Path) -> Result<Option<Stop>, Broken> {
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
        let lagging = |&i: &usize| self.lags(i) && self.lag_trigger(i).is_some_and(|at| holds.contains(&at));
        if let Some(at) = self.open().into_iter().find(lagging).and_then(|i| self.lag_trigger(i)) {
            self.make_it_lag(&at.to_string()).await;
        }
        for &index in &due {
            self.strike(index, engine, None).await?;
        }
        self.go_on(engine, &due).await.map(Some)
    }

    /// Reads what is durable, and lets the engine go on.
    pub(super) async fn go_on(&mut self, engine: &mut Engine, struck: &[usize]) -> Result<Stop, Broken> {
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

    pub(super) fn in_force(&self, index: usize) -> bool {
        !matches!(self.slots[index].state, State::Not(..) | State::Waiting)
    }

    /// Carries a fault out.
    pub(super) async fn strike(
        &mut self,
        index: usize,
        engine: &mut Engine,
        seen: Option<&proxy::Fired>,
    ) -> Result<(), Broken> {
        let fault = self.slots[index].fault.clone();
        let lasts = fault.duration().map_or(Duration::ZERO, |span| span.0);
        if self.database_down && asks_the_server(fault.action()) {
            // A paused server would keep the question for as long as it is paused, and only this task ends that.
            let why = "PostgreSQL did not answer just then: an earlier fault had taken it away".to_owned();
            self.slots[index].state = State::Not(Missed::NotMet, why);
            return Ok(());
        }
        let mut held = match &mut self.slots[index].at {
            At::Wire { hold, moment, .. } => Some((hold, *moment)),
            _ => None,
        };
        let held = held.as_mut().map(|(hold, moment)| (&mut **hold, *moment));
        let applied = match self.world.apply(fault.action(), Some(engine), lasts, held).await {
            Ok(applied) => applied,
            Err(why) => {
                // Of these there is only one reason to fail: no connection was there.
                let absent = matches!(fault.action(), Action::DbTerminate | Action::DbReset | Action::NetReset);
                let missed = if absent { Missed::NotMet } else { Missed::Failed };
                self.slots[index].state = State::Not(missed, why.0);
                return Ok(());
            }
        };
        let mut place = seen.map(|f| format!("; {}", words(f))).unwrap_or_default();
        if fault.action() == Action::DbFailoverAsync {
            place += &self.lag.as_ref().map(|lag| format!("; {lag}")).unwrap_or_default();
        }
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
        if lasts.is_zero() {
            return self.heal(pending, Some(engine)).await;
        }
        self.pending.push(pending);
        Ok(())
    }

    /// Acts on what came.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn happened(&mut self, happening: Happening, engine: &mut Engine, feed: &Path) -> Result<Came, Broken> {
        match happening {
            Happening::Wire(index, fired) => self.at_wire(index, &fired, engine, feed).await,
            Happening::Due => self.due(engine, feed).await,
        }
    }

    pub(super) async fn at_wire(
        &mut self,
        index: usize,
        fired: &proxy::Fired,
        engine: &mut Engine,
        feed: &Path,
    ) -> Result<Came, Broken> {
        if self.slots[index].fault.action() == Action::Crash {
            // The connection stands still until the process is gone.
            self.strike(index, engine, Some(fired)).await?;
            return Ok(Came::Goes);
        }
        if let Some(ended) = self.freeze(engine).await {
            return Ok(Came::Ended(ended));
        }
        self.strike(index, engine, Some(fired)).await?;
        let name = self.slots[index].fault.to_string();
        self.read_durable(&name).await?;
        if let At::Wire { hold, .. } = &mut self.slots[index].at {
            drop(hold.take());
        }
        if self.slots[index].fault.action() == Action::Stall && self.in_force(index) {
            return Ok(Came::Stalled);
        }
        self.thaw(engine, feed).await?;
        Ok(Came::Goes)
    }

    pub(super) async fn due(&mut self, engine: &mut Engine, feed: &Path) -> Result<Came, Broken> {
        self.look().await?;
        let now = Instant::now();
        for index in self.open() {
            if let (At::Time(after), Some(started)) = (&self.slots[index].at, self.started)
                && started + *after <= now
            {
                self.strike(index, engine, None).await?;
                let name = self.slots[index].fault.to_string();
                self.read_durable(&name).await?;
                if self.slots[index].fault.action() == Action::Stall && self.in_force(index) {
                    return Ok(Came::Stalled);
                }
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
                return Ok(Came::Ended(ended));
            }
            self.heal(pending, Some(engine)).await?;
            if starts {
                self.thaw(engine, feed).await?;
            }
        }
        Ok(Came::Goes)
    }

    /// The stalled process, of this number, goes on.
    pub fn wake(&mut self, process: u32) {
        self.process = process;
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
    pub(super) async fn freeze(&mut self, engine: &mut Engine) -> Option<Ended> {
        if self.paused {
            return None;
        }
        engine.signal(Signal::SIGSTOP);
        match engine.next().await {
            Some(ProcessEvent::Ended(ended)) => Some(ended),
            Some(ProcessEvent::Stopped) | None => None,
        }
    }

    /// Lets it go on; should it have reached a step's hold just then, that strikes first.
    pub(super) async fn thaw(&mut self, engine: &mut Engine, feed: &Path) -> Result<(), Broken> {
        let before = self.handled;
        let acted = self.act_on_holds(engine, feed).await?;
        // A stop of its own may follow or not: that of the freeze may have been taken for it.
        self.extra_stops += self.handled - before;
        if acted.is_none() && !self.paused {
            engine.signal(Signal::SIGCONT);
        }
        Ok(())
    }
}

/// Whether an action is the running server's to carry out.
fn asks_the_server(action: Action) -> bool {
    matches!(
        action,
        Action::DbTerminate
            | Action::DbConnections
            | Action::DbKill
            | Action::DbStop
            | Action::DbRestart
            | Action::DbPause
            | Action::DbFailover
            | Action::DbFailoverAsync
    )
}

fn read(feed: &Path) -> Result<Vec<Line>, Broken> {
    let lines = FeedFile::default().read(feed).map_err(Broken::io(format!("reading {}", feed.display())))?;
    Ok(lines.lines)
}
