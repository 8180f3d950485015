//! `harness completions SHELL`.

use super::{Failure, PASS};

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn main(args: &Args) -> Result<u8, Failure> {
    clap_complete::generate(args.shell, &mut super::command(), "harness", &mut std::io::stdout());
    Ok(PASS)
}
