//! Made-up race meetings for tests and benches.

use crate::model::{Entry, Event, Lap, ListedRace, Race, RaceResult};

/// An event with these races.
#[must_use]
pub fn event(id: u64, races: &[Race]) -> Event {
    Event {
        id,
        track: "testtrack".to_owned(),
        track_name: "Test Track".to_owned(),
        name: "Club Day".to_owned(),
        first_day: jiff::civil::Date::new(2025, 11, 16).ok(),
        last_day: jiff::civil::Date::new(2025, 11, 17).ok(),
        entries: Some(20),
        drivers: Some(10),
        total_laps: Some(400),
        has_entry_list: true,
        races: races.iter().map(|r| r.listed.clone()).collect(),
    }
}

/// A driver's name: the same for the same id.
#[must_use]
pub fn name(driver: u64) -> String {
    format!("DRIVER O'{driver}")
}

/// The entries of `drivers` drivers in the class of [`race`].
#[must_use]
pub fn entries(drivers: u64) -> Vec<Entry> {
    (0..drivers)
        .map(|i| Entry {
            class: "Buggy (Mod)".to_owned(),
            car_number: (i + 1).to_string(),
            name: name(1000 + i),
            transponder: format!("{}", 2_222_000 + i),
        })
        .collect()
}

/// A race with so many results of so many laps.
#[must_use]
pub fn race(id: u64, results: u64, laps: u32) -> Race {
    let listed = ListedRace {
        id,
        round: "Main Events".to_owned(),
        number: u32::try_from(id % 30).ok(),
        class: "Buggy (Mod)".to_owned(),
        label: "Buggy (Mod) A-Main".to_owned(),
        completed_at: jiff::civil::DateTime::new(2025, 11, 16, 17, 30, 0, 0).ok(),
    };
    let results = (0..results).map(|i| result(id, i, laps)).collect();
    Race { listed, length: "30:00 Timed".to_owned(), results, warnings: Vec::new() }
}

fn result(race: u64, i: u64, laps: u32) -> RaceResult {
    let place = u32::try_from(i + 1).ok();
    let base = 30_000 + u32::try_from((race * 31 + i * 7) % 1_000).unwrap_or(0);
    let laps: Vec<Lap> = (1..=laps)
        .map(|number| Lap {
            number,
            position: place,
            time_ms: base + number * 13 % 700,
            pace_laps: Some(number + 1),
            pace_ms: Some(base * 2),
        })
        .collect();
    RaceResult {
        driver_id: Some(1000 + i),
        name: name(1000 + i),
        nth: 0,
        car_number: (i + 1).to_string(),
        position: place,
        qualifying: place,
        grid: place,
        laps_completed: u32::try_from(laps.len()).ok(),
        total_ms: Some(laps.iter().map(|l| l.time_ms).sum()),
        behind: if i == 0 { String::new() } else { "12.052".to_owned() },
        fastest_ms: laps.iter().map(|l| l.time_ms).min(),
        fastest_lap: laps.iter().min_by_key(|l| l.time_ms).map(|l| l.number),
        average_ms: Some(base),
        average_top5_ms: None,
        average_top10_ms: None,
        average_top15_ms: None,
        top3_ms: Some(base * 3),
        deviation_ms: Some(1_230),
        consistency_bp: Some(9_282),
        laps,
    }
}
