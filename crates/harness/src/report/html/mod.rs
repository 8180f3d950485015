//! `report.html`: one file, no network, no script. Verdicts first, then what happened, then what was measured, then where.

mod comparison;
mod environment;
mod measurements;
mod search;
mod selftest;
mod shell;
mod trials;
mod verdicts;

use maud::html;

use crate::trial::record::RunRecord;

use super::plots::Plot;
use super::{compared, format, groups, overall, scrub};
pub(super) use shell::{Page, page};
pub(super) use verdicts::chip;

/// The report's page. Passwords are masked last, whatever field they came from.
#[must_use]
pub fn report(run: &RunRecord, plots: &[Plot]) -> String {
    if let Some(test) = &run.selftest {
        return selftest::report(run, test);
    }
    let groups = groups::of_run(run);
    let overall = overall::of_run(run);
    let of_run: Vec<&Plot> = plots.iter().filter(|p| p.trial.is_none() && !p.leads()).collect();
    let comparison = compared::View::of(run);
    let mut nav = vec![("#verdicts", "Verdicts"), ("#story", "What happened")];
    if run.search.is_some() {
        nav.insert(0, ("#search", "What was tried"));
    }
    if comparison.is_some() {
        nav.insert(0, ("#comparison", "Comparison"));
    }
    if !of_run.is_empty() {
        nav.push(("#plots", "Plots"));
    }
    nav.extend([("#measurements", "Measurements"), ("#environment", "Environment")]);
    let body = html! {
        (verdicts::banner(run, &overall, &groups))
        @if let Some(search) = &run.search { (search::section(search)) }
        @if let Some(view) = &comparison { (comparison::section(view, plots)) }
        (verdicts::section(run, &groups))
        (trials::section(run, plots))
        @if !of_run.is_empty() {
            section id="plots" aria-labelledby="plots-title" {
                h2 id="plots-title" { "Plots" }
                @for plot in of_run { (plot.figure()) }
            }
        }
        (measurements::section(&groups))
        (environment::section(run))
    };
    let title = format!("{}: {}", run.scenario, overall.headline());
    let foot = format!(
        "{} · {} · made by harness {}. Everything here is computed from result.json beside this file.",
        run.scenario,
        format::wall_clock(&run.started_at),
        run.environment.harness_version
    );
    scrub(&page(&Page { title: &title, nav: &nav, body, foot: &foot }))
}
