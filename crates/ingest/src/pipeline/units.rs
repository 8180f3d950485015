//! How commit units form: in the event page's order, up to so many races or so much memory. Pure.

use crate::settings::UnitSettings;
use crate::store::UnitRace;

/// A unit that is ready to be written.
#[derive(Debug)]
pub struct ReadyUnit {
    /// Its number in this process, from 1.
    pub number: u32,
    /// What it is written under.
    pub settings: UnitSettings,
    /// Its races.
    pub races: Vec<UnitRace>,
}

/// Forms units. The settings of a unit are those that hold when its first race comes.
#[derive(Debug)]
pub struct Former {
    forming: Vec<UnitRace>,
    weight: u64,
    settings: UnitSettings,
    next: u32,
}

impl Former {
    /// Starts with unit 1.
    #[must_use]
    pub fn new(settings: UnitSettings) -> Self {
        Self { forming: Vec::new(), weight: 0, settings, next: 1 }
    }

    /// Takes the next race. Returns the unit that it does not fit into any more, or that it completes.
    pub fn push(&mut self, race: UnitRace) -> Vec<ReadyUnit> {
        let mut ready = Vec::new();
        if !self.forming.is_empty() && self.weight + race.weight() > self.settings.memory_budget {
            ready.extend(self.finish());
        }
        self.weight += race.weight();
        self.forming.push(race);
        if self.forming.len() >= self.settings.commit_races as usize {
            ready.extend(self.finish());
        }
        ready
    }

    /// Closes the unit that is forming, if it has any race.
    pub fn finish(&mut self) -> Option<ReadyUnit> {
        if self.forming.is_empty() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.weight = 0;
        Some(ReadyUnit { number, settings: self.settings, races: std::mem::take(&mut self.forming) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::race;
    use crate::settings::{Profile, Settings};
    use crate::store::LAP_BYTES;

    fn formed(own: &[(&str, &str)], laps: &[u32]) -> Vec<Vec<u64>> {
        let mut former = Former::new(Settings::with(Profile::Fast, own).unwrap().unit);
        let mut units = Vec::new();
        for (id, &laps) in (1..).zip(laps) {
            units.extend(former.push(UnitRace::new(race(id, 1, laps), false).unwrap()));
        }
        units.extend(former.finish());
        assert!(units.iter().zip(1..).all(|(u, n)| u.number == n));
        units.iter().map(|u| u.races.iter().map(|r| r.race().listed.id).collect()).collect()
    }

    #[test]
    fn a_unit_closes_at_its_number_of_races() {
        assert_eq!(formed(&[("commit_races", "2")], &[1; 5]), [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(formed(&[("commit_races", "5")], &[1; 5]), [vec![1, 2, 3, 4, 5]]);
    }

    #[test]
    fn a_unit_closes_before_the_budget_is_passed_and_a_race_larger_than_it_is_alone() {
        let kib = u32::try_from(1024 / LAP_BYTES).unwrap(); // laps of 1 KiB
        let laps = [kib / 2, kib / 2, kib / 2, kib * 3, 1, 1];
        assert_eq!(formed(&[("memory_budget", "1KiB")], &laps), [vec![1, 2], vec![3], vec![4], vec![5, 6]]);
    }
}
