//! Tables, indexes and constraints, as the migrations make them. Catalogs: PostgreSQL documentation, chapter 53.

use std::collections::{HashMap, HashSet};

use sqlx::Row;

use super::super::error::doing;
use super::super::session::args;
use super::super::{Session, StoreError};
use super::{Book, Check};

/// Every table.
const TABLES: [&str; 11] = [
    "tracks",
    "events",
    "drivers",
    "entries",
    "races",
    "results",
    "laps",
    "ingest_events",
    "ingest_checkpoints",
    "ingest_jobs",
    "ingest_requests",
];

/// An index that the engine relies on.
struct Index {
    table: &'static str,
    name: &'static str,
    /// Names a conflict, so nothing less than a plain unique index will do.
    unique: bool,
    columns: &'static str,
    /// Of an index on part of the table: which. Only that it is one is looked at, as its text differs between versions.
    part: Option<&'static str>,
}

const fn key(table: &'static str, name: &'static str, columns: &'static str) -> Index {
    Index { table, name, unique: true, columns, part: None }
}

const fn lookup(table: &'static str, name: &'static str, columns: &'static str) -> Index {
    Index { table, name, unique: false, columns, part: None }
}

const fn part(name: &'static str, unique: bool, columns: &'static str, part: &'static str) -> Index {
    Index { table: "ingest_jobs", name, unique, columns, part: Some(part) }
}

const INDEXES: [Index; 19] = [
    key("tracks", "tracks_pkey", "slug"),
    key("events", "events_pkey", "id"),
    key("drivers", "drivers_pkey", "id"),
    key("entries", "entries_pkey", "event_id, class, name, car_number, transponder"),
    key("races", "races_pkey", "id"),
    lookup("races", "races_event_id", "event_id"),
    key("results", "results_pkey", "id"),
    lookup("results", "results_race_id", "race_id"),
    key("laps", "laps_pkey", "result_id, number"),
    key("ingest_events", "ingest_events_pkey", "event_id"),
    key("ingest_checkpoints", "ingest_checkpoints_pkey", "race_id"),
    lookup("ingest_checkpoints", "ingest_checkpoints_event_id", "event_id"),
    key("ingest_jobs", "ingest_jobs_pkey", "id"),
    lookup("ingest_jobs", "ingest_jobs_event_id", "event_id, id"),
    key("ingest_requests", "ingest_requests_pkey", "key"),
    lookup("ingest_requests", "ingest_requests_job_id", "job_id"),
    part("ingest_jobs_live", true, "event_id", "state IN ('queued', 'running')"),
    part("ingest_jobs_queued", false, "due_at, id", "state = 'queued'"),
    part("ingest_jobs_running", false, "lease_until", "state = 'running'"),
];

/// A foreign key with its definition as `pg_get_constraintdef` has it, or a check, whose text differs between versions
/// of PostgreSQL.
const CONSTRAINTS: [(&str, &str, Option<&str>); 13] = [
    ("events", "events_track_fkey", Some("FOREIGN KEY (track) REFERENCES tracks(slug)")),
    ("events", "events_ingest_depth_check", None),
    ("entries", "entries_event_id_fkey", Some("FOREIGN KEY (event_id) REFERENCES events(id) ON DELETE CASCADE")),
    ("entries", "entries_driver_id_fkey", Some("FOREIGN KEY (driver_id) REFERENCES drivers(id)")),
    ("races", "races_event_id_fkey", Some("FOREIGN KEY (event_id) REFERENCES events(id) ON DELETE CASCADE")),
    ("results", "results_race_id_fkey", Some("FOREIGN KEY (race_id) REFERENCES races(id) ON DELETE CASCADE")),
    ("results", "results_driver_id_fkey", Some("FOREIGN KEY (driver_id) REFERENCES drivers(id)")),
    ("laps", "laps_number_check", None),
    ("laps", "laps_time_ms_check", None),
    (
        "ingest_checkpoints",
        "ingest_checkpoints_event_id_fkey",
        Some("FOREIGN KEY (event_id) REFERENCES events(id) ON DELETE CASCADE"),
    ),
    ("ingest_checkpoints", "ingest_checkpoints_state_check", None),
    ("ingest_jobs", "ingest_jobs_state_check", None),
    (
        "ingest_requests",
        "ingest_requests_job_id_fkey",
        Some("FOREIGN KEY (job_id) REFERENCES ingest_jobs(id) ON DELETE CASCADE"),
    ),
];

/// Looks for every table. `false`: some are missing.
pub(super) async fn tables(session: &mut Session, book: &mut Book) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT t FROM unnest($1::text[]) AS w (t) WHERE to_regclass(t) IS NULL ORDER BY t";
    let what = "looking for the tables";
    let rows = session.rows(what, SQL, args![TABLES.to_vec()]).await?;
    for row in &rows {
        let table: String = row.try_get(0).map_err(doing(what))?;
        let told = format!("there is no table {table}; nothing else was looked at");
        book.find(Check::TableMissing, table, 1, told, "run `ingest migrate`; if it was dropped, restore a backup");
    }
    Ok(rows.is_empty())
}

/// What the catalogs say of an index.
struct FoundIndex {
    columns: String,
    unique: bool,
    btree: bool,
    plain: bool,
    partial: bool,
    valid: bool,
}

