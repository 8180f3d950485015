//! Races and results: one by one as reviewed, or a statement for all of a unit.

use std::sync::LazyLock;

use contract::feed::{Changes, Counts};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::session::args;
use super::unit::UnitRace;
use super::{HASH_VERSION, Session, StoreError, checkpoint, encode};
use crate::model::RaceResult;
use crate::settings::UnitSettings;

/// Columns of `results` and their types, in the order of [`ResultRow`]'s values.
const COLUMNS: [(&str, &str); 21] = [
    ("id", "bigint"),
    ("race_id", "bigint"),
    ("driver_id", "bigint"),
    ("name", "text"),
    ("nth", "integer"),
    ("car_number", "text"),
    ("behind", "text"),
    ("position", "integer"),
    ("qualifying", "integer"),
    ("grid", "integer"),
    ("laps_completed", "integer"),
    ("total_ms", "integer"),
    ("fastest_ms", "integer"),
    ("fastest_lap", "integer"),
    ("average_ms", "integer"),
    ("average_top5_ms", "integer"),
    ("average_top10_ms", "integer"),
    ("average_top15_ms", "integer"),
    ("top3_ms", "integer"),
    ("deviation_ms", "integer"),
    ("consistency_bp", "integer"),
];

fn list(prefix: &str, skip: usize) -> String {
    COLUMNS.iter().skip(skip).map(|(name, _)| format!("{prefix}{name}")).collect::<Vec<_>>().join(", ")
}

fn assignments(from: &str) -> String {
    COLUMNS.iter().skip(1).map(|(name, _)| format!("{name} = {from}.{name}")).collect::<Vec<_>>().join(", ")
}

/// The 14 numbers of a result, in the order of [`COLUMNS`].
fn numbers(result: &RaceResult) -> [Option<u32>; 14] {
    [
        result.position,
        result.qualifying,
        result.grid,
        result.laps_completed,
        result.total_ms,
        result.fastest_ms,
        result.fastest_lap,
        result.average_ms,
        result.average_top5_ms,
        result.average_top10_ms,
        result.average_top15_ms,
        result.top3_ms,
        result.deviation_ms,
        result.consistency_bp,
    ]
}

struct ResultRow<'a> {
    id: i64,
    race: i64,
    driver: Option<i64>,
    name: &'a str,
    nth: i32,
    car_number: &'a str,
    behind: &'a str,
    numbers: [Option<i32>; 14],
}

fn result_rows(race: &UnitRace) -> impl Iterator<Item = Result<ResultRow<'_>, StoreError>> {
    let listed = race.race().listed.id;
    race.results().map(move |(id, result)| {
        let mut encoded = [None; 14];
        for (to, (from, (column, _))) in
            encoded.iter_mut().zip(numbers(result).into_iter().zip(COLUMNS.iter().skip(7).copied()))
        {
            *to = encode::maybe(listed, column, from)?;
        }
        Ok(ResultRow {
            id,
            race: race.id(),
            driver: result.driver_id.map(encode::id).transpose()?,
            name: &result.name,
            nth: encode::int(listed, "nth", result.nth)?,
            car_number: &result.car_number,
            behind: &result.behind,
            numbers: encoded,
        })
    })
}

/// Checks that every number of a race fits its column.
pub(super) fn check(race: &UnitRace) -> Result<(), StoreError> {
    result_rows(race).try_for_each(|row| row.map(drop))
}

/// Writes the races and results of a unit, and takes away the results that left a page. Their laps are counted. Batched, the
/// checkpoints are part of the statement.
pub(super) async fn write(
    session: &mut Session,
    event: i64,
    fence: i64,
    settings: &UnitSettings,
    races: &[UnitRace],
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    if super::one_by_one(settings) {
        for race in races {
            race_one(session, event, race, &mut changes).await?;
            if race.stored() {
                prune_one(session, race, &mut changes).await?;
            }
            results_one_by_one(session, event, race, &mut changes).await?;
        }
    } else {
        batched(session, event, fence, races, &mut changes).await?;
    }
    Ok(changes)
}

