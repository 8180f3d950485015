//! The gate's part of `report.html`.

use maud::{Markup, html};

use super::{against, change, finding, floor, headline, interval, reasons, value, work};
use crate::gate::checks::CheckVerdict;
use crate::gate::record::GateRecord;
use crate::gate::verdict::{GateVerdict, Headline};
use crate::oracle::Verdict;
use crate::report::html::Lead;
use crate::report::words;

/// What stands ahead of the rest of the page.
#[must_use]
pub fn lead(gate: &GateRecord, verdict: &GateVerdict) -> Lead {
    let look = match verdict.headline {
        Headline::Passed | Headline::Saved => Verdict::Held,
        Headline::Failed | Headline::Unsafe | Headline::NoBase => Verdict::Violated,
        Headline::Open | Headline::Interrupted => Verdict::Unknown,
    };
    let failing = verdict.checks.iter().filter(|c| c.verdict.fails());
    let failing = failing.map(|c| format!("{}: {}", c.label(), finding(c)));
    Lead {
        headline: headline(verdict),
        look,
        reasons: verdict.correctness.reasons.iter().cloned().chain(failing).collect(),
        nav: ("#gate", "Gate"),
        section: section(gate, verdict),
    }
}

fn section(gate: &GateRecord, verdict: &GateVerdict) -> Markup {
    let why = reasons(verdict);
    html! {
        section id="gate" aria-labelledby="gate-title" {
            h2 id="gate-title" { "Compared with " (against(gate)) }
            p class="note" { (work(gate)) "." }
            @if !verdict.checks.is_empty() {
                div class="scroll" tabindex="0" role="region" aria-label="Every metric of the gate" {
                    table {
                        caption { "Medians over trials, the change with its 95 % interval, and what came of it." }
                        thead { tr {
                            @for head in ["Metric", "Base", "Here", "Change", "Interval", "Floor", "Verdict"] {
                                th scope="col" { (head) }
                            }
                        } }
                        tbody {
                            @for check in &verdict.checks {
                                tr {
                                    th scope="row" { (check.label()) }
                                    td { (value(check, check.base)) }
                                    td { (value(check, check.here)) }
                                    td { @if let Some(first) = &check.first { (change(first.median)) } }
                                    td { @if let Some(first) = &check.first { (interval(first)) } }
                                    td { (floor(check)) }
                                    td { (chip(check.verdict)) }
                                }
                            }
                        }
                    }
                }
            }
            @for check in verdict.checks.iter().filter(|c| !c.reason.is_empty()) {
                p class="note" { (check.label()) ": " (check.reason) "." }
            }
            @if !why.is_empty() {
                h3 { "Why" }
                ul { @for line in &why { li { (line) } } }
            }
        }
    }
}

fn chip(verdict: CheckVerdict) -> Markup {
    let look = match verdict {
        CheckVerdict::Pass | CheckVerdict::Improvement => Verdict::Held,
        CheckVerdict::NotJudged => Verdict::NotJudged,
        CheckVerdict::Inconclusive => Verdict::Unknown,
        CheckVerdict::Missing | CheckVerdict::Regression => Verdict::Violated,
    };
    html! { span class={ "chip " (words::class(look)) } { (verdict.name()) } }
}
