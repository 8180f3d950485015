//! The race page.

use super::Form;
use super::chrome::{self, Kind};
use super::page::Page;
use super::script::{self, Laps};
use super::text::{clock, html, seconds};
use crate::synth::model::{Event, Race, RaceResult};

const KIND: Kind = Kind {
    title: "Results",
    styles: &[
        "/css/global/global.default.css",
        "/css/global/global.default.css",
        "/css/results/results.global.css",
        "/css/results/results.race_result.css",
        "/vendor/datatables/css/dataTables.bootstrap.min.css",
        "/vendor/datatables-responsive/dataTables.responsive.css",
    ],
    scripts: &[
        "/js/global/global.default.min.js",
        "/js/results/results.race_result.min.js",
        "/vendor/datatables/js/jquery.dataTables.min.js",
        "/vendor/datatables-plugins/dataTables.bootstrap.min.js",
        "/vendor/datatables-responsive/dataTables.responsive.js",
        "/vendor/flot/jquery.flot.js",
        "/vendor/flot/jquery.flot.resize.js",
        "/vendor/flot/jquery.flot.time.js",
        "/vendor/flot-tooltip/jquery.flot.tooltip.min.js",
    ],
    fly_in: true,
};

const COLUMNS: [&str; 13] = [
    "Pos",
    "Driver",
    "Qual",
    "Laps/Time",
    "Behind",
    "Fastest Lap",
    "Avg Lap",
    "Avg Top 5",
    "Avg Top 10",
    "Avg Top 15",
    "Top 3 Consecutive",
    "Std. Deviation",
    "Consistency",
];

/// What is wrong with a page, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::synth) enum Cut {
    /// Nothing.
    Whole,
    /// The script writes laps from the last to the first.
    LapsBackwards,
    /// The script gives one lap number twice.
    LapRepeated,
    /// There is no result table.
    NoTable,
    /// The script stops in the middle of a lap; the rest of the page is there.
    Script,
    /// The page stops in the middle of the result table.
    Page,
}

/// A race's page.
pub(in crate::synth) fn race_page(event: &Event, race: &Race, form: Form) -> String {
    race_page_cut(event, race, form, Cut::Whole)
}

/// A race's page with something wrong.
pub(in crate::synth) fn race_page_cut(event: &Event, race: &Race, form: Form, cut: Cut) -> String {
    let mut page = Page::new(form, 40_000 + race.lap_count() * 320);
    let title = format!("{} :: {} :: {}", event.track_name, event.name, heading(race));
    chrome::top(&mut page, &title, &KIND);
    sort_script(&mut page);
    chrome::breadcrumb(&mut page, event, false);
    page.line(0, 4, "<div class=\"row\">");
    page.line(1, 5, "<div class=\"col-lg-12\">");
    page.line(2, 6, "<div class=\"panel panel-default\">");
    let head = format!(
        "<i class=\"fa fa-trophy\"></i> {} Results [{} Race #{}]",
        html(heading(race)),
        race.round_code,
        race.listed.number
    );
    page.element(3, 7, "<div class=\"panel-heading\">", &head, "</div>");
    page.line(3, 7, "<div class=\"panel-body no_padding\">");
    page.blank(4);
    let laps = match cut {
        Cut::LapsBackwards => Laps::Backwards,
        Cut::LapRepeated => Laps::Repeated,
        Cut::Whole | Cut::NoTable | Cut::Script | Cut::Page => Laps::ByNumber,
    };
    script::script(&mut page, race, laps);
    if cut == Cut::Script {
        cut_script(&mut page.out);
    }
    page.blank(5);
    if cut != Cut::NoTable {
        table(&mut page, race);
    }
    if cut == Cut::Page {
        cut_page(&mut page.out);
        return page.out;
    }
    page.blank(8);
    page.line(3, 7, "</div>");
    page.line(2, 6, "</div>");
    page.blank(2);
    graph(&mut page, race.results.len());
    page.line(1, 5, "</div>");
    page.line(0, 4, "</div>");
    chrome::foot(&mut page, &KIND);
    page.out
}

/// `CLASS A-Main`: the label, or the class where there is none.
fn heading(race: &Race) -> &str {
    if race.listed.label.is_empty() { &race.listed.class } else { &race.listed.label }
}

