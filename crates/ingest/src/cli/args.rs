//! What may stand on the command line.

use std::ffi::OsString;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::settings::{KEYS, Key};

const SOURCES: &str = "\
A stronger source wins: default < profile < file (--config) < environment (INGEST_LAP_BATCH=700) < flag < roll-out flag
< kill switch. INGEST_ROLLOUT=write_path,lap_batch=5000 switches cures on, to the value of `fast` or to the one named;
INGEST_KILL=write_path switches them off, to the value of `before`; `all` stands for every cure.";

/// Version and kind of build: who compares two builds must know whether one is a debug build.
const VERSION: &str = if cfg!(debug_assertions) {
    concat!(env!("CARGO_PKG_VERSION"), " (debug build)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (release build)")
};

/// The command `ingest`.
pub fn command() -> Command {
    Command::new("ingest")
        .version(VERSION)
        .about("Reads race meetings from LiveRC and writes them to PostgreSQL")
        .after_help("Exit codes: 0 complete, 75 failed but worth trying again, 2 usage, anything else failed for good.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("log-format")
                .long("log-format")
                .global(true)
                .value_parser(["text", "json"])
                .default_value("text")
                .help("Form of the logs on stderr; INGEST_LOG sets their level"),
        )
        .subcommand(with_settings(
            Command::new("event")
                .about("Ingests an event, or goes on with it where an earlier call ended")
                .arg(id())
                .arg(
                    Arg::new("track")
                        .long("track")
                        .short('t')
                        .required(true)
                        .help("Host label of the track: canberra in canberra.liverc.com"),
                )
                .arg(json("Print the summary as JSON"))
                .arg(metrics_file())
                .arg(database_url()),
        ))
        .subcommand(with_settings(
            Command::new("migrate").about("Brings the schema of the database up to date").arg(database_url()),
        ))
        .subcommand(with_settings(
            Command::new("status")
                .about("Says what the database holds of an event")
                .arg(id())
                .arg(json("Print it as JSON"))
                .arg(
                    Arg::new("rehash")
                        .long("rehash")
                        .action(ArgAction::SetTrue)
                        .help("Hash the stored rows anew, and exit 1 where a checkpoint disagrees"),
                )
                .arg(database_url()),
        ))
        .subcommand(with_settings(
            Command::new("verify")
                .about("Looks whether schema and data are whole; exits 1 when something was found")
                .arg(id().required(false).help("LiveRC's id of the event; all events without it"))
                .arg(json("Print it as JSON"))
                .arg(database_url()),
        ))
        .subcommand(
            Command::new("parse").about("Prints what is read from saved pages, as JSON").arg(
                Arg::new("file")
                    .required(true)
                    .num_args(1..)
                    .value_parser(value_parser!(OsString))
                    .value_name("FILE")
                    .help("Saved pages; - for standard input. Several give one line of JSON each"),
            ),
        )
        .subcommand(super::service_args::serve())
        .subcommand(super::service_args::work())
        .subcommand(super::service_args::import())
        .subcommand(with_settings(
            Command::new("settings")
                .about("Prints every setting with its value and source")
                .arg(json("Print JSON"))
                .after_help(SOURCES),
        ))
}

pub(super) fn id() -> Arg {
    Arg::new("id").value_name("ID").required(true).value_parser(value_parser!(u64)).help("LiveRC's id of the event")
}

pub(super) fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}

pub(super) fn metrics_file() -> Arg {
    Arg::new("metrics-file")
        .long("metrics-file")
        .env("INGEST_METRICS_FILE")
        .value_name("FILE")
        .value_parser(value_parser!(std::path::PathBuf))
        .help("Write metrics to this file, for node_exporter's textfile collector; counters go on from it")
}

pub(super) fn database_url() -> Arg {
    Arg::new("database-url")
        .long("database-url")
        .env(contract::env::DATABASE_URL)
        .hide_env_values(true)
        .value_name("URL")
        .help("The database, postgres://user@host:port/database")
}

/// A flag for every setting.
pub(super) fn with_settings(command: Command) -> Command {
    let config = Arg::new("config").long("config").env("INGEST_CONFIG").value_name("FILE").help("Settings as TOML");
    static FLAGS: LazyLock<Vec<String>> = LazyLock::new(|| KEYS.iter().map(Key::flag).collect());
    KEYS.iter().zip(FLAGS.iter()).fold(command.arg(config), |command, (key, flag)| {
        command.arg(
            Arg::new(key.name)
                .long(flag.as_str())
                .value_name("VALUE")
                .help(key.help)
                .hide(key.hidden)
                .help_heading("Settings")
                .allow_hyphen_values(true),
        )
    })
}

/// The settings that were given as flags.
pub fn setting_flags(matches: &ArgMatches) -> impl Iterator<Item = (&'static str, String)> {
    KEYS.iter().filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
