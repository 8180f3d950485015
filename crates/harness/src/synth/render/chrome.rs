//! What surrounds a page's content: head, navigation, foot. The templates are ours, with LiveRC's structure.

use super::page::Page;
use super::text::html_quoted;
use super::{Form, text};
use crate::synth::model::Event;

const TOP: &str = include_str!("templates/top.html");
const FOOT: &str = include_str!("templates/foot.html");

/// What a kind of page adds to the chrome: paths of style sheets and scripts.
pub(super) struct Kind {
    pub title: &'static str,
    pub styles: &'static [&'static str],
    pub scripts: &'static [&'static str],
    pub fly_in: bool,
}

/// Everything ahead of the content.
pub(super) fn top(page: &mut Page, title: &str, kind: &Kind) {
    let styles = lines(kind.styles, |i, path| {
        let tabs = [2, 9, 12, 12, 12, 12].get(i).copied().unwrap_or(12);
        let tag = format!("<link rel=\"stylesheet\" type=\"text/css\" media=\"screen\" href=\"{path}?1001\" />");
        format!("{}{tag}\n", "\t".repeat(tabs))
    });
    let text = TOP.replace("{{styles}}", &styles);
    let title = html_quoted(&format!("{title} :: {}", kind.title));
    put(page, &text.replace("{{title}}", &title));
    page.line(3, 3, "<div id=\"page-wrapper\">");
}

/// Everything behind the content.
pub(super) fn foot(page: &mut Page, kind: &Kind) {
    let scripts = lines(kind.scripts, |_, path| {
        format!("\t\t\t\t\t<script type=\"text/javascript\" src=\"{path}?1001\"></script>\n")
    });
    page.line(3, 3, "</div>");
    let text = FOOT.replace("{{scripts}}", &scripts);
    put(page, &text.replace("{{fly_in}}", if kind.fly_in { "true" } else { "false" }));
}

/// The breadcrumb: track, event, date. `more` is an extra link, which only the event page has.
pub(super) fn breadcrumb(page: &mut Page, event: &Event, more: bool) {
    let date = if event.first_day == event.last_day {
        text::date(event.first_day)
    } else {
        format!("{} to {}", text::date(event.first_day), text::date(event.last_day))
    };
    page.line(0, 4, "<div class=\"row page-breadcrumb\">");
    page.line(1, 5, "<div class=\"col-lg-12\">");
    let track = format!("<span class=\"fa fa-road\"></span> {}", html_quoted(&event.track_name));
    page.element(2, 6, "<h1 class=\"page-header\">", &track, "</h1>");
    page.line(2, 6, "<div class=\"clearfix\">");
    let name = format!("<span class=\"fa fa-list-ol\"></span> {}", html_quoted(&event.name));
    page.element(3, 7, "<h3 class=\"page-header text-nowrap pull-left\">", &name, "</h3>");
    let date = format!("<span class=\"fa fa-calendar\"></span> {date}");
    page.element(3, 7, "<h5 class=\"page-header text-nowrap pull-left\">", &date, "</h5>");
    page.line(2, 6, "</div>");
    if more {
        page.line(
            2,
            6,
            "<a href=\"/events/\"><i class=\"fa fa-calendar fa-fw\"></i> <u>Other events of this track</u></a>",
        );
    }
    page.line(1, 5, "</div>");
    page.line(0, 4, "</div>");
    page.blank(0);
    page.line(0, 4, "<div class=\"row\">");
    page.line(1, 4, "</div>");
    page.blank(0);
}

