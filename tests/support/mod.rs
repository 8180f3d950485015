//! What the end-to-end tests share: the harness's binary run as a user would, and its result.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

/// A directory for reports that goes with the test.
pub struct Reports(tempfile::TempDir);

impl Reports {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The only run's directory.
    pub fn only_run(&self) -> PathBuf {
        let mut runs: Vec<PathBuf> =
            std::fs::read_dir(self.path()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        assert_eq!(runs.len(), 1, "one run: {runs:?}");
        runs.remove(0)
    }

    pub fn result(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.only_run().join("result.json")).unwrap()).unwrap()
    }
}

/// The harness with these arguments.
pub fn harness(args: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("harness").unwrap();
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).args(args);
    if sandbox::postgres::memory().is_some() {
        // What is tested does not depend on the disk, and most of a test's time would be spent on it.
        command.env("HARNESS_POSTGRES_DATA", "memory");
    }
    command
}

/// Runs a scenario on a server of this machine, reports into `reports`.
pub fn run(reports: &Reports, args: &[&str]) -> Output {
    let out = reports.path().display().to_string();
    let postgres = sandbox::postgres::Choice::local_first().to_string();
    let mut all = vec!["run"];
    all.extend(args);
    all.extend(["--postgres", &postgres, "--out", &out]);
    harness(&all).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every verdict of every trial: (trial, oracle, verdict).
pub fn verdicts(result: &Value) -> Vec<(u64, String, String)> {
    let mut all = Vec::new();
    for trial in result["trials"].as_array().unwrap() {
        for judgement in trial["judgements"].as_array().unwrap() {
            all.push((
                trial["trial"].as_u64().unwrap(),
                judgement["oracle"].as_str().unwrap().to_owned(),
                judgement["verdict"].as_str().unwrap().to_owned(),
            ));
        }
    }
    all
}

/// Asserts that a run passed: exit code 0, at least one verdict *held* per trial and none but *held* or *not judged*.
pub fn assert_passed(output: &Output, reports: &Reports) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    let result = reports.result();
    let all = verdicts(&result);
    assert!(all.iter().any(|(_, _, v)| v == "held"), "{all:?}");
    assert!(all.iter().all(|(_, _, v)| v == "held" || v == "not-judged"), "{all:?}");
}
