//! The gate on runs that are healthy, worse, torn, and of something else.

use super::fixture::{Build, SAME, empty, environment, gated, main, measure, one, trial, work};
use super::report::{annotations, markdown, text, xml};
use super::*;
use crate::oracle::Verdict;
use crate::stats::Metric;

fn found(verdict: &GateVerdict, metric: Metric) -> CheckVerdict {
    verdict.checks.iter().find(|c| c.metric == metric).unwrap().verdict
}

fn by_reference() -> (TimeBy, Option<Baseline>) {
    (TimeBy::Reference, Some(main()))
}

#[test]
fn the_same_build_passes_both_ways_and_says_nothing_of_why() {
    for (time, baseline) in [by_reference(), (TimeBy::BaseBuild, None), (TimeBy::BaseBuild, Some(main()))] {
        let (run, gate) = gated(time, baseline, SAME);
        let verdict = verdict(&run, &gate);
        assert_eq!((verdict.exit, verdict.headline), (0, Headline::Passed), "{verdict:#?}");
        assert!(verdict.checks.iter().all(|c| c.verdict == CheckVerdict::Pass), "{verdict:#?}");
        assert_eq!(gate.sets(), 1, "nothing to confirm");
        assert!(!text(&run, &gate, &verdict, None, false).contains("why:"));
        assert_eq!(annotations(&verdict), "");
    }
}

#[test]
fn a_statement_per_race_fails_and_is_named() {
    let build = Build { statements: 40.0, ..SAME };
    for (time, baseline) in [by_reference(), (TimeBy::BaseBuild, None)] {
        let (run, gate) = gated(time, baseline, build);
        let verdict = verdict(&run, &gate);
        assert_eq!((verdict.exit, verdict.headline), (1, Headline::Failed));
        assert_eq!(found(&verdict, Metric::Statements), CheckVerdict::Regression);
        assert_eq!(found(&verdict, Metric::RoundTrips), CheckVerdict::Regression);
        assert_eq!(found(&verdict, Metric::Wal), CheckVerdict::Pass);
        assert_eq!(gate.sets(), 2, "measured once more before it fails");
        let shown = text(&run, &gate, &verdict, None, false);
        let why = "+40 `SELECT count(*) FROM results WHERE race_id = $1`: new, 40 calls";
        for part in [why, "7 → 47", "+571 %", "floor 0 %", "in a second set"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let annotated = annotations(&verdict);
        assert!(annotated.starts_with("::error title=gate%3A statements regression::7 → 47"), "{annotated}");
        assert!(markdown(&run, &gate, &verdict).contains("| statements | 7 | 47 | +571 %"));
        let junit = xml(&run, &gate, &verdict).unwrap();
        assert!(junit.contains("<testsuite name=\"gate\"") && junit.contains("type=\"regression\""), "{junit}");
    }
}

#[test]
fn slower_writing_fails_with_its_interval_and_stage() {
    let build = Build { time: 1.8, ..SAME };
    let (time, baseline) = by_reference();
    let (run, gate) = gated(time, baseline, build);
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, found(&judged, Metric::WriteStage)), (1, CheckVerdict::Regression));
    let shown = text(&run, &gate, &judged, None, false);
    assert!(shown.contains("write stage / reference COPY: "), "{shown}");
    assert!(shown.contains("  lap batch: +8"), "{shown}");
    let (run, gate) = gated(TimeBy::BaseBuild, None, Build { time: 1.2, ..SAME });
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, found(&judged, Metric::EventTime)), (1, CheckVerdict::Regression));
}

#[test]
fn a_change_below_the_floor_passes_and_a_faster_build_is_an_improvement() {
    let (run, gate) = gated(TimeBy::BaseBuild, None, Build { time: 1.03, wal: 1.005, ..SAME });
    let judged = verdict(&run, &gate);
    assert_eq!(judged.exit, 0, "{judged:#?}");
    let (run, gate) = gated(TimeBy::BaseBuild, None, Build { time: 0.7, ..SAME });
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, found(&judged, Metric::EventTime)), (0, CheckVerdict::Improvement));
}

#[test]
fn wal_fails_past_one_per_cent() {
    let (time, baseline) = by_reference();
    let (run, gate) = gated(time, baseline, Build { wal: 1.02, ..SAME });
    let verdict = verdict(&run, &gate);
    assert_eq!((verdict.exit, found(&verdict, Metric::Wal)), (1, CheckVerdict::Regression));
}

