//! `chaos`: schedules that chance makes, side by side where they can be; what fails is run again, and made simpler.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::case::{Case, Ground, Kind, Trigger, fit, kinds};
use super::golden::{Golden, NotGolden};
use super::record::{Coverage, Part, PointRecord, SearchRecord};
use super::runner::{Done, KEPT, Numbers, Runner};
use super::schedule::{self, Maker, Tried};
use super::shrink;
use crate::faults::{Action, Fault};
use crate::oracle::{OracleName, Verdict};
use crate::report::ReportError;
use crate::scenario::Scenario;
use crate::trial::drive::Lab;
use crate::trial::plan::{self, PlanError, Revision};
use crate::trial::record::TrialRecord;

/// Failures that are made simpler.
const SHRUNK: usize = 3;
/// Trials that making one simpler may take.
const SHRINK_TRIALS: usize = 60;
/// Draws for a schedule that fits together before a smaller one is taken.
const DRAWS: usize = 40;

/// Why a search ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// Without any fault something failed.
    #[error("{0}: {1}")]
    Golden(String, NotGolden),
    /// What was found cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The event cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A thread of the harness died.
    #[error("a task of the harness died: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A ground with what its golden run showed.
struct Prepared {
    scenario: Scenario,
    revisions: Vec<Arc<Revision>>,
    kinds: Vec<Kind>,
}

/// A search under way.
pub struct Chaos<'a> {
    /// Server and engine.
    pub lab: &'a Lab,
    /// What all scenarios have in common.
    pub base: &'a Scenario,
    /// Profiles of the engine; one name for an engine that has none.
    pub profiles: Vec<String>,
    /// Whether the server may be stopped and killed, and whether its disk may be filled.
    pub own_server: Option<bool>,
    /// The user's Ctrl-C.
    pub cancel: &'a CancellationToken,
    /// Trials at once.
    pub jobs: usize,
    /// No case is begun after this.
    pub until: Option<Instant>,
    /// The command, for what is kept.
    pub why: String,
    /// Numbers of trials.
    pub numbers: Numbers,
    maker: Maker,
    tried: Tried,
    fired: BTreeMap<(Trigger, Action), u64>,
    grounds: HashMap<Ground, Arc<Prepared>>,
    failing: Vec<(Case, BTreeSet<OracleName>, u32)>,
    /// What is told.
    pub record: SearchRecord,
    /// The first trials that did not hold.
    pub kept: Vec<TrialRecord>,
}

impl<'a> Chaos<'a> {
    /// One that has done nothing yet.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a field; called once")]
    pub fn new(
        lab: &'a Lab,
        base: &'a Scenario,
        profiles: Vec<String>,
        own_server: Option<bool>,
        cancel: &'a CancellationToken,
        seed: u64,
        why: String,
        record: SearchRecord,
    ) -> Self {
        Self {
            lab,
            base,
            profiles,
            own_server,
            cancel,
            jobs: record.jobs as usize,
            until: None,
            why,
            numbers: Numbers::default(),
            maker: Maker::new(seed),
            tried: Tried::new(),
            fired: BTreeMap::new(),
            grounds: HashMap::new(),
            failing: Vec::new(),
            record,
            kept: Vec::new(),
        }
    }

    /// Whether no more is to be begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Runs so many cases more, or as many as fit into the time. `told` hears how many are done.
    ///
    /// # Errors
    /// See [`ChaosError`].
    pub async fn cases(&mut self, number: usize, told: &dyn Fn(&str, usize, usize)) -> Result<(), ChaosError> {
        let strategy = schedule::grounds(self.profiles.clone());
        let grounds: Vec<Ground> = (0..number).filter_map(|_| self.maker.make(&strategy)).collect();
        self.prepare(&grounds, told).await?;
        let cases: Vec<Case> = grounds.into_iter().filter_map(|ground| self.case(ground)).collect();
        let (alone, together): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(Case::is_exclusive);
        let (mut done, total) = (0, alone.len() + together.len());
        for (cases, jobs) in [(together, self.jobs), (alone, 1)] {
            for (case, ended) in self.run(&cases, jobs, &mut done, total, told).await? {
                self.judge(case, ended);
            }
        }
        Ok(())
    }

    /// Runs the fault-free ingestions of grounds that are not known yet.
    async fn prepare(&mut self, grounds: &[Ground], told: &dyn Fn(&str, usize, usize)) -> Result<(), ChaosError> {
        let wanted: BTreeSet<&Ground> = grounds.iter().filter(|g| !self.grounds.contains_key(g)).collect();
        let total = wanted.len();
        let this = &*self;
        let mut made = futures::stream::iter(wanted)
            .take_while(|_| std::future::ready(!this.is_over()))
            .map(|ground| async move { (ground.clone(), this.prepared(ground).await) })
            .buffer_unordered(this.jobs.max(1));
        let mut all = Vec::new();
        while let Some((ground, prepared)) = made.next().await {
            match prepared {
                Err(_) if this.cancel.is_cancelled() => {}
                prepared => all.push((ground, Arc::new(prepared?))),
            }
            told("golden runs", all.len(), total);
        }
        drop(made);
        self.grounds.extend(all);
        Ok(())
    }

