//! The findings of a comparison: criteria, metrics with intervals, and the plot of them.

use maud::{Markup, html};

use crate::oracle::Verdict;
use crate::report::compared::View;
use crate::report::plots::Plot;
use crate::report::words;

/// The section.
pub fn section(view: &View<'_>, plots: &[Plot]) -> Markup {
    let [a, b] = view.labels();
    html! {
        section id="comparison" aria-labelledby="comparison-title" {
            h2 id="comparison-title" { (b) " against " (a) }
            p class="note" { (view.made()) "." }
            @if !view.results.criteria.is_empty() { (criteria(view)) }
            @for plot in plots.iter().filter(|p| p.leads()) { (plot.figure()) }
            @if !view.results.calibration.is_empty() { (calibration(view)) }
            @if !view.results.rows.is_empty() { (rows(view, &a, &b)) }
            @if let Some(seen) = view.sensitivity() { p class="note" { (seen) "." } }
            @if !view.results.conditions.is_empty() { (conditions(view, &a, &b)) }
            @if let Some(model) = view.model() { (predictions(view, &model, &a, &b)) }
            (how(view))
        }
    }
}

/// A word with the look of a verdict.
fn chip(word: &str) -> Markup {
    let look = match word {
        "met" | "pass" | "improvement" => Verdict::Held,
        "missed" | "regression" => Verdict::Violated,
        "inconclusive" => Verdict::Unknown,
        _ => Verdict::NotJudged,
    };
    html! { span class={ "chip " (words::class(look)) } { (word) } }
}

fn criteria(view: &View<'_>) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Criteria" {
            table {
                caption { "Criteria of the scenario. A change is judged by its whole interval." }
                thead { tr { th scope="col" { "Criterion" } th scope="col" { "Verdict" } th scope="col" { "Measured" } } }
                tbody {
                    @for c in &view.results.criteria {
                        tr { th scope="row" { (c.criterion) } td { (chip(View::met(c))) } td class="prose" { (c.measured) } }
                    }
                }
            }
        }
    }
}

fn rows(view: &View<'_>, a: &str, b: &str) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Every metric of both sides" {
            table {
                caption { "Medians over pairs, the median change with its 95 % interval, and what may be concluded." }
                thead {
                    tr {
                        th scope="col" { "Metric" } th scope="col" class="num" { (a) } th scope="col" class="num" { (b) }
                        th scope="col" class="num" { "Change" } th scope="col" class="num" { "Floor" } th scope="col" { "Finding" }
                    }
                }
                tbody {
                    @for row in view.rows() {
                        @let [metric, of_a, of_b, change, finding] = view.cells(row);
                        tr {
                            th scope="row" { (metric) }
                            td class="num" { (of_a) } td class="num" { (of_b) } td class="num" { (change) }
                            td class="num" { (row.floor.map_or("–".to_owned(), |f| format!("{} %", f.0 * 100.0))) }
                            td { (chip(&finding)) }
                        }
                    }
                }
            }
        }
    }
}

fn calibration(view: &View<'_>) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Calibration" {
            table {
                caption {
                    "What the method finds where the truth is known. Without an added effect every regression is a false alarm; with one, \
                     every set that finds none missed it."
                }
                thead {
                    tr {
                        th scope="col" { "Truth" } th scope="col" class="num" { "Sets" } th scope="col" class="num" { "Regression" }
                        th scope="col" class="num" { "At first" } th scope="col" class="num" { "Inconclusive" }
                        th scope="col" class="num" { "True share (95 %)" } th scope="col" class="num" { "Change seen" }
                    }
                }
                tbody {
                    @for level in &view.results.calibration {
                        @let [name, cells @ ..] = View::level(level);
                        tr { th scope="row" { (name) } @for cell in &cells { td class="num" { (cell) } } }
                    }
                }
            }
        }
    }
}

fn conditions(view: &View<'_>, a: &str, b: &str) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Load conditions" {
            table {
                caption { "Event time under load conditions." }
                thead {
                    tr {
                        th scope="col" { "Condition" } th scope="col" class="num" { (a) } th scope="col" class="num" { (b) } th scope="col" class="num" { "Change" }
                    }
                }
                tbody {
                    @for condition in &view.results.conditions {
                        tr {
                            th scope="row" { (condition.name) }
                            @match &condition.time {
                                Some(row) => {
                                    @let [_, of_a, of_b, change, _] = view.cells(row);
                                    td class="num" { (of_a) } td class="num" { (of_b) } td class="num" { (change) }
                                }
                                None => { td class="num" { "–" } td class="num" { "–" } td class="num" { "not measured" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn predictions(view: &View<'_>, model: &str, a: &str, b: &str) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Predicted event time" {
            table {
                caption { "Event time where nobody measured: predicted from the conditions above." }
                thead { tr { th scope="col" { "Distance" } th scope="col" class="num" { (a) } th scope="col" class="num" { (b) } } }
                tbody {
                    @for [distance, of_a, of_b] in view.predictions() {
                        tr { th scope="row" { (distance) } td class="num" { (of_a) } td class="num" { (of_b) } }
                    }
                }
            }
        }
        p class="note" { (model) }
    }
}

/// How the figures came about, and the two programs.
fn how(view: &View<'_>) -> Markup {
    html! {
        details {
            summary { "How this was measured" }
            p class="note" {
                "Each pair is a trial of A and a trial of B, one after the other, in the order A B, B A, A B …; each begins with a fresh database \
                 and a CHECKPOINT. The first pair is dropped. Per pair d = ln(B/A); the estimate is the median of d, the interval the exact \
                 order-statistic one, which assumes nothing about how times are distributed. A regression needs an interval clear of no change \
                 and a median past the floor; a pass needs an upper bound under the floor; all else is inconclusive. docs/statistics.md says more."
            }
            dl class="facts" {
                @for (side, name) in [(&view.spec.a, "A"), (&view.spec.b, "B")] {
                    div { dt { (name) } dd { (side.engine_path) } }
                    div { dt { (name) ", hash" } dd { (side.engine_hash) } }
                    div { dt { (name) ", build" } dd { (side.build_profile.as_deref().unwrap_or("the program does not tell")) } }
                }
            }
        }
    }
}
