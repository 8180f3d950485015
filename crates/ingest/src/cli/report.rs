//! What goes to stdout.

use std::io::Write as _;

use contract::exit;
use contract::feed::{Counts, Summary};
use serde_json::Value;

use crate::settings::{KEYS, Settings, Source};
use crate::store::EventStatus;

/// Prints lines; a reader that went away is no error.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a JSON value, over several lines or on one.
pub fn json(value: &Value, pretty: bool) {
    print(&if pretty { format!("{value:#}") } else { value.to_string() });
}

/// Prints every setting with its value and source.
pub fn settings(settings: &Settings, as_json: bool) {
    // What is hidden is shown where somebody set it.
    let hidden = |name: &str| KEYS.iter().any(|key| key.name == name && key.hidden);
    let rows = settings.resolved().iter().filter(|r| r.source != Source::Default || !hidden(r.name));
    if as_json {
        let rows = rows.map(|r| {
            let mut row = serde_json::json!({ "setting": r.name, "value": r.value, "source": r.source.to_string() });
            if let (Some((value, from)), Value::Object(row)) = (&r.comes_to, &mut row) {
                row.insert("comes_to".to_owned(), serde_json::json!({ "value": value, "from": from }));
            }
            row
        });
        return json(&rows.collect(), true);
    }
    let rows: Vec<_> = rows
        .map(|r| match &r.comes_to {
            None => (r.name, r.value.clone(), r.source.to_string()),
            Some((value, from)) => (r.name, format!("{} = {value}", r.value), format!("{}; {from}", r.source)),
        })
        .collect();
    let width = |text: fn(&(&str, String, String)) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let (names, values) = (width(|r| r.0.len()), width(|r| r.1.chars().count()));
    for (name, value, source) in &rows {
        print(&format!("{name:names$}  {value:values$}  {source}"));
    }
}

/// Prints the summary of a run.
pub fn summary(summary: &Summary, as_json: bool) {
    if as_json {
        return json(&serde_json::to_value(summary).unwrap_or_default(), true);
    }
    if let Some(error) = &summary.error {
        eprintln!("ingest: {error}");
        if summary.listed == 0 {
            return; // it did not get as far as the event page
        }
    }
    let ms = summary.total_us / 1000;
    print(&format!(
        "event {}: {} races listed, {} written, {} unchanged or done before, {} removed, {} failed; {ms} ms",
        summary.event_id,
        summary.listed,
        summary.written,
        summary.skipped,
        summary.removed,
        summary.failed.len()
    ));
    let rows = &summary.rows;
    for (table, counts) in [
        ("drivers", rows.drivers),
        ("entries", rows.entries),
        ("races", rows.races),
        ("results", rows.results),
        ("laps", rows.laps),
    ] {
        let Counts { inserted, updated, deleted, unchanged } = counts;
        print(&format!(
            "  {table:8} {inserted:>8} new {updated:>8} updated {deleted:>8} gone {unchanged:>8} unchanged"
        ));
    }
    if summary.ambiguous_entries > 0 {
        print(&format!("  {} entries have no driver: their name is ambiguous", summary.ambiguous_entries));
    }
    for failed in &summary.failed {
        print(&format!("  race {} failed: {} ({})", failed.race, failed.cause, failed.url));
    }
}

/// Prints the status of an event. The exit code says whether the checkpoints agree with the rows, where that was looked at.
pub fn status(status: &EventStatus, as_json: bool) -> u8 {
    let wrong: Vec<_> = status.races.iter().filter(|r| r.recomputed.is_some() && r.recomputed != r.hash).collect();
    if as_json {
        json(&serde_json::to_value(status).unwrap_or_default(), true);
    } else {
        let written = status.races.iter().filter(|r| r.state.as_deref() == Some("written")).count();
        let laps: u64 = status.races.iter().map(|r| r.laps).sum();
        print(&format!(
            "event {} {} at {}: {}, {written} of {} races written, {} entries, {laps} laps",
            status.event_id, status.name, status.track, status.ingest_depth, status.listed_races, status.entries
        ));
        for race in status.races.iter().filter(|r| r.state.as_deref() != Some("written")) {
            let error = race.error.as_deref().unwrap_or("no checkpoint");
            print(&format!("  race {}: {error} {}", race.race_id, race.url.as_deref().unwrap_or_default()));
        }
        for race in &wrong {
            print(&format!("  race {}: its rows are not those that its checkpoint speaks of", race.race_id));
        }
    }
    if wrong.is_empty() { exit::COMPLETE } else { exit::FAILED }
}
