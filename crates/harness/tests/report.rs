//! The report's formats over sample runs: what must be there, what must never be, and that it reads back.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is the failure")]

mod report_sample;

use std::collections::BTreeSet;

use harness::oracle::{OracleName, Verdict};
use harness::report::plots::{self, Plot};
use harness::report::{ReportError, append_trial, write, write_header, write_index};
use harness::report::{format, groups, html, index, junit, load, overall, result_json, summary, terminal};
use harness::selftest::{Row, SelfTest, Sort};
use harness::stats::{Histogram, Metric, Stage};
use harness::trial::record::RunRecord;
use report_sample::{HOSTILE, SECRET, held, hostile, run, sweep, trial};
use scraper::{Html, Selector};

fn page(run: &RunRecord) -> String {
    html::report(run, &plots::all(run).unwrap())
}

fn select<'a>(document: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    let selector = Selector::parse(selector).unwrap();
    document.select(&selector).collect()
}

fn text(element: &scraper::ElementRef<'_>) -> String {
    element.text().collect::<String>()
}

/// Every format of a run, with its name.
fn everything(run: &RunRecord) -> Vec<(String, String)> {
    let plots = plots::all(run).unwrap();
    let mut all = vec![
        ("report.html".to_string(), html::report(run, &plots)),
        ("summary.md".to_string(), summary::markdown(run)),
        ("result.json".to_string(), result_json(run).unwrap()),
        ("junit.xml".to_string(), junit::xml(run).unwrap()),
        ("terminal".to_string(), terminal::text(run, None, true)),
    ];
    all.extend(plots.iter().map(|p: &Plot| (p.name.clone(), p.standalone())));
    all
}

fn samples() -> [RunRecord; 5] {
    [held(), hostile(), sweep(), run(vec![trial(1, "fast", 1.0)]), run(vec![])]
}

#[test]
fn verdicts_come_first_and_say_the_overall_verdict_in_large() {
    for (run, headline) in [
        (held(), "Every judged invariant held."),
        (hostile(), "An invariant was violated."),
        (run(vec![]), "It could not be told."),
    ] {
        let document = Html::parse_document(&page(&run));
        let h1 = select(&document, "h1");
        assert_eq!(h1.len(), 1);
        assert_eq!(text(&h1[0]), headline);
        let order: Vec<_> =
            select(&document, "section[id]").iter().filter_map(|s| s.value().id().map(str::to_string)).collect();
        assert_eq!(&order[..2], ["verdicts", "story"]);
        assert_eq!(order.last().map(String::as_str), Some("environment"));
    }
}

#[test]
fn every_oracle_has_its_verdict_and_what_did_not_hold_its_evidence() {
    let document = Html::parse_document(&page(&hostile()));
    let rows = select(&document, "table.verdicts tbody tr");
    assert_eq!(rows.len(), OracleName::ALL.iter().filter(|o| o.applies(false)).count());
    let content = rows.iter().find(|r| text(r).starts_with("content")).unwrap();
    assert!(text(content).contains("violated"));
    let evidence = select(&document, "#evidence-2-content");
    assert!(text(&evidence[0]).contains("race 6120031: 311 laps expected, 298 found"));
    assert!(text(&select(&document, "#evidence-2-atomic")[0]).contains("the sampler took no snapshot"));
}

#[test]
fn anchors_lead_somewhere_and_ids_are_unique() {
    for run in samples() {
        let document = Html::parse_document(&page(&run));
        let ids: Vec<String> =
            select(&document, "[id]").iter().filter_map(|e| e.value().id().map(str::to_string)).collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an id is there twice: {ids:?}");
        let links = select(&document, "a[href]");
        assert!(links.len() > 3);
        for link in links {
            let href = link.value().attr("href").unwrap_or_default();
            let target = href.strip_prefix('#').unwrap_or_else(|| panic!("{href} leaves the page"));
            assert!(ids.iter().any(|id| id == target), "{href} leads nowhere");
        }
    }
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    for run in samples() {
        let document = Html::parse_document(&page(&run));
        for forbidden in
            ["script", "iframe", "object", "embed", "base", "img[src]", "link[rel=stylesheet]", "[onclick]", "[onload]"]
        {
            assert!(select(&document, forbidden).is_empty(), "{forbidden}");
        }
        for attribute in ["src", "href", "action", "poster", "xlink:href"] {
            for element in select(&document, &format!("[{}]", attribute.replace(':', "\\:"))) {
                let value = element.value().attr(attribute).unwrap_or_default();
                assert!(value.starts_with('#') || value == "data:,", "{attribute}={value}");
            }
        }
        let css: String = select(&document, "style").iter().map(text).collect();
        assert!(!css.contains("url(") && !css.contains("@import"));
    }
}

