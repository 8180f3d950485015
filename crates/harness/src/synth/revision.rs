//! Revisions: the same event after officials corrected it.
//!
//! A correction changes facts, never text: everything that follows from them (totals, averages, order, positions, gaps)
//! is computed again, as the site does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::derive::{number_twins, settle};
use super::event::Synth;
use super::model::{Derived, Entry, Event, ListedRace, Race, RaceResult, Shown};
use super::people::new_name;
use super::seed::Dice;
use super::simulate::lap;

/// Something that officials correct. One whose race or driver does not exist changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// A lap that was counted by mistake goes; later laps move up.
    LapRemoved {
        /// LiveRC's id of the race.
        race: u64,
        /// LiveRC's id of the driver.
        driver: u64,
        /// Number of the lap.
        lap: u32,
    },
    /// A lap time was wrong.
    TimeChanged {
        /// LiveRC's id of the race.
        race: u64,
        /// LiveRC's id of the driver.
        driver: u64,
        /// Number of the lap.
        lap: u32,
        /// Its right time.
        time_ms: u32,
    },
    /// A driver whose transponder had not been assigned is added, with laps a little slower than the winner's.
    DriverAdded {
        /// LiveRC's id of the race.
        race: u64,
        /// LiveRC's id of the driver.
        driver: u64,
        /// The driver's name.
        name: String,
    },
    /// A driver is disqualified: position `DQ`, at the table's end; the laps stay.
    Disqualified {
        /// LiveRC's id of the race.
        race: u64,
        /// LiveRC's id of the driver.
        driver: u64,
    },
    /// A race is run again and listed as its round's newest.
    RaceAdded {
        /// Id of the new race.
        race: u64,
        /// The race whose drivers and length it has.
        like: u64,
    },
    /// A race leaves the event page.
    RaceWithdrawn {
        /// LiveRC's id of the race.
        race: u64,
    },
    /// A driver's name was misspelt, on every page.
    NameCorrected {
        /// LiveRC's id of the driver.
        driver: u64,
        /// The right name.
        name: String,
    },
}

/// What a reader must fetch again to go from one revision to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Races that are listed now and were not.
    pub added: Vec<u64>,
    /// Races that were listed and are not.
    pub withdrawn: Vec<u64>,
    /// Races whose pages differ.
    pub changed: Vec<u64>,
}

impl Synth {
    /// How many corrections [`Synth::revision`] knows: one of each kind.
    pub const REVISIONS: usize = 7;

    /// This event with more corrections, in order.
    #[must_use]
    pub fn revise(&self, corrections: &[Correction]) -> Self {
        let mut revised = self.clone();
        revised.corrections.extend_from_slice(corrections);
        revised
    }

    /// The event's `n`-th revision: 0 as it was first published, then with one more correction each, in the order of
    /// [`Correction`]. Beyond [`Synth::REVISIONS`] nothing more changes.
    #[must_use]
    pub fn revision(&self, n: usize) -> Self {
        let first = Self { base: Arc::clone(&self.base), corrections: Vec::new(), oddities: self.oddities.clone() };
        if n == 0 {
            return first;
        }
        let mut corrections = standard(&first);
        corrections.truncate(n);
        first.revise(&corrections)
    }

    /// The corrections of this revision.
    #[must_use]
    pub fn corrections(&self) -> &[Correction] {
        &self.corrections
    }

    /// What differs from an `earlier` revision of the same event.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self) -> Changes {
        let (was, is) = (earlier.listed(), self.listed());
        let old: BTreeSet<u64> = was.iter().map(|r| r.id).collect();
        let new: BTreeSet<u64> = is.iter().map(|r| r.id).collect();
        let touched: BTreeSet<u64> = earlier.touched(&was).union(&self.touched(&is)).copied().collect();
        let differs = |id: &u64| {
            self.oddities.get(id) != earlier.oddities.get(id)
                || (touched.contains(id) && self.race(*id) != earlier.race(*id))
        };
        Changes {
            added: is.iter().map(|r| r.id).filter(|id| !old.contains(id)).collect(),
            withdrawn: was.iter().map(|r| r.id).filter(|id| !new.contains(id)).collect(),
            changed: is.iter().map(|r| r.id).filter(|id| old.contains(id) && differs(id)).collect(),
        }
    }

    /// Races that a correction may have changed.
    fn touched(&self, listed: &[ListedRace]) -> BTreeSet<u64> {
        let mut touched = BTreeSet::new();
        for correction in &self.corrections {
            match correction {
                Correction::LapRemoved { race, .. }
                | Correction::TimeChanged { race, .. }
                | Correction::DriverAdded { race, .. }
                | Correction::Disqualified { race, .. }
                | Correction::RaceAdded { race, .. }
                | Correction::RaceWithdrawn { race } => {
                    touched.insert(*race);
                }
                Correction::NameCorrected { driver, .. } => {
                    touched.extend(listed.iter().map(|r| r.id).filter(|id| self.base.drivers_of(*id).contains(driver)));
                }
            }
        }
        touched
    }

    /// The races that this revision lists, newest first.
    pub(super) fn listed(&self) -> Vec<ListedRace> {
        let mut listed = self.base.event().races;
        for correction in &self.corrections {
            match correction {
                Correction::RaceAdded { race, like } => add_race(&mut listed, *race, *like),
                Correction::RaceWithdrawn { race } => listed.retain(|r| r.id != *race),
                _ => {}
            }
        }
        listed
    }
}

