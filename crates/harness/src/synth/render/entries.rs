//! The entry list page.

use super::Form;
use super::chrome::{self, Kind};
use super::page::Page;
use super::text::{html, html_quoted};
use crate::synth::model::{Entry, Event};

const KIND: Kind = Kind {
    title: "Entry List :: Results",
    styles: &[
        "/css/global/global.default.css",
        "/css/global/global.default.css",
        "/css/results/results.global.css",
        "/css/results/results.heat_sheet.css",
        "/vendor/datatables/css/dataTables.bootstrap.min.css",
        "/vendor/datatables-responsive/dataTables.responsive.css",
    ],
    scripts: &[
        "/vendor/datatables/js/jquery.dataTables.min.js",
        "/vendor/datatables-plugins/dataTables.bootstrap.min.js",
        "/vendor/datatables-responsive/dataTables.responsive.js",
    ],
    fly_in: false,
};

/// A class with its rows, and the part that its element ids share.
struct Tab<'a> {
    class: &'a str,
    id: String,
    number: usize,
    entries: Vec<&'a Entry>,
}

/// An event's entry list. `entries` are grouped by class.
pub(in crate::synth) fn entries_page(event: &Event, entries: &[Entry], form: Form) -> String {
    let mut page = Page::new(form, 25_000 + entries.len() * 250);
    let tabs = tabs(entries);
    let title = format!("{} :: {}", event.track_name, event.name);
    chrome::top(&mut page, &title, &KIND);
    sort_script(&mut page, &tabs);
    chrome::breadcrumb(&mut page, event, false);
    page.line(0, 4, "<div class=\"row\">");
    page.line(1, 5, "<div class=\"col-lg-8\">");
    page.line(2, 6, "<div class=\"panel panel-default\">");
    page.line(3, 7, "<div class=\"panel-heading\"><i class=\"fa fa-list fa-fw\"></i> Entry List</div>");
    page.line(3, 7, "<div class=\"panel-body no_padding\">");
    page.line(4, 8, "<!-- Nav tabs -->");
    page.line(4, 8, "<div class=\"padding_container\">");
    page.line(5, 9, "<ul class=\"nav nav-pills\">");
    for (i, tab) in tabs.iter().enumerate() {
        let open = if i == 0 { "<li class=\"active\">" } else { "<li>" };
        let link =
            format!("<a href=\"#{}_tab_{}\" data-toggle=\"tab\">{}</a>", tab.id, tab.number, html_quoted(tab.class));
        page.element(6, 10, open, &link, "</li>");
    }
    page.line(5, 9, "</ul>");
    page.line(4, 8, "</div>");
    page.line(4, 8, "<br />");
    page.blank(0);
    page.line(4, 8, "<!-- Tab panes -->");
    page.line(4, 8, "<div class=\"tab-content\">");
    for (i, tab) in tabs.iter().enumerate() {
        pane(&mut page, tab, i == 0);
    }
    page.line(4, 8, "</div>");
    page.line(3, 7, "</div>");
    page.line(2, 6, "</div>");
    page.line(1, 5, "</div>");
    page.blank(0);
    chrome::stats(&mut page, event);
    page.line(0, 4, "</div>");
    chrome::foot(&mut page, &KIND);
    page.out
}

fn tabs(entries: &[Entry]) -> Vec<Tab<'_>> {
    let mut tabs: Vec<Tab<'_>> = Vec::new();
    for entry in entries {
        match tabs.last_mut() {
            Some(tab) if tab.class == entry.class => tab.entries.push(entry),
            _ => {
                let words: Vec<&str> = entry.class.split(|c: char| !c.is_ascii_alphanumeric()).collect();
                let id = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join("_");
                tabs.push(Tab { class: &entry.class, id, number: 1_400 + tabs.len(), entries: vec![entry] });
            }
        }
    }
    tabs
}

fn sort_script(page: &mut Page, tabs: &[Tab<'_>]) {
    let raw = page.form == Form::Raw;
    page.line(8, 4, "<script>");
    if raw {
        page.line(1, 0, "$(document).ready(function()");
        page.line(1, 0, "{");
    } else {
        page.line(0, 5, "$(document).ready(function () {");
    }
    for tab in tabs {
        let id = format!("#{}_table_{}", tab.id, tab.number);
        if raw {
            page.line(2, 0, &format!("$('{id}').DataTable("));
            page.line(2, 0, "{");
            page.line(3, 0, "'responsive': true,");
            page.line(3, 0, "'order': [[ 1, 'asc' ]],");
            page.line(3, 0, "'paging': false,");
            page.line(3, 0, "'info': false");
            page.line(2, 0, "});");
        } else {
            page.line(0, 6, &format!("$(\"{id}\").DataTable({{"));
            page.line(0, 7, "responsive: true,");
            page.line(0, 7, "order: [[1, \"asc\"]],");
            page.line(0, 7, "paging: false,");
            page.line(0, 7, "info: false,");
            page.line(0, 6, "})");
        }
    }
    page.line(1, 5, if raw { "});" } else { "})" });
    page.line(0, 4, "</script>");
    page.blank(0);
}

fn pane(page: &mut Page, tab: &Tab<'_>, active: bool) {
    let class = if active { "tab-pane fade in active table-responsive" } else { "tab-pane fade table-responsive" };
    page.line(6, 10, &format!("<div class=\"{class}\" id=\"{}_tab_{}\">", tab.id, tab.number));
    if page.form == Form::Raw {
        let id = format!("{}_table_{}", tab.id, tab.number);
        let rest = "class=\"table table-striped\" cellspacing=\"0\" width=\"100%\"";
        page.line(7, 0, &format!("<table id=\"{id}\" {rest}>"));
    } else {
        page.line(0, 11, "<table");
        page.line(0, 12, &format!("id=\"{}_table_{}\"", tab.id, tab.number));
        page.line(0, 12, "class=\"table table-striped\"");
        page.line(0, 12, "cellspacing=\"0\"");
        page.line(0, 12, "width=\"100%\"");
        page.line(0, 11, ">");
    }
    page.line(8, 12, "<thead>");
    page.line(9, 13, "<tr>");
    page.line(10, 14, "<th colspan=\"3\">");
    page.element(11, 15, "<div class=\"class_header\">", &html_quoted(tab.class), "</div>");
    page.line(11, 15, &format!("<div class=\"class_sub_header\">Entries: {}</div>", tab.entries.len()));
    page.line(10, 14, "</th>");
    page.line(9, 13, "</tr>");
    columns(page);
    page.line(8, 12, "</thead>");
    page.line(8, 12, "<tfoot>");
    columns(page);
    page.line(8, 12, "</tfoot>");
    page.line(8, 12, "<tbody>");
    for entry in &tab.entries {
        page.line(9, 13, "<tr>");
        page.line(10, 14, &format!("<td>{}</td>", html(&entry.car_number)));
        let name =
            format!("<span class=\"hidden\">{}</span>{}", html_quoted(&entry.sort_name), html_quoted(&entry.name));
        page.line(10, 14, &format!("<td>{name}</td>"));
        page.line(10, 14, &format!("<td>{}</td>", html(&entry.transponder)));
        page.line(9, 13, "</tr>");
    }
    page.line(8, 12, "</tbody>");
    page.line(7, 11, "</table>");
    page.line(6, 10, "</div>");
}

fn columns(page: &mut Page) {
    page.line(9, 13, "<tr>");
    for column in ["#", "Driver", "Transponder #"] {
        page.line(10, 14, &format!("<th>{column}</th>"));
    }
    page.line(9, 13, "</tr>");
}