    async fn prepared(&self, ground: &Ground) -> Result<Prepared, ChaosError> {
        let mut scenario = ground.scenario(self.base);
        let of = scenario.clone();
        let revisions = tokio::task::spawn_blocking(move || plan::revisions(&of)).await??;
        let runner = self.runner(&scenario, &revisions);
        let golden = Golden::make(&runner, &ground.profile, false, true, 1).await;
        let golden = golden.map_err(|e| ChaosError::Golden(ground.describe(), e))?;
        let kinds = golden.passes.iter().flat_map(|pass| kinds(pass, self.own_server)).collect();
        // A stalled engine must lose its lock while the other waits for it.
        scenario.engine.settings.entry("lock_lease".to_owned()).or_insert_with(|| "1s".to_owned());
        scenario.engine.settings.entry("statement_timeout".to_owned()).or_insert_with(|| "2s".to_owned());
        if scenario.engine.command.is_some() {
            scenario.engine.settings.clear();
        }
        Ok(Prepared { scenario, revisions, kinds })
    }

    fn runner<'r>(&'r self, scenario: &'r Scenario, revisions: &'r [Arc<Revision>]) -> Runner<'r> {
        Runner {
            lab: self.lab,
            scenario,
            revisions,
            cancel: self.cancel,
            numbers: &self.numbers,
            excuse_overtaken: true,
        }
    }

    /// Draws what goes wrong. `None`: nothing can.
    fn case(&mut self, ground: Ground) -> Option<Case> {
        let prepared = Arc::clone(self.grounds.get(&ground)?);
        if prepared.kinds.is_empty() {
            return None;
        }
        let number = self.maker.make(&schedule::numbers())?;
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..DRAWS {
            if faults.len() == number {
                break;
            }
            let Some(fault) = self.maker.make(&schedule::faults(&prepared.kinds, &self.tried))? else { continue };
            faults.push(fault);
            if !fit(&faults) {
                faults.pop();
            }
        }
        for fault in &faults {
            if let Some(trigger) = Trigger::of(fault) {
                *self.tried.entry((trigger, fault.action())).or_default() += 1;
            }
        }
        faults.sort_by_key(Fault::revision);
        (!faults.is_empty()).then_some(Case { ground, faults })
    }

    async fn run(
        &self,
        cases: &[Case],
        jobs: usize,
        done: &mut usize,
        total: usize,
        told: &dyn Fn(&str, usize, usize),
    ) -> Result<Vec<(Case, Done)>, ReportError> {
        let mut trials = futures::stream::iter(cases)
            .take_while(|_| std::future::ready(!self.is_over()))
            .map(|case| async move { (case, self.one(case).await) })
            .buffer_unordered(jobs.max(1));
        let mut all = Vec::with_capacity(cases.len());
        while let Some((case, ended)) = trials.next().await {
            if let Some(ended) = ended? {
                all.push((case.clone(), ended));
            }
            *done += 1;
            told("cases", *done, total);
        }
        Ok(all)
    }

    /// Runs a case. `None`: its ground is not known, or the user stopped it.
    async fn one(&self, case: &Case) -> Result<Option<Done>, ReportError> {
        let Some(prepared) = self.grounds.get(&case.ground) else { return Ok(None) };
        let runner = self.runner(&prepared.scenario, &prepared.revisions);
        let mut plan = runner.plan(&case.ground.profile, case.faults.clone());
        // Several faults at once may use up one process's retries after the other.
        plan.restarts += 4;
        let mut done = runner.strike(plan, &self.why).await?;
        if let Some(done) = &mut done {
            done.point.event = Some(case.ground.describe());
        }
        Ok(done)
    }

    /// Notes what came of a case.
    fn judge(&mut self, case: Case, ended: Done) {
        let Done { point, record } = ended;
        self.record.count(&record);
        let fired: BTreeSet<&str> =
            record.faults.iter().filter(|f| f.fired.is_some()).map(|f| f.fault.as_str()).collect();
        for fault in case.faults.iter().filter(|f| fired.contains(f.describe().as_str())) {
            if let Some(trigger) = Trigger::of(fault) {
                *self.fired.entry((trigger, fault.action())).or_default() += 1;
            }
        }
        if point.verdict != Verdict::Held {
            self.failing.push((case, signature(&record), point.trial));
            if self.kept.len() < KEPT {
                self.kept.push(record);
            }
        }
        self.record.points.push(point);
    }

    /// Runs the first failures again, and makes those simpler that repeat.
    ///
    /// # Errors
    /// See [`ChaosError`].
    pub async fn shrink(&mut self, told: &dyn Fn(&str, usize, usize)) -> Result<(), ChaosError> {
        // What was found is worth more than the time: it is not left half explained.
        self.until = None;
        let mut seen: BTreeSet<BTreeSet<OracleName>> = BTreeSet::new();
        for (case, signature, trial) in std::mem::take(&mut self.failing) {
            if self.cancel.is_cancelled() || seen.len() >= SHRUNK || !seen.insert(signature.clone()) {
                continue;
            }
            told("running a failure again", 0, 2);
            let mut again = 0;
            for _ in 0..2 {
                again += u32::from(self.fails(&case, &signature).await?.is_some());
            }
            let repeats = format!("failed again {again} of 2 times");
            let (text, reproduce) = if again == 0 {
                (format!("{repeats}: it depends on more than the schedule, so it was not made simpler"), None)
            } else {
                let (simplest, trials, file) = self.simplest(case, &signature, told).await?;
                let words: Vec<String> = simplest.faults.iter().map(Fault::describe).collect();
                let text = format!(
                    "{repeats}; made simpler in {trials} trials: {}, on {}",
                    words.join(", then "),
                    simplest.ground.describe()
                );
                (text, file)
            };
            if let Some(point) = self.record.points.iter_mut().find(|p| p.trial == trial) {
                point.shrunk = Some(text);
                point.reproduce = reproduce.or(point.reproduce.take());
            }
        }
        Ok(())
    }

    /// Takes the first simpler case that fails alike, again and again. Gives how many trials that took, and the command that
    /// runs the simplest.
    async fn simplest(
        &mut self,
        mut case: Case,
        signature: &BTreeSet<OracleName>,
        told: &dyn Fn(&str, usize, usize),
    ) -> Result<(Case, usize, Option<String>), ChaosError> {
        let mut trials = 0;
        'simpler: loop {
            for next in shrink::simpler(&case) {
                if trials >= SHRINK_TRIALS || self.cancel.is_cancelled() {
                    break 'simpler;
                }
                let Some(next) = self.fitting(next).await? else { continue };
                if next == case {
                    continue;
                }
                trials += 1;
                told("making a failure simpler", trials, SHRINK_TRIALS);
                if self.fails(&next, signature).await?.is_some() {
                    case = next;
                    continue 'simpler;
                }
            }
            break;
        }
        let Some(prepared) = self.grounds.get(&case.ground) else { return Ok((case, trials, None)) };
        let runner = self.runner(&prepared.scenario, &prepared.revisions);
        let mut plan = runner.plan(&case.ground.profile, case.faults.clone());
        plan.number = runner.next_number();
        let names: Vec<&str> = signature.iter().map(|o| o.name()).collect();
        let why = format!("{}, made simpler; what fails: {}", self.why, names.join(", "));
        let file = runner.keep(&plan, &why)?;
        Ok((case, trials, Some(format!("harness replay {}", file.display()))))
    }

    /// The case with its ground prepared and its faults within what is there; `None`: they do not fit it.
    async fn fitting(&mut self, case: Case) -> Result<Option<Case>, ChaosError> {
        self.prepare(std::slice::from_ref(&case.ground), &|_, _, _| {}).await?;
        let Some(prepared) = self.grounds.get(&case.ground) else { return Ok(None) };
        let faults = shrink::within(&case.faults, &prepared.kinds).filter(|f| fit(f));
        Ok(faults.map(|faults| Case { faults, ..case }))
    }

    /// Runs a case alone; `Some`: it fails in one of the same oracles.
    async fn fails(&self, case: &Case, signature: &BTreeSet<OracleName>) -> Result<Option<PointRecord>, ReportError> {
        let Some(done) = self.one(case).await? else { return Ok(None) };
        let alike = done.point.verdict != Verdict::Held && !self::signature(&done.record).is_disjoint(signature);
        Ok(alike.then_some(done.point))
    }

    /// Ends the search: its record, with the grid of what was tried.
    #[must_use]
    pub fn finish(mut self, asked: Option<usize>) -> (SearchRecord, Vec<TrialRecord>) {
        let tried = self.record.points.len() as u64;
        let of = asked.map_or(tried, |n| n as u64);
        self.record.parts.push(Part { name: "cases".to_owned(), tried, of });
        let possible: BTreeSet<(Trigger, Action)> =
            self.grounds.values().flat_map(|g| &g.kinds).map(|k| (k.trigger, k.action)).collect();
        let fired = possible.iter().filter(|pair| self.fired.contains_key(pair)).count();
        self.record.parts.push(Part {
            name: "pairs of trigger and action".to_owned(),
            tried: fired as u64,
            of: possible.len() as u64,
        });
        self.record.coverage = possible
            .into_iter()
            .map(|(trigger, action)| Coverage {
                trigger: trigger.name().to_owned(),
                action: action.name().to_owned(),
                fired: self.fired.get(&(trigger, action)).copied().unwrap_or(0),
            })
            .collect();
        (self.record, self.kept)
    }
}

/// Oracles that speak against a trial: those that are violated, else those that are unknown.
fn signature(record: &TrialRecord) -> BTreeSet<OracleName> {
    let of = |verdict| -> BTreeSet<OracleName> {
        record.judgements.iter().filter(|j| j.verdict == verdict).map(|j| j.oracle).collect()
    };
    let violated = of(Verdict::Violated);
    if violated.is_empty() { of(Verdict::Unknown) } else { violated }
}
