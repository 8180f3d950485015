//! A case of `chaos`: an event, an engine profile, and what goes wrong. Pure.

use std::collections::BTreeMap;

use contract::Step;

use super::golden::Pass;
use crate::faults::{Action, Fault, Frame, Moment, Need, When};
use crate::scenario::{Change, Scenario};
use crate::synth::{Size, Totals};

/// Races, results and laps of the events, smallest first.
const SIZES: [(u32, u32, u32); 3] = [(4, 24, 120), (8, 80, 800), (16, 160, 3_000)];

/// What may be different in later revisions.
const CHANGES: [&[&[Change]]; 6] = [
    &[],
    &[&[Change::LapRemoved, Change::TimeChanged]],
    &[&[Change::RaceAdded]],
    &[&[Change::DriverAdded, Change::DriverDisqualified]],
    &[&[Change::RaceWithdrawn, Change::NameCorrected]],
    &[&[Change::TimeChanged], &[Change::RaceAdded, Change::LapRemoved]],
];

/// Sizes of commit units and batches; the first are the profile's own.
const SETTINGS: [&[(&str, &str)]; 4] = [
    &[],
    &[("commit_races", "2"), ("lap_batch", "50")],
    &[("commit_races", "1")],
    &[("commit_races", "3"), ("race_concurrency", "2")],
];

/// What is ingested, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ground {
    /// Index of its size.
    pub size: usize,
    /// Index of its revisions.
    pub changes: usize,
    /// Index of the engine's settings.
    pub settings: usize,
    /// The engine's profile.
    pub profile: String,
}

impl Ground {
    /// How many sizes, revisions and settings there are.
    pub const CHOICES: [usize; 3] = [SIZES.len(), CHANGES.len(), SETTINGS.len()];

    /// Its scenario, made from one that says the rest.
    #[must_use]
    pub fn scenario(&self, base: &Scenario) -> Scenario {
        let mut scenario = base.clone();
        let (races, results, laps) = SIZES[self.size.min(SIZES.len() - 1)];
        if let Ok(totals) = Totals::new(races, results, laps) {
            scenario.event.size = Size::Custom(totals);
        }
        let changes = CHANGES[self.changes.min(CHANGES.len() - 1)];
        scenario.event.revisions = changes.iter().map(|c| c.to_vec()).collect();
        if scenario.engine.command.is_none() {
            scenario.engine.profiles = vec![self.profile.clone()];
            let own = SETTINGS[self.settings.min(SETTINGS.len() - 1)];
            scenario.engine.settings.extend(own.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        }
        scenario
    }

    /// In a few words: `4 races, 120 laps, 2 revisions, fast, commit_races=2`.
    #[must_use]
    pub fn describe(&self) -> String {
        let (races, _, laps) = SIZES[self.size.min(SIZES.len() - 1)];
        let revisions = CHANGES[self.changes.min(CHANGES.len() - 1)].len() + 1;
        let plural = if revisions == 1 { "" } else { "s" };
        let mut text = format!("{races} races, {laps} laps, {revisions} revision{plural}, {}", self.profile);
        for (name, value) in SETTINGS[self.settings.min(SETTINGS.len() - 1)] {
            text += &format!(", {name}={value}");
        }
        text
    }

    /// Grounds that are simpler in one respect.
    #[must_use]
    pub fn simpler(&self) -> Vec<Self> {
        let smaller = (0..self.size).map(|size| Self { size, ..self.clone() });
        let fewer = (self.changes > 0).then(|| Self { changes: 0, ..self.clone() });
        let plain = (self.settings > 0).then(|| Self { settings: 0, ..self.clone() });
        fewer.into_iter().chain(smaller).chain(plain).collect()
    }
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What is ingested.
    pub ground: Ground,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Case {
    /// Whether a fault hits the whole server, so that no other trial may run beside it.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.faults.iter().any(|f| is_exclusive(f.action()))
    }
}

/// Whether an action reaches further than the trial's own database.
#[must_use]
pub fn is_exclusive(action: Action) -> bool {
    // The limit on connections is the database's own.
    let own_limit = action == Action::DbConnections;
    matches!(action.needs(), Need::OwnServer | Need::LocalAndRoot | Need::Local) && !own_limit
}

/// A sort of trigger: what coverage is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// At a step.
    Step(Step),
    /// Around a COMMIT.
    Commit,
    /// At a request to LiveRC.
    Request,
    /// At the insertion of a lap.
    Row,
}

