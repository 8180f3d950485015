//! A race as rows.

use std::collections::BTreeMap;

use ingest::model::{Race, RaceResult};
use ingest::store::{Hash, content_hash, result_id};
use serde_json::{Value, json};

/// A race on its way into the database.
pub struct Prepared {
    pub(super) race: Race,
    pub(super) id: i64,
    pub(super) hash: Hash,
}

impl Prepared {
    /// With its content hash.
    #[must_use]
    pub fn new(race: Race) -> Self {
        Self { id: race.listed.id.cast_signed(), hash: content_hash(&race), race }
    }

    /// Its drivers, each once.
    pub(super) fn drivers(&self) -> BTreeMap<u64, &str> {
        let mut drivers = BTreeMap::new();
        for result in &self.race.results {
            if let Some(id) = result.driver_id {
                drivers.entry(id).or_insert(result.name.as_str());
            }
        }
        drivers
    }

    pub(super) fn row(&self, event: i64) -> Value {
        let mut row = json!(self.race.listed);
        row["event_id"] = event.into();
        row["length"] = json!(self.race.length);
        row["warnings"] = json!(self.race.warnings);
        row
    }

    pub(super) fn results(&self) -> impl Iterator<Item = (i64, &RaceResult)> {
        self.race.results.iter().map(|r| (result_id(self.race.listed.id, r), r))
    }

    pub(super) fn result_rows(&self) -> Value {
        let row = |(id, result): (i64, &RaceResult)| {
            let mut row = json!(result);
            row["id"] = id.into();
            row["race_id"] = self.id.into();
            row
        };
        self.results().map(row).collect()
    }

    pub(super) fn lap_rows(&self) -> impl Iterator<Item = Value> {
        self.results().flat_map(|(id, result)| {
            result.laps.iter().map(move |lap| {
                let mut row = json!(lap);
                row["result_id"] = id.into();
                row
            })
        })
    }
}