/// Takes the end of the script away, from the middle of its last lap time on, closing tag included.
fn cut_script(out: &mut String) {
    let from = out.rfind("var racerLaps").unwrap_or(0);
    let at = out.rfind("console.log(racerLaps").map_or(out.len(), |log| {
        let time = out[from..log].rfind("time").map(|at| from + at + 8);
        time.unwrap_or(log + "console.log(".len())
    });
    out.truncate(at);
    out.push('\n');
}

/// Takes away everything from the middle of the result table on.
fn cut_page(out: &mut String) {
    let table = out.rfind("race_result\"").unwrap_or(0);
    let mut at = table + (out.len() - table) / 2;
    while !out.is_char_boundary(at) {
        at -= 1;
    }
    out.truncate(at);
}

/// The script that makes the table sortable.
fn sort_script(page: &mut Page) {
    let lines: &[(usize, usize, &str)] = match page.form {
        Form::Raw => &[
            (8, 0, "<script>"),
            (1, 0, "$(document).ready(function()"),
            (1, 0, "{"),
            (2, 0, "$('.race_result').DataTable("),
            (2, 0, "{"),
            (3, 0, "'responsive': true,"),
            (3, 0, "'paging': false,"),
            (3, 0, "'filter': false,"),
            (3, 0, "'sort': ($(window).width() > 500 ? true : false),"),
            (3, 0, "'info': false"),
            (2, 0, "});"),
            (1, 0, "});"),
            (0, 0, "</script>"),
        ],
        Form::Formatted => &[
            (0, 4, "<script>"),
            (0, 5, "$(document).ready(function () {"),
            (0, 6, "$(\".race_result\").DataTable({"),
            (0, 7, "responsive: true,"),
            (0, 7, "paging: false,"),
            (0, 7, "filter: false,"),
            (0, 7, "sort: $(window).width() > 500 ? true : false,"),
            (0, 7, "info: false,"),
            (0, 6, "})"),
            (0, 5, "})"),
            (0, 4, "</script>"),
        ],
    };
    for (raw, level, text) in lines {
        page.line(*raw, *level, text);
    }
    page.blank(0);
}

fn table(page: &mut Page, race: &Race) {
    page.line(5, 9, "<div class=\"table-responsive\">");
    page.line(6, 10, "<table class=\"table table-striped race_result\" cellspacing=\"0\" width=\"100%\">");
    page.line(7, 11, "<thead>");
    page.line(8, 12, "<tr>");
    page.line(9, 13, "<th colspan=\"14\">");
    let number = race.listed.number;
    page.line(10, 14, &format!("<div class=\"race_num\" style=\"background: #00FA00;color: black;\">{number}</div>"));
    page.line(10, 14, "<div class=\"race_info\">");
    for (class, text) in [
        ("class_header", html(heading(race)).into_owned()),
        ("class_sub_header", format!("Round: {}", html(&race.listed.round))),
        ("class_sub_header", format!("Length: {}", html(&race.length))),
    ] {
        let close = if text.starts_with("Length") { "</span>" } else { "</span><br />" };
        page.element(11, 15, &format!("<span class=\"{class}\">"), &text, close);
    }
    page.line(10, 14, "</div>");
    page.line(9, 13, "</th>");
    page.line(8, 12, "</tr>");
    columns(page, "");
    page.line(7, 11, "</thead>");
    page.line(7, 11, "<tfoot>");
    columns(page, " <sup>(Lap #)</sup>");
    page.line(7, 11, "</tfoot>");
    page.line(7, 11, "<tbody>");
    for result in &race.results {
        row(page, result, race.number_before_name);
    }
    page.line(15, 11, "</tbody>");
    page.line(6, 10, "</table>");
    page.line(5, 9, "</div>");
}

fn columns(page: &mut Page, fastest: &str) {
    page.line(8, 12, "<tr>");
    for column in COLUMNS {
        let note = if column == "Fastest Lap" { fastest } else { "" };
        page.line(9, 13, &format!("<th>{column}{note}</th>"));
    }
    page.line(8, 12, "</tr>");
}