#[test]
fn hostile_text_stays_text() {
    let run = hostile();
    let html = page(&run);
    assert!(html.contains("&lt;script&gt;"), "the text itself is shown");
    assert!(!html.contains("<script") && !html.contains("<b>bold"));
    let document = Html::parse_document(&html);
    assert!(text(&select(&document, "#trial-2 .story")[0]).contains(HOSTILE));
    for plot in plots::all(&run).unwrap() {
        assert!(!plot.standalone().contains("<script"), "{}", plot.name);
    }
    let markdown = summary::markdown(&run);
    // Indented lines are code, in which nothing is markup or a mention.
    for line in markdown.lines().filter(|l| !l.starts_with("    ")) {
        assert!(!line.contains('<') || line.starts_with("<sub>"), "{line}");
        assert!(!line.contains('@'), "{line}");
    }
    assert!(junit::xml(&run).unwrap().contains("&lt;script&gt;"));
    let shown = terminal::text(&run, None, false);
    assert!(shown.contains("<script>") && !shown.contains('\u{1b}'));
}

#[test]
fn no_password_leaves_by_any_field_or_format() {
    let record = serde_json::to_string(&hostile()).unwrap();
    assert!(record.matches(SECRET).count() >= 8, "the sample does hold secrets");
    for (name, text) in everything(&hostile()) {
        assert!(!text.contains(SECRET), "{name} shows a password");
    }
}

#[test]
fn no_percentile_that_the_sample_cannot_support() {
    let mut one = trial(1, "fast", 1.0);
    one.stages.clear();
    let mut samples = Histogram::new();
    (1..=19).for_each(|ms| samples.record(ms * 1_000));
    one.stages.insert(Stage::Write, samples);
    let html = page(&run(vec![one]));
    let document = Html::parse_document(&html);
    let table = select(&document, "table").into_iter().find(|t| text(t).contains("race: write")).unwrap();
    let row = Selector::parse("tbody tr td").unwrap();
    let cells: Vec<String> = table.select(&row).map(|c| text(&c)).collect();
    // 19 samples speak of p50 and p90, not of p95 (20) or p99 (100).
    assert_eq!(cells, ["19", "10.0 ms", "18.0 ms", format::NONE, format::NONE, "19.0 ms"]);
    // Nor does the curve's axis go further than one sample in 19.
    let plots = plots::all(&held()).unwrap();
    let curve = Html::parse_fragment(&plots.iter().find(|p| p.name == "percentiles-1").unwrap().standalone());
    let labels: Vec<String> = select(&curve, "text").iter().map(|t| text(t).trim().to_string()).collect();
    assert!(labels.iter().any(|l| l == "p95") && !labels.iter().any(|l| l == "p99"), "96 samples: {labels:?}");
}