/// Lists a new race at the top of the round of `like`, with the next number and a later time.
fn add_race(listed: &mut Vec<ListedRace>, race: u64, like: u64) {
    let Some(model) = listed.iter().find(|r| r.id == like).cloned() else { return };
    if listed.iter().any(|r| r.id == race) {
        return;
    }
    let round = |r: &&ListedRace| r.round == model.round;
    let number = listed.iter().filter(round).map(|r| r.number).max().unwrap_or(0) + 1;
    let latest = listed.iter().filter(round).filter_map(|r| r.completed_at).max();
    let completed_at = latest.map(|at| at.saturating_add(jiff::ToSpan::minutes(9)));
    let top = listed.iter().position(|r| r.round == model.round).unwrap_or(0);
    listed.insert(top, ListedRace { id: race, number, completed_at, ..model });
}

/// The event page's facts in a revision.
pub(super) fn correct_event(synth: &Synth, event: &mut Event) {
    if synth.corrections.is_empty() {
        return;
    }
    let before = std::mem::replace(&mut event.races, synth.listed());
    let laps = |race: Option<Race>| race.map_or(0, |race| race.lap_count() as u64);
    let mut total = u64::from(event.total_laps);
    let listed_now: BTreeSet<u64> = event.races.iter().map(|r| r.id).collect();
    let mut counted = BTreeSet::new();
    for correction in &synth.corrections {
        let race = match correction {
            Correction::LapRemoved { race, .. }
            | Correction::DriverAdded { race, .. }
            | Correction::RaceAdded { race, .. }
            | Correction::RaceWithdrawn { race } => *race,
            Correction::TimeChanged { .. } | Correction::Disqualified { .. } | Correction::NameCorrected { .. } => {
                continue;
            }
        };
        if counted.insert(race) {
            if listed_now.contains(&race) {
                total += laps(corrected_race(synth, race));
            }
            if before.iter().any(|r| r.id == race) {
                total -= laps(synth.base.race(race));
            }
        }
    }
    event.total_laps = u32::try_from(total).unwrap_or(u32::MAX);
}

/// The entry list in a revision. An added driver is in none.
pub(super) fn correct_entries(synth: &Synth, entries: &mut [Entry]) {
    for correction in &synth.corrections {
        if let Correction::NameCorrected { driver, name } = correction {
            for entry in entries.iter_mut().filter(|e| e.driver == *driver) {
                entry.name.clone_from(name);
                let (first, last) = name.split_once(' ').unwrap_or(("", name));
                entry.sort_name = format!("{last}, {first}");
            }
        }
    }
}

/// A race in a revision; none when it is not listed.
pub(super) fn corrected_race(synth: &Synth, id: u64) -> Option<Race> {
    let relisted = synth.corrections.iter().any(|c| match c {
        Correction::RaceAdded { race, .. } | Correction::RaceWithdrawn { race } => *race == id,
        _ => false,
    });
    let mut race = if relisted {
        let listed = synth.listed().into_iter().find(|race| race.id == id)?;
        let race = match synth.base.race(id) {
            Some(race) => race,
            None => added_race(synth, id)?,
        };
        Race { listed, ..race }
    } else {
        synth.base.race(id)?
    };
    for correction in &synth.corrections {
        correct_race(synth, &mut race, correction);
    }
    Some(race)
}

/// A race that was run again: the same drivers with other lap times.
fn added_race(synth: &Synth, id: u64) -> Option<Race> {
    let like = synth.corrections.iter().find_map(|c| match c {
        Correction::RaceAdded { race, like } if *race == id => Some(*like),
        _ => None,
    })?;
    let mut race = synth.base.race(like)?;
    let mut dice = Dice::of(synth.base.seed(), "run again", &[id]);
    for time in race.results.iter_mut().flat_map(|r| &mut r.laps) {
        *time = lap(f64::from(time.time_ms) * dice.spread(0.01));
    }
    settle(&mut race.results, race.length_ms, race.first_lap_counts);
    Some(race)
}

