//! Real pages, where the shared folder is there: against the truth that `SPEC.md` gives for them. They stay there.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use ingest::liverc::{PageError, entry_list, event_page, parse_race, race_page};
use ingest::model::{ListedRace, Race};

/// The folder beside the workspace; `None`, said aloud, where it is not there.
fn folder() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let found = workspace.ancestors().skip(1).map(|up| up.join("shared/liverc/pages")).find(|p| p.is_dir());
    if found.is_none() {
        println!("skipped: no ../shared/liverc/pages");
    }
    found
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A race page as the event page lists it, so that the two are held against each other as well.
fn race(folder: &Path, id: u64) -> Race {
    let event = event_page::parse(&read(folder, "event-486677.html")).unwrap();
    let listed = event.races.into_iter().find(|r| r.id == id).unwrap();
    parse_race(&read(folder, &format!("race-{id}.html")), listed).unwrap()
}

#[test]
fn race_pages_give_the_truth() {
    let Some(folder) = folder() else { return };
    for (id, drivers, laps, sum_ms) in [(6_304_829, 12, 444, 17_931_036_u64), (6_304_822, 10, 96, 4_014_559)] {
        let race = race(&folder, id);
        assert_eq!((race.results.len(), race.lap_count()), (drivers, laps));
        let sum: u64 = race.results.iter().flat_map(|r| &r.laps).map(|l| u64::from(l.time_ms)).sum();
        assert_eq!(sum, sum_ms);
        assert_eq!(race.warnings, Vec::<String>::new());
        for result in &race.results {
            assert!(result.driver_id.is_some(), "every driver has an id");
            let own: u64 = result.laps.iter().map(|l| u64::from(l.time_ms)).sum();
            assert_eq!(result.total_ms.map_or(0, u64::from), own);
            assert_eq!(result.laps_completed, u32::try_from(result.laps.len()).ok());
            assert_eq!(result.grid.is_some(), !result.laps.is_empty());
        }
    }
}

#[test]
fn event_and_entry_list_are_read_whole() {
    let Some(folder) = folder() else { return };
    let event = event_page::parse(&read(&folder, "event-486677.html")).unwrap();
    assert_eq!(event.id, Some(486_677));
    assert_eq!((event.entries, event.drivers, event.total_laps), (Some(71), Some(60), Some(4129)));
    assert!(event.has_entry_list && event.first_day == event.last_day && event.first_day.is_some());
    let text = read(&folder, "event-486677.html");
    assert_eq!(event.races.len(), text.matches("p=view_race_result").count());
    assert!(event.races.iter().all(|r| r.completed_at.is_some() && r.number.is_some() && !r.round.is_empty()));
    assert!(event.races.iter().all(|r| r.label.starts_with(&r.class) && !r.label.contains('\n')));

    let text = read(&folder, "entry-list-excerpt.html");
    let entries = entry_list::parse(&text).unwrap();
    assert_eq!(entries.len(), 61);
    assert!(entries.iter().all(|e| !e.name.contains(',') && !e.name.is_empty()));
    let classes: std::collections::BTreeSet<&str> = entries.iter().map(|e| e.class.as_str()).collect();
    assert_eq!(classes.len(), 2);
}

#[test]
fn json5_agrees_on_the_laps() {
    let Some(folder) = folder() else { return };
    for name in ["race-6304829.html", "race-6304822.html"] {
        let text = read(&folder, name);
        let page = race_page::parse(&text).unwrap();
        let mut count = 0;
        for part in text.split("racerLaps[").skip(1) {
            let Some((id, rest)) = part.split_once("] = ") else { continue };
            let Ok(id) = id.parse::<u64>() else { continue };
            let literal = rest.split_once("};").unwrap().0;
            let second: serde_json::Value = json5::from_str(&format!("{literal}}}")).unwrap();
            let ours = page.drivers.iter().find(|d| d.driver_id == id).unwrap();
            let laps = second["laps"].as_array().unwrap();
            assert_eq!(ours.laps.len(), laps.len().saturating_sub(1));
            for (own, other) in ours.laps.iter().zip(laps.iter().skip(1)) {
                let thousandths = other["time"].as_str().unwrap().parse::<f64>().unwrap() * 1000.0;
                assert!((f64::from(own.time_ms) - thousandths).abs() < 0.01);
                assert_eq!(other["lapNum"], own.number.to_string());
                assert_eq!(other["pos"].as_str().unwrap().parse().ok(), own.position);
            }
            count += 1;
        }
        assert_eq!(count, page.drivers.len());
    }
}

#[test]
fn a_real_page_that_was_cut_is_never_a_shorter_race() {
    let Some(folder) = folder() else { return };
    let text = read(&folder, "race-6304822.html");
    let listed = ListedRace {
        id: 1,
        round: String::new(),
        number: None,
        class: String::new(),
        label: String::new(),
        completed_at: None,
    };
    let whole = parse_race(&text, listed.clone()).unwrap();
    for at in (0..text.len()).step_by(97).chain(text.len() - 30..text.len()) {
        match parse_race(&text[..at], listed.clone()) {
            Ok(read) => assert_eq!(read, whole),
            Err(PageError::CutShort { .. } | PageError::Script { .. }) => {}
            Err(other) => panic!("cut at {at}: {other}"),
        }
    }
}