#[test]
fn a_regression_that_a_second_set_does_not_find_fails_nothing_unless_strict() {
    let (run, mut gate) = gated(TimeBy::BaseBuild, None, Build { time: 1.3, time_again: Some(1.0), ..SAME });
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, found(&judged, Metric::EventTime)), (0, CheckVerdict::Inconclusive));
    assert!(text(&run, &gate, &judged, None, false).contains("a second set did not confirm it"));
    gate.strict = true;
    assert_eq!(verdict(&run, &gate).exit, 3);
}

#[test]
fn a_missing_or_empty_sample_fails() {
    let (time, baseline) = by_reference();
    let (mut run, gate) = gated(time.clone(), baseline.clone(), SAME);
    run.trials.iter_mut().for_each(|t| t.metrics.retain(|m, _| *m != Metric::Statements));
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, found(&judged, Metric::Statements)), (1, CheckVerdict::Missing));
    assert!(annotations(&judged).contains("statements missing"));

    let (mut run, gate) = gated(time.clone(), baseline.clone(), SAME);
    run.trials.iter_mut().skip(4).for_each(|t| t.metrics.retain(|m, _| *m != Metric::WriteStage));
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, found(&judged, Metric::WriteStage)), (1, CheckVerdict::Missing));

    let (mut run, mut gate) = gated(time.clone(), baseline.clone(), SAME);
    gate.references.clear();
    assert_eq!(verdict(&run, &gate).exit, 1, "without its reference a time is nothing");
    run.trials.clear();
    assert_eq!(verdict(&run, &gate).exit, 4, "no trial shows nothing");
    let (run, gate) = empty(time, baseline);
    assert_eq!(verdict(&run, &gate).exit, 4);
}

#[test]
fn an_engine_that_loses_a_lap_exits_4_and_is_measured_no_further() {
    let (time, baseline) = by_reference();
    let (mut run, mut gate) = empty(time, baseline);
    let mut lost = trial(1, SAME, 1.0, 1.0);
    lost.judgements[0].verdict = Verdict::Violated;
    lost.judgements[0].evidence = vec!["laps of race 101: 19 rows, 20 expected".into()];
    run.trials.push(lost);
    gate.places.push(Placed { trial: 1, set: 1, place: crate::stats::turn(0)[1] });
    assert_eq!(next(&run, &gate), None);
    measure(&mut run, &mut gate, SAME);
    assert_eq!(run.trials.len(), 1);
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, judged.headline), (4, Headline::Unsafe));
    assert!(judged.checks.iter().all(|c| c.verdict != CheckVerdict::Missing), "what was not measured is not missed");
    let shown = text(&run, &gate, &judged, None, false);
    assert!(shown.contains("19 rows, 20 expected"), "{shown}");
    assert!(annotations(&judged).starts_with("::error title=gate%3A invariant::"));
    assert!(baseline_refused(&run, &gate).contains("invariant"));
}

fn baseline_refused(run: &crate::trial::record::RunRecord, gate: &GateRecord) -> String {
    super::baseline(run, gate).unwrap_err()
}

#[test]
fn a_base_build_that_breaks_an_invariant_is_no_base() {
    let (mut run, gate) = gated(TimeBy::BaseBuild, None, SAME);
    run.trials[0].judgements[0].verdict = Verdict::Violated;
    let judged = verdict(&run, &gate);
    assert_eq!((judged.exit, judged.headline), (4, Headline::NoBase));
    assert!(text(&run, &gate, &judged, None, false).contains("the base build did not keep every invariant"));
    run.trials[1].judgements[0].verdict = Verdict::Violated;
    assert_eq!(verdict(&run, &gate).headline, Headline::Unsafe);
}

#[test]
fn an_open_time_is_measured_as_often_again_and_only_once() {
    let (mut run, mut gate) = empty(TimeBy::BaseBuild, None);
    // Times that scatter too widely to tell.
    measure(&mut run, &mut gate, Build { scatter: 0.4, ..SAME });
    let pairs = gate.places.iter().filter(|p| p.set == 1).map(|p| p.place.pair).max().unwrap();
    assert_eq!(pairs, 20, "{:#?}", verdict(&run, &gate).checks.last());
}

#[test]
fn a_second_set_that_cannot_tell_is_measured_as_often_again_and_only_once() {
    let (mut run, mut gate) = empty(TimeBy::BaseBuild, None);
    let slower = Build { time: 1.3, scatter: 0.05, ..SAME };
    for set in [slower, Build { scatter: 0.4, time: 1.1, ..SAME }] {
        // Until the next set begins.
        let number = gate.sets();
        while let Some(pairs) = next(&run, &gate).filter(|p| number == 0 && p.set == 1 || number == 1 && p.set == 2) {
            for place in (pairs.from..=pairs.to).flat_map(crate::stats::turn) {
                one(&mut run, &mut gate, pairs.set, place, set);
            }
        }
    }
    let last = gate.places.iter().filter(|p| p.set == 2).map(|p| p.place.pair).max();
    assert_eq!(
        (gate.sets(), last, next(&run, &gate)),
        (2, Some(20), None),
        "{:#?}",
        verdict(&run, &gate).checks.last()
    );
    assert_eq!(verdict(&run, &gate).exit, 0, "not confirmed");
}

