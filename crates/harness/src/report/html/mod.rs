//! `report.html`: one file, no network, no script. Verdicts first, then what happened, then what was measured, then where.

mod comparison;
mod environment;
mod load;
mod measurements;
mod search;
mod selftest;
mod shell;
mod trials;
mod verdicts;

use maud::{Markup, html};

use crate::oracle::Verdict;
use crate::trial::record::RunRecord;

use super::plots::Plot;
use super::{compared, format, groups, overall, scrub};
pub(super) use shell::{Page, page};
pub(super) use verdicts::chip;

/// What a verb that judges more than invariants puts ahead of the rest.
#[derive(Debug)]
pub struct Lead {
    /// The verdict in large, without a full stop.
    pub headline: String,
    /// The verdict whose look it has.
    pub look: Verdict,
    /// What speaks against it, a sentence each.
    pub reasons: Vec<String>,
    /// Anchor and name of its section in the navigation.
    pub nav: (&'static str, &'static str),
    /// Its section.
    pub section: Markup,
}

/// The report's page. Passwords are masked last, whatever field they came from.
#[must_use]
pub fn report(run: &RunRecord, plots: &[Plot]) -> String {
    if let Some(test) = &run.selftest {
        return selftest::report(run, test);
    }
    led(run, plots, None)
}

/// The report's page with something ahead of the rest.
#[must_use]
pub fn led(run: &RunRecord, plots: &[Plot], lead: Option<&Lead>) -> String {
    let groups = groups::of_run(run);
    let overall = overall::of_run(run);
    let of_run: Vec<&Plot> = plots.iter().filter(|p| p.trial.is_none() && !p.leads()).collect();
    let comparison = compared::View::of(run);
    let mut nav = vec![("#verdicts", "Verdicts"), ("#story", "What happened")];
    if run.search.is_some() {
        nav.insert(0, ("#search", "What was tried"));
    }
    if load::is_load(run) {
        nav.insert(0, ("#load", "Load"));
    }
    if comparison.is_some() {
        nav.insert(0, ("#comparison", "Comparison"));
    }
    if let Some(lead) = lead {
        nav.insert(0, lead.nav);
    }
    if !of_run.is_empty() {
        nav.push(("#plots", "Plots"));
    }
    if !load::is_load(run) {
        nav.push(("#measurements", "Measurements"));
    }
    nav.push(("#environment", "Environment"));
    let body = html! {
        (verdicts::banner(run, &overall, lead, &groups))
        @if let Some(lead) = lead { (lead.section) }
        @if let Some(search) = &run.search { (search::section(search)) }
        @if let Some(view) = &comparison { (comparison::section(view, plots)) }
        (load::section(run))
        (verdicts::section(run, &groups))
        (trials::section(run, plots))
        @if !of_run.is_empty() {
            section id="plots" aria-labelledby="plots-title" {
                h2 id="plots-title" { "Plots" }
                @for plot in of_run { (plot.figure()) }
            }
        }
        @if !load::is_load(run) { (measurements::section(&groups)) }
        (environment::section(run))
    };
    let headline = lead.map_or(overall.headline(), |lead| &lead.headline);
    let title = format!("{}: {headline}", run.scenario);
    let foot = format!(
        "{} · {} · made by harness {}. Everything here is computed from result.json beside this file.",
        run.scenario,
        format::wall_clock(&run.started_at),
        run.environment.harness_version
    );
    scrub(&page(&Page { title: &title, nav: &nav, body, foot: &foot }))
}
