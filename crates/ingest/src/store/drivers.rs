//! Drivers, written sorted by key in a short transaction of their own ahead of the unit: two units that share a driver
//! would else wait for each other, or deadlock. A driver without results after a crash is legal.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use contract::feed::Counts;
use sqlx::Row;

use super::error::doing;
use super::session::args;
use super::unit::UnitRace;
use super::{Session, StoreError, encode};
use crate::settings::UnitSettings;

/// What has been written of the drivers of a unit, over all attempts at it.
#[derive(Debug, Default)]
pub struct DriversWritten {
    /// Rows changed.
    pub counts: Counts,
    /// Statements, transactions of their own, that were never answered: nobody can tell what they changed.
    pub unanswered: u64,
    /// A transaction whose COMMIT was not confirmed, and what it would have changed.
    in_doubt: Option<(String, Counts)>,
}

impl DriversWritten {
    fn add(&mut self, now: Counts) {
        // What an earlier attempt wrote is found unchanged by the next.
        let earlier = self.counts.inserted + self.counts.updated;
        self.counts += Counts { unchanged: 0, ..now };
        self.counts.unchanged = now.unchanged.saturating_sub(earlier);
    }
}

/// The drivers that this run has written, with their names: in an event the same ones race again and again. To be forgotten
/// when something failed, since a driver may then have been taken away.
#[derive(Debug, Default)]
pub struct KnownDrivers(Mutex<HashMap<i64, String>>);

impl KnownDrivers {
    /// Forgets them all.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Leaves those that are not known under this name.
    fn leave_unknown(&self, drivers: &mut BTreeMap<i64, &str>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drivers.retain(|id, name| known.get(id).is_none_or(|known| known != name));
    }

    fn learn(&self, ids: &[i64], names: &[&str]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(ids.iter().copied().zip(names.iter().map(|&name| name.to_owned())));
    }
}

/// Writes the drivers of some races, those that are known left out where rows are batched.
///
/// # Errors
/// The database fails. After an error at COMMIT the next call with the same `written` finds out what came of it.
pub async fn write(
    session: &mut Session,
    settings: &UnitSettings,
    races: &[UnitRace],
    known: &KnownDrivers,
    written: &mut DriversWritten,
) -> Result<(), StoreError> {
    if let Some((transaction, counts)) = &written.in_doubt {
        const STATUS: &str = "SELECT pg_xact_status($1::text::xid8)";
        let row = session.row("settling a commit in doubt", STATUS, args![transaction]).await?;
        let counts = *counts;
        if row.try_get::<Option<String>, _>(0).map_err(doing("settling a commit in doubt"))?.as_deref()
            == Some("committed")
        {
            written.add(counts);
        }
        written.in_doubt = None;
    }
    if super::one_by_one(settings) {
        one_by_one(session, races, written).await
    } else {
        match batched(session, races, known).await {
            Ok(counts) => written.add(counts),
            Err(error) => {
                // An error that PostgreSQL reports is an answer: nothing was changed.
                written.unanswered += u64::from(error.sqlstate().is_none());
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A SELECT and an INSERT for every result, as reviewed.
async fn one_by_one(session: &mut Session, races: &[UnitRace], written: &mut DriversWritten) -> Result<(), StoreError> {
    const SELECT: &str = "SELECT id, name FROM drivers WHERE id = $1";
    const INSERT: &str = "INSERT INTO drivers (id, name) VALUES ($1, $2) \
                          ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name \
                          RETURNING xmax = 0, pg_current_xact_id()::text";
    let what = "writing a driver";
    let mut of_results = Vec::new();
    for result in races.iter().flat_map(|r| &r.race().results) {
        if let Some(driver) = result.driver_id {
            of_results.push((encode::id(driver)?, result.name.as_str()));
        }
    }
    // Stable: of two spellings the one further up the page counts.
    of_results.sort_by_key(|&(id, _)| id);
    let names: BTreeMap<i64, &str> = of_results.iter().rev().copied().collect();
    if of_results.is_empty() {
        return Ok(());
    }
    let mut counts = Counts::default();
    let mut transaction = String::new();
    session.begin().await?;
    for (id, name) in of_results {
        session.rows(what, SELECT, args![id]).await?;
        let row = session.row(what, INSERT, args![id, names.get(&id).copied().unwrap_or(name)]).await?;
        if row.try_get(0).map_err(doing(what))? {
            counts.inserted += 1;
        } else {
            counts.updated += 1;
        }
        transaction = row.try_get(1).map_err(doing(what))?;
    }
    written.in_doubt = Some((transaction, counts));
    session.commit().await?;
    written.in_doubt = None;
    written.add(counts);
    Ok(())
}

/// One statement for all of them: a transaction of its own.
async fn batched(session: &mut Session, races: &[UnitRace], known: &KnownDrivers) -> Result<Counts, StoreError> {
    const SQL: &str = "\
WITH incoming AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[]) AS i (id, name)),
renamed AS (
    UPDATE drivers d SET name = i.name FROM incoming i WHERE d.id = i.id AND d.name <> i.name RETURNING 1
), added AS (
    INSERT INTO drivers (id, name)
    SELECT id, name FROM incoming i WHERE NOT EXISTS (SELECT FROM drivers d WHERE d.id = i.id) ORDER BY id
    ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name RETURNING xmax = 0 AS fresh
)
SELECT (SELECT count(*) FROM added WHERE fresh),
       (SELECT count(*) FROM renamed) + (SELECT count(*) FROM added WHERE NOT fresh)";
    let what = "writing drivers";
    let mut drivers = BTreeMap::new();
    for result in races.iter().flat_map(|r| &r.race().results) {
        if let Some(driver) = result.driver_id {
            drivers.entry(encode::id(driver)?).or_insert(result.name.as_str());
        }
    }
    let total = drivers.len() as u64;
    known.leave_unknown(&mut drivers);
    if drivers.is_empty() {
        return Ok(Counts { unchanged: total, ..Counts::default() });
    }
    let (ids, names): (Vec<i64>, Vec<&str>) = drivers.into_iter().unzip();
    let row = session.row(what, SQL, args![&ids, &names]).await?;
    known.learn(&ids, &names);
    let count = |i| row.try_get::<i64, _>(i).map(i64::unsigned_abs).map_err(doing(what));
    let (inserted, updated) = (count(0)?, count(1)?);
    Ok(Counts { inserted, updated, deleted: 0, unchanged: total.saturating_sub(inserted + updated) })
}
