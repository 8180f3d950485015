//! From pages to races, by the parsers of the engine, and what a wrong engine makes of them.

use ingest::liverc::{parse_race, racer_laps};
use ingest::model::{ListedRace, Race, RaceResult};

use crate::bug::Bug;

/// Reads the page of a race.
///
/// # Errors
/// In plain words, what is wrong with the page.
pub fn race(text: &str, listed: &ListedRace, bug: Option<Bug>) -> Result<Race, String> {
    let mut race = match parse_race(text, listed.clone()) {
        Err(_) if bug == Some(Bug::TruncatedAccepted) && !text.contains("</html>") => what_came(text, listed),
        read => read.map_err(|e| e.to_string())?,
    };
    match bug {
        Some(Bug::LastDriverOnly) => {
            let last = race.results.len().saturating_sub(1);
            race.results.iter_mut().take(last).for_each(|result| result.laps.clear());
        }
        Some(Bug::Superscript) => race.results.iter_mut().for_each(with_superscript),
        _ => {}
    }
    Ok(race)
}

/// `38.214` and the superscript 7 read as `38.2147`: 38 s and 2147 ms.
fn with_superscript(result: &mut RaceResult) {
    let (Some(ms), Some(lap)) = (result.fastest_ms, result.fastest_lap) else { return };
    let digits = format!("{:03}{lap}", ms % 1_000);
    result.fastest_ms = Some(ms / 1_000 * 1_000 + digits.parse::<u32>().unwrap_or(0));
}

/// A race of what there is of a page without an end: the drivers whose laps have come whole.
fn what_came(text: &str, listed: &ListedRace) -> Race {
    let mut drivers = Vec::new();
    for part in text.split("racerLaps[").skip(1) {
        let Some((assignment, _)) = part.split_once("};") else { continue };
        // Text that only uses the name is no assignment, and an error here is a driver less.
        let _ = racer_laps::in_script(&format!("racerLaps[{assignment}}};"), 0, &mut drivers);
    }
    let results = drivers.into_iter().map(|driver| RaceResult {
        driver_id: Some(driver.driver_id),
        name: driver.name,
        nth: 0,
        car_number: String::new(),
        position: None,
        qualifying: None,
        grid: driver.grid,
        laps_completed: u32::try_from(driver.laps.len()).ok(),
        total_ms: None,
        behind: String::new(),
        fastest_ms: None,
        fastest_lap: None,
        average_ms: None,
        average_top5_ms: None,
        average_top10_ms: None,
        average_top15_ms: None,
        top3_ms: None,
        deviation_ms: None,
        consistency_bp: None,
        laps: driver.laps,
    });
    Race { listed: listed.clone(), length: String::new(), results: results.collect(), warnings: Vec::new() }
}
