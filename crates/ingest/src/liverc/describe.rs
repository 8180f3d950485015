//! What was read from a saved page, as JSON, for `ingest parse`.

use serde_json::{Value, json};

use super::error::PageError;
use super::kind::PageKind;
use super::race_page::RacePage;
use super::{entry_list, event_page, race_page, validate};
use crate::model::ListedRace;

/// Reads a page of any kind, found by its content.
///
/// An event page gives its facts and `races`; an entry list `entries`; a race page `results`, each with its `laps`, and
/// `warnings`. A race page does not say its id, so none is given.
///
/// # Errors
/// A page that cannot be read, as ingestion would find it.
pub fn describe(text: &str) -> Result<Value, PageError> {
    match PageKind::of(text)? {
        PageKind::Event => {
            let page = event_page::parse(text)?;
            Ok(json!({
                "kind": "event",
                "id": page.id,
                "track_name": page.track_name,
                "name": page.name,
                "first_day": page.first_day,
                "last_day": page.last_day,
                "entries": page.entries,
                "drivers": page.drivers,
                "total_laps": page.total_laps,
                "has_entry_list": page.has_entry_list,
                "races": page.races,
            }))
        }
        PageKind::EntryList => Ok(json!({ "kind": "entry_list", "entries": entry_list::parse(text)? })),
        PageKind::Race => race(race_page::parse(text)?),
    }
}

fn race(page: RacePage) -> Result<Value, PageError> {
    // The page is held against nothing but itself here: there is no event page to compare it with.
    let listed = ListedRace {
        id: 0,
        round: page.round.clone(),
        number: page.number,
        class: page.class.clone(),
        label: page.class.clone(),
        completed_at: None,
    };
    let heading = page.heading.clone();
    let race = validate::validate(page, listed)?;
    Ok(json!({
        "kind": "race",
        "heading": heading,
        "class": race.listed.class,
        "round": race.listed.round,
        "number": race.listed.number,
        "length": race.length,
        "results": race.results,
        "warnings": race.warnings,
    }))
}
