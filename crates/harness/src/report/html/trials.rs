//! What happened: each trial told in sentences, with its timeline, faults, and what reproduces it.

use maud::{Markup, html};

use crate::oracle::Verdict;
use crate::report::plots::Plot;
use crate::report::{format, overall, words};
use crate::trial::record::{Exit, RunRecord, TrialRecord};

use super::verdicts::chip;

/// More trials than this are folded, but for those that did not hold.
const MANY_TRIALS: usize = 4;

/// The section.
pub fn section(run: &RunRecord, plots: &[Plot]) -> Markup {
    html! {
        section id="story" aria-labelledby="story-title" {
            h2 id="story-title" { "What happened" }
            @if run.trials.is_empty() { p { "Nothing was recorded." } }
            @for (index, trial) in run.trials.iter().enumerate() {
                @let verdict = overall::of_trial(trial).verdict;
                article id=(format!("trial-{}", index + 1)) class="trial" {
                    @if run.trials.len() > MANY_TRIALS && verdict == Verdict::Held {
                        details {
                            summary { h3 { (words::trial(trial)) } " " (chip(verdict)) }
                            (body(trial, index, plots))
                        }
                    } @else {
                        h3 { (words::trial(trial)) " " (chip(verdict)) }
                        (body(trial, index, plots))
                    }
                }
            }
        }
    }
}

fn body(trial: &TrialRecord, index: usize, plots: &[Plot]) -> Markup {
    let outcome = overall::of_trial(trial);
    html! {
        div class="story" {
            @for sentence in &trial.story { p { (sentence) } }
            @if trial.story.is_empty() { p { "No story was recorded of this trial." } }
        }
        @if let Some(cause) = &trial.broken {
            p class="callout" { strong { "The environment failed: " } (cause) }
        }
        @for plot in plots.iter().filter(|p| p.trial == Some(index)) { (plot.figure()) }
        @if !trial.faults.is_empty() { (faults(trial)) }
        (processes(trial))
        @if outcome.verdict != Verdict::Held { (differing(trial)) (stderr(trial)) }
        (reproduce(trial, outcome.verdict))
    }
}

fn since(trial: &TrialRecord, us: u64) -> String {
    format::offset(us.saturating_sub(trial.started_us))
}

