//! Ids and content hashes that are computed from what a race says, so that nothing is looked up.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::model::{Lap, Race, RaceResult};

/// Version of the canonical form below; stored with every hash. Raise it with any change of that form.
pub const HASH_VERSION: i16 = 1;

/// A content hash: XXH3, 128 bits, big-endian.
pub type Hash = [u8; 16];

/// Id of a result: XXH3 of its natural key. (Of 24,000 results in an event two share an id once in 10^11 events; within a
/// race that is looked for, and refused.)
#[must_use]
pub fn result_id(race: u64, result: &RaceResult) -> i64 {
    let mut key = Vec::with_capacity(64);
    key.extend(race.to_be_bytes());
    match result.driver_id {
        Some(driver) => {
            key.push(b'd');
            key.extend(driver.to_be_bytes());
        }
        None => {
            key.push(b'n');
            key.extend(result.nth.to_be_bytes());
            key.extend(result.name.as_bytes());
        }
    }
    i64::from_be_bytes(xxh3_64(&key).to_be_bytes())
}

/// Hash of a race's content: everything that is stored of it, in one order, each value with its length or presence.
/// Results go by id, since the page's order is not stored.
#[must_use]
pub fn content_hash(race: &Race) -> Hash {
    let ids: Vec<_> = race.results.iter().map(|r| result_id(race.listed.id, r)).collect();
    hash_of(race, &ids)
}

/// [`content_hash`] of a race, the ids of whose results are known.
pub(super) fn hash_of(race: &Race, ids: &[i64]) -> Hash {
    let mut w = Writer { hash: Xxh3::new(), buffer: Vec::with_capacity(4096) };
    w.u64(HASH_VERSION.unsigned_abs().into());
    let listed = &race.listed;
    w.u64(listed.id);
    w.text(&listed.round);
    w.number(listed.number);
    w.text(&listed.class);
    w.text(&listed.label);
    match listed.completed_at {
        None => w.text(""),
        Some(at) => w.text(&at.to_string()),
    }
    w.text(&race.length);
    w.u64(race.warnings.len() as u64);
    race.warnings.iter().for_each(|warning| w.text(warning));
    let mut results: Vec<_> = ids.iter().copied().zip(&race.results).collect();
    results.sort_by_key(|&(id, _)| id);
    w.u64(results.len() as u64);
    for (_, result) in results {
        w.result(result);
    }
    w.finish()
}

struct Writer {
    hash: Xxh3,
    buffer: Vec<u8>,
}

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 3072 {
            self.hash.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, value: Option<u32>) {
        match value {
            None => self.bytes(&[0]),
            Some(n) => {
                let [a, b, c, d] = n.to_be_bytes();
                self.bytes(&[1, a, b, c, d]);
            }
        }
    }

    fn result(&mut self, result: &RaceResult) {
        // No `..`: a new field must be dealt with here.
        let RaceResult {
            driver_id,
            name,
            nth,
            car_number,
            position,
            qualifying,
            grid,
            laps_completed,
            total_ms,
            behind,
            fastest_ms,
            fastest_lap,
            average_ms,
            average_top5_ms,
            average_top10_ms,
            average_top15_ms,
            top3_ms,
            deviation_ms,
            consistency_bp,
            laps,
        } = result;
        self.u64(driver_id.map_or(0, |id| id + 1));
        self.text(name);
        self.number(Some(*nth));
        self.text(car_number);
        for value in [position, qualifying, grid, laps_completed, total_ms] {
            self.number(*value);
        }
        self.text(behind);
        for value in [fastest_ms, fastest_lap, average_ms, average_top5_ms, average_top10_ms, average_top15_ms] {
            self.number(*value);
        }
        for value in [top3_ms, deviation_ms, consistency_bp] {
            self.number(*value);
        }
        self.u64(laps.len() as u64);
        laps.iter().for_each(|lap| self.lap(lap));
    }

    /// Five numbers; at once where all are there, as they mostly are.
    fn lap(&mut self, lap: &Lap) {
        let Lap { number, position, time_ms, pace_laps, pace_ms } = *lap;
        if let (Some(position), Some(pace_laps), Some(pace_ms)) = (position, pace_laps, pace_ms) {
            let mut bytes = [1; 25];
            for (to, value) in bytes.chunks_exact_mut(5).zip([number, position, time_ms, pace_laps, pace_ms]) {
                if let [_, to @ ..] = to {
                    to.copy_from_slice(&value.to_be_bytes());
                }
            }
            return self.bytes(&bytes);
        }
        for value in [Some(number), position, Some(time_ms), pace_laps, pace_ms] {
            self.number(value);
        }
    }

    fn finish(mut self) -> Hash {
        self.hash.update(&self.buffer);
        self.hash.digest128().to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::race;

    #[test]
    fn every_fact_changes_the_hash_and_the_order_of_results_does_not() {
        let base = race(7, 3, 5);
        let hash = content_hash(&base);
        let mut turned = base.clone();
        turned.results.reverse();
        assert_eq!(content_hash(&turned), hash);
        type Mutation = (&'static str, fn(&mut Race));
        let mutations: Vec<Mutation> = vec![
            ("label", |r| r.listed.label.push('x')),
            ("number", |r| r.listed.number = None),
            ("completed", |r| r.listed.completed_at = None),
            ("length", |r| r.length.clear()),
            ("warning", |r| r.warnings.push("odd".into())),
            ("driver", |r| r.results[0].driver_id = Some(999)),
            ("name", |r| r.results[0].name.push('X')),
            ("position", |r| r.results[0].position = None),
            ("behind", |r| r.results[0].behind.push('1')),
            ("lap time", |r| r.results[1].laps[2].time_ms += 1),
            ("lap gone", |r| r.results[1].laps.truncate(4)),
            ("result gone", |r| drop(r.results.pop())),
        ];
        for (what, mutate) in mutations {
            let mut changed = base.clone();
            mutate(&mut changed);
            assert_ne!(content_hash(&changed), hash, "{what}");
        }
    }

    /// By the writer's plainest means.
    #[test]
    fn a_lap_that_is_written_at_once_is_written_as_by_number() {
        let numbers = |lap: &Lap| [Some(lap.number), lap.position, Some(lap.time_ms), lap.pace_laps, lap.pace_ms];
        let new = || Writer { hash: Xxh3::new(), buffer: Vec::new() };
        let full = race(7, 1, 1).results[0].laps[0];
        for lap in [full, Lap { position: None, ..full }, Lap { pace_ms: None, ..full }] {
            let (mut at_once, mut by_number) = (new(), new());
            at_once.lap(&lap);
            numbers(&lap).into_iter().for_each(|n| by_number.number(n));
            assert_eq!(at_once.buffer, by_number.buffer, "{lap:?}");
        }
    }

    #[test]
    fn ids_are_stable_and_tell_equal_names_apart() {
        let mut result = race(7, 1, 0).results.remove(0);
        result.driver_id = None;
        let first = result_id(7, &result);
        result.nth = 1;
        assert_ne!(result_id(7, &result), first);
        result.nth = 0;
        assert_eq!(result_id(7, &result), first);
        assert_ne!(result_id(8, &result), first);
    }
}