fn row(page: &mut Page, result: &RaceResult, number_before_name: bool) {
    let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
    page.line(17, 12, "<tr>");
    let position = result.shown.position.clone().unwrap_or_else(|| number(result.position));
    page.line(10, 13, &format!("<td>{}</td>", html(&position)));
    driver(page, result, number_before_name);
    page.line(10, 13, &format!("<td>{}</td>", number(result.qualifying)));
    let total = match result.total_ms {
        Some(ms) => format!("{}/{}", result.laps_completed, clock(ms)),
        None => result.laps_completed.to_string(),
    };
    page.line(10, 13, &format!("<td>{total}</td>"));
    page.line(10, 13, &format!("<td>{}</td>", html(&result.behind)));
    let derived = &result.derived;
    let fastest = match (derived.fastest_ms, derived.fastest_lap) {
        (Some(ms), Some(lap)) => format!("{}<sup>{lap}</sup>", clock(ms)),
        _ => String::new(),
    };
    page.line(10, 13, &format!("<td>{fastest}</td>"));
    for ms in [derived.average_ms, derived.top5_ms, derived.top10_ms, derived.top15_ms, derived.three_consecutive_ms] {
        // The hidden number is what the browser sorts by.
        let (hidden, shown) = ms.map(|ms| (seconds(ms), clock(ms))).unwrap_or_default();
        page.line(10, 13, &format!("<td><div class=\"hidden\">{hidden}</div>{shown}</td>"));
    }
    let deviation = derived.shown_deviation_ms().map(|ms| format!("{}.{:02}", ms / 1000, ms % 1000 / 10));
    page.line(10, 13, &format!("<td>{}</td>", deviation.unwrap_or_default()));
    let consistency = derived.shown_consistency_bp().map(|bp| format!("{}.{:02}%", bp / 100, bp % 100));
    page.line(10, 13, &format!("<td>{}</td>", consistency.unwrap_or_default()));
    page.line(9, 12, "</tr>");
}

fn driver(page: &mut Page, result: &RaceResult, number_before_name: bool) {
    page.line(10, 13, "<td>");
    page.line(11, 14, &format!("<span class=\"car_num\">{}</span>", html(&result.car_number)));
    let before = match result.qualifying {
        Some(number) if number_before_name => format!("{number} "),
        _ => String::new(),
    };
    page.line(11, 14, &format!("<span class=\"driver_name\">{before}{}</span>", html(&result.name)));
    if result.shown.link {
        let link = format!("<a href=\"#\" data-driver-id=\"{}\" class=\"driver_laps\"", result.shown.driver);
        if page.form == Form::Raw {
            let eye = "<span class=\"fa fa-eye\"></span> View Laps";
            page.line(
                23,
                0,
                &format!("<br /><span class=\"text-nowrap\"><small><small>{link}>{eye}</a></small></small></span>"),
            );
        } else {
            page.line(0, 14, "<br /><span class=\"text-nowrap\"");
            page.line(0, 15, "><small");
            page.line(0, 16, "><small");
            page.line(0, 17, &format!(">{link}"));
            page.line(0, 18, "><span class=\"fa fa-eye\"></span> View Laps</a");
            page.line(0, 17, "></small></small");
            page.line(0, 14, "></span>");
        }
    }
    page.line(21, 13, "</td>");
}

/// The panel of the position graph, whose script plots what `racerLaps`' statements pushed.
fn graph(page: &mut Page, cars: usize) {
    page.line(3, 6, "<div class=\"panel panel-default\">");
    page.line(4, 7, "<div class=\"panel-heading\"><i class=\"fa fa-area-chart\"></i> Lap-by-Lap Position Graph</div>");
    page.line(4, 7, "<div class=\"panel-body\">");
    page.line(5, 8, "<div class=\"flot-chart\">");
    page.line(6, 9, "<div class=\"flot-chart-content\" id=\"chart_position_by_laps\"></div>");
    page.line(5, 8, "</div>");
    page.line(4, 7, "</div>");
    page.line(3, 6, "</div>");
    let template = match page.form {
        Form::Raw => include_str!("templates/graph.html"),
        Form::Formatted => include_str!("templates/graph.formatted.html"),
    };
    page.out.push_str(&template.replace("{{cars}}", &cars.to_string()));
}