/// The box with the event's figures.
pub(super) fn stats(page: &mut Page, event: &Event) {
    page.line(1, 5, "<div class=\"col-lg-4\">");
    page.line(2, 6, "<div class=\"card\">");
    page.line(3, 7, "<div class=\"card-header\">");
    page.line(4, 8, "<h2><i class=\"fas fa-chart-line\"></i> Event Stats</h2>");
    page.line(3, 7, "</div>");
    page.line(3, 7, "<div class=\"card-body p-0\">");
    page.line(4, 8, "<table class=\"table table-sm table-borderless m-0\">");
    page.line(5, 9, "<tbody>");
    let rows = [
        ("Race Track", html_quoted(&event.track_name)),
        ("Registrations", format!("Entries: {}<br />Drivers: {}", event.entries, event.drivers)),
        ("Total Race Laps", text::thousands(event.total_laps)),
    ];
    for (head, value) in rows {
        page.line(6, 10, "<tr>");
        page.line(7, 11, &format!("<th>{head}</th>"));
        match value.split_once("<br />") {
            Some((entries, drivers)) if page.form == Form::Formatted => {
                page.line(7, 11, "<td>");
                page.line(8, 12, &format!("{entries}<br />"));
                page.line(8, 12, drivers);
                page.line(7, 11, "</td>");
            }
            _ => page.line(7, 11, &format!("<td>{value}</td>")),
        }
        page.line(6, 10, "</tr>");
    }
    page.line(5, 9, "</tbody>");
    page.line(4, 8, "</table>");
    page.line(3, 7, "</div>");
    page.line(2, 6, "</div>");
    page.line(1, 5, "</div>");
}

fn lines(paths: &[&str], line: impl Fn(usize, &str) -> String) -> String {
    paths.iter().enumerate().map(|(i, path)| line(i, path)).collect()
}

/// Chrome in the page's form. The templates are raw.
fn put(page: &mut Page, raw: &str) {
    match page.form {
        Form::Raw => page.out.push_str(raw),
        Form::Formatted => format(&mut page.out, raw),
    }
}

/// What the formatter makes of chrome: two spaces a level, one blank line at most, long tags an attribute a line, scripts
/// with double quotes and without semicolons.
fn format(out: &mut String, raw: &str) {
    let mut in_script = false;
    let mut was_blank = false;
    for line in raw.lines() {
        let text = line.trim_matches('\t');
        if text.is_empty() {
            if !was_blank {
                out.push('\n');
            }
            was_blank = true;
            continue;
        }
        was_blank = false;
        let level = (line.len() - line.trim_start_matches('\t').len()).min(14);
        let pad = "  ".repeat(level);
        if in_script && !text.starts_with("</script") {
            out.push_str(&pad);
            out.push_str(script_line(text).trim_end_matches(';'));
        } else if text.starts_with("<!DOCTYPE") {
            out.push_str("<!doctype html>");
        } else if pad.len() + text.len() > 100 && (text.starts_with("<link ") || text.starts_with("<script ")) {
            broken_tag(out, &pad, text);
        } else if let Some(title) = text.strip_prefix("<title>").and_then(|t| t.strip_suffix("</title>")) {
            out.push_str(&format!("{pad}<title>\n{pad}  {title}\n{pad}</title>"));
        } else {
            out.push_str(&pad);
            out.push_str(text);
        }
        out.push('\n');
        if text.starts_with("<script") && !text.contains("</script>") {
            in_script = true;
        } else if text.contains("</script>") {
            in_script = false;
        }
    }
}

/// A line of a script with double quotes and bare keys. The templates hold no quote inside a string.
fn script_line(text: &str) -> String {
    if text.starts_with("//") {
        return text.to_owned();
    }
    let mut line = text.replace('\'', "\"");
    while let Some(end) = line.find("\" :") {
        let Some(start) = line[..end].rfind('"') else { break };
        line.replace_range(end..end + 3, ":");
        line.remove(start);
    }
    line
}

/// A long tag, an attribute a line.
fn broken_tag(out: &mut String, pad: &str, text: &str) {
    let (open, close) = match text.strip_suffix(" />") {
        Some(open) => (open, "/>"),
        None => (text.trim_end_matches("></script>"), "></script>"),
    };
    let mut rest = open;
    let mut first = true;
    while !rest.is_empty() {
        // Attributes end at the second quote; the tag's name at the first space.
        let end = if first {
            rest.find(' ').unwrap_or(rest.len())
        } else {
            let quote = rest.find('"').map_or(rest.len(), |q| q + 1);
            rest[quote..].find('"').map_or(rest.len(), |q| quote + q + 1)
        };
        out.push_str(pad);
        out.push_str(if first { "" } else { "  " });
        out.push_str(&rest[..end]);
        out.push('\n');
        rest = rest[end..].trim_start();
        first = false;
    }
    out.push_str(pad);
    out.push_str(close);
}