#[test]
fn plots_hold_real_text_both_themes_and_a_title() {
    let expected: [(RunRecord, &[&str]); 3] = [
        (
            held(),
            &[
                "metrics",
                "throughput",
                "stages",
                "percentiles-1",
                "percentiles-3",
                "timeline-trial-1",
                "timeline-trial-6",
            ],
        ),
        (sweep(), &["saturation", "stages"]),
        (run(vec![trial(1, "fast", 1.0)]), &["percentiles", "stages", "timeline-trial-1"]),
    ];
    for (run, names) in expected {
        let plots = plots::all(&run).unwrap();
        for name in names {
            let plot = plots.iter().find(|p| p.name == *name).unwrap_or_else(|| panic!("no plot {name}"));
            let svg = plot.standalone();
            let document = Html::parse_fragment(&svg);
            assert!(select(&document, "text").len() > 5, "{name} has text");
            assert_eq!(text(&select(&document, "svg > title")[0]), plot.title);
            assert!(svg.contains("prefers-color-scheme") && svg.contains("var(--ink)"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
        }
    }
}

#[test]
fn the_saturation_plot_shows_every_value_of_the_sweep() {
    let run = sweep();
    assert_eq!(groups::sweep(&run).unwrap().values, ["1", "2", "4", "8", "16"]);
    let plots = plots::all(&run).unwrap();
    let svg = plots.iter().find(|p| p.name == "saturation").unwrap().standalone();
    for panel in [
        "event time",
        "laps per second",
        "LiveRC response, p95",
        "wait for a connection, p95",
        "pool connections in use",
    ] {
        assert!(svg.contains(panel), "{panel}");
    }
}

#[test]
fn junit_has_a_case_per_oracle_and_counts_what_failed() {
    let xml = junit::xml(&hostile()).unwrap();
    let document = Html::parse_fragment(&xml);
    let suites = select(&document, "testsuite");
    assert_eq!(suites.len(), 4);
    let count = |selector: &str| select(&document, selector).len();
    assert_eq!(count("testcase failure"), 1, "content of trial 2");
    // atomic of trial 2, the fault of trial 3, the environment of trial 4
    assert_eq!(count("testcase error"), 3);
    assert_eq!(count("testcase skipped"), 6, "two oracles not judged in each of three trials");
    assert_eq!(suites[0].value().attr("tests"), Some(OracleName::ALL.len().to_string().as_str()));
    let none = junit::xml(&run(vec![])).unwrap();
    assert_eq!(select(&Html::parse_fragment(&none), "testcase error").len(), 1, "no trial is no pass");
}

#[test]
fn verdicts_violated_over_unknown_over_held_and_never_a_pass_for_nothing() {
    let verdict = |run: &RunRecord| (overall::of_run(run).verdict, overall::exit_code_of(run));
    assert_eq!(verdict(&held()), (Verdict::Held, 0));
    assert_eq!(verdict(&hostile()), (Verdict::Violated, 4));
    assert_eq!(verdict(&run(vec![])), (Verdict::Unknown, 4));
    let mut unlisted = trial(1, "fast", 1.0);
    unlisted.judgements.iter_mut().for_each(|j| j.verdict = Verdict::NotJudged);
    assert_eq!(verdict(&run(vec![unlisted])), (Verdict::Unknown, 4));
    let silent = hostile().trials.swap_remove(2);
    assert!(silent.judgements.iter().all(|j| j.verdict != Verdict::Violated));
    assert_eq!(verdict(&run(vec![silent])), (Verdict::Unknown, 4), "a fault that did not fire");
    for run in samples() {
        let judged = harness::oracle::outcome(&run.trials);
        assert!(overall::exit_code_of(&run) >= judged.exit_code(), "never milder than the judgements themselves");
    }
    let mut stopped = held();
    stopped.interrupted = true;
    assert_eq!(overall::exit_code_of(&stopped), 130);
}

#[test]
fn what_makes_every_oracle_unknown_is_said_once() {
    let mut silent = hostile().trials.swap_remove(2);
    silent.judgements = harness::oracle::judge(&silent, OracleName::ALL);
    silent.judgements.retain(|j| j.verdict == Verdict::Unknown && j.evidence[0].contains("did not fire"));
    assert!(!silent.judgements.is_empty());
    assert_eq!(
        overall::of_trial(&silent).reasons,
        [
            "the fault `mid-unit#1 = db-kill for 500ms` did not fire: step mid-unit was never reached: each unit had one batch"
        ]
    );
}

#[test]
fn the_terminal_tells_verdicts_story_figures_and_the_place() {
    let run = hostile();
    let plain = terminal::text(&run, Some(std::path::Path::new("reports/x")), false);
    for part in [
        "An invariant was violated",
        "Unit 2 begun; 1,024 laps sent; killed at mid-batch.",
        "race 6120031: 311 laps expected, 298 found",
        "step mid-unit was never reached",
        "reproduce: ",
        "event time",
        "report: reports/x/report.html",
    ] {
        assert!(plain.contains(part), "{part} is missing in\n{plain}");
    }
    assert!(!plain.contains('\u{1b}'));
    assert!(terminal::text(&run, None, true).contains("\u{1b}[1;31m"));
    assert!(terminal::colours(true, None) && terminal::colours(true, Some("".as_ref())));
    assert!(!terminal::colours(true, Some("1".as_ref())) && !terminal::colours(false, None));
}

#[test]
fn what_all_trials_have_in_common_is_said_once() {
    let mut run = report_sample::held();
    for (i, trial) in run.trials.iter_mut().enumerate() {
        trial.settings = [("commit_races", "2".to_owned()), ("lap_batch", i.to_string())]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
    }
    let text = terminal::text(&run, None, false);
    assert!(text.contains("In every trial: commit_races = 2."), "{text}");
    let columns = text.lines().find(|line| line.starts_with("oracle")).unwrap();
    assert!(columns.contains("lap_batch = 1") && !columns.contains("commit_races"), "{columns}");
}

#[test]
fn what_the_kept_trials_of_a_search_have_in_common_is_not_said_of_all() {
    let mut run = report_sample::held();
    for trial in &mut run.trials {
        trial.settings = [("commit_races".to_owned(), "1".to_owned())].into();
    }
    run.search = Some(
        serde_json::from_value(serde_json::json!({
            "verb": "chaos", "parts": [{"name": "cases", "tried": 9, "of": 9}], "search_us": 1, "jobs": 4, "remarks": [],
            "judgements": {}, "points": [],
        }))
        .unwrap(),
    );
    let text = terminal::text(&run, None, false);
    assert!(!text.contains("In every trial"), "{text}");
}

#[test]
fn the_summary_is_short_and_has_the_key_figures() {
    let markdown = summary::markdown(&held());
    assert!(markdown.starts_with("## large-event: every judged invariant held"));
    assert!(markdown.lines().count() < 50);
    assert!(markdown.contains("| oracle | before | after | fast |"));
    assert!(markdown.contains("| statements | 3,160 |"));
    assert!(!markdown.contains("durable | held"));
}

#[test]
fn honest_remarks_are_made() {
    let with_before = page(&held());
    assert!(with_before.contains("none of Python's statement building"));
    assert!(!page(&sweep()).contains("none of Python's statement building"));
    let mut limited = held();
    limited.environment.build_profile = "debug".to_string();
    limited.trials[0].metrics.insert(Metric::HarnessShare, 0.4);
    let html = page(&limited);
    assert!(html.contains("harness-limited") && html.contains("debug build"));
}

#[test]
fn what_is_written_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = held();
    let written = write(&run, dir.path()).unwrap();
    for name in ["result.json", "report.html", "summary.md", "junit.xml", "plots/stages.svg"] {
        assert!(written.files.contains(&dir.path().join(name)), "{name}");
    }
    assert!(written.files.iter().all(|f| f.is_file()));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with('.')), "temporary files are left: {left:?}");
    assert_eq!(load(dir.path()).unwrap(), run);
    // Passwords apart, a hostile run reads back too.
    write(&hostile(), dir.path()).unwrap();
    assert_eq!(overall::of_run(&load(dir.path()).unwrap()).verdict, Verdict::Violated);
    // No figure of JSON is lost to a NaN.
    let mut odd = held();
    odd.trials[0].metrics.insert(Metric::Wal, f64::NAN);
    write(&odd, dir.path()).unwrap();
    assert!(!load(dir.path()).unwrap().trials[0].metrics.contains_key(&Metric::Wal));
}