fn count_write(row: &PgRow, what: &'static str, counts: &mut Counts) -> Result<(), StoreError> {
    match row.try_get(0).map_err(doing(what))? {
        true => counts.inserted += 1,
        false => counts.updated += 1,
    }
    Ok(())
}

async fn race_one(session: &mut Session, event: i64, race: &UnitRace, changes: &mut Changes) -> Result<(), StoreError> {
    const SQL: &str = "\
INSERT INTO races (id, event_id, round, number, class, label, completed_at, length, warnings)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::timestamp, $8, $9)
ON CONFLICT (id) DO UPDATE SET event_id = EXCLUDED.event_id, round = EXCLUDED.round, number = EXCLUDED.number,
    class = EXCLUDED.class, label = EXCLUDED.label, completed_at = EXCLUDED.completed_at, length = EXCLUDED.length,
    warnings = EXCLUDED.warnings
RETURNING xmax = 0";
    let what = "writing a race";
    let (listed, facts) = (&race.race().listed, race.race());
    let number = encode::maybe(listed.id, "race number", listed.number)?;
    let args = args![
        race.id(),
        event,
        &listed.round,
        number,
        &listed.class,
        &listed.label,
        encode::date_time(listed.completed_at),
        &facts.length,
        &facts.warnings,
    ];
    count_write(&session.row(what, SQL, args).await?, what, &mut changes.races)
}

/// Six statements per result with the two of its driver, which come ahead of the unit: a SELECT and a write each for
/// the driver, the driver's link to his entry, and the result.
async fn results_one_by_one(
    session: &mut Session,
    event: i64,
    race: &UnitRace,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    const ENTRY: &str =
        "SELECT car_number, transponder, driver_id FROM entries WHERE event_id = $1 AND class = $2 AND name = $3";
    const LINK: &str = "UPDATE entries SET driver_id = $4 \
                        WHERE event_id = $1 AND class = $2 AND name = $3 AND (driver_id IS NULL OR driver_id = $4)";
    const SELECT: &str = "SELECT id FROM results WHERE race_id = $1 AND id = $2";
    static INSERT: LazyLock<String> = LazyLock::new(|| {
        let places: Vec<_> = (1..=COLUMNS.len()).map(|i| format!("${i}")).collect();
        format!(
            "INSERT INTO results ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {} RETURNING xmax = 0",
            list("", 0),
            places.join(", "),
            assignments("EXCLUDED")
        )
    });
    let class = &race.race().listed.class;
    for row in result_rows(race) {
        let row = row?;
        if let Some(driver) = row.driver {
            session.rows("reading an entry", ENTRY, args![event, class, row.name]).await?;
            session.execute("linking an entry", LINK, args![event, class, row.name, driver]).await?;
        }
        let what = "writing a result";
        session.rows(what, SELECT, args![row.race, row.id]).await?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = row.numbers;
        let args = args![
            row.id,
            row.race,
            row.driver,
            row.name,
            row.nth,
            row.car_number,
            row.behind,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            k,
            l,
            m,
            n
        ];
        count_write(&session.row(what, INSERT.as_str(), args).await?, what, &mut changes.results)?;
    }
    Ok(())
}

async fn prune_one(session: &mut Session, race: &UnitRace, changes: &mut Changes) -> Result<(), StoreError> {
    const SQL: &str = "\
WITH gone AS (SELECT id FROM results WHERE race_id = $1 AND id <> ALL ($2)),
gone_laps AS (DELETE FROM laps l USING gone g WHERE l.result_id = g.id RETURNING 1),
gone_results AS (DELETE FROM results r USING gone g WHERE r.id = g.id RETURNING 1)
SELECT (SELECT count(*) FROM gone_results), (SELECT count(*) FROM gone_laps)";
    let what = "taking away results that left the page";
    let ids: Vec<i64> = race.results().map(|(id, _)| id).collect();
    let row = session.row(what, SQL, args![race.id(), ids]).await?;
    changes.results.deleted += count(&row, 0, what)?;
    changes.laps.deleted += count(&row, 1, what)?;
    Ok(())
}