fn faults(trial: &TrialRecord) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(format!("Faults of trial {}", trial.trial)) {
            table {
                caption { "Faults: what was asked for, and the proof that it happened." }
                thead {
                    tr { th scope="col" class="num" { "#" } th scope="col" { "Fault" } th scope="col" class="num" { "Fired" } th scope="col" class="num" { "Whole again" } th scope="col" { "Proof" } }
                }
                tbody {
                    @for (n, fault) in trial.faults.iter().enumerate() {
                        tr {
                            td class="num" { (n + 1) }
                            th scope="row" { code { (fault.fault) } }
                            @match &fault.fired {
                                Some(fired) => {
                                    td class="num" { (since(trial, fired.at_us)) }
                                    td class="num" {
                                        @match fired.healed_us {
                                            Some(healed) => { "after " (format::duration(healed.saturating_sub(fired.at_us) as f64)) }
                                            None => (format::NONE),
                                        }
                                    }
                                    td class="prose" { (fired.evidence) }
                                }
                                None => {
                                    td { (chip(Verdict::Unknown)) }
                                    td class="num" { (format::NONE) }
                                    td class="prose" { "It did not fire: " (words::why_not(fault)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Every process of the trial: what it did, and how it ended.
fn processes(trial: &TrialRecord) -> Markup {
    let rows: Vec<_> =
        trial.ingestions.iter().flat_map(|i| i.attempts.iter().enumerate().map(move |(n, a)| (i, n, a))).collect();
    html! {
        @if !rows.is_empty() {
            div class="scroll" tabindex="0" role="region" aria-label=(format!("Processes of trial {}", trial.trial)) {
                table {
                    caption { "Engine processes, in their order." }
                    thead {
                        tr {
                            th scope="col" { "Ingestion" } th scope="col" class="num" { "Process" } th scope="col" class="num" { "Started" } th scope="col" class="num" { "Ran for" }
                            th scope="col" class="num" { "Races fetched" } th scope="col" class="num" { "Races committed" } th scope="col" class="num" { "Retries" }
                            th scope="col" class="num" { "CPU" } th scope="col" class="num" { "Peak memory" } th scope="col" { "Ended with" }
                        }
                    }
                    tbody {
                        @for (ingestion, n, attempt) in rows {
                            tr {
                                th scope="row" { (words::purpose(ingestion.purpose)) }
                                td class="num" { (n + 1) }
                                td class="num" { (since(trial, attempt.started_us)) }
                                td class="num" { (format::duration(attempt.ended_us.saturating_sub(attempt.started_us) as f64)) }
                                td class="num" { (format::whole(u64::from(attempt.fetched))) }
                                td class="num" { (format::whole(attempt.committed.len() as u64)) }
                                td class="num" { (format::whole(attempt.retries.values().map(|n| u64::from(*n)).sum())) }
                                td class="num" { (format::duration((attempt.cpu_user_us + attempt.cpu_system_us) as f64)) }
                                td class="num" { (format::bytes(attempt.peak_rss_bytes as f64)) }
                                td class="ended" { (words::exit(attempt.exit)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The first rows that are on one side only.
fn differing(trial: &TrialRecord) -> Markup {
    let rows: Vec<_> = trial
        .ingestions
        .iter()
        .flat_map(|i| i.observed.differing.iter().map(move |row| (words::purpose(i.purpose), row)))
        .collect();
    html! {
        @if !rows.is_empty() {
            div class="scroll" tabindex="0" role="region" aria-label=(format!("Differing rows of trial {}", trial.trial)) {
                table {
                    caption { "First rows unlike the expected ones." }
                    thead {
                        tr { th scope="col" { "After" } th scope="col" { "Table" } th scope="col" class="num" { "Race" } th scope="col" { "Expected" } th scope="col" { "Found" } }
                    }
                    tbody {
                        @for (after, row) in rows {
                            tr {
                                td { (after) }
                                th scope="row" { (row.kind.name()) }
                                td class="num" { @if row.group == 0 { (format::NONE) } @else { (row.group) } }
                                td class="prose" { @match &row.expected { Some(text) => code { (text) }, None => { "no such row" } } }
                                td class="prose" { @match &row.observed { Some(text) => code { (text) }, None => { "missing" } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn stderr(trial: &TrialRecord) -> Markup {
    let loud: Vec<_> = trial
        .ingestions
        .iter()
        .flat_map(|i| i.attempts.iter().enumerate().map(move |(n, a)| (i, n, a)))
        .filter(|(_, _, a)| a.exit != Exit::Code(0) && !a.stderr_tail.is_empty())
        .collect();
    html! {
        @for (ingestion, n, attempt) in loud {
            details {
                summary { "Last lines of process " (n + 1) ", " (words::purpose(ingestion.purpose)) }
                pre { (attempt.stderr_tail.join("\n")) }
            }
        }
    }
}

fn reproduce(trial: &TrialRecord, verdict: Verdict) -> Markup {
    let lines = html! {
        @if !trial.reproduce.is_empty() { p { "Run it again: " } pre { (trial.reproduce) } }
        @if let Some(psql) = &trial.psql { p { "The database was kept: " } pre { (psql) } }
        @if let Some(folder) = &trial.artifacts { p { "Feed, engine log and server log: " code { (folder) } } }
    };
    html! {
        @if verdict == Verdict::Held {
            @if !trial.reproduce.is_empty() || trial.psql.is_some() {
                details { summary { "Reproduce" } (lines) }
            }
        } @else {
            div class="reproduce" { (lines) }
        }
    }
}