#[test]
fn a_killed_run_is_read_from_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let run = held();
    write_header(&run, dir.path()).unwrap();
    append_trial(&run.trials[0], dir.path()).unwrap();
    append_trial(&run.trials[1], dir.path()).unwrap();
    let lines = dir.path().join("trials.jsonl");
    let mut text = std::fs::read_to_string(&lines).unwrap();
    text.push_str("{\"schema\":1,\"trial\":3,\"scena");
    std::fs::write(&lines, text).unwrap();
    let read = load(dir.path()).unwrap();
    assert_eq!(read.trials, run.trials[..2]);
    assert!(read.interrupted && read.exit == 130);
    assert!(read.environment.remarks.iter().any(|r| r.contains("cut short")));
    // The same damage in the middle is no torn tail.
    let damaged =
        std::fs::read_to_string(&lines).unwrap() + "\n" + &serde_json::to_string(&run.trials[2]).unwrap() + "\n";
    std::fs::write(&lines, damaged).unwrap();
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("trials.jsonl") && error.contains("line 3"), "{error}");
}

#[test]
fn a_run_that_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let error = load(dir.path()).unwrap_err();
    assert!(matches!(error, ReportError::Missing { .. }) && error.exit_code() == 2);
    let result = dir.path().join("result.json");
    for (text, part) in [
        ("{\"schema\": 99}", "newer harness"),
        ("{\"schema\": 0}", "older harness"),
        ("{\"scenario\": \"x\"}", "no field `schema`"),
        ("not json", "line 1"),
        ("{\"schema\": 1}", "missing field"),
    ] {
        std::fs::write(&result, text).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("result.json"), "{text}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("run");
    std::fs::create_dir_all(blocked.join("report.html")).unwrap();
    let error = write(&held(), &blocked).unwrap_err();
    assert!(error.to_string().contains("report.html"), "{error}");
    assert_eq!(error.exit_code(), 5);
    let hidden =
        std::fs::read_dir(&blocked).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().starts_with('.'));
    assert!(!hidden, "its temporary file is gone");
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = write(&held(), &dir.path().join("file")).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn the_index_lists_every_run_newest_first_and_what_it_cannot_read() {
    let root = tempfile::tempdir().unwrap();
    for (folder, started) in
        [("large-event-1", "2026-03-01T10:00:00Z"), ("large & event \"2\"", "2026-03-02T10:00:00Z")]
    {
        let mut run = held();
        run.started_at = started.to_string();
        write(&run, &root.path().join(folder)).unwrap();
    }
    std::fs::create_dir(root.path().join("empty")).unwrap();
    std::fs::create_dir(root.path().join("newer")).unwrap();
    std::fs::write(root.path().join("newer/result.json"), "{\"schema\": 99}").unwrap();
    std::fs::write(root.path().join("stray.txt"), "x").unwrap();
    write_header(&held(), &root.path().join("killed")).unwrap();
    let html = std::fs::read_to_string(write_index(root.path()).unwrap()).unwrap();
    let document = Html::parse_document(&html);
    let links: Vec<_> = select(&document, "#runs a").iter().filter_map(|a| a.value().attr("href")).collect();
    assert_eq!(
        links,
        ["./large%20%26%20event%20%222%22/report.html", "./large-event-1/report.html", "./killed/report.html"]
    );
    let unreadable = text(&select(&document, "#unreadable")[0]);
    assert!(unreadable.contains("newer") && unreadable.contains("schema 99"), "{unreadable}");
    assert!(!html.contains("stray") && !html.contains("empty"));
    assert_eq!(select(&document, "svg.spark polyline").len(), 3, "a trend per profile");
    assert!(index::index_html(&[]).contains("There is none yet"));
}

