//! `harness report DIR`: makes the report of a stored run again.

use std::path::PathBuf;

use super::{Failure, PASS};
use crate::{gate, report};

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of a run, as `reports/large-event-…`
    dir: PathBuf,
}

/// Reads the run and writes every file of its report, and the index of the reports' root that it is in.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let run = report::load(&args.dir)?;
    let gate = gate::report::load(&args.dir)?;
    let written = report::write(&run, &args.dir)?;
    if let Some(gate) = gate {
        gate::report::write(&run, &gate, &args.dir)?;
    }
    // Whoever looks at all runs would otherwise still see the old line of this one.
    let dir = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    if let Some(root) = dir.parent().filter(|root| report::is_root(root)) {
        report::write_index(root)?;
    }
    println!("{}", written.dir.join("report.html").display());
    Ok(PASS)
}
