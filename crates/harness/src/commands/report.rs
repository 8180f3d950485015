//! `harness report DIR`: makes the report of a stored run again.

use std::path::PathBuf;

use super::{Failure, PASS};
use crate::report;

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of a run, as `reports/large-event-…`
    dir: PathBuf,
}

/// Reads the run and writes every file of its report.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let run = report::load(&args.dir)?;
    let written = report::write(&run, &args.dir)?;
    println!("{}", written.dir.join("report.html").display());
    Ok(PASS)
}