impl Trigger {
    /// Of a fault; `None`: a time, or a frame, which chaos does not use.
    #[must_use]
    pub fn of(fault: &Fault) -> Option<Self> {
        match fault.when() {
            When::Step(trigger) => Some(Self::Step(trigger.step)),
            When::Wire { frame: Frame::Commit, .. } => Some(Self::Commit),
            When::Wire { frame: Frame::Request, .. } => Some(Self::Request),
            When::Row(_) => Some(Self::Row),
            When::Wire { .. } | When::Job(_) | When::Time(_) => None,
        }
    }

    /// As the report's grid has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Step(step) => step.name(),
            Self::Commit => "commit (wire)",
            Self::Request => "request (wire)",
            Self::Row => "row",
        }
    }

    /// In the order of the grid.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Step::ALL.iter().map(|&s| Self::Step(s)).chain([Self::Commit, Self::Request, Self::Row]).collect()
    }
}

/// A trigger and an action that go together, and how often the trigger comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: Action,
    /// The revision.
    pub revision: u32,
    /// Occurrences in the golden run.
    pub most: u32,
}

impl Kind {
    /// The fault at an occurrence, which is brought within what there is. `moment` chooses among those of a frame.
    #[must_use]
    pub fn fault(&self, occurrence: u32, moment: usize, lasts: Option<crate::quantity::Span>) -> Option<Fault> {
        const COMMIT: [Moment; 4] = [Moment::Before, Moment::Sent, Moment::Complete, Moment::Ready];
        let occurrence = occurrence.clamp(1, self.most);
        let wire = |frame, moment| When::Wire { frame, occurrence, moment };
        let when = match self.trigger {
            Trigger::Step(step) => When::Step(contract::Trigger { step, occurrence }),
            // An error that PostgreSQL raises at COMMIT has no moment.
            Trigger::Commit if self.action.is_raised() => wire(Frame::Commit, Moment::Before),
            // After its last COMMIT was answered, the process may be over before it can be struck.
            Trigger::Commit if occurrence == self.most => wire(Frame::Commit, COMMIT[moment % 3]),
            Trigger::Commit => wire(Frame::Commit, COMMIT[moment % COMMIT.len()]),
            Trigger::Request => wire(Frame::Request, Moment::Before),
            Trigger::Row => When::Row(occurrence),
        };
        let lasts = lasts.filter(|_| self.action.default_duration().is_some_and(|d| !d.0.is_zero()));
        Fault::new(when, self.action, lasts).ok().map(|f| f.in_revision(self.revision))
    }
}

/// The kinds of faults that cannot but fire in an ingestion without others: what would never be met is left out. `own_server`:
/// the server may be stopped, killed and filled.
#[must_use]
pub fn kinds(pass: &Pass, own_server: Option<bool>) -> Vec<Kind> {
    let mut all = Vec::new();
    let mut put = |trigger, action: Action, most: u64| {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        if most > 0 {
            all.push(Kind { trigger, action, revision: pass.number, most });
        }
    };
    for (&step, &most) in &pass.steps {
        for action in at_step(step, pass.number, own_server) {
            // Later units may find room on a page that is there already.
            let most = if action == Action::DbFull { 1 } else { most };
            put(Trigger::Step(step), action, most.into());
        }
    }
    for action in
        [Action::Crash, Action::DbReset, Action::DbCut, Action::DbTerminate, Action::DbRefuse, Action::DbBlackhole]
    {
        put(Trigger::Commit, action, pass.wire.commits);
    }
    // The event page and the entry list are read first, and each of these is met by the next race page at the latest.
    for &action in LIVERC {
        put(Trigger::Request, action, pass.requests);
    }
    put(Trigger::Request, Action::Crash, pass.requests);
    let units = pass.steps.get(&Step::AfterCommit).copied().unwrap_or(0);
    for action in [Action::DbDeadlock, Action::DbSerialization, Action::DbLockTimeout, Action::DbStatementTimeout] {
        put(Trigger::Commit, action, units.into());
        // Later revisions may insert no lap at all.
        if pass.number == 1 {
            put(Trigger::Row, action, pass.laps);
        }
    }
    all
}

/// What LiveRC and the network to it can do to a request.
const LIVERC: &[Action] = &[
    Action::Http429,
    Action::Http429Date,
    Action::Http5xx,
    Action::NetReset,
    Action::NetBlackhole,
    Action::NetRefuse,
    Action::NetSlow,
    Action::SlowBody,
    Action::Truncate,
    Action::TruncateChunked,
    Action::TruncateClosed,
    Action::MalformedHtml,
    Action::MalformedScript,
    Action::EmptyPage,
    Action::WrongPage,
];