#[test]
fn what_is_not_comparable_is_refused_by_what_it_concerns() {
    let baseline = main();
    let here = Conditions::of(&environment());
    assert_eq!(baseline.unlike(&work(), &here), Unlike::default());
    let mut other = work();
    other.seed = 4;
    other.laps = 800;
    let said: Vec<String> = baseline.unlike(&other, &here).work.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["laps: 10000 in the baseline, 800 here", "seed: 3 in the baseline, 4 here"]);
    let mut server = here.clone();
    server.postgres_version = "16.1".into();
    server.postgres_settings.insert("fsync".into(), "off".into());
    let unlike = baseline.unlike(&work(), &server);
    assert_eq!((unlike.work.len(), unlike.wal.len(), unlike.time.len()), (0, 2, 2));
    for change in [
        |c: &mut Conditions| c.cores = 8,
        |c: &mut Conditions| c.build_profile = "debug".into(),
        |c: &mut Conditions| c.data_in_memory = false,
        |c: &mut Conditions| c.backend = "docker".into(),
    ] {
        let mut machine = here.clone();
        change(&mut machine);
        let unlike = baseline.unlike(&work(), &machine);
        assert_eq!((unlike.work.len(), unlike.wal.len(), unlike.time.len()), (0, 0, 1));
    }
    let mut minor = here.clone();
    minor.postgres_version = "15.2".into();
    minor.cpu = "another CPU".into();
    assert_eq!(baseline.unlike(&work(), &minor), Unlike::default(), "neither is a reason");
}

#[test]
fn what_cannot_be_compared_is_not_judged_and_said() {
    let (mut run, mut gate) = empty(TimeBy::NotJudged { why: "cores: 2 in the baseline, 8 here".into() }, Some(main()));
    gate.unlike =
        main().unlike(&work(), &Conditions { postgres_version: "16.1".into(), ..Conditions::of(&environment()) });
    measure(&mut run, &mut gate, Build { wal: 2.0, time: 9.0, ..SAME });
    let judged = verdict(&run, &gate);
    assert_eq!(judged.exit, 0);
    assert_eq!(found(&judged, Metric::Wal), CheckVerdict::NotJudged);
    assert_eq!(found(&judged, Metric::EventTime), CheckVerdict::NotJudged);
    let shown = text(&run, &gate, &judged, None, false);
    assert!(shown.contains("not judged: cores: 2 in the baseline, 8 here"), "{shown}");
    assert!(shown.contains("WAL not judged: PostgreSQL: 15 in the baseline, 16 here"), "{shown}");
    gate.strict = true;
    assert_eq!(verdict(&run, &gate).exit, 3);
}

#[test]
fn a_baseline_reads_back_and_a_bad_one_says_what_to_do() {
    let baseline = main();
    let text = baseline.text().unwrap();
    assert_eq!(Baseline::parse("main.json", "main", &text).unwrap(), baseline);
    assert!(text.len() < 8_000, "small: {}", text.len());
    let error = |text: &str| Baseline::parse("b/main.json", "main", text).unwrap_err().to_string();
    assert!(error("{").contains("b/main.json is no baseline"));
    assert!(error("{}").contains("no field `schema`"));
    let newer = error(&text.replacen("\"schema\": 1", "\"schema\": 9", 1));
    assert!(newer.contains("schema 9") && newer.contains("--save-baseline main"), "{newer}");
    let empty = Baseline { counts: std::collections::BTreeMap::new(), ..baseline };
    assert!(error(&empty.text().unwrap()).contains("holds no counts"));
}

#[test]
fn the_index_shows_a_failed_gate_as_failed_though_every_invariant_held() {
    let root = tempfile::tempdir().unwrap();
    let slower = Build { statements: 40.0, ..SAME };
    for (folder, build) in [("passed", SAME), ("failed", slower)] {
        let (time, baseline) = by_reference();
        let (run, gate) = gated(time, baseline, build);
        let dir = root.path().join(folder);
        crate::report::write(&run, &dir).unwrap();
        super::report::write(&run, &gate, &dir).unwrap();
    }
    let page = std::fs::read_to_string(crate::report::write_index(root.path()).unwrap()).unwrap();
    assert!(page.contains("class=\"chip violated\">gate failed<") && page.contains(">gate passed<"), "{page}");
    assert!(!page.contains(">held<"), "{page}");
}