pub(super) fn count(row: &PgRow, column: usize, what: &'static str) -> Result<u64, StoreError> {
    row.try_get::<i64, _>(column).map(i64::unsigned_abs).map_err(doing(what))
}

/// The races of a unit as columns: parameters 24 to 31 of the statement that writes them with their results.
struct RaceColumns<'a> {
    ids: Vec<i64>,
    rounds: Vec<&'a str>,
    numbers: Vec<Option<i32>>,
    classes: Vec<&'a str>,
    labels: Vec<&'a str>,
    times: Vec<Option<String>>,
    lengths: Vec<&'a str>,
    /// As JSON texts: arrays of arrays must all be of one length.
    warnings: Vec<String>,
}

/// Writes races as common table expressions, that leave their counts in `race_added` and `race_changed`.
const RACES: &str = "\
race_incoming AS MATERIALIZED (
    SELECT id, $23::bigint AS event_id, round, number, class, label, completed_at::timestamp AS completed_at, length,
           ARRAY(SELECT jsonb_array_elements_text(warnings::jsonb)) AS warnings
    FROM unnest($24::bigint[], $25::text[], $26::integer[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[])
         AS i (id, round, number, class, label, completed_at, length, warnings)
), race_changed AS (
    UPDATE races r SET event_id = i.event_id, round = i.round, number = i.number, class = i.class, label = i.label,
           completed_at = i.completed_at, length = i.length, warnings = i.warnings
    FROM race_incoming i WHERE r.id = i.id
      AND (r.event_id, r.round, r.number, r.class, r.label, r.completed_at, r.length, r.warnings)
          IS DISTINCT FROM (i.event_id, i.round, i.number, i.class, i.label, i.completed_at, i.length, i.warnings)
    RETURNING 1
), race_added AS (
    INSERT INTO races (id, event_id, round, number, class, label, completed_at, length, warnings)
    SELECT * FROM race_incoming i WHERE NOT EXISTS (SELECT FROM races r WHERE r.id = i.id)
    RETURNING 1
)";

impl<'a> RaceColumns<'a> {
    fn of(races: &'a [UnitRace]) -> Result<Self, StoreError> {
        let mut numbers = Vec::with_capacity(races.len());
        for race in races {
            let listed = &race.race().listed;
            numbers.push(encode::maybe(listed.id, "race number", listed.number)?);
        }
        let texts = |text: fn(&UnitRace) -> &str| races.iter().map(text).collect();
        Ok(Self {
            ids: races.iter().map(UnitRace::id).collect(),
            rounds: texts(|r| &r.race().listed.round),
            numbers,
            classes: texts(|r| &r.race().listed.class),
            labels: texts(|r| &r.race().listed.label),
            times: races.iter().map(|r| encode::date_time(r.race().listed.completed_at)).collect(),
            lengths: texts(|r| &r.race().length),
            warnings: races.iter().map(|r| serde_json::json!(r.race().warnings).to_string()).collect(),
        })
    }
}

/// The results of a unit as columns: `unnest` makes rows of them.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<i64>,
    races: Vec<i64>,
    drivers: Vec<Option<i64>>,
    names: Vec<&'a str>,
    nths: Vec<i32>,
    car_numbers: Vec<&'a str>,
    behinds: Vec<&'a str>,
    numbers: [Vec<Option<i32>>; 14],
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: ResultRow<'a>) {
        self.ids.push(row.id);
        self.races.push(row.race);
        self.drivers.push(row.driver);
        self.names.push(row.name);
        self.nths.push(row.nth);
        self.car_numbers.push(row.car_number);
        self.behinds.push(row.behind);
        for (column, value) in self.numbers.iter_mut().zip(row.numbers) {
            column.push(value);
        }
    }
}

