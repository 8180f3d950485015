//! Failure injection as a user runs it: faults strike, are proven, and nothing is lost; and what proves nothing does not pass.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod support;

use serde_json::Value;
use support::{Reports, assert_passed, harness, run, text, verdicts};

/// The faults of the only trial: (as written, evidence of having fired, why not).
fn faults(result: &Value) -> Vec<(String, Option<String>, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    result["trials"][0]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (text(&f["fault"]).unwrap(), text(&f["fired"]["evidence"]), text(&f["why_not"])))
        .collect()
}

fn verdict_of(result: &Value, oracle: &str) -> String {
    verdicts(result).into_iter().find(|(_, o, _)| o == oracle).unwrap().2
}

/// Runs the small event with commit units of two races, and further arguments.
fn small(reports: &Reports, args: &[&str]) -> std::process::Output {
    let mut all = vec!["small-event", "--set", "commit_races=2"];
    all.extend(args);
    run(reports, &all)
}

#[test]
fn an_engine_killed_at_a_step_is_restarted_and_loses_nothing() {
    for (at, committed) in [("mid-batch#2", false), ("after-commit#2", true)] {
        let reports = Reports::new();
        let output = small(&reports, &["--crash-at", at]);
        assert_passed(&output, &reports);
        let result = reports.result();
        let (fault, fired, _) = faults(&result).remove(0);
        assert!(fault.starts_with(at) && fired.as_ref().unwrap().contains("signal 9"), "{at}: {fired:?}");
        let attempts = result["trials"][0]["ingestions"][0]["attempts"].as_array().unwrap();
        assert_eq!(
            (attempts.len(), &attempts[0]["exit"]["signal"], &attempts[1]["exit"]["code"]),
            (2, &9.into(), &0.into())
        );
        assert_eq!(attempts[0]["last_step"]["armed"], "kill", "{at}");
        let durable = attempts[0]["committed"].as_array().unwrap().len();
        assert!(!committed || durable >= 2, "{at}: what was acknowledged before the crash is on record");
        assert_eq!(verdict_of(&result, "durable"), "held");
        let story = result["trials"][0]["story"].to_string();
        assert!(story.contains("0 laps lost, 0 doubled"), "{story}");
    }
}

#[test]
fn mid_batch_of_an_engine_that_sends_statements_is_a_moment_on_the_wire() {
    let reports = Reports::new();
    assert_passed(&small(&reports, &["--profile", "before", "--crash-at", "mid-batch#3"]), &reports);
    let (_, fired, _) = faults(&reports.result()).remove(0);
    assert!(fired.as_ref().unwrap().contains("batch(laps)#3:half"), "{fired:?}");
}

#[test]
fn an_engine_that_stalls_at_a_moment_on_the_wire_wakes_when_another_has_finished() {
    let reports = Reports::new();
    let output = small(
        &reports,
        &[
            "--profile",
            "after",
            "--set",
            "lock_lease=1s",
            "--set",
            "statement_timeout=2s",
            "--fault",
            "mid-batch=stall",
        ],
    );
    let result = reports.result();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let attempts = result["trials"][0]["ingestions"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "the stalled process, and the one that took over");
    assert!(faults(&result)[0].1.as_ref().unwrap().contains("stands still"), "{result}");
}

#[test]
fn a_held_engine_outlives_the_loss_of_its_backends_and_of_the_server() {
    let reports = Reports::new();
    let args = ["--fault", "before-commit#1=db-terminate", "--lose-db-at", "after-commit#2"];
    assert_passed(&small(&reports, &args), &reports);
    let result = reports.result();
    let all = faults(&result);
    for (fault, proof) in
        [("before-commit#1 = db-terminate", "pg_terminate_backend ended"), ("after-commit#2 = db-kill", "SIGKILL")]
    {
        let shown =
            all.iter().any(|(f, fired, _)| f.starts_with(fault) && fired.as_ref().is_some_and(|e| e.contains(proof)));
        assert!(shown, "{all:?}");
    }
    let first = &result["trials"][0]["ingestions"][0];
    assert_eq!(first["attempts"].as_array().unwrap().len(), 1, "the engine mends itself");
    assert!(first["interludes"].as_array().unwrap().len() >= 2, "what is durable was read after each");
    assert!(result["trials"][0]["metrics"]["recovery_database_ready_us"].as_f64().unwrap() > 0.0);
    assert!(result["trials"][0]["sampler"]["samples"].as_u64().is_some());
}

