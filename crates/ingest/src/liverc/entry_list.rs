//! The entry list of an event: who entered which class with which transponder.

use std::collections::HashSet;

use scraper::{ElementRef, Html};

use super::bounds;
use super::error::PageError;
use super::html::check_whole;
use super::text::{cells, elements, first_of_class, has_class, parent_name, visible};
use crate::model::Entry;

/// Reads an entry list, in the page's order. A row that is there twice, letter for letter, counts once: an entry's key
/// is all of it.
///
/// # Errors
/// A page that is cut short, or that has no table of entries.
pub fn parse(text: &str) -> Result<Vec<Entry>, PageError> {
    check_whole(text)?;
    bounds::check(text)?;
    let html = Html::parse_document(text);
    let root = html.root_element();
    let (mut entries, mut seen, mut found) = (Vec::new(), HashSet::new(), false);
    for table in elements(root).filter(|e| e.value().name() == "table" && has_class(*e, "table-striped")) {
        let Some(class) = first_of_class(table, "class_header").map(|h| visible(h, &[])) else { continue };
        let Some(columns) = elements(table).filter(|e| e.value().name() == "tr").find_map(Columns::named) else {
            continue;
        };
        found = true;
        for row in elements(table).filter(|e| e.value().name() == "tr") {
            if matches!(parent_name(row), "thead" | "tfoot") {
                continue;
            }
            let cells: Vec<ElementRef<'_>> = cells(row).collect();
            let shown = |at: usize| cells.get(at).map(|c| visible(*c, &[])).unwrap_or_default();
            if cells.iter().all(|c| c.value().name() == "th") || cells.len() < 2 {
                continue;
            }
            let entry = Entry {
                class: class.clone(),
                car_number: shown(columns.car),
                name: shown(columns.driver),
                transponder: shown(columns.transponder),
            };
            if seen.insert(entry.clone()) {
                entries.push(entry);
            }
        }
    }
    if found { Ok(entries) } else { Err(PageError::NoEntryTable) }
}

/// Where each column stands.
struct Columns {
    car: usize,
    driver: usize,
    transponder: usize,
}

impl Columns {
    /// By the names in a row of the head (`#`, `Driver`, `Transponder #`); `None` if it is not the row of names.
    fn named(row: ElementRef<'_>) -> Option<Self> {
        let names: Vec<String> = cells(row).map(|c| visible(c, &[]).to_ascii_lowercase()).collect();
        let at = |wanted: &str| names.iter().position(|n| n == wanted);
        Some(Self {
            car: at("#")?,
            driver: at("driver")?,
            transponder: names.iter().position(|n| n.starts_with("transponder"))?,
        })
    }
}
