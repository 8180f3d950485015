//! `ingest verify`: whether schema and data are what the engine relies on.

use clap::ArgMatches;
use contract::exit;

use super::{Failure, block_on, report, settings, store};
use crate::store::{Session, Verification};

/// Runs the command. The exit code says whether anything was found.
pub fn run(matches: &ArgMatches) -> Result<u8, Failure> {
    let settings = settings(matches)?;
    let event = matches.get_one::<u64>("id").copied();
    let json = matches.get_flag("json");
    block_on(async {
        let store = store(matches, &settings)?;
        let mut session = Session::acquire(&store).await?;
        let verification = crate::store::verify(&mut session, event).await;
        session.close().await;
        store.close().await;
        Ok(print(&verification?, json))
    })
}

fn print(verification: &Verification, json: bool) -> u8 {
    let findings = &verification.findings;
    if json {
        report::json(&serde_json::to_value(verification).unwrap_or_default(), true);
    } else {
        for finding in findings {
            report::print(&format!("{}: {}: {}", finding.check.name(), finding.place, finding.what));
            report::print(&format!("  {}", finding.advice));
        }
        let looked = &verification.looked;
        let found = match findings.len() {
            0 => "nothing found".to_owned(),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        report::print(&format!(
            "{found}; looked at {} indexes, {} constraints, {} triggers, {} plans, {} events, {} races, {} laps of {} hashed races",
            looked.indexes,
            looked.constraints,
            looked.triggers,
            looked.plans,
            looked.events,
            looked.races,
            looked.laps,
            looked.hashed
        ));
    }
    if findings.is_empty() { exit::COMPLETE } else { exit::FAILED }
}
