//! The page of the harness's test of itself.

use maud::{Markup, html};

use super::{Page, environment, page};
use crate::oracle::Verdict;
use crate::report::{format, overall, scrub, selftest, words};
use crate::selftest::{Row, SelfTest};
use crate::trial::record::RunRecord;

/// The page.
pub(super) fn report(run: &RunRecord, test: &SelfTest) -> String {
    let overall = overall::of_run(run);
    let body = html! {
        header class={ "banner " (words::class(overall.verdict)) } {
            p class="eyebrow" { "The harness's test of itself" }
            h1 { (overall.headline()) "." }
            p class="lead" {
                "An engine, a worker or a client that is wrong on purpose, one bug at a time; the same without a bug under the same scenarios; and controls "
                "that prove nothing and must not pass."
            }
            p class="meta" {
                (test.headline()) " · " (format::plural(test.rows.len(), "trial")) " in " (format::duration(run.run_us as f64)) " · "
                time datetime=(run.started_at) { (format::wall_clock(&run.started_at)) }
            }
            @if !test.failures.is_empty() {
                ul class="reasons" { @for failure in &test.failures { li { (failure) } } }
            }
        }
        section id="tables" aria-labelledby="tables-title" {
            h2 id="tables-title" { "Which oracle caught what" }
            @for table in selftest::tables(test) {
                div class="scroll" tabindex="0" role="region" aria-label=(table.title) {
                    table {
                        caption { (table.title) }
                        thead { tr { @for head in &table.head { th scope="col" { (head) } } } }
                        tbody {
                            @for row in &table.rows {
                                tr {
                                    @for (i, cell) in row.iter().enumerate() {
                                        @if i == 0 { th scope="row" { code { (cell) } } } @else { td { (cell) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        section id="evidence" aria-labelledby="evidence-title" {
            h2 id="evidence-title" { "What was noticed" }
            dl { @for row in test.rows.iter().filter(|row| row.verdict != Verdict::Held) { (evidence(row)) } }
        }
        (environment::section(run))
    };
    let nav = [("#tables", "Tables"), ("#evidence", "Evidence"), ("#environment", "Environment")];
    let title = format!("{}: {}", run.scenario, overall.headline());
    scrub(&page(&Page { title: &title, nav: &nav, body, foot: "Made from result.json beside this file." }))
}

fn evidence(row: &Row) -> Markup {
    html! {
        dt { code { (row.name) } " under " (row.scenario) " (trial " (row.trial) "): " (super::chip(row.verdict)) }
        dd { (row.description) " " span class="hint" { (row.evidence) } }
    }
}
