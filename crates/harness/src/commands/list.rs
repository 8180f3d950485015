//! `harness list [WHAT]`: scenarios, oracles, steps, faults, bugs, one line each.

use contract::Step;
use faulty::{Bug, ServiceBug};

use super::{Failure, PASS};
use crate::faults::Action;
use crate::oracle::OracleName;
use crate::scenario;

/// What can be listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Scenarios, of `./scenarios` and built in
    #[default]
    Scenarios,
    /// Invariants that are checked
    Oracles,
    /// Moments in the engine's work
    Steps,
    /// What can go wrong
    Faults,
    /// What can be wrong with the engine of the self-test
    Bugs,
}

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// What to list
    #[arg(value_enum, default_value_t)]
    what: What,
}

/// Prints the list.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let lines: Vec<(String, String)> = match args.what {
        What::Scenarios => scenario::list().into_iter().map(|s| (s.name, s.description)).collect(),
        What::Oracles => OracleName::ALL.iter().map(|o| (o.name().to_owned(), o.description().to_owned())).collect(),
        What::Steps => Step::ALL.iter().map(|s| (s.name().to_owned(), s.description().to_owned())).collect(),
        What::Bugs => {
            let of_engine = Bug::ALL.iter().map(|b| (b.name(), b.description()));
            let of_service = ServiceBug::ALL.iter().map(|b| (b.name(), b.description()));
            of_engine.chain(of_service).map(|(name, what)| (name.to_owned(), what.to_owned())).collect()
        }
        What::Faults => Action::ALL.iter().map(|a| (a.name().to_owned(), fault(*a))).collect(),
    };
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in lines {
        println!("{name:width$}  {}", text.lines().collect::<Vec<_>>().join(" "));
    }
    Ok(PASS)
}

fn fault(action: Action) -> String {
    let mut text = action.description().to_owned();
    if let Some(lasts) = action.default_duration().filter(|span| !span.0.is_zero()) {
        text += &format!(" Lasts {lasts} where no other duration is given.");
    }
    match action.needs().text() {
        "" => text,
        needs => format!("{text} Needs {needs}."),
    }
}
