//! The engine's own command. All of it is [`ingest::cli::main`], which the harness runs as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ingest::cli::main(std::env::args_os()))
}
