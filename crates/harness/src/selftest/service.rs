//! The cases of the service: a worker or a client with one bug, in loads of a few seconds.
//!
//! Where the worker is faulty the clients are the service's own, and the other way round: what is caught is the bug of the one that
//! has it.

use faulty::ServiceBug;

use super::Sort;
use super::cases::{Case, Expected, Short, Subject};
use crate::oracle::OracleName::{self, *};

/// What the loads have in common: few small events, and a client that does not wait for long.
pub const COMMON: &str = "\
oracles = [\"content\", \"atomic\", \"checkpoints\", \"complete\", \"clean\", \"bounded\", \"truthful\", \"exclusive\"]
[event]
races = 6
results = 24
laps = 240
seed = 43
";

/// The loads: name, what happens, and what makes it happen.
pub const SCENARIOS: &[Short] = &[
    (
        "lost-response",
        "imports are accepted, and their clients' connections are reset before the answer comes",
        "[load]\nrate = 8\nrequests = 8\nevents = 4\nworkers = 1\nrecovery = \"300ms\"\npoll = \"200ms\"\n\
         [[fault]]\nwhen = \"import#2:answered\"\ndo = \"client-reset\"\n\
         [[fault]]\nwhen = \"import#5:answered\"\ndo = \"client-reset\"\n\
         [[fault]]\nwhen = \"import#7:answered\"\ndo = \"client-reset\"\n",
    ),
    (
        "poison-event",
        "a race of one event can never be read",
        "[load]\nrate = 8\nrequests = 8\nevents = 4\npoison = 1\nworkers = 1\npoll = \"200ms\"\nattempts = 2\n\
         backoff = \"200ms\"\n",
    ),
    (
        "two-workers",
        "two workers have one event to work on",
        "[load]\nrate = 4\nrequests = 4\nevents = 1\nworkers = 2\njobs = 1\npoll = \"200ms\"\n",
    ),
    (
        "worker-killed",
        "a worker is killed with a job, and another one comes",
        "[load]\nrate = 8\nrequests = 4\nevents = 2\nworkers = 1\njobs = 1\nlease = \"1s\"\nrestart = \"1s\"\n\
         poll = \"200ms\"\npatience = \"15s\"\ndrain = \"16s\"\n\
         [[fault]]\nwhen = \"before-commit#2\"\ndo = \"crash\"\n",
    ),
];

/// Where a bug shows, and who is there for it.
fn showing(bug: ServiceBug) -> (&'static str, Vec<OracleName>) {
    match bug {
        ServiceBug::LostToldFailed => ("lost-response", vec![Truthful]),
        ServiceBug::FailureToldComplete => ("poison-event", vec![Truthful]),
        ServiceBug::TwoWorkers => ("two-workers", vec![Exclusive]),
        ServiceBug::JobLost => ("worker-killed", vec![Complete, Clean, Truthful]),
    }
}

fn subject(bug: ServiceBug, faulty: bool) -> Subject {
    let is = faulty.then_some(bug);
    if bug.of_worker() { Subject::Worker(is) } else { Subject::Client(is) }
}

/// Every case: the bugs, and who is right in their place under the same scenario.
pub fn cases() -> Vec<Case> {
    let case = |sort, bug: ServiceBug| {
        let (scenario, oracles) = showing(bug);
        let is_bug = sort == Sort::Bug;
        let of = SCENARIOS.iter().find(|(name, ..)| *name == scenario).map_or("", |(_, what, _)| what);
        Case {
            sort,
            name: if is_bug { bug.name() } else { "none" },
            subject: subject(bug, is_bug),
            description: if is_bug { bug.description() } else { of },
            scenario,
            expected: if is_bug { Expected::Violated(oracles) } else { Expected::Held },
            leaves: false,
        }
    };
    let bugs = ServiceBug::ALL.iter().map(|&bug| case(Sort::Bug, bug));
    bugs.chain(ServiceBug::ALL.iter().map(|&bug| case(Sort::Right, bug))).collect()
}
