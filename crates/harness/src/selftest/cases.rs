//! The cases: each bug with the scenario under which it shows and the oracle that is there for it. Those of the service are
//! in [`super::service`].

use faulty::{Bug, ServiceBug, Sham};

use super::{Sort, service};
use crate::oracle::OracleName::{self, *};

/// A trial of the self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What sort.
    pub sort: Sort,
    /// Name of the bug or control.
    pub name: &'static str,
    /// Who is faulty, or right in its place.
    pub subject: Subject,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Name of its scenario, one of [`scenarios`].
    pub scenario: &'static str,
    /// What must come of it.
    pub expected: Expected,
    /// Something is left behind on purpose: it is not waited for that it goes by itself.
    pub leaves: bool,
}

/// Who is faulty in a case, or right in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The engine: what it is started as.
    Engine(&'static str),
    /// The workers of a service.
    Worker(Option<ServiceBug>),
    /// The clients of a service.
    Client(Option<ServiceBug>),
}

/// What must come of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Each of these is violated.
    Violated(Vec<OracleName>),
    /// Nothing held and nothing was violated: no oracle can tell.
    Unknown,
    /// Every oracle that is judged held.
    Held,
}

/// What each scenario has in common: a small event, units of two races, and limits that a right engine keeps.
const COMMON: &str = "\
oracles = [
    \"content\", \"durable\", \"atomic\", \"checkpoints\", \"complete\", \"same-content\", \"no-rewrite\", \"counts\", \"exit\",
    \"clean\", \"polite\", \"bounded\",
]
[engine]
restarts = 3
timeout = \"120s\"
[limits]
engine_peak = \"150MB\"
max_in_flight = 4
";

/// The event of most.
const PLAIN: &str = "[event]\nsize = \"small\"\nform = \"raw\"\nseed = 41\n";

