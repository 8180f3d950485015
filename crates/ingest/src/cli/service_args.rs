//! What may stand on the command line of `serve`, `work` and `import`.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::{database_url, id, json, metrics_file, with_settings};

/// A flag with its environment variable, so that a variable that is none can be told.
struct Flag {
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    value: &'static str,
    help: &'static str,
}

const fn flag(
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, variable, default, value, help }
}

/// The variable that holds the token. There is no flag for it: a command line can be read by everybody.
pub const TOKEN: &str = "INGEST_TOKEN";

const TOKEN_FILE: Flag =
    flag("token-file", "INGEST_TOKEN_FILE", "", "FILE", "File with the bearer token; INGEST_TOKEN holds one itself");

const WORK: [Flag; 7] = [
    flag("jobs", "INGEST_JOBS", "2", "N", "Jobs at once in this process; 0 for none"),
    flag("lease", "INGEST_LEASE", "30s", "TIME", "How long a job stays with a worker that gives no sign of life"),
    flag("job-attempts", "INGEST_JOB_ATTEMPTS", "8", "N", "Attempts at a job before it has failed for good"),
    flag("job-backoff", "INGEST_JOB_BACKOFF", "5s", "TIME", "Wait before the second attempt; doubled each time"),
    flag("job-backoff-cap", "INGEST_JOB_BACKOFF_CAP", "10m", "TIME", "Longest wait between attempts"),
    flag(
        "track-jobs",
        "INGEST_TRACK_JOBS",
        "",
        "N",
        "Jobs of one track at once, anywhere; 0 for any number [default: 1 for the real site, else 0]",
    ),
    flag("keep-jobs", "INGEST_KEEP_JOBS", "30d", "TIME", "How long ended jobs are kept"),
];

const SERVE: [Flag; 8] = [
    flag(
        "listen",
        "INGEST_LISTEN",
        "127.0.0.1:8080",
        "ADDRESS",
        "Address to listen on; off loopback a token is needed",
    ),
    flag("queue-limit", "INGEST_QUEUE_LIMIT", "1000", "N", "Jobs that may wait"),
    flag("rate-limit", "INGEST_RATE_LIMIT", "50", "N", "Requests a second from one address; 0 for any number"),
    flag("max-requests", "INGEST_MAX_REQUESTS", "512", "N", "Requests that are answered at once"),
    flag("max-connections", "INGEST_MAX_CONNECTIONS", "1024", "N", "Connections at once"),
    flag("max-body", "INGEST_MAX_BODY", "4096", "BYTES", "Largest body of a request"),
    flag("body-timeout", "INGEST_BODY_TIMEOUT", "10s", "TIME", "Longest time for a body to come"),
    flag("deadline", "INGEST_DEADLINE", "10m", "TIME", "Longest time for one request"),
];

const IMPORT: [Flag; 2] = [
    flag("server", "INGEST_SERVER", "", "URL", "The server, http://host:port"),
    flag("timeout", "INGEST_TIMEOUT", "11m", "TIME", "How long the import is followed"),
];

/// The environment variables of these commands.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let flags = WORK.iter().chain(&SERVE).chain(&IMPORT).chain([&TOKEN_FILE]);
    flags.map(|f| f.variable).chain([TOKEN])
}

impl Flag {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.name).long(self.name).env(self.variable).value_name(self.value).help(self.help);
        if self.default.is_empty() { arg } else { arg.default_value(self.default) }
    }
}

/// `ingest serve`.
pub fn serve() -> Command {
    let command = Command::new("serve").about("Serves the HTTP API, with workers in the same process");
    let command = SERVE.iter().chain(&WORK).chain([&TOKEN_FILE]).fold(command, |c, f| c.arg(f.arg()));
    with_settings(command.arg(database_url()))
}

/// `ingest work`.
pub fn work() -> Command {
    let command = Command::new("work").about("Works on the jobs of a database, beside any number of others");
    with_settings(WORK.iter().fold(command, |c, f| c.arg(f.arg())).arg(metrics_file()).arg(database_url()))
}

/// `ingest import`.
pub fn import() -> Command {
    let command = Command::new("import").about("Imports an event through a server, and says what became of it");
    let command = IMPORT.iter().chain([&TOKEN_FILE]).fold(command, |c, f| c.arg(f.arg()));
    command
        .arg(
            Arg::new("track")
                .required(true)
                .value_name("TRACK")
                .help("Host label of the track: canberra in canberra.liverc.com"),
        )
        .arg(id())
        .arg(
            Arg::new("refresh")
                .long("refresh")
                .action(ArgAction::SetTrue)
                .help("Read every page again, though the event is complete"),
        )
        .arg(json("Print what became of it as JSON"))
        .arg(
            Arg::new("recovery-wait")
                .long("recovery-wait")
                .value_name("TIME")
                .default_value("2s")
                .value_parser(value_parser!(String))
                .help("Wait before the first question after a connection broke"),
        )
}

/// The value of a flag as text.
pub fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

/// The value of a flag as a whole number up to `most`.
///
/// # Errors
/// It is none.
pub fn number(matches: &ArgMatches, name: &str, least: u32, most: u32) -> Result<u32, String> {
    let given = text(matches, name);
    let number = given.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("--{name} `{given}`: must be a whole number from {least} to {most}"))
}

/// The value of a flag as a time.
///
/// # Errors
/// It is none.
pub fn time(matches: &ArgMatches, name: &str) -> Result<Duration, String> {
    let given = text(matches, name);
    let longest = Duration::from_secs(366 * 86_400);
    let time = humantime::parse_duration(given).ok().filter(|t| !t.is_zero() && *t <= longest);
    time.ok_or_else(|| {
        format!("--{name} `{given}`: must be a time such as 500ms, 30s or 10m, longer than none and at most a year")
    })
}
