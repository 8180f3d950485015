//! A race from its grid to the flag: lap times, retirements, absences.
//!
//! A timed race: whoever crosses the line before the time is up starts another lap. So laps are dealt one by one to the
//! driver whose last crossing is the earliest, until the planned number is out; the time that fits is the race's length.

use super::model::{Derived, Lap, RaceResult, Shown};
use super::people::Person;
use super::seed::Dice;

/// A driver on the grid.
pub(super) struct Starter<'a> {
    pub person: &'a Person,
    /// Shares his name with another, so that a page must tell his id.
    pub twin: bool,
}

/// What became of a race: its length in ms, and a result per starter, unordered and with lap times only.
pub(super) struct Outcome {
    pub length_ms: u32,
    pub results: Vec<RaceResult>,
}

/// A driver under way.
struct Car {
    pace_ms: f64,
    sigma: f64,
    crossed_ms: f64,
    laps: Vec<f64>,
    /// Gives up after so many laps; 0 never starts.
    limit: usize,
}

/// Races `grid` (in grid order) for `laps` laps in all.
pub(super) fn race(dice: &mut Dice, grid: &[Starter<'_>], laps: u64) -> Outcome {
    let mut cars: Vec<Car> =
        grid.iter().enumerate().map(|(place, s)| car(dice, s.person, place, grid.len(), laps)).collect();
    let mut started_ms = 0.0_f64;
    let mut left = laps;
    while left > 0 {
        let Some(car) = cars
            .iter_mut()
            .filter(|car| car.laps.len() < car.limit)
            .min_by(|a, b| a.crossed_ms.total_cmp(&b.crossed_ms))
        else {
            break;
        };
        started_ms = car.crossed_ms;
        let time = lap_time(dice, car);
        car.crossed_ms += time;
        car.laps.push(time);
        left -= 1;
    }
    let flag_ms = cars
        .iter()
        .filter(|car| car.laps.len() < car.limit)
        .map(|car| car.crossed_ms)
        .fold(f64::INFINITY, f64::min)
        .min(started_ms + 60_000.0);
    let (length_ms, scale) = length((started_ms + flag_ms) / 2.0);
    let results =
        grid.iter().zip(cars).enumerate().map(|(place, (s, car))| result(dice, s, place, &car, scale)).collect();
    Outcome { length_ms, results }
}

/// Pace, steadiness and fate of a driver. The first on the grid always starts and never retires, so that every planned
/// lap finds somebody to drive it.
fn car(dice: &mut Dice, person: &Person, place: usize, field: usize, laps: u64) -> Car {
    let expected = usize::try_from(laps).unwrap_or(usize::MAX) / field.max(1);
    let fate = dice.below(100);
    let part = 10 + dice.index(80);
    let limit = match fate {
        _ if place == 0 => usize::MAX,
        0..5 => 0,
        5..12 => (expected * part / 100).max(1),
        _ => usize::MAX,
    };
    Car {
        pace_ms: 36_000.0 * (1.0 + 0.16 * person.skill) * dice.spread(0.012),
        sigma: 0.012 + 0.03 * person.skill,
        // Those behind cross the start line later.
        crossed_ms: 400.0 * f64::from(u32::try_from(place).unwrap_or(0)),
        laps: Vec::new(),
        limit,
    }
}

/// The next lap: about log-normal; the first is slower; one in thirty has a mishap.
fn lap_time(dice: &mut Dice, car: &mut Car) -> f64 {
    let mut time = car.pace_ms * dice.spread(car.sigma);
    if car.laps.is_empty() {
        // The clock of lap 1 starts at the signal.
        time += 1_500.0 + car.crossed_ms;
        car.crossed_ms = 0.0;
    }
    match dice.below(600) {
        0..18 => time += 3_000.0 + 12_000.0 * dice.unit(),
        18..20 => time += 20_000.0 + 80_000.0 * dice.unit(),
        _ => {}
    }
    time
}

/// The nearest whole minute (half minute under three), and what to scale lap times by so that the race has that length.
fn length(flag_ms: f64) -> (u32, f64) {
    let unit = if flag_ms < 180_000.0 { 30_000.0 } else { 60_000.0 };
    let nominal = (flag_ms / unit).round().max(1.0) * unit;
    let scale = nominal / flag_ms.max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes of a race, far inside u32")]
    let nominal_ms = nominal.min(4e9) as u32;
    (nominal_ms, if (0.75..1.35).contains(&scale) { scale } else { 1.0 })
}

/// A result with its lap times; the rest is computed when the race is settled.
fn result(dice: &mut Dice, starter: &Starter<'_>, place: usize, car: &Car, scale: f64) -> RaceResult {
    // Who did not start shows in four ways; the first is what LiveRC does as a rule.
    let (link, scripted) = match (car.laps.is_empty(), dice.below(20)) {
        (false, _) => (true, true),
        (true, 0..11) => (false, true),
        (true, 11..16) if !starter.twin => (false, false),
        (true, 16..18) => (true, false),
        (true, _) => (true, true),
    };
    let place = u32::try_from(place + 1).unwrap_or(u32::MAX);
    RaceResult {
        driver_id: (link || scripted).then_some(starter.person.id),
        name: starter.person.name(),
        nth: 0,
        car_number: place.to_string(),
        position: None,
        qualifying: Some(place),
        grid: (!car.laps.is_empty()).then_some(place),
        laps_completed: 0,
        total_ms: None,
        behind: String::new(),
        derived: Derived::default(),
        laps: car.laps.iter().map(|ms| lap(ms * scale)).collect(),
        shown: Shown { driver: starter.person.id, link, scripted, position: None },
    }
}

/// A lap that is nothing but its time yet.
pub(super) fn lap(ms: f64) -> Lap {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    let time_ms = ms.round().clamp(1_000.0, 4e9) as u32;
    Lap { number: 0, position: 0, time_ms, pace_laps: 0, pace_ms: 0 }
}
