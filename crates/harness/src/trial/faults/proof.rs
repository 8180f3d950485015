//! Proof and healing: what shows that a fault happened, what is durable after it, and the world made whole again.

use std::time::{Duration, Instant};

use contract::feed::{Line, Record, StepReached};
use contract::{ArmAction, Trigger};

use super::{At, Faults, LOCK_FREE, Pending, State};
use crate::clock::monotonic_us;
use crate::faults::Action;
use crate::trial::drive::Broken;
use crate::trial::observe::database;
use crate::trial::record::{Exit, Fired, Missed};
use crate::trial::story;
use crate::world::action::{Healing, Proof};
use crate::world::engine::{Ended, Engine};
use crate::world::memory::Met;

impl Faults<'_> {
    pub(super) async fn heal(&mut self, pending: Pending, engine: Option<&Engine>) -> Result<(), Broken> {
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
                self.slots[slot].state = State::Not(Missed::NotMet, "nothing met it while it was in force".to_owned());
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
                    Err(why) => slot.state = State::Not(Missed::Failed, why),
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
    pub(super) async fn read_durable(&mut self, after: &str) -> Result<(), Broken> {
        if self.database_down || after.is_empty() {
            return Ok(());
        }
        let interlude = database::interlude(self.world.pool, self.event_id, after.to_owned(), false).await?;
        self.interludes.push(interlude);
        Ok(())
    }

    /// A process ended by itself with its event unfinished: reads what it left.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn left(&mut self, after: &str) -> Result<(), Broken> {
        self.read_durable(after).await
    }

    /// An engine has finished the event while an older one was stalled, which wakes next.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn finished(&mut self, pid: u32) -> Result<(), Broken> {
        let after = format!("process {pid} had finished the event");
        let interlude = database::interlude(self.world.pool, self.event_id, after, true).await?;
        self.interludes.push(interlude);
        Ok(())
    }

    /// A process ended: proves crashes, and makes the world whole before the next one.
    ///
    /// # Errors
    /// The environment fails.
    pub async fn process_ended(
        &mut self,
        engine: &mut Engine,
        ended: &Ended,
        lines: &[Line],
        timed_out: bool,
    ) -> Result<(), Broken> {
        self.look().await?;
        let killed = ended.exit == Exit::Signal(9) && !timed_out;
        // Not the last line: another thread may have told of a step of its own before the signal took effect.
        let killed_at = |trigger: Trigger| {
            lines.iter().rev().find_map(|line| match &line.record {
                Record::Step(StepReached { name, occurrence, armed: Some(ArmAction::Kill), .. })
                    if (*name, *occurrence) == (trigger.step, trigger.occurrence) =>
                {
                    Some(line.t_us)
                }
                _ => None,
            })
        };
        for slot in &mut self.slots {
            if let State::InForce(Proof::Memory(at_us)) = &slot.state
                && let Some(limit) = engine.memory()
            {
                slot.state = match limit.met(ended.exit) {
                    Met::Yes(evidence) => {
                        State::Fired(Fired { at_us: *at_us, healed_us: Some(ended.ended_us), evidence })
                    }
                    Met::No(why) => State::Not(Missed::NotMet, format!("{why}; it {}", story::ending(ended.exit))),
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
                        State::Not(Missed::NotMet, format!("the process was killed but {}", story::ending(ended.exit)))
                    };
                    if let At::Wire { hold, .. } = &mut slot.at
                        && let Some(hold) = hold.take()
                    {
                        hold.cut();
                    }
                }
                (State::Waiting, At::Step(trigger))
                    if killed && slot.fault.action() == Action::Crash && slot.fault.may_strike(self.process) =>
                {
                    if let Some(at_us) = killed_at(*trigger) {
                        let evidence = format!("the process died of signal 9; its feed tells of {trigger}, armed");
                        slot.state = State::Fired(Fired { at_us, healed_us: None, evidence });
                    }
                }
                _ => {}
            }
        }
        // A moment of this process that did not come must not hold a connection of the next one.
        for slot in &mut self.slots {
            if let (State::Waiting, Some(_), At::Wire { hold, .. }) = (&slot.state, slot.fault.process(), &mut slot.at)
            {
                drop(hold.take());
            }
        }
        let mut pending = std::mem::take(&mut self.pending);
        // A server that is away cannot give back a lock.
        pending.sort_by_key(|p| !p.healing.database_is_down());
        let away = pending.iter().filter(|p| p.healing.database_is_down());
        let away: Vec<String> = away.map(|p| self.slots[p.slot].fault.to_string()).collect();
        for pending in pending {
            // LiveRC misbehaves on, whoever asks.
            self.heal(pending, None).await?;
        }
        self.paused = false;
        // It could not be read while it was away, and this process does nothing any more.
        self.read_durable(&away.join(", ")).await
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
}