/// Chaos found it, seed 1, case 398: the process was gone before the server came back, and nobody read what was durable.
#[test]
fn a_server_that_is_away_at_the_end_of_an_ingestion_is_read_when_it_is_back() {
    let reports = Reports::new();
    assert_passed(&small(&reports, &["--profile", "after", "--fault", "event-completed#1=db-pause:50ms"]), &reports);
    let result = reports.result();
    let (_, fired, _) = faults(&result).remove(0);
    assert!(fired.as_ref().unwrap().contains("SIGSTOP"), "{fired:?}");
    assert_eq!(verdict_of(&result, "durable"), "held");
}

#[test]
fn every_moment_of_a_commit_can_be_hit() {
    let reports = Reports::new();
    let moments = ["commit#1:before", "commit#3:sent", "commit#5:complete", "commit#7:ready"];
    let faults_given: Vec<String> = moments.iter().map(|m| format!("{m}=db-reset")).collect();
    let args: Vec<&str> = faults_given.iter().flat_map(|f| ["--fault", f.as_str()]).collect();
    assert_passed(&small(&reports, &args), &reports);
    for (moment, (_, fired, _)) in moments.iter().zip(faults(&reports.result())) {
        let moment = moment.strip_suffix(":before").unwrap_or(moment);
        assert!(fired.as_ref().unwrap().contains(moment), "{fired:?}");
    }
}