/// Looks at every index; returns those that are sound.
pub(super) async fn indexes(session: &mut Session, book: &mut Book) -> Result<HashSet<&'static str>, StoreError> {
    // An index on an expression has a 0 in its key, which is no column: NULL drops out of string_agg.
    const SQL: &str = "\
SELECT x.indrelid::regclass::text, c.relname::text,
       coalesce((SELECT string_agg(a.attname, ', ' ORDER BY k.nth) FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, nth)
        LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.nth <= x.indnkeyatts), ''),
       x.indisunique, m.amname = 'btree', x.indexprs IS NULL AND x.indimmediate,
       x.indisvalid AND x.indisready AND x.indislive, x.indpred IS NOT NULL
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE x.indrelid = ANY (ARRAY(SELECT to_regclass(t) FROM unnest($1::text[]) AS w (t))::oid[])";
    let what = "looking at the indexes";
    let mut found = HashMap::new();
    for row in session.rows(what, SQL, args![TABLES.to_vec()]).await? {
        let read = || -> sqlx::Result<_> {
            let key: (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let index = FoundIndex {
                columns: row.try_get(2)?,
                unique: row.try_get(3)?,
                btree: row.try_get(4)?,
                plain: row.try_get(5)?,
                valid: row.try_get(6)?,
                partial: row.try_get(7)?,
            };
            Ok((key, index))
        };
        let (key, index) = read().map_err(doing(what))?;
        found.insert(key, index);
    }
    let mut sound = HashSet::new();
    for index in &INDEXES {
        book.looked.indexes += 1;
        let Index { table, name, unique, columns, part } = *index;
        let place = format!("index {name} on {table}");
        let make = if let Some(part) = part {
            let kind = if unique { "UNIQUE INDEX" } else { "INDEX" };
            format!("make it again: CREATE {kind} {name} ON {table} ({columns}) WHERE {part}")
        } else if unique {
            format!("make it again: ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY ({columns})")
        } else {
            format!("make it again: CREATE INDEX {name} ON {table} ({columns})")
        };
        match found.get(&(table.to_owned(), name.to_owned())) {
            None => book.find(Check::IndexMissing, place, 1, format!("there is no index {name}"), &make),
            Some(f)
                if f.columns != columns
                    || (unique && !f.unique)
                    || !f.btree
                    || !f.plain
                    || f.partial != part.is_some() =>
            {
                let kind = match (part.is_some(), unique) {
                    (false, true) => "a plain unique",
                    (false, false) => "a plain",
                    (true, true) => "a partial unique",
                    (true, false) => "a partial",
                };
                let told =
                    format!("it should be {kind} btree index on ({columns}), and is not; it has ({})", f.columns);
                book.find(Check::IndexDifferent, place, 1, told, &format!("drop it and {make}"));
            }
            Some(f) if !f.valid => {
                let told = "it is marked invalid: PostgreSQL does not read it, and may not keep it up".to_owned();
                book.find(Check::IndexInvalid, place, 1, told, &format!("run REINDEX INDEX {name}"));
            }
            Some(_) => {
                sound.insert(name);
            }
        }
    }
    Ok(sound)
}

/// Looks at every foreign key and check.
pub(super) async fn constraints(session: &mut Session, book: &mut Book) -> Result<(), StoreError> {
    const SQL: &str = "\
SELECT c.conrelid::regclass::text, c.conname::text, pg_get_constraintdef(c.oid), c.convalidated,
       (SELECT count(*) FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgenabled NOT IN ('O', 'A'))
FROM pg_constraint c
WHERE c.contype IN ('f', 'c') AND c.conrelid = ANY (ARRAY(SELECT to_regclass(t) FROM unnest($1::text[]) AS w (t))::oid[])";
    let what = "looking at the constraints";
    let mut found = HashMap::new();
    for row in session.rows(what, SQL, args![TABLES.to_vec()]).await? {
        let read = || -> sqlx::Result<_> {
            let key: (String, String) = (row.try_get(0)?, row.try_get(1)?);
            Ok((key, (row.try_get::<String, _>(2)?, row.try_get::<bool, _>(3)?, row.try_get::<i64, _>(4)?)))
        };
        let (key, facts) = read().map_err(doing(what))?;
        found.insert(key, facts);
    }
    for (table, name, definition) in CONSTRAINTS {
        book.looked.constraints += 1;
        let place = format!("constraint {name} on {table}");
        let wanted = definition.unwrap_or("the CHECK of crates/ingest/migrations");
        let make = format!("make it again: ALTER TABLE {table} ADD CONSTRAINT {name} {wanted}");
        let Some((says, validated, off)) = found.get(&(table.to_owned(), name.to_owned())) else {
            book.find(Check::ConstraintMissing, place, 1, format!("there is no constraint {name}"), &make);
            continue;
        };
        if definition.is_some_and(|d| says.strip_suffix(" NOT VALID").unwrap_or(says) != d) {
            let told = format!("it should say `{wanted}`, and says `{says}`");
            book.find(Check::ConstraintDifferent, place, 1, told, &format!("drop it and {make}"));
        } else if !validated {
            let told = "it is marked not valid: rows that were there before it were never checked".to_owned();
            let advice = format!("run ALTER TABLE {table} VALIDATE CONSTRAINT {name}");
            book.find(Check::ConstraintNotValid, place, 1, told, &advice);
        } else if *off > 0 {
            let told = format!("{off} of its triggers are switched off: it does not guard anything");
            let advice = format!(
                "run ALTER TABLE … ENABLE TRIGGER ALL on {table} and on the table that it refers to, then verify again"
            );
            book.find(Check::ConstraintDisabled, place, off.unsigned_abs(), told, &advice);
        }
    }
    Ok(())
}
