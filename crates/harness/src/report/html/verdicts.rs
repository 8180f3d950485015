//! The verdicts: the run's in large, then each oracle's by trial, then the evidence.

use maud::{Markup, html};

use crate::oracle::{Judgement, OracleName, Verdict};
use crate::report::groups::Group;
use crate::report::overall::{self, Overall};
use crate::report::{format, groups, notes, words};
use crate::stats::Metric;
use crate::trial::record::{RunRecord, TrialRecord};

/// More trials than this are shown by group, with counts.
const MANY_TRIALS: usize = 8;

/// Figures that stand under the verdict, where they were measured.
const KEY_METRICS: [Metric; 4] = [Metric::EventTime, Metric::LapRate, Metric::Statements, Metric::RecoveryCaughtUp];

/// A verdict as a chip: a word, and a shape for those who do not see its colour.
pub fn chip(v: Verdict) -> Markup {
    html! { span class={ "chip " (words::class(v)) } { (v) } }
}

/// The head of the page.
pub fn banner(run: &RunRecord, overall: &Overall, lead: Option<&super::Lead>, groups: &[Group<'_>]) -> Markup {
    let notes = notes::of_run(run);
    let class = lead.map_or(overall.class(), |lead| words::class(lead.look));
    let reasons = lead.map_or(&overall.reasons, |lead| &lead.reasons);
    html! {
        header class={ "banner " (class) } {
            p class="eyebrow" { "Scenario " span { (run.scenario) } }
            h1 { (lead.map_or(overall.headline(), |lead| &lead.headline)) "." }
            @if !run.description.is_empty() { p class="lead" { (run.description) } }
            p class="meta" {
                (notes::trials(run)) " in " (format::duration(run.run_us as f64)) " · "
                (overall.tally()) " · "
                time datetime=(run.started_at) { (format::wall_clock(&run.started_at)) }
            }
            @if !reasons.is_empty() {
                ul class="reasons" {
                    @for reason in reasons.iter().take(6) { li { (reason) } }
                    @if reasons.len() > 6 {
                        li { a href="#evidence" { "and " (reasons.len() - 6) " more" } }
                    }
                }
            }
            (key_figures(groups))
            @if !notes.is_empty() {
                aside class="notes" aria-label="Bear in mind" {
                    @for note in &notes { p { (note) } }
                }
            }
        }
    }
}

/// The figures people ask for first, a row per group.
fn key_figures(groups: &[Group<'_>]) -> Markup {
    let shown: Vec<Metric> = groups::metrics_of(groups).into_iter().filter(|m| KEY_METRICS.contains(m)).collect();
    let value =
        |g: &Group<'_>, m: Metric| g.metric(m).map_or(format::NONE.to_string(), |s| format::metric(m, s.median));
    match groups {
        _ if shown.is_empty() => html! {},
        [group] => html! {
            dl class="figures" {
                @for &metric in &shown { div { dt { (metric.label()) } dd { (value(group, metric)) } } }
            }
        },
        _ => html! {
            div class="scroll" tabindex="0" role="region" aria-label="Key figures by profile" {
                table class="figures" {
                    caption { "Key figures, median over trials." }
                    thead { tr { th scope="col" { "Profile" } @for metric in &shown { th scope="col" { (metric.label()) } } } }
                    tbody {
                        @for group in groups {
                            tr { th scope="row" { (group.label) } @for &metric in &shown { td { (value(group, metric)) } } }
                        }
                    }
                }
            }
        },
    }
}

/// The section: table and evidence.
pub fn section(run: &RunRecord, groups: &[Group<'_>]) -> Markup {
    html! {
        section id="verdicts" aria-labelledby="verdicts-title" {
            h2 id="verdicts-title" { "Verdicts" }
            @if run.trials.is_empty() {
                p { "No trial was recorded, so nothing was judged. That is " (chip(Verdict::Unknown)) ", never a pass." }
            } @else if run.trials.len() <= MANY_TRIALS {
                (by_trial(run))
            } @else {
                (by_group(groups))
            }
            (evidence(run))
        }
    }
}

fn judgement(trial: &TrialRecord, oracle: OracleName) -> Option<&Judgement> {
    trial.judgements.iter().find(|j| j.oracle == oracle)
}

fn evidence_id(index: usize, oracle: OracleName) -> String {
    format!("evidence-{}-{}", index + 1, oracle.name())
}

/// What must hold, as plain text.
fn meaning(oracle: OracleName) -> String {
    oracle.description().replace('`', "")
}

fn oracle_cell(oracle: OracleName) -> Markup {
    html! { th scope="row" { code { (oracle.name()) } span class="hint" { (meaning(oracle)) } } }
}

fn by_trial(run: &RunRecord) -> Markup {
    // With one trial there is room for the first line of evidence beside its verdict.
    let single = match run.trials.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let common = words::common_settings(run);
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Verdict of each oracle on each trial" {
            table class="verdicts" {
                caption { "Verdict of each oracle on each trial. A verdict leads to its evidence." }
                thead {
                    tr {
                        th scope="col" { "Oracle" }
                        @for (index, trial) in run.trials.iter().enumerate() {
                            th scope="col" {
                                a href=(format!("#trial-{}", index + 1)) { "Trial " (trial.trial) }
                                span class="hint" { (words::setup_beside(trial, &common)) }
                            }
                        }
                        @if single.is_some() { th scope="col" { "Evidence" } }
                    }
                }
                tbody {
                    @for oracle in words::oracles(&run.trials) {
                        tr {
                            (oracle_cell(oracle))
                            @for (index, trial) in run.trials.iter().enumerate() {
                                td {
                                    @match judgement(trial, oracle) {
                                        Some(j) if !j.evidence.is_empty() => {
                                            a class="bare" href=(format!("#{}", evidence_id(index, oracle))) { (chip(j.verdict)) }
                                        }
                                        Some(j) => (chip(j.verdict)),
                                        None => (chip(Verdict::NotJudged)),
                                    }
                                }
                            }
                            @if let Some(trial) = single {
                                td class="prose" { (judgement(trial, oracle).and_then(|j| j.evidence.first()).map_or("", String::as_str)) }
                            }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "Trial" }
                        @for trial in &run.trials { td { (chip(overall::of_trial(trial).verdict)) } }
                        @if single.is_some() { td {} }
                    }
                }
            }
        }
    }
}

fn by_group(groups: &[Group<'_>]) -> Markup {
    let tally = |trials: &[&TrialRecord], verdict_of: &dyn Fn(&TrialRecord) -> Verdict| {
        html! {
            @for v in [Verdict::Violated, Verdict::Unknown, Verdict::Held, Verdict::NotJudged] {
                @let n = trials.iter().filter(|t| verdict_of(t) == v).count();
                @if n > 0 { span class="tally" { (n) " × " (chip(v)) } " " }
            }
        }
    };
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Verdicts of each oracle by profile" {
            table class="verdicts" {
                caption { "Verdicts of each oracle by profile: trials counted." }
                thead {
                    tr {
                        th scope="col" { "Oracle" }
                        @for group in groups {
                            th scope="col" { (group.label) span class="hint" { (format::plural(group.trials.len(), "trial")) } }
                        }
                    }
                }
                tbody {
                    @for oracle in words::oracles(groups.iter().flat_map(|g| g.trials.iter().copied())) {
                        tr {
                            (oracle_cell(oracle))
                            @for group in groups {
                                td {
                                    (tally(&group.trials, &|t| judgement(t, oracle).map_or(Verdict::NotJudged, |j| j.verdict)))
                                }
                            }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "Trial" }
                        @for group in groups { td { (tally(&group.trials, &|t| overall::of_trial(t).verdict)) } }
                    }
                }
            }
        }
    }
}

