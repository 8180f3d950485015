//! What a reader must bear in mind, said by the report itself and not left to be found out.

use crate::stats::Metric;
use crate::trial::record::RunRecord;

use super::format;

/// Share of CPU above which a trial is harness-limited (DESIGN 8).
const HARNESS_LIMIT: f64 = 0.25;

/// How many trials a run had: of a search more than are kept.
#[must_use]
pub fn trials(run: &RunRecord) -> String {
    let of_search = run.search.as_ref().map(|s| s.points.len());
    format::plural(of_search.unwrap_or(run.trials.len()), "trial")
}

/// What limits the verdict or the figures; stands right under the verdict.
#[must_use]
pub fn of_run(run: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if run.interrupted {
        notes.push("The run was interrupted. This is what was recorded until then.".to_string());
    }
    let common: Vec<String> =
        super::words::common_settings(run).iter().map(|(key, value)| format!("{key} = {value}")).collect();
    if !common.is_empty() {
        notes.push(format!("In every trial: {}.", common.join(", ")));
    }
    if run.environment.build_profile == "debug" {
        notes.push("The engine is a debug build: its times say nothing about a release.".to_string());
    }
    let limited: Vec<f64> = run
        .trials
        .iter()
        .filter_map(|t| t.metrics.get(&Metric::HarnessShare).copied())
        .filter(|share| *share > HARNESS_LIMIT)
        .collect();
    if let Some(most) = limited.iter().copied().reduce(f64::max) {
        notes.push(format!(
            "{} harness-limited: harness, mock and proxy took up to {} of the CPU (more than a quarter). Times are then those of the \
             harness as well.",
            if limited.len() == 1 { "1 trial is".to_string() } else { format!("{} trials are", limited.len()) },
            format::share(most)
        ));
    }
    notes
}

/// Remarks of the environment, and what the run's kind does not show.
#[must_use]
pub fn remarks(run: &RunRecord) -> Vec<String> {
    let mut remarks = Vec::new();
    if run.trials.iter().any(|t| t.profile == "before") {
        remarks.push(
            "`before` is the reviewed statement pattern in a safe program: it has this engine's checkpoints, lock and clean connections, and \
             none of Python's statement building. The reviewed program itself spends most of its time there."
                .to_string(),
        );
    }
    if run.trials.iter().any(|t| !t.faults.is_empty()) {
        remarks.push(
            "Trials with faults report neither statements nor round trips. Killing a process does not lose the page cache, so these trials do \
             not test what a power failure would."
                .to_string(),
        );
    }
    if run.trials.len() > 1 {
        remarks.push(
            "Percentiles come from samples within trials; they carry no significance. Compare profiles by paired trials before deciding."
                .to_string(),
        );
    }
    remarks.extend(run.environment.remarks.iter().cloned());
    remarks
}