#[test]
fn a_fault_that_cannot_fire_leaves_everything_unknown_and_says_why() {
    let reports = Reports::new();
    let output = run(&reports, &["small-event", "--crash-at", "mid-unit"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    let result = reports.result();
    assert!(verdicts(&result).iter().all(|(_, _, v)| v == "unknown" || v == "not-judged"), "{:?}", verdicts(&result));
    let (_, fired, why) = faults(&result).remove(0);
    assert_eq!(fired, None);
    assert_eq!(why.unwrap(), "step `mid-unit` was never reached: each unit had one batch");
    assert!(text(&output.stdout).contains("never reached"), "{}", text(&output.stdout));
}

#[test]
fn without_synchronous_commit_a_killed_server_loses_what_it_acknowledged_and_durable_sees_it() {
    let reports = Reports::new();
    let args = [
        "--postgres-set",
        "synchronous_commit=off",
        "--postgres-set",
        "wal_writer_delay=10s",
        "--lose-db-at",
        "after-commit#1",
    ];
    let output = small(&reports, &args);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    let result = reports.result();
    assert_eq!(verdict_of(&result, "durable"), "violated", "{}", text(&output.stdout));
    assert_eq!(verdict_of(&result, "content"), "held", "the engine wrote the lost unit again");
}

#[test]
fn a_synchronous_standby_takes_over_and_nothing_acknowledged_is_lost() {
    if sandbox::postgres::Choice::local_first() != sandbox::postgres::Choice::Local {
        return eprintln!("skipped: a standby needs a local server");
    }
    let reports = Reports::new();
    // Twice: the second trial's standby is made of what the first one's became.
    assert_passed(&run(&reports, &["db-failover", "--profile", "fast", "--trials", "2"]), &reports);
    let result = reports.result();
    for trial in result["trials"].as_array().unwrap() {
        let evidence = trial["faults"][0]["fired"]["evidence"].as_str().unwrap();
        assert!(evidence.contains("signal SIGKILL") && evidence.contains("(0 bytes less)"), "{evidence}");
        assert!(evidence.contains("pg_is_in_recovery() is false"), "{evidence}");
        assert!(trial["metrics"]["recovery_database_ready_us"].as_f64().unwrap() > 0.0);
        assert_eq!(trial["ingestions"][0]["attempts"].as_array().unwrap().len(), 1, "the engine mends itself");
    }
    assert!(verdicts(&result).iter().any(|(_, oracle, verdict)| oracle == "durable" && verdict == "held"));
}

#[test]
fn what_a_lagging_standby_never_had_is_told_and_written_again() {
    if sandbox::postgres::Choice::local_first() != sandbox::postgres::Choice::Local {
        return eprintln!("skipped: a standby needs a local server");
    }
    let reports = Reports::new();
    assert_passed(&run(&reports, &["db-failover-async", "--profile", "fast"]), &reports);
    let result = reports.result();
    let (_, fired, _) = faults(&result).remove(0);
    let evidence = fired.unwrap();
    assert!(evidence.contains("since after-commit#1, the standby has the log up to"), "{evidence}");
    assert!(!evidence.contains("(0 bytes less)"), "{evidence}");
    let story = result["trials"][0]["story"].to_string();
    assert!(story.contains("acknowledged, and no longer there after after-commit#2=db-failover-async"), "{story}");
    let durable =
        result["trials"][0]["judgements"].as_array().unwrap().iter().find(|j| j["oracle"] == "durable").unwrap();
    assert_eq!(durable["verdict"], "not-judged");
    assert!(durable["evidence"].to_string().contains("would be violated"), "{durable}");
    assert_eq!(verdict_of(&result, "content"), "held");
}

#[test]
fn an_engine_that_runs_out_of_memory_is_killed_by_the_kernel_and_restarted() {
    let reports = Reports::new();
    // Early, so that it needs more than it has by then.
    let output = small(&reports, &["--fault", "race-fetched#2=out-of-memory"]);
    let result = reports.result();
    let (_, fired, why) = faults(&result).remove(0);
    if let Some(why) = why.filter(|why| why.contains("no control group")) {
        return eprintln!("skipped: {why}");
    }
    assert_passed(&output, &reports);
    assert!(fired.as_ref().unwrap().contains("count of kills"), "{fired:?}");
    let attempts = result["trials"][0]["ingestions"][0]["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["exit"]["signal"]), (2, &9.into()));
}

#[test]
fn liverc_misbehaves_and_nothing_is_lost() {
    let reports = Reports::new();
    let args = [
        "--set",
        "race_concurrency=2",
        "--fault",
        "race-fetched#1=http-5xx:100ms",
        "--fault",
        "race-fetched#2=malformed-script",
        "--fault",
        "race-fetched#4=truncate-closed",
    ];
    assert_passed(&small(&reports, &args), &reports);
    let all = faults(&reports.result());
    assert!(all[0].1.as_ref().unwrap().contains("with 500"), "{all:?}");
    assert!(all[1].1.as_ref().unwrap().contains("broken script"), "{all:?}");
    assert!(all[2].1.as_ref().unwrap().contains("truncate"), "{all:?}");
}

#[test]
fn a_slow_network_is_told_by_its_round_trips_and_a_plain_run_tells_them_too() {
    let trips = |args: &[&str]| {
        let reports = Reports::new();
        assert_passed(&run(&reports, args), &reports);
        reports.result()["trials"][0]["metrics"]["round_trips"].as_f64().unwrap()
    };
    assert!(trips(&["small-event"]) > 10.0);
    assert!(trips(&["small-event", "--database-rtt", "2ms", "--liverc-latency", "5ms"]) > 10.0);
}

#[test]
fn an_engine_that_does_nothing_and_says_nothing_passes_under_no_fault() {
    let reports = Reports::new();
    let args =
        ["small-event", "--engine", "true {event_id}", "--crash-at", "mid-batch", "--lose-db-at", "commit#1:sent"];
    let output = run(&reports, &args);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    let result = reports.result();
    assert!(verdicts(&result).iter().all(|(_, _, verdict)| verdict != "held"), "{:?}", verdicts(&result));
    for oracle in ["content", "complete", "exit"] {
        assert_eq!(verdict_of(&result, oracle), "violated", "{oracle}");
    }
    let all = faults(&result);
    assert!(all[0].2.as_ref().unwrap().contains("the engine wrote no feed"), "{all:?}");
    assert!(all[1].2.as_ref().unwrap().contains("was seen on the wire"), "{all:?}");
}

/// As the others on a local server; Docker where a daemon answers.
#[test]
fn a_server_in_docker_is_killed_and_loses_nothing() {
    let probe = harness(&["doctor", "--json", "--postgres", "docker"]).output().unwrap();
    if probe.status.code() != Some(0) {
        return eprintln!("skipped: no Docker, or no image");
    }
    let reports = Reports::new();
    let args =
        ["run", "small-event", "--set", "commit_races=2", "--lose-db-at", "after-commit#2", "--postgres", "docker"];
    let output = harness(&args).env("HARNESS_OUT", reports.path()).output().unwrap();
    assert_passed(&output, &reports);
    let (_, fired, _) = faults(&reports.result()).remove(0);
    assert!(fired.as_ref().unwrap().contains("the postmaster ended"), "{fired:?}");

    let reports = Reports::new();
    let args = ["run", "db-failover", "--profile", "fast", "--postgres", "docker"];
    let output = harness(&args).env("HARNESS_OUT", reports.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "what it cannot do proves nothing");
    let (_, fired, why) = faults(&reports.result()).remove(0);
    assert!(fired.is_none() && why.as_ref().unwrap().contains("--postgres local"), "{why:?}");
}

#[test]
fn a_typo_in_a_fault_exits_2_and_names_the_nearest() {
    for (args, nearest) in [
        (["--crash-at", "mid-bacth"], "mid-batch"),
        (["--fault", "before-commit=db-terminat"], "db-terminate"),
        (["--lose-db-at", "comit#1:sent"], "commit"),
    ] {
        let mut all = vec!["run", "small-event"];
        all.extend(args);
        let output = harness(&all).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(nearest), "{}", text(&output.stderr));
    }
}