/// One correction on one race.
fn correct_race(synth: &Synth, race: &mut Race, correction: &Correction) {
    let id = race.listed.id;
    match correction {
        Correction::LapRemoved { race: at, driver, lap } if *at == id => {
            let Some(result) = result_of(race, *driver) else { return };
            result.laps.retain(|l| l.number != *lap);
            if result.laps.is_empty() {
                result.grid = None;
            }
        }
        Correction::TimeChanged { race: at, driver, lap, time_ms } if *at == id => {
            let laps = result_of(race, *driver).map(|r| r.laps.iter_mut());
            let Some(lap) = laps.and_then(|mut laps| laps.find(|l| l.number == *lap)) else { return };
            lap.time_ms = *time_ms;
        }
        Correction::Disqualified { race: at, driver } if *at == id => {
            let Some(result) = result_of(race, *driver) else { return };
            result.shown.position = Some("DQ".to_owned());
        }
        Correction::DriverAdded { race: at, driver, name } if *at == id => {
            if result_of(race, *driver).is_some() {
                return;
            }
            let added = newcomer(synth, race, *driver, name);
            race.results.push(added);
        }
        Correction::NameCorrected { driver, name } => {
            let Some(result) = result_of(race, *driver) else { return };
            result.name.clone_from(name);
            number_twins(&mut race.results);
            return;
        }
        _ => return,
    }
    settle(&mut race.results, race.length_ms, race.first_lap_counts);
}

/// The result of a driver, told by his id whether or not the page tells it.
fn result_of(race: &mut Race, driver: u64) -> Option<&mut RaceResult> {
    race.results.iter_mut().find(|r| r.shown.driver == driver)
}

/// A driver added to a race: last on the grid, a lap or so behind the winner.
fn newcomer(synth: &Synth, race: &Race, driver: u64, name: &str) -> RaceResult {
    let mut dice = Dice::of(synth.base.seed(), "newcomer", &[race.listed.id, driver]);
    let winner = race.results.first().map(|r| r.laps.as_slice()).unwrap_or_default();
    let count = winner.len().saturating_sub(1).max(winner.len().min(1));
    let place = u32::try_from(race.results.len() + 1).unwrap_or(u32::MAX);
    RaceResult {
        driver_id: Some(driver),
        name: name.to_owned(),
        nth: 0,
        car_number: place.to_string(),
        position: None,
        qualifying: Some(place),
        grid: (count > 0).then_some(place),
        laps_completed: 0,
        total_ms: None,
        behind: String::new(),
        derived: Derived::default(),
        laps: winner.iter().take(count).map(|l| lap(f64::from(l.time_ms) * 1.06 * dice.spread(0.01))).collect(),
        shown: Shown { driver, link: true, scripted: true, position: None },
    }
}

/// One correction of each kind, each on another race as far as there are enough.
fn standard(synth: &Synth) -> Vec<Correction> {
    let listed = synth.listed();
    let base = super::base::id_base(synth.base.head().id);
    let pick = |nth: usize| -> Option<Race> {
        let from = nth * listed.len() / Synth::REVISIONS;
        let candidates =
            listed.iter().cycle().skip(from).take(listed.len()).filter(|r| !synth.oddities.contains_key(&r.id));
        candidates.filter_map(|r| synth.race(r.id)).find(|race| {
            race.results.len() > 2 && race.results[1].laps.len() > 3 && race.results[1].shown.position.is_none()
        })
    };
    let mut dice = Dice::of(synth.base.seed(), "corrections", &[]);
    let (new_driver, right_name) = (new_name(&mut dice), new_name(&mut dice));
    let on = |nth: usize, make: &dyn Fn(&Race, &RaceResult, &RaceResult) -> Correction| {
        pick(nth).map(|race| make(&race, &race.results[0], &race.results[1]))
    };
    [
        on(0, &|race, _, second| Correction::LapRemoved {
            race: race.listed.id,
            driver: second.shown.driver,
            lap: second.laps_completed / 2,
        }),
        on(1, &|race, winner, _| Correction::TimeChanged {
            race: race.listed.id,
            driver: winner.shown.driver,
            lap: 2,
            time_ms: winner.laps.get(1).map_or(40_000, |l| l.time_ms) + 2_345,
        }),
        on(2, &|race, _, _| Correction::DriverAdded {
            race: race.listed.id,
            driver: base + 9_990,
            name: new_driver.clone(),
        }),
        on(3, &|race, winner, _| Correction::Disqualified { race: race.listed.id, driver: winner.shown.driver }),
        on(4, &|race, _, _| Correction::RaceAdded { race: base + 9_991, like: race.listed.id }),
        on(5, &|race, _, _| Correction::RaceWithdrawn { race: race.listed.id }),
        on(6, &|_, _, second| Correction::NameCorrected { driver: second.shown.driver, name: right_name.clone() }),
    ]
    .into_iter()
    .flatten()
    .collect()
}