fn at_step(step: Step, revision: u32, own_server: Option<bool>) -> Vec<Action> {
    let mut actions = vec![
        Action::Crash,
        Action::Pause,
        Action::DbTerminate,
        Action::DbReset,
        Action::DbRefuse,
        Action::DbConnections,
        Action::DbLocked,
    ];
    // After the last step nothing more is sent that could meet these.
    if step != Step::EventCompleted {
        actions.extend([Action::DbBlackhole, Action::DbSlow, Action::DbCut, Action::Stall]);
    }
    // All race pages are still to come; a reset needs a connection that is open just then, which only a request has for certain.
    if matches!(step, Step::EventFetched | Step::EntriesWritten) && revision == 1 {
        actions.extend(LIVERC.iter().copied().filter(|&a| a != Action::NetReset));
    }
    if let Some(root) = own_server {
        actions.extend([Action::DbKill, Action::DbStop, Action::DbRestart, Action::DbPause]);
        if root && revision == 1 && matches!(step, Step::UnitBegun | Step::ResultsWritten) {
            actions.push(Action::DbFull);
        }
    }
    actions
}

/// Whether a schedule may hold these faults together: those that need the server, or the process, to themselves stand alone,
/// and no two strike at one trigger.
#[must_use]
pub fn fit(faults: &[Fault]) -> bool {
    let alone = |f: &Fault| matches!(f.action(), Action::Stall | Action::DbPause | Action::DbFull);
    let exclusive = faults.iter().filter(|f| is_exclusive(f.action())).count();
    let distinct: BTreeMap<String, ()> =
        faults.iter().map(|f| (format!("{} {}", f.revision(), f.when()), ())).collect();
    exclusive <= 1 && distinct.len() == faults.len() && (faults.len() == 1 || !faults.iter().any(alone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::record::WireCounts;

    fn pass(number: u32) -> Pass {
        let steps = [(Step::EventFetched, 1), (Step::AfterCommit, 2), (Step::EventCompleted, 1)].into_iter().collect();
        Pass {
            number,
            steps,
            wire: WireCounts { frames: 40, commits: 5, round_trips: 30, sessions: 2 },
            requests: 6,
            laps: 120,
        }
    }

    fn has(kinds: &[Kind], trigger: Trigger, action: Action) -> bool {
        kinds.iter().any(|k| k.trigger == trigger && k.action == action)
    }

    #[test]
    fn what_nothing_would_meet_is_not_asked_for() {
        let first = kinds(&pass(1), Some(true));
        let (fetched, completed) = (Trigger::Step(Step::EventFetched), Trigger::Step(Step::EventCompleted));
        assert!(has(&first, completed, Action::Crash) && !has(&first, completed, Action::DbSlow));
        assert!(has(&first, fetched, Action::Http429) && !has(&first, completed, Action::Http429));
        assert!(has(&first, Trigger::Row, Action::DbDeadlock) && has(&first, fetched, Action::DbKill));
        let second = kinds(&pass(2), None);
        assert!(!has(&second, Trigger::Row, Action::DbDeadlock) && !has(&second, fetched, Action::DbKill));
        assert!(!first.iter().chain(&second).any(|k| k.action == Action::OutOfMemory), "it fires only by chance");
    }

    #[test]
    fn every_kind_makes_a_fault_within_what_there_is() {
        for kind in kinds(&pass(1), Some(true)).into_iter().chain(kinds(&pass(2), Some(true))) {
            for (occurrence, moment) in [(1, 0), (1_000_000, 1), (2, 2), (3, 3)] {
                let fault = kind.fault(occurrence, moment, Some("50ms".parse().unwrap())).unwrap();
                assert_eq!(Trigger::of(&fault), Some(kind.trigger), "{fault}");
                assert_eq!(fault.revision(), kind.revision);
            }
        }
    }

    #[test]
    fn what_needs_the_server_to_itself_stands_alone() {
        let faults = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<Fault>>();
        assert!(fit(&faults(&["event-fetched=crash", "before-commit=db-kill"])));
        assert!(!fit(&faults(&["event-fetched=db-restart", "before-commit=db-kill"])));
        assert!(!fit(&faults(&["event-fetched=crash", "before-commit=stall"])));
        assert!(!fit(&faults(&["event-fetched=crash", "event-fetched=db-reset"])));
    }
}
