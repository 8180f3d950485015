//! The command line: one file per verb, thin.

mod ab;
mod chaos;
mod completions;
mod doctor;
mod failure;
mod gate;
mod interrupt;
mod lab;
mod list;
mod load;
mod phases;
mod progress;
mod replay;
mod report;
mod run;
mod selftest;
mod session;
mod sweep;
mod sweep_flag;

use clap::{Parser, Subcommand};

pub use failure::Failure;

/// Exit code when everything held.
pub const PASS: u8 = 0;
/// Exit code for a mistake on the command line or in a scenario.
pub const USAGE: u8 = 2;
/// Exit code when an invariant was violated or could not be told.
pub const NOT_PROVEN: u8 = 4;
/// Exit code when the environment failed: no database, a full disk.
pub const ENVIRONMENT: u8 = 5;
/// Exit code after Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Version and kind of build: who compares two builds must know whether one is a debug build.
const VERSION: &str = if cfg!(debug_assertions) {
    concat!(env!("CARGO_PKG_VERSION"), " (debug build)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (release build)")
};

#[derive(Parser)]
#[command(
    name = "harness",
    version = VERSION,
    about = "Load-testing and failure-injection harness for LiveRC ingestion engines",
    after_help = "Exit codes: 0 pass · 1 regression or criterion missed · 2 usage or configuration · 3 inconclusive \
                  (only with --strict) · 4 an invariant violated or unknown · 5 the environment failed · 130 interrupted"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// More on standard error: -v what is done, -vv how
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a scenario: ingest, verify every row, measure, report
    Run(Box<run::Args>),
    /// Fail when a change made ingestion slower, chattier or unsafe, and say why
    Gate(Box<gate::Args>),
    /// Strike at every point of an ingestion, a trial each
    Sweep(Box<sweep::Args>),
    /// Run schedules of faults that chance makes, and make simpler what fails
    Chaos(Box<chaos::Args>),
    /// Run a schedule that sweep or chaos found
    Replay(Box<replay::Args>),
    /// Prove that the oracles bite: run an engine with one bug at a time, and see each of them caught
    Selftest(Box<selftest::Args>),
    /// Compare two profiles or two builds in interleaved pairs: findings with intervals, and the scenario's criteria
    Ab(Box<ab::Args>),
    /// Measure what each of the review's cures buys, alone and on top of one another, and whether it is safe
    Phases(Box<phases::Args>),
    /// Load the service with imports while things go wrong, and hold what its clients were told against the database
    Load(Box<load::Args>),
    /// List scenarios, oracles, steps, faults or bugs
    List(list::Args),
    /// Make the report of a stored run again
    Report(report::Args),
    /// Look whether this machine can run trials, and at what killed runs left
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Parses the command line, runs the verb, and gives the exit code.
#[must_use]
pub fn main() -> u8 {
    let mut args = std::env::args_os();
    let program = args.next();
    let first = args.next();
    // The built-in engine is this program under a hidden verb, so that `cargo run` needs no second binary.
    if first.as_deref().is_some_and(|verb| verb == "__engine") {
        return ingest::cli::main(std::iter::once("ingest".into()).chain(args));
    }
    // What the self-test lets the oracles catch: nothing else starts it.
    if first.as_deref().is_some_and(|verb| verb == "__faulty") {
        return faulty::main(args.map(|arg| arg.to_string_lossy().into_owned()));
    }
    let cli = match Cli::try_parse_from(program.into_iter().chain(first).chain(args)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // --help and --version are no mistake.
            return if error.use_stderr() { USAGE } else { PASS };
        }
    };
    logging(cli.verbose);
    let outcome = match cli.verb {
        Verb::Run(args) => run::main(*args),
        Verb::Gate(args) => gate::main(&args),
        Verb::Sweep(args) => sweep::main(*args),
        Verb::Chaos(args) => chaos::main(*args),
        Verb::Replay(args) => replay::main(*args),
        Verb::Selftest(args) => selftest::main(*args),
        Verb::Ab(args) => ab::main(&args),
        Verb::Phases(args) => phases::main(&args),
        Verb::Load(args) => load::main(&args),
        Verb::List(args) => list::main(&args),
        Verb::Report(args) => report::main(&args),
        Verb::Doctor(args) => doctor::main(&args),
        Verb::Completions(args) => completions::main(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", crate::report::scrub(&failure.to_string()));
            failure.code
        }
    }
}

fn logging(verbose: u8) {
    let level = match verbose {
        // What a server says as it is killed is no news to who killed it.
        0 => "warn,sqlx=error",
        1 => "info,sqlx=error",
        _ => "debug,sqlx=info,hyper=info",
    };
    let filter = std::env::var("HARNESS_LOG").unwrap_or_else(|_| level.to_owned());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .try_init();
}

fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
