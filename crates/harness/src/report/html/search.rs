//! What a search tried: its parts, the failures first with the command that runs them again, then every trial in a line.

use maud::{Markup, html};

use crate::faults::Action;
use crate::oracle::Verdict;
use crate::report::{format, search as words};
use crate::search::record::{Coverage, PointRecord, SearchRecord};

use super::verdicts::chip;

/// Lines of the table of those that held.
const HELD: usize = 1_000;

/// The section.
pub fn section(search: &SearchRecord) -> Markup {
    let failures = words::failures(search);
    let held: Vec<&PointRecord> = search.with(Verdict::Held).collect();
    html! {
        section id="search" aria-labelledby="search-title" {
            h2 id="search-title" { "What was tried" }
            (parts(search))
            @for remark in &search.remarks { p class="note" { (remark) } }
            @if !search.coverage.is_empty() { (grid(&search.coverage)) }
            @if !failures.is_empty() {
                h3 { (format::plural(failures.len(), "trial")) " that did not hold" }
                @for point in failures.iter().take(words::LISTED) { (failure(point)) }
                @if failures.len() > words::LISTED {
                    p { "And " (failures.len() - words::LISTED) " more:" }
                    (table(&failures[words::LISTED..], "Further trials that did not hold."))
                }
            }
            @if !held.is_empty() {
                details {
                    summary { (format::plural(held.len(), "trial")) " that held" }
                    (table(&held[..held.len().min(HELD)], "Trials in which every judged invariant held."))
                    @if held.len() > HELD { p { "And " (format::whole((held.len() - HELD) as u64)) " more, in result.json." } }
                }
            }
        }
    }
}

fn parts(search: &SearchRecord) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="What was tried" {
            table {
                caption { "What was tried, of how much there is." }
                thead { tr { th scope="col" { "Part" } th scope="col" class="num" { "Tried" } th scope="col" class="num" { "There are" } th scope="col" { "" } } }
                tbody {
                    @for part in &search.parts {
                        tr {
                            th scope="row" { (part.name) }
                            td class="num" { (format::whole(part.tried)) }
                            td class="num" { (format::whole(part.of)) }
                            td { (words::tried(search.verb, part)) }
                        }
                    }
                }
            }
        }
    }
}

/// Triggers down, actions across; how often each pair fired.
fn grid(coverage: &[Coverage]) -> Markup {
    let mut triggers: Vec<&str> = Vec::new();
    let mut actions: Vec<&str> = Vec::new();
    for cell in coverage {
        if !triggers.contains(&cell.trigger.as_str()) {
            triggers.push(&cell.trigger);
        }
        if !actions.contains(&cell.action.as_str()) {
            actions.push(&cell.action);
        }
    }
    let rank = |action: &str| Action::ALL.iter().position(|a| a.name() == action);
    actions.sort_by_key(|a| rank(a));
    let fired = |trigger: &str, action: &str| {
        coverage.iter().find(|c| c.trigger == trigger && c.action == action).map(|c| c.fired)
    };
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Coverage" {
            table class="grid" {
                caption { "How often each fault fired at each place. 0: it could, and was not drawn or did not get its turn. Empty: nothing would meet it there." }
                thead { tr { th scope="col" { "Fault" } @for trigger in &triggers { th scope="col" class="num" { (trigger) } } } }
                tbody {
                    @for action in &actions {
                        tr {
                            th scope="row" { (action) }
                            @for trigger in &triggers { td class="num" { @if let Some(n) = fired(trigger, action) { (n) } } }
                        }
                    }
                }
            }
        }
    }
}

fn failure(point: &PointRecord) -> Markup {
    html! {
        div class="failure" {
            p { (chip(point.verdict)) " " strong { (words::title(point)) } }
            ul class="reasons" { @for reason in &point.reasons { li { (reason) } } }
            @if let Some(shrunk) = &point.shrunk { p { (shrunk) } }
            @if let Some(command) = &point.reproduce { p { "Run it again: " code { (command) } } }
        }
    }
}

fn table(points: &[&PointRecord], caption: &str) -> Markup {
    let whole = |n: Option<u64>| n.map_or(format::NONE.to_string(), format::whole);
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" class="num" { "Trial" } th scope="col" { "Profile" } th scope="col" { "Faults" } th scope="col" { "Verdict" }
                        th scope="col" class="num" { "Laps twice" } th scope="col" class="num" { "Pages twice" } th scope="col" class="num" { "Recovery" }
                    }
                }
                tbody {
                    @for point in points {
                        tr {
                            td class="num" { (point.trial) }
                            td { (point.event.as_ref().unwrap_or(&point.profile)) }
                            td { (words::schedule(point)) }
                            td { (chip(point.verdict)) }
                            td class="num" { (whole(point.laps_twice)) }
                            td class="num" { (whole(point.pages_twice)) }
                            td class="num" { (point.caught_up_us.map_or(format::NONE.to_string(), |us| format::duration(us as f64))) }
                        }
                    }
                }
            }
        }
    }
}
