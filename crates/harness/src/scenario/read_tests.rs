use super::*;
use crate::oracle::OracleName;
use crate::scenario::{Backend, Change, DataPlace};

/// Names of the built-in engine, as a test needs them.
pub(in crate::scenario) const KNOWN: Known<'static> = Known {
    profiles: &["before", "after", "fast"],
    settings: &[
        "lap_batch",
        "race_concurrency",
        "skip_unchanged",
        "liverc.min_delay",
        "commit_races",
        "lock_lease",
        "statement_timeout",
    ],
};

pub(in crate::scenario) fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("scenarios/test.toml", text, KNOWN)
}

/// The first line of the message for a mistaken text.
fn mistake(text: &str) -> String {
    let error = parse(text).expect_err(text).to_string();
    error.lines().next().unwrap().to_owned()
}

const FULL: &str = r#"
# What it shows,
# in two lines.

# Not this.
trials = 3
oracles = ["content", "durable"]

[event]
races = 4
results = 20
laps = 100
seed = 42
form = "mixed"
revisions = [["lap-removed", "time-changed"], ["race-added"]]

[engine]
profiles = ["before", "fast"]
restarts = 2
memory_limit = "256MiB"
timeout = "90s"
settings = { lap_batch = 500, skip_unchanged = true, "liverc.min_delay" = "10ms" }

[postgres]
backend = "local"
data = "memory"

[network]
database_rtt = "1ms"
database_jitter = "200us"
database_bandwidth = "100MB"
liverc_latency = "50ms"

[liverc]
max_in_flight = 2
min_delay = "1.5s"

[limits]
engine_peak = "150MB"
connections = 21

[expect]
outcome = "partial"
failed = [3]
earlier = [[], [1, 2]]

[[fault]]
when = "before-commit#2"
do = "crash"
process = 2

[[fault]]
when = "commit#3:sent"
do = "db-blackhole"
for = "500ms"
"#;

#[test]
fn a_full_file_reads_and_its_resolved_text_reads_back_equal() {
    let scenario = parse(FULL).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.description.as_str()), ("test", "What it shows,\nin two lines."));
    assert_eq!(scenario.event.size.totals(), Totals::new(4, 20, 100).unwrap());
    assert_eq!(scenario.event.revisions[1], [Change::RaceAdded]);
    assert_eq!(scenario.engine.settings["lap_batch"], "500");
    assert_eq!(scenario.engine.settings["skip_unchanged"], "true");
    assert_eq!(scenario.engine.timeout.0, Duration::from_secs(90));
    assert_eq!((scenario.postgres.backend, scenario.postgres.data), (Backend::Local, DataPlace::Memory));
    assert_eq!(scenario.network.database_bandwidth, Some(Bytes(100_000_000)));
    assert_eq!(scenario.limits.engine_peak_rss_bytes, Some(150_000_000));
    assert_eq!(scenario.faults[1].to_string(), "commit#3:sent=db-blackhole:500ms");
    assert_eq!((scenario.must_fail(1), scenario.must_fail(2), scenario.must_fail(3)), (&[][..], &[1, 2][..], &[3][..]));
    let text = scenario.resolved();
    assert_eq!(parse(&text).unwrap(), scenario, "{text}");
}