/// A self-test with one row of each sort; `missed`: the bug was not caught.
fn of_itself(missed: bool) -> RunRecord {
    let row = |sort, name: &str, verdict, failure: Option<&str>| Row {
        trial: 1,
        sort,
        name: name.to_string(),
        description: "What it does.".to_string(),
        scenario: "crash-before-commit".to_string(),
        expected: vec![OracleName::Content],
        violated: if verdict == Verdict::Violated { vec![OracleName::Clean, OracleName::Content] } else { Vec::new() },
        unknown: Vec::new(),
        verdict,
        evidence: "10 rows where 9 expected".to_string(),
        failure: failure.map(str::to_string),
    };
    let why = missed.then_some("content did not notice, and nor did another");
    let bug = row(Sort::Bug, "plain-insert", if missed { Verdict::Held } else { Verdict::Violated }, why);
    let rows =
        vec![bug, row(Sort::Right, "none", Verdict::Held, None), row(Sort::Control, "idle", Verdict::Unknown, None)];
    let failures = why.iter().map(|why| format!("plain-insert under crash-before-commit (trial 1): {why}")).collect();
    let caught = [(OracleName::Content, u32::from(!missed))].into();
    RunRecord { selftest: Some(SelfTest { rows, caught, part: false, failures }), ..held() }
}

#[test]
fn a_self_test_passes_by_its_own_verdict_and_says_who_caught_what() {
    let (good, bad) = (of_itself(false), of_itself(true));
    // The formats come first, then plots.
    assert_eq!((overall::exit_code_of(&good), overall::exit_code_of(&bad)), (0, 4));
    for (name, text) in everything(&good).into_iter().take(5) {
        assert!(text.contains("plain-insert") && !text.contains("did not notice"), "{name}: {text}");
    }
    for (name, text) in everything(&bad).into_iter().take(5) {
        assert!(text.contains("did not notice"), "{name}: {text}");
    }
    let words = terminal::text(&good, None, false);
    assert!(words.contains("The oracles bite") && words.contains("1 of 1 bugs caught"), "{words}");
    // The oracle that is there for the bug comes first.
    assert!(words.contains("plain-insert  crash-before-commit  content, clean        caught"), "{words}");
    assert!(terminal::text(&bad, None, false).contains("The oracles cannot be trusted"));
    assert!(junit::xml(&bad).unwrap().contains("failures=\"2\""), "the bug, and the whole");
    let dir = tempfile::tempdir().unwrap();
    write(&good, dir.path()).unwrap();
    assert_eq!(load(dir.path()).unwrap(), good);
}
