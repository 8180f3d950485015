//! `fixtures/alerts.yml`: each alert fires, and speaks of nothing that the engine does not tell.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Output, Stdio};

use ingest::metrics::Metrics;

const ALERTS: &str = include_str!("../../../fixtures/alerts.yml");
const ALERTS_TEST: &str = include_str!("../../../fixtures/alerts_test.yml");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");

/// Labels that Prometheus itself gives.
const OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

/// Label values by label and metric, as rendered.
fn told() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut told: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let text = Metrics::new().render();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (key, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        let of = told.entry(name.to_owned()).or_default();
        for pair in labels.trim_end_matches('}').split(',').filter(|p| !p.is_empty()) {
            let (label, value) = pair.split_once('=').unwrap();
            of.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    told
}

/// Every metric that a text speaks of, with what stands in braces behind it.
fn spoken_of(text: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("ingest_") {
        let whole = !rest[..at].ends_with(is_name);
        rest = &rest[at..];
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        rest = &rest[name.len()..];
        let braces = rest.strip_prefix('{').and_then(|r| r.split_once('}')).map_or("", |(inside, _)| inside);
        if whole {
            found.push((name, braces));
        }
    }
    found
}

/// What is wrong with a text's metrics, labels and values.
fn unknown(text: &str) -> Vec<String> {
    let told = told();
    let mut wrong = Vec::new();
    for (name, braces) in spoken_of(text) {
        // Annotations speak of a histogram by the name of its family.
        let Some(labels) = told.get(name).or_else(|| told.get(&format!("{name}_bucket"))) else {
            wrong.push(format!("no metric {name}"));
            continue;
        };
        for matcher in braces.split(',').filter(|m| !m.is_empty()) {
            let (label, values) = matcher.split_once('=').unwrap();
            let label = label.trim().trim_end_matches('!');
            let values = values.trim_start_matches('~').trim_matches('"');
            match labels.get(label) {
                _ if ["instance", "job"].contains(&label) => {}
                None => wrong.push(format!("{name} has no label {label}")),
                Some(known) => {
                    let missing = values.split('|').filter(|v| !known.contains(*v));
                    wrong.extend(missing.map(|v| format!("{name} has no {label}=\"{v}\"")));
                }
            }
        }
    }
    for grouping in ["by (", "without ("] {
        for list in text.split(grouping).skip(1).map(|t| t.split(')').next().unwrap()) {
            for label in list.split(',').map(str::trim) {
                if !OF_PROMETHEUS.contains(&label) && !told.values().any(|labels| labels.contains_key(label)) {
                    wrong.push(format!("no metric has a label {label}"));
                }
            }
        }
    }
    wrong
}

#[test]
fn alerts_speak_of_what_the_engine_tells() {
    assert!(spoken_of(ALERTS).len() > 20);
    assert_eq!(unknown(ALERTS), Vec::<String>::new());
    assert_eq!(unknown(ALERTS_TEST), Vec::<String>::new());
    let wrong = unknown("ingest_race_total > sum without (casue) (ingest_events_total{outcome=\"done\",track=\"x\"})");
    assert_eq!(wrong.len(), 4, "the check finds what is wrong: {wrong:?}");
}

#[test]
fn every_alert_is_made_to_fire_and_kept_from_firing() {
    let alerts: Vec<_> = ALERTS.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 9);
    for alert in alerts {
        assert!(
            ALERTS_TEST.contains(&format!("alertname: {alert}\n        exp_alerts:\n          - ")),
            "{alert} fires"
        );
        assert!(ALERTS_TEST.contains(&format!("alertname: {alert}, exp_alerts: []")), "{alert} keeps quiet");
    }
}

/// Runs promtool, whose last arguments are these. `None`: it is not there, which is said.
fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let spawned = Command::new("promtool")
        .args(arguments)
        .current_dir(FIXTURES)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match spawned {
        Ok(mut child) => {
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            Some(child.wait_with_output().unwrap())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            // Not `eprintln!`, which a test that passes keeps to itself.
            let skipped = format!("promtool: absent, SKIPPED `promtool {}`", arguments.join(" "));
            let line = format!("{skipped}; it is in Debian's package prometheus\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
        Err(e) => panic!("promtool: {e}"),
    }
}

#[test]
fn promtool_makes_each_alert_fire() {
    let Some(output) = promtool(&["test", "rules", "alerts_test.yml"], "") else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("SUCCESS"));
    // With an alert gone the test of it fails.
    let dir = tempfile::tempdir().unwrap();
    let without = ALERTS.replace("- alert: IngestEventStuck", "- alert: IngestEventStruck");
    std::fs::write(dir.path().join("alerts.yml"), without).unwrap();
    let path = dir.path().join("alerts_test.yml");
    std::fs::write(&path, ALERTS_TEST).unwrap();
    let output = promtool(&["test", "rules", &path.display().to_string()], "").unwrap();
    assert!(!output.status.success());
}

#[test]
fn promtool_finds_the_text_well_made() {
    let text = Metrics::new().render();
    let Some(output) = promtool(&["check", "metrics"], &text) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn cardinality_is_low() {
    let series: usize = Metrics::new().render().lines().filter(|l| !l.starts_with('#')).count();
    assert!(series < 300, "{series} series");
    let labels: BTreeSet<_> = told().into_values().flat_map(BTreeMap::into_keys).collect();
    assert_eq!(labels, ["cause", "change", "le", "outcome", "table"].map(str::to_owned).into());
}
