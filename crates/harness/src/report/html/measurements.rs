//! Tables: percentiles per stage, metrics per profile, statements.

use maud::{Markup, html};

use crate::report::format;
use crate::report::groups::{self, Group};
use crate::stats::{Better, Metric};

/// Percentiles of the table.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Statements shown per group; the rest stands in `result.json`.
const STATEMENTS: usize = 25;

/// The section.
pub fn section(groups: &[Group<'_>]) -> Markup {
    html! {
        section id="measurements" aria-labelledby="measurements-title" {
            h2 id="measurements-title" { "Measurements" }
            (metrics(groups))
            (stages(groups))
            (statements(groups))
        }
    }
}

fn metrics(groups: &[Group<'_>]) -> Markup {
    let metrics = groups::metrics_of(groups);
    let Some(reference) = groups.first() else { return html! { p { "Nothing was measured." } } };
    if metrics.is_empty() {
        return html! { p { "No metric was recorded." } };
    }
    html! {
        h3 { "Metrics" }
        div class="scroll" tabindex="0" role="region" aria-label="Metrics by profile" {
            table {
                caption {
                    "Median over trials; in small print the smallest and largest, and the ratio of medians to " (reference.label) ". "
                    "An arrow tells which direction is better."
                }
                thead {
                    tr {
                        th scope="col" { "Metric" }
                        @for group in groups {
                            th scope="col" class="num" { (group.label) span class="hint" { (format::plural(group.trials.len(), "trial")) } }
                        }
                    }
                }
                tbody {
                    @for &metric in &metrics {
                        tr {
                            th scope="row" { (metric.label()) (arrow(metric)) }
                            @for (n, group) in groups.iter().enumerate() {
                                td class="num" {
                                    @match group.metric(metric) {
                                        None => (format::NONE),
                                        Some(spread) => {
                                            (format::metric(metric, spread.median))
                                            @let (min, max) = (format::metric(metric, spread.min), format::metric(metric, spread.max));
                                            @if min != max { span class="hint" { (min) " to " (max) } }
                                            @if let Some(base) = reference.metric(metric).filter(|b| n > 0 && b.median > 0.0) {
                                                span class="hint" { (format::ratio(spread.median / base.median)) }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn arrow(metric: Metric) -> Markup {
    let (sign, title) = match metric.better() {
        Better::Lower => ("↓", "less is better"),
        Better::Higher => ("↑", "more is better"),
        Better::Neither => return html! {},
    };
    html! { " " span class="better" title=(title) aria-label=(title) role="img" { (sign) } }
}

fn stages(groups: &[Group<'_>]) -> Markup {
    let stages = groups::stages_of(groups);
    html! {
        @if !stages.is_empty() {
            h3 id="stages" { "Time per stage" }
            div class="scroll" tabindex="0" role="region" aria-label="Percentiles by stage" {
                table {
                    caption {
                        "Percentiles of all samples of a profile's trials. A dash: too few samples to speak of that percentile "
                        "(p50 wants 2, p90 10, p95 20, p99 100)."
                    }
                    thead {
                        tr {
                            th scope="col" { "Stage" }
                            @if groups.len() > 1 { th scope="col" { "Profile" } }
                            th scope="col" class="num" { "Samples" }
                            @for q in QUANTILES { th scope="col" class="num" { (format::percentile(q)) } }
                            th scope="col" class="num" { "Largest" }
                        }
                    }
                    tbody {
                        @for stage in stages {
                            @for (n, group) in groups.iter().enumerate() {
                                @let samples = group.stage(stage);
                                tr class=[(n == 0).then_some("first")] {
                                    @if n == 0 { th scope="row" rowspan=(groups.len()) { (stage.label()) } }
                                    @if groups.len() > 1 { td { (group.label) } }
                                    td class="num" { (format::whole(samples.len())) }
                                    @for q in QUANTILES {
                                        td class="num" { (samples.quantile(q).map_or(format::NONE.to_string(), |us| format::duration(us as f64))) }
                                    }
                                    td class="num" { (samples.max().map_or(format::NONE.to_string(), |us| format::duration(us as f64))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn statements(groups: &[Group<'_>]) -> Markup {
    let tables: Vec<_> = groups.iter().map(|g| (g, g.statements())).filter(|(_, s)| !s.is_empty()).collect();
    html! {
        @if !tables.is_empty() {
            h3 id="statements" { "Statements" }
            p class="note" {
                "From pg_stat_statements, the engine's own role, first ingestion; medians over the trials that ran the statement."
            }
            @for (n, (group, statements)) in tables.iter().enumerate() {
                @let calls: u64 = statements.iter().map(|s| s.calls).sum();
                details open[n == 0 && tables.len() == 1] {
                    summary {
                        (group.label) ": " (format::plural(statements.len(), "statement text")) ", " (format::plural(calls as usize, "call"))
                    }
                    div class="scroll" tabindex="0" role="region" aria-label=(format!("Statements of {}", group.label)) {
                        table class="statements" {
                            caption { "Dearest first." }
                            thead {
                                tr {
                                    th scope="col" { "Statement" } th scope="col" class="num" { "Calls" } th scope="col" class="num" { "Rows" }
                                    th scope="col" class="num" { "Time" } th scope="col" class="num" { "WAL" }
                                }
                            }
                            tbody {
                                @for s in statements.iter().take(STATEMENTS) {
                                    tr {
                                        th scope="row" { code { (s.query) } }
                                        td class="num" { (format::whole(s.calls)) }
                                        td class="num" { (format::whole(s.rows)) }
                                        td class="num" { (format::duration(s.exec_us)) }
                                        td class="num" { (format::bytes(s.wal_bytes as f64)) }
                                    }
                                }
                            }
                        }
                    }
                    @if statements.len() > STATEMENTS {
                        p class="note" { (statements.len() - STATEMENTS) " more in result.json." }
                    }
                }
            }
        }
    }
}
