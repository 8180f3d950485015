//! Race page and listing → [`Race`]: the rows of the table joined to their laps, everything checked.
//!
//! Errors are what would lose or invent a lap: a gap, a repeat, laps that a row links to and that are not there. What
//! officials adjust by hand (a total unlike the sum of laps, a lap count unlike the table's) is a warning, stored with
//! the race. Warnings are in the order of the table, so that they are the same for the same page.

use std::collections::HashMap;

use super::error::PageError;
use super::race_page::{self, RacePage};
use super::racer_laps::DriverLaps;
use crate::model::{ListedRace, Race, RaceResult};

/// Reads and checks the page of a listed race.
///
/// # Errors
/// As [`race_page::parse`] and [`validate`].
pub fn parse_race(text: &str, listed: ListedRace) -> Result<Race, PageError> {
    validate(race_page::parse(text)?, listed)
}

/// Joins and checks what a race page says.
///
/// Rows with a link take the laps of its driver id. Rows without take, by name, those that are left; of equal names the
/// first row takes the first laps.
///
/// # Errors
/// A gap or repeat in lap numbers, a link to laps that are not there, a driver twice, or the page of another race.
pub fn validate(page: RacePage, listed: ListedRace) -> Result<Race, PageError> {
    let mut warnings = page.warnings;
    check_same_race(&page.class, &page.round, page.number, &listed, &mut warnings)?;
    let mut rows = page.rows;
    let mut laps: Vec<Option<DriverLaps>> = page.drivers.into_iter().map(Some).collect();

    let mut owned: Vec<Option<DriverLaps>> = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let Some(id) = row.driver_id else {
            owned.push(None);
            continue;
        };
        if rows.iter().take(index).any(|earlier| earlier.driver_id == Some(id)) {
            return Err(PageError::DriverTwice { id, place: "result table" });
        }
        let own = laps.iter_mut().find(|d| d.as_ref().is_some_and(|d| d.driver_id == id)).and_then(Option::take);
        if own.is_none() && row.laps_completed != Some(0) {
            return Err(PageError::LapsMissing { of: format!("{} (driver {id})", row.name) });
        }
        owned.push(own);
    }
    strip_qualifying_numbers(&mut rows, &owned, &laps);
    for (row, own) in rows.iter_mut().zip(&mut owned) {
        if row.driver_id.is_none() {
            *own = take_by_name(&mut laps, row);
            row.driver_id = own.as_ref().map(|d| d.driver_id);
        }
    }
    for (row, own) in rows.iter_mut().zip(owned) {
        if let Some(own) = own {
            take_laps(row, own, &mut warnings)?;
        }
        check_sums(row, &mut warnings);
    }
    for left in laps.into_iter().flatten() {
        let count = left.laps.len();
        warnings.push(format!("racerLaps has {} with {count} laps, who is not in the result table", left.who()));
        in_sequence(&left)?;
    }
    number_namesakes(&mut rows);
    Ok(Race { listed, length: page.length, results: rows, warnings })
}

/// The page's own number, round and class against what the event page said of the race.
///
/// The number is the same thing on both pages, so a difference is an error. Rounds and classes are free text: one
/// that differs may be another wording and is a warning, unless only a digit differs (`Qualifier Round 2`, `3`) or both do.
fn check_same_race(
    class: &str,
    round: &str,
    number: Option<u32>,
    listed: &ListedRace,
    warnings: &mut Vec<String>,
) -> Result<(), PageError> {
    let other_number = matches!((number, listed.number), (Some(a), Some(b)) if a != b);
    let other_round = !round.is_empty() && !listed.round.is_empty() && !round.eq_ignore_ascii_case(&listed.round);
    let other_class = !class.is_empty()
        && !listed.class.is_empty()
        && !class.eq_ignore_ascii_case(&listed.class)
        && !class.eq_ignore_ascii_case(&listed.label);
    if other_number || (other_round && (other_class || differ_in_digits(round, &listed.round))) {
        let name = |number: Option<u32>, class: &str, round: &str| match number {
            Some(number) => format!("race {number}, {class}, {round}"),
            None => format!("{class}, {round}"),
        };
        let label = if listed.label.is_empty() { &listed.class } else { &listed.label };
        return Err(PageError::OtherRace {
            asked: name(listed.number, label, &listed.round),
            got: name(number, class, round),
        });
    }
    if other_round {
        warnings.push(format!("the race page says round {round:?}, the event page {:?}", listed.round));
    }
    if other_class {
        let label = if listed.label.is_empty() { &listed.class } else { &listed.label };
        warnings.push(format!("the race page says class {class:?}, the event page {label:?}"));
    }
    Ok(())
}

/// Whether two texts are the same but for the numbers in them.
fn differ_in_digits(a: &str, b: &str) -> bool {
    let letters = |t: &str| t.chars().filter(|c| !c.is_ascii_digit()).flat_map(char::to_lowercase).collect::<String>();
    a.chars().any(|c| c.is_ascii_digit()) && b.chars().any(|c| c.is_ascii_digit()) && letters(a) == letters(b)
}