/// A scenario: name, what happens, and what makes it happen.
pub(super) type Short = (&'static str, &'static str, &'static str);

/// The scenarios of the engine.
const SCENARIOS: &[Short] = &[
    ("undisturbed", "nothing goes wrong", ""),
    (
        "crash-before-commit",
        "the engine is killed before COMMIT",
        "[[fault]]\nwhen = \"before-commit#2\"\ndo = \"crash\"\n",
    ),
    (
        "crash-after-commit",
        "the engine is killed after COMMIT",
        "[[fault]]\nwhen = \"after-commit#2\"\ndo = \"crash\"\n",
    ),
    (
        "connection-reset",
        "the connection is reset between two batches of a unit",
        "[[fault]]\nwhen = \"batch-written#6\"\ndo = \"db-reset\"\n",
    ),
    (
        "commit-answer-lost",
        "COMMIT is carried out, its answer lost",
        "[[fault]]\nwhen = \"commit#3:sent\"\ndo = \"db-reset\"\n",
    ),
    ("commit-lost", "COMMIT never reaches PostgreSQL", "[[fault]]\nwhen = \"commit#3:before\"\ndo = \"db-reset\"\n"),
    ("deadlock", "PostgreSQL reports a deadlock at a lap", "[[fault]]\nwhen = \"row#60\"\ndo = \"db-deadlock\"\n"),
    (
        "stalled-worker",
        "the engine stalls in mid-unit until another is done",
        "[[fault]]\nwhen = \"results-written#2\"\ndo = \"stall\"\n",
    ),
    (
        "outage",
        "LiveRC answers 500, 502, 503",
        "[[fault]]\nwhen = \"race-fetched#2\"\ndo = \"http-5xx\"\nfor = \"300ms\"\n",
    ),
    (
        "rate-limited",
        "LiveRC answers 429 with Retry-After",
        "[[fault]]\nwhen = \"race-fetched#2\"\ndo = \"http-429\"\nfor = \"2s\"\n",
    ),
    ("page-cut", "a race page is cut short", "[[fault]]\nwhen = \"race-fetched#1\"\ndo = \"truncate-closed\"\n"),
    (
        "bad-race",
        "a race page cannot be read",
        "[event]\nkind = \"bad-race\"\nsize = \"small\"\nform = \"raw\"\nseed = 9\n[expect]\noutcome = \"partial\"\nfailed = [5]\n",
    ),
    ("far-away", "LiveRC takes 150 ms to answer", "[network]\nliverc_latency = \"150ms\"\n"),
    (
        "corrected",
        "LiveRC corrects the event twice",
        "[event]\nsize = \"small\"\nform = \"raw\"\nseed = 41\nrevisions = [[\"lap-removed\", \"driver-disqualified\"], [\"race-withdrawn\"]]\n",
    ),
    (
        "never-strikes",
        "a fault waits for a step that never comes",
        "[[fault]]\nwhen = \"before-commit#99\"\ndo = \"crash\"\n",
    ),
];

/// Every scenario: its name and what happens.
pub fn scenarios() -> impl Iterator<Item = (&'static str, &'static str)> {
    SCENARIOS.iter().chain(service::SCENARIOS).map(|&(name, what, _)| (name, what))
}

/// A scenario as TOML.
#[must_use]
pub fn toml(name: &str) -> Option<String> {
    let named = |scenarios: &'static [Short]| scenarios.iter().find(|(known, ..)| *known == name);
    if let Some((.., own)) = named(service::SCENARIOS) {
        return Some(format!("{}{own}", service::COMMON));
    }
    let (.., own) = named(SCENARIOS)?;
    let event = if own.contains("[event]") { "" } else { PLAIN };
    Some(format!("{COMMON}{event}{own}"))
}

/// Where a bug shows, and who is there for it.
fn showing(bug: Bug) -> (&'static str, Vec<OracleName>) {
    match bug {
        Bug::BatchLost => ("connection-reset", vec![Content, Checkpoints]),
        Bug::PlainInsert => ("crash-after-commit", vec![Content]),
        Bug::CheckpointAhead => ("crash-before-commit", vec![Checkpoints, Content, Complete]),
        Bug::CheckpointBehind => ("crash-after-commit", vec![Checkpoints, Durable, Atomic]),
        Bug::StaleHash => ("corrected", vec![Checkpoints]),
        Bug::CompleteWithFailed => ("bad-race", vec![Complete]),
        Bug::PartVisible => ("undisturbed", vec![Atomic]),
        Bug::SwallowedError => ("deadlock", vec![Durable]),
        Bug::LockLeaked => ("undisturbed", vec![Clean]),
        Bug::StaleOverwrite => ("stalled-worker", vec![Durable]),
        Bug::RetryStorm => ("outage", vec![Polite]),
        Bug::UnboundedMemory => ("undisturbed", vec![Bounded]),
        Bug::WrongCounts => ("undisturbed", vec![Counts]),
        Bug::AmbiguousDoubled => ("commit-answer-lost", vec![Content]),
        Bug::AmbiguousSuccess => ("commit-lost", vec![Durable]),
        Bug::Crowding => ("far-away", vec![Polite, Bounded]),
        Bug::RetryAfterIgnored => ("rate-limited", vec![Polite]),
        Bug::TruncatedAccepted => ("page-cut", vec![Content]),
        Bug::OpenTransaction => ("undisturbed", vec![Clean]),
        Bug::LastDriverOnly | Bug::Superscript => ("undisturbed", vec![Content]),
        Bug::DriversDoubled => ("undisturbed", vec![Content, SameContent]),
        Bug::LeftoversKept => ("corrected", vec![Content]),
        Bug::ExitZero => ("bad-race", vec![Exit]),
        Bug::AcknowledgedEarly => ("crash-before-commit", vec![Durable]),
        Bug::Rewrites => ("undisturbed", vec![NoRewrite]),
    }
}

/// What a sham is tried under, and what must come of it.
fn control(sham: Sham) -> (&'static str, Expected) {
    match sham {
        // It does its work well, and yet nothing is shown: no fault on the wire met it.
        Sham::Bypass => ("commit-answer-lost", Expected::Unknown),
        Sham::DoesNothing => ("undisturbed", Expected::Violated(vec![Content, Complete, Exit])),
        Sham::ClaimsAll => ("undisturbed", Expected::Violated(vec![Content, Durable, Complete, Counts, Exit])),
    }
}

/// Every case: the bugs, the right engine under each of their scenarios, the controls.
#[must_use]
pub fn cases() -> Vec<Case> {
    let bug = |&bug: &Bug| {
        let (scenario, oracles) = showing(bug);
        Case {
            sort: Sort::Bug,
            name: bug.name(),
            subject: Subject::Engine(bug.name()),
            description: bug.description(),
            scenario,
            expected: Expected::Violated(oracles),
            leaves: matches!(bug, Bug::LockLeaked | Bug::OpenTransaction),
        }
    };
    let mut all: Vec<Case> = Bug::ALL.iter().map(bug).collect();
    let right = |&(scenario, description, _): &Short| Case {
        sort: Sort::Right,
        name: "none",
        subject: Subject::Engine("none"),
        description,
        scenario,
        expected: Expected::Held,
        leaves: false,
    };
    let used = |scenario: &&Short| all.iter().any(|case| case.scenario == scenario.0);
    let rights: Vec<Case> = SCENARIOS.iter().filter(used).map(right).collect();
    all.extend(rights);
    all.push(Case {
        sort: Sort::Control,
        name: "fault-never-strikes",
        subject: Subject::Engine("none"),
        description: "The fault that was asked for never happens.",
        scenario: "never-strikes",
        expected: Expected::Unknown,
        leaves: false,
    });
    all.extend(Sham::ALL.iter().map(|&sham| {
        let (scenario, expected) = control(sham);
        let (name, description) = (sham.name(), sham.description());
        let subject = Subject::Engine(name);
        Case { sort: Sort::Control, name, subject, description, scenario, expected, leaves: false }
    }));
    all.extend(service::cases());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Known, Scenario};

    #[test]
    fn every_scenario_reads_judges_by_every_oracle_that_applies_and_is_used() {
        for (name, description) in scenarios() {
            let text = toml(name).unwrap();
            let scenario = Scenario::parse(name, &text, Known { profiles: &["fast"], settings: &[] }).unwrap();
            let load = scenario.load.is_some();
            assert!(OracleName::ALL.iter().all(|o| scenario.oracles.contains(o) == o.applies(load)), "{name}");
            assert!(!description.is_empty());
            let of_it: Vec<Case> = cases().into_iter().filter(|case| case.scenario == name).collect();
            assert!(!of_it.is_empty(), "{name}");
            assert!(of_it.iter().all(|case| matches!(case.subject, Subject::Engine(_)) != load), "{name}");
        }
    }

    #[test]
    fn every_bug_has_the_right_one_in_its_place_and_every_oracle_a_bug_made_for_it() {
        let all = cases();
        let same = |a: Subject, b: Subject| std::mem::discriminant(&a) == std::mem::discriminant(&b);
        for case in all.iter().filter(|case| case.sort == Sort::Bug) {
            let right =
                |c: &&Case| c.sort == Sort::Right && c.scenario == case.scenario && same(c.subject, case.subject);
            assert!(all.iter().any(|c| right(&c)), "{}", case.name);
        }
        for oracle in OracleName::ALL {
            let there_for_it = |case: &Case| matches!(&case.expected, Expected::Violated(of) if of.contains(oracle));
            assert!(all.iter().any(|case| case.sort == Sort::Bug && there_for_it(case)), "{oracle}");
        }
    }
}