/// Evidence of every judgement: what did not hold in the open, the rest folded.
fn evidence(run: &RunRecord) -> Markup {
    let bad = |v: Verdict| matches!(v, Verdict::Violated | Verdict::Unknown);
    let entry = |index: usize, trial: &TrialRecord, j: &Judgement| {
        html! {
            div class={ "evidence " (words::class(j.verdict)) } id=(evidence_id(index, j.oracle)) {
                h4 {
                    (chip(j.verdict)) " " code { (j.oracle.name()) } " "
                    a href=(format!("#trial-{}", index + 1)) { (words::trial(trial)) }
                }
                span class="hint" { (meaning(j.oracle)) }
                ul { @for line in &j.evidence { li { (line) } } }
            }
        }
    };
    let all = || {
        let judged = |(i, t): (usize, &'_ TrialRecord)| -> Vec<_> {
            t.judgements.iter().map(|j| (i, t.trial, j.clone())).collect()
        };
        run.trials.iter().enumerate().flat_map(judged).collect::<Vec<_>>()
    };
    let (open, folded): (Vec<_>, Vec<_>) =
        all().into_iter().filter(|(_, _, j)| !j.evidence.is_empty()).partition(|(_, _, j)| bad(j.verdict));
    html! {
        div id="evidence" {
            @if !open.is_empty() {
                h3 { "Evidence" }
                @for (index, _, j) in &open { (entry(*index, &run.trials[*index], j)) }
            }
            @if !folded.is_empty() {
                details {
                    summary { "Evidence of what held or was not judged (" (folded.len()) ")" }
                    @for (index, _, j) in &folded { (entry(*index, &run.trials[*index], j)) }
                }
            }
        }
    }
}