/// Takes the qualifying number off names such as `1 ANNA EXAMPLE`, where it is one and not a part of the name.
///
/// What the driver is called in `racerLaps` decides. Where that has the number too, or nothing, it is taken for the
/// qualifying number if it equals the column Qual; and where `racerLaps` has it, only if every row of the
/// table carries its own.
fn strip_qualifying_numbers(rows: &mut [RaceResult], owned: &[Option<DriverLaps>], left: &[Option<DriverLaps>]) {
    let carries_own = |row: &RaceResult| prefix(&row.name).is_some_and(|(n, _)| Some(n) == row.qualifying);
    let every_row = rows.iter().filter(|r| r.qualifying.is_some()).all(carries_own);
    for (row, own) in rows.iter_mut().zip(owned) {
        let Some((number, rest)) = prefix(&row.name) else { continue };
        let called = |name: &str| {
            let key = name_key(name);
            match own {
                Some(own) => name_key(&own.name) == key,
                None => left.iter().flatten().any(|d| name_key(&d.name) == key),
            }
        };
        let is_qualifying = Some(number) == row.qualifying;
        let strip = called(rest) || (is_qualifying && (every_row || !called(&row.name)));
        if strip {
            row.name = rest.to_owned();
        }
    }
}

/// `(1, "ANNA EXAMPLE")` of `1 ANNA EXAMPLE`.
fn prefix(name: &str) -> Option<(u32, &str)> {
    let (head, rest) = name.split_once(' ')?;
    let number = super::times::number(head).ok()?;
    (!rest.is_empty()).then_some((number, rest))
}

/// The first laps that are left of a row's name; failing that, of its name with the qualifying number before it.
fn take_by_name(laps: &mut [Option<DriverLaps>], row: &RaceResult) -> Option<DriverLaps> {
    let mut take = |key: String| {
        laps.iter_mut().find(|d| d.as_ref().is_some_and(|d| name_key(&d.name) == key)).and_then(Option::take)
    };
    take(name_key(&row.name))
        .or_else(|| row.qualifying.and_then(|number| take(name_key(&format!("{number} {}", row.name)))))
}

/// What names are compared by: without case.
fn name_key(name: &str) -> String {
    name.to_uppercase()
}

/// Gives a row its laps, in order and checked.
fn take_laps(row: &mut RaceResult, mut own: DriverLaps, warnings: &mut Vec<String>) -> Result<(), PageError> {
    if !own.laps.is_sorted_by_key(|lap| lap.number) {
        own.laps.sort_by_key(|lap| lap.number);
    }
    in_sequence(&own)?;
    if own.odd_positions > 0 {
        warnings.push(format!("{} laps of {} have a position that is no number", own.odd_positions, row.name));
    }
    if own.odd_paces > 0 {
        warnings.push(format!("{} laps of {} have a pace that cannot be read", own.odd_paces, row.name));
    }
    row.grid = own.grid;
    row.laps = own.laps;
    Ok(())
}

/// Checks that the numbers are 1, 2, 3 … each once; the laps may be in any order.
fn in_sequence(driver: &DriverLaps) -> Result<(), PageError> {
    if driver.starts > 1 {
        return Err(PageError::LapRepeat { of: driver.who(), lap: 0 });
    }
    let mut numbers: Vec<u32> = driver.laps.iter().map(|lap| lap.number).collect();
    numbers.sort_unstable();
    for (number, expected) in numbers.into_iter().zip(1_u32..) {
        if number < expected {
            return Err(PageError::LapRepeat { of: driver.who(), lap: number });
        }
        if number > expected {
            return Err(PageError::LapGap { of: driver.who(), lap: expected });
        }
    }
    Ok(())
}

/// Laps against Laps/Time; officials adjust results by hand, so a difference is a warning.
fn check_sums(row: &RaceResult, warnings: &mut Vec<String>) {
    let who = &row.name;
    let count = row.laps.len();
    if let Some(completed) = row.laps_completed
        && usize::try_from(completed) != Ok(count)
    {
        warnings.push(format!("{who} has {count} laps, Laps/Time says {completed}"));
    }
    let sum: u64 = row.laps.iter().map(|lap| u64::from(lap.time_ms)).sum();
    if let Some(total) = row.total_ms
        && count > 0
        && u64::from(total) != sum
    {
        warnings.push(format!("the laps of {who} sum to {sum} ms, Laps/Time says {total} ms"));
    }
}

/// Numbers the results that have no driver id and one name.
fn number_namesakes(rows: &mut [RaceResult]) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for row in rows.iter_mut().filter(|row| row.driver_id.is_none()) {
        let next = seen.entry(row.name.clone()).or_default();
        row.nth = *next;
        *next += 1;
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