/// One statement for the races, results and checkpoints of a unit. (Keys to races are checked when it ends.)
async fn batched(
    session: &mut Session,
    event: i64,
    fence: i64,
    races: &[UnitRace],
    changes: &mut Changes,
) -> Result<(), StoreError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let arrays: Vec<_> = COLUMNS.iter().enumerate().map(|(i, (_, kind))| format!("${}::{kind}[]", i + 1)).collect();
        let (names, arrays) = (list("", 0), arrays.join(", "));
        let (stored, incoming, set) = (list("r.", 1), list("i.", 1), assignments("i"));
        let hashes = "unnest($24::bigint[], $32::bytea[], $33::integer[])";
        let checkpoints = checkpoint::insert_from(hashes, "$23", "$34", "$35");
        format!(
            "\
WITH {RACES},
incoming AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS i ({names})),
gone AS MATERIALIZED (
    SELECT r.id FROM results r WHERE r.race_id = ANY ($22::bigint[]) AND NOT EXISTS (SELECT FROM incoming i WHERE i.id = r.id)
), gone_laps AS (
    DELETE FROM laps l USING gone g WHERE l.result_id = g.id RETURNING 1
), gone_results AS (
    DELETE FROM results r USING gone g WHERE r.id = g.id RETURNING 1
), changed AS (
    UPDATE results r SET {set} FROM incoming i WHERE r.id = i.id AND ({stored}) IS DISTINCT FROM ({incoming}) RETURNING 1
), added AS (
    INSERT INTO results ({names})
    SELECT * FROM incoming i WHERE NOT EXISTS (SELECT FROM results r WHERE r.id = i.id) RETURNING 1
), checkpoints AS (
{checkpoints} RETURNING 1
)
SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM changed), (SELECT count(*) FROM gone_results),
       (SELECT count(*) FROM gone_laps), (SELECT count(*) FROM race_added), (SELECT count(*) FROM race_changed),
       (SELECT count(*) FROM checkpoints)"
        )
    });
    let what = "writing races and results";
    let of_races = RaceColumns::of(races)?;
    let (hashes, lap_counts) = checkpoint::columns(races);
    let mut columns = Columns::default();
    for race in races {
        for row in result_rows(race) {
            columns.push(row?);
        }
    }
    let stored: Vec<i64> = races.iter().filter(|r| r.stored()).map(UnitRace::id).collect();
    let total = columns.ids.len() as u64;
    let Columns { ids, races: of_results, drivers, names, nths, car_numbers, behinds, numbers } = columns;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = numbers;
    let args = args![
        ids,
        of_results,
        drivers,
        names,
        nths,
        car_numbers,
        behinds,
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        k,
        l,
        m,
        n,
        stored,
        event,
        of_races.ids,
        of_races.rounds,
        of_races.numbers,
        of_races.classes,
        of_races.labels,
        of_races.times,
        of_races.lengths,
        of_races.warnings,
        hashes,
        lap_counts,
        HASH_VERSION,
        fence,
    ];
    let row = session.row(what, SQL.as_str(), args).await?;
    let (inserted, updated) = (count(&row, 0, what)?, count(&row, 1, what)?);
    let unchanged = total.saturating_sub(inserted + updated);
    changes.results += Counts { inserted, updated, deleted: count(&row, 2, what)?, unchanged };
    changes.laps.deleted += count(&row, 3, what)?;
    let (inserted, updated) = (count(&row, 4, what)?, count(&row, 5, what)?);
    let unchanged = (races.len() as u64).saturating_sub(inserted + updated);
    changes.races += Counts { inserted, updated, deleted: 0, unchanged };
    checkpoint::all_written(count(&row, 6, what)?, races)
}
