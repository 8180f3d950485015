//! `harness replay FILE`: runs a schedule that `sweep` or `chaos` found.

use std::num::NonZeroU32;
use std::path::Path;

use super::session::Common;
use super::{Failure, run};

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// A scenario file, as `sweep` and `chaos` leave in the folder `found` of their report
    file: String,
    /// How often: what depends on chance may not repeat every time
    #[arg(long, value_name = "N", default_value = "1")]
    times: NonZeroU32,
    /// Keep each trial's database and files whatever comes out
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs it.
pub fn main(args: Args) -> Result<u8, Failure> {
    if !Path::new(&args.file).is_file() {
        return Err(Failure::usage(format!(
            "there is no file {}; a report of `harness sweep` or `harness chaos` names the files of what failed",
            args.file
        )));
    }
    run::main(run::Args::of_file(args.file, args.times, args.keep, args.common))
}