#[test]
fn the_shortest_file_has_every_default() {
    let scenario = parse("[event]\nsize = \"small\"\n").unwrap();
    assert_eq!((scenario.trials, scenario.event.seed, scenario.event.form), (1, 1, PageForm::Raw));
    assert_eq!(scenario.engine.profiles, ["fast"]);
    assert_eq!(scenario.expect.outcome(), Outcome::Complete);
    assert!(!scenario.oracles.contains(&OracleName::Durable));
    assert!(!scenario.needs_proxy());
    assert_eq!(parse(&scenario.resolved()).unwrap(), scenario);
    let faulted = parse("[event]\nsize = \"small\"\n[[fault]]\nwhen = \"mid-batch\"\ndo = \"crash\"\n").unwrap();
    assert!(faulted.oracles.contains(&OracleName::Durable));
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest() {
    let error = parse("# Shows.\n[event]\nsise = \"small\"\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "scenarios/test.toml:3:1: unknown key `sise`; did you mean `size`?\n  3 | sise = \"small\"\n    | ^^^^"
    );
    for (text, says) in [
        ("trails = 3\n[event]\nsize = \"small\"", ":1:1: unknown key `trails`; did you mean `trials`?"),
        ("[evnt]\nsize = \"small\"", ":1:2: unknown key `evnt`; did you mean `event`?"),
        ("[event]\nsize = \"small\"\n[quotas]\ntime = 1", ":3:2: unknown key `quotas`; keys here: "),
        (
            "[event]\nsize = \"small\"\n[network]\ndatabase_rt = \"1ms\"",
            ":4:1: unknown key `database_rt`; did you mean `database_rtt`?",
        ),
        (
            "[event]\nsize = \"small\"\n[[fault]]\nwhen = \"mid-batch\"\ndoo = \"crash\"",
            ":5:1: unknown key `doo`; did you mean `do`?",
        ),
        (
            "[event]\nsize = \"small\"\n[limits]\nengine_peek = \"1MB\"",
            "unknown key `engine_peek`; did you mean `engine_peak`?",
        ),
    ] {
        assert!(mistake(text).contains(says), "{text}: {}", mistake(text));
    }
}

#[test]
fn an_unknown_value_is_refused_with_its_place_and_the_nearest() {
    let event = "[event]\nsize = \"small\"\n";
    for (text, says) in [
        ("[event]\nsize = \"lrage\"".to_owned(), ":2:8: unknown size `lrage`; did you mean `large`?"),
        (
            format!("oracles = [\"content\", \"durabel\"]\n{event}"),
            ":1:23: unknown oracle `durabel`; did you mean `durable`?",
        ),
        (format!("{event}form = \"row\""), ":3:8: unknown form of pages `row`; did you mean `raw`?"),
        (format!("{event}kind = \"edge-case\""), ":3:8: unknown kind of event `edge-case`; did you mean `edge-cases`?"),
        (
            format!("{event}revisions = [[\"lap-remove\"]]"),
            ":3:15: unknown correction `lap-remove`; did you mean `lap-removed`?",
        ),
        (
            format!("{event}[engine]\nprofiles = [\"fast\", \"befor\"]"),
            ":4:21: unknown profile `befor`; did you mean `before`?",
        ),
        (
            format!("{event}[engine.settings]\nlap_bach = 3"),
            ":4:1: unknown setting `lap_bach`; did you mean `lap_batch`?",
        ),
        (
            format!("{event}[expect]\noutcome = \"partail\""),
            ":4:11: unknown outcome `partail`; did you mean `partial`?",
        ),
        (
            format!("{event}[[fault]]\nwhen = \"mid-bacth#2\"\ndo = \"crash\""),
            ":4:8: unknown step `mid-bacth`; did you mean `mid-batch`?",
        ),
        (
            format!("{event}[[fault]]\nwhen = \"mid-batch\"\ndo = \"carsh\""),
            ":5:6: unknown fault `carsh`; did you mean `crash`?",
        ),
        (format!("{event}[postgres]\nbackend = \"lokal\""), ":4:11: unknown backend `lokal`; did you mean `local`?"),
        (format!("{event}[network]\ndatabase_rtt = \"5\""), ":4:16: `5` is no duration"),
        (
            format!("{event}[network]\ndatabase_rtt = 5"),
            ":4:16: invalid type: integer `5`, expected a duration in quotes",
        ),
        (format!("{event}[network]\ndatabase_bandwidth = \"0MB\""), ":4:22: a bandwidth of nothing"),
        (format!("{event}[limits]\nengine_peak = \"lots\""), ":4:15: `lots` is no size"),
        (format!("{event}[liverc]\nmax_in_flight = 0"), ":4:17: invalid value: integer `0`"),
        (format!("trials = 0\n{event}"), ":1:10: invalid value: integer `0`"),
        (format!("{event}seed = -1"), ":3:8: invalid value: integer `-1`, expected a seed"),
    ] {
        assert!(mistake(&text).contains(says), "{text}\n→ {}", mistake(&text));
    }
}

#[test]
fn what_does_not_go_together_is_refused_where_it_stands() {
    let event = "[event]\nsize = \"small\"\n";
    for (text, says) in [
        (String::new(), ":1:1: there is no [event]"),
        ("[event]\nseed = 3".to_owned(), "say how large the event is"),
        ("[event]\nraces = 3".to_owned(), ":2:9: say how large the event is"),
        (format!("{event}laps = 5"), ":2:8: an event has either a size or"),
        ("[event]\nraces = 0\nresults = 3\nlaps = 5".to_owned(), ":2:9: no event has 0 races"),
        (format!("{event}kind = \"edge-cases\""), ":2:8: an event of the kind `edge-cases` has a size of its own"),
        (format!("oracles = []\n{event}"), ":1:11: a scenario that lists no oracle"),
        (format!("oracles = [\"exit\", \"exit\"]\n{event}"), ":1:20: the oracle `exit` stands here twice"),
        (format!("{event}[engine]\nprofiles = []"), ":4:12: there is no profile"),
        (format!("{event}[engine]\nprofiles = [\"fast\", \"fast\"]"), ":4:21: the profile `fast` stands here twice"),
        (format!("{event}[engine]\ncommand = []"), ":4:11: the command is empty"),
        (format!("{event}[engine]\ncommand = [\"x\"]"), "put {event_id}"),
        (
            format!("{event}[engine]\nprofiles = [\"fast\"]\ncommand = [\"x\", \"{{event_id}}\"]"),
            ":4:12: profiles and settings are",
        ),
        (
            format!("{event}[engine.settings]\nliverc = {{ min_delay = \"1s\" }}"),
            "expected text, a number or true/false",
        ),
        (format!("{event}[expect]\noutcome = \"partial\""), ":4:11: say which races must fail"),
        (format!("{event}[expect]\nfailed = [3]"), ":4:10: where races must fail"),
        (format!("{event}[expect]\noutcome = \"partial\"\nfailed = []"), ":5:10: in a partial outcome"),
        (format!("{event}[expect]\nearlier = [[1]]"), ":4:11: the event has 0 revisions"),
        (format!("{event}[[fault]]\nwhen = \"mid-batch\"\ndo = \"crash\"\nfor = \"1s\""), "`crash` happens at once"),
        (format!("{event}[[fault]]\ndo = \"crash\""), "the key `when` is missing"),
        (format!("{event}[[fault]]\nwhen = \"1s\"\ndo = \"crash\"\nprocess = 2"), "`process` is for faults at a step"),
        (format!("{event}size = \"large\""), ":3:1: "),
        ("[event\nsize".to_owned(), ":1:"),
    ] {
        assert!(mistake(&text).contains(says), "{text}\n→ {}", mistake(&text));
    }
}
