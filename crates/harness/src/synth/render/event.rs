//! The event page.

use super::Form;
use super::chrome::{self, Kind};
use super::page::Page;
use super::text::{html_quoted, moment};
use crate::synth::model::Event;

const KIND: Kind = Kind {
    title: "Results",
    styles: &["/css/global/global.default.css", "/css/global/global.default.css", "/css/results/results.global.css"],
    scripts: &[],
    fly_in: false,
};

/// An event's page.
pub(in crate::synth) fn event_page(event: &Event, form: Form) -> String {
    let mut page = Page::new(form, 30_000 + event.races.len() * 400);
    let title = format!("{} :: {}", event.track_name, event.name);
    chrome::top(&mut page, &title, &KIND);
    chrome::breadcrumb(&mut page, event, true);
    page.line(0, 4, "<div class=\"row\">");
    page.line(1, 5, "<div class=\"col-lg-8\">");
    page.line(2, 6, "<div class=\"panel panel-default\">");
    page.line(
        3,
        7,
        "<div class=\"panel-heading\"><i class=\"fa fa-list-ol fa-fw\"></i> Race Lineups &amp; Results</div>",
    );
    page.line(3, 7, "<div class=\"panel-body no_padding\">");
    let rounds = rounds(event);
    lineups(&mut page, event, &rounds);
    rankings(&mut page, event, &rounds);
    results(&mut page, event);
    page.line(3, 7, "</div>");
    page.line(3, 7, "<!-- /.panel-body -->");
    page.line(2, 6, "</div>");
    page.line(1, 5, "</div>");
    chrome::stats(&mut page, event);
    page.line(0, 4, "</div>");
    chrome::foot(&mut page, &KIND);
    page.out
}

/// Titles of the rounds, in page order.
fn rounds(event: &Event) -> Vec<&str> {
    let mut rounds: Vec<&str> = Vec::new();
    for race in &event.races {
        if rounds.last() != Some(&race.round.as_str()) {
            rounds.push(&race.round);
        }
    }
    rounds
}

fn open(page: &mut Page, head: &str, span: bool) {
    page.blank(4);
    page.line(4, 8, "<div class=\"table-responsive\">");
    page.line(5, 9, "<table class=\"table table-hover entry_list_data\">");
    page.line(6, 10, "<thead>");
    page.line(7, 11, "<tr>");
    let span = if span { " colspan=\"2\"" } else { "" };
    page.line(8, 12, &format!("<th{span}><span class=\"class_header\">{head}</span></th>"));
    page.line(7, 11, "</tr>");
    page.line(6, 10, "</thead>");
    page.line(6, 10, "<tbody>");
}

fn close(page: &mut Page) {
    page.line(6, 10, "</tbody>");
    page.line(5, 9, "</table>");
    page.line(4, 8, "</div>");
}

fn link_row(page: &mut Page, row: &str, href: &str, icon: &str, text: &str) {
    page.line(7, 11, row);
    page.link_cell(8, 12, &format!("href=\"{href}\" class=\"block\""), icon, text);
    page.line(7, 11, "</tr>");
}

fn lineups(page: &mut Page, event: &Event, rounds: &[&str]) {
    open(page, "Race Lineups &amp; Entry List", false);
    if event.has_entry_list {
        let href = format!("/results/?p=view_entry_list&id={}", event.id);
        let row = format!("<tr class=\"clickable-row\" data-href=\"{href}\">");
        link_row(page, &row, &href, "fa fa-bars", "Entry List");
    }
    for (round, n) in rounds.iter().zip(0_u64..) {
        let href = format!("/results/?p=view_heat_sheet&id={}", event.id * 100 + n);
        link_row(page, "<tr>", &href, "fa fa-list", &html_quoted(round));
    }
    close(page);
}

fn rankings(page: &mut Page, event: &Event, rounds: &[&str]) {
    open(page, "Overall Results &amp; Rankings", false);
    let id = event.id;
    link_row(page, "<tr>", &format!("/results/?p=event_overall_ranking&id={id}"), "fa fa-trophy", "Final Results");
    link_row(page, "<tr>", &format!("/results/?p=view_points&id={}", id * 10), "fa fa-th", "Results (1 of 1)");
    for (round, n) in rounds.iter().rev().filter(|r| r.starts_with("Qualifier")).zip(0_u64..) {
        let href = format!("/results/?p=view_round_ranking&id={}&o=laps_time", id * 20 + n);
        link_row(page, "<tr>", &href, "fa fa-list-ol", &format!("{} Rankings", html_quoted(round)));
    }
    for (race, n) in event.races.iter().filter(|r| r.label.ends_with("1-Main")).zip(0_u64..) {
        let href = format!("/results/?p=view_multi_main_result&id={}", id * 30 + n);
        let main = race.label.trim_end_matches("1-Main").strip_prefix(&race.class).unwrap_or_default().trim();
        let text = format!("{} Triple {main}-Main Results", html_quoted(&race.class));
        link_row(page, "<tr>", &href, "fa fa-trophy", &text);
    }
    close(page);
}

fn results(page: &mut Page, event: &Event) {
    open(page, "Race Results", true);
    let mut round: Option<&str> = None;
    for race in &event.races {
        if round != Some(&race.round) {
            page.line(7, 11, "<tr>");
            page.line(8, 12, &format!("<th>{}</th>", html_quoted(&race.round)));
            page.line(8, 12, "<th>Time Completed</th>");
            page.line(7, 11, "</tr>");
            round = Some(&race.round);
        }
        page.line(7, 11, "<tr>");
        let href = format!("/results/?p=view_race_result&id={}", race.id);
        let label = if race.label.is_empty() { String::new() } else { format!(" ({})", race.label) };
        let text = format!("Race {}: {}{label}", race.number, race.class);
        page.link_cell(8, 12, &format!("href=\"{href}\" class=\"block\""), "fa fa-trophy", &html_quoted(&text));
        page.line(8, 12, &format!("<td>{}</td>", race.completed_at.map(moment).unwrap_or_default()));
        page.line(7, 11, "</tr>");
    }
    close(page);
}
