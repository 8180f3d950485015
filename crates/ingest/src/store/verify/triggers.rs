//! The triggers that keep every lap with its result, as the migrations make them.

use std::collections::HashMap;

use sqlx::Row;

use super::super::error::doing;
use super::super::session::args;
use super::super::{Session, StoreError};
use super::{Book, Check};

/// Where triggers and functions are made.
const MIGRATION: &str = include_str!("../../../migrations/0002_laps_have_results.sql");

/// A trigger's table, its name, which is its function's too, and its definition as `pg_get_triggerdef` has it, from the
/// moment on.
const TRIGGERS: [(&str, &str, &str); 5] = [
    ("laps", "laps_have_results", "AFTER INSERT ON laps REFERENCING NEW TABLE AS added FOR EACH STATEMENT"),
    (
        "laps",
        "laps_keep_results",
        "AFTER UPDATE ON laps FOR EACH ROW WHEN (old.result_id IS DISTINCT FROM new.result_id)",
    ),
    ("results", "results_take_laps", "AFTER DELETE ON results REFERENCING OLD TABLE AS removed FOR EACH STATEMENT"),
    ("results", "results_keep_keys", "AFTER UPDATE ON results FOR EACH ROW WHEN (old.id IS DISTINCT FROM new.id)"),
    ("results", "results_truncate_laps", "AFTER TRUNCATE ON results FOR EACH STATEMENT"),
];

struct Found {
    definition: String,
    enabled: bool,
    source: String,
    sound: bool,
}

/// Looks at every trigger and at the function that it calls.
pub(super) async fn verify(session: &mut Session, book: &mut Book) -> Result<(), StoreError> {
    // `true` leaves out the schema where it is the first of the search path.
    const SQL: &str = "\
SELECT t.tgname::text, pg_get_triggerdef(t.oid, true), t.tgenabled IN ('O', 'A'), p.prosrc,
       p.prosecdef AND EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%, pg_temp')
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND t.tgrelid IN (to_regclass('laps'), to_regclass('results'))";
    let what = "looking at the triggers";
    let mut found = HashMap::new();
    for row in session.rows(what, SQL, args![]).await? {
        let read = || -> sqlx::Result<(String, Found)> {
            let (definition, enabled, source, sound) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            Ok((row.try_get(0)?, Found { definition, enabled, source, sound }))
        };
        let (name, facts) = read().map_err(doing(what))?;
        found.insert(name, facts);
    }
    for (table, name, definition) in TRIGGERS {
        book.looked.triggers += 1;
        let place = format!("trigger {name} on {table}");
        let make =
            format!("make trigger and function {name} again, as 0002_laps_have_results.sql of the migrations does");
        let wanted = format!("CREATE TRIGGER {name} {definition} EXECUTE FUNCTION {name}()");
        match found.get(name) {
            None => {
                let told = "there is no such trigger: laps may be left without their result".to_owned();
                book.find(Check::TriggerMissing, place, 1, told, &make);
            }
            Some(f) if f.definition != wanted => {
                let told = format!("it should say `{wanted}`, and says `{}`", f.definition);
                book.find(Check::TriggerDifferent, place, 1, told, &make);
            }
            Some(f) if !MIGRATION.contains(&f.source) || !f.sound => {
                let told = "its function is not the one that the migrations make".to_owned();
                book.find(Check::TriggerDifferent, place, 1, told, &make);
            }
            Some(f) if !f.enabled => {
                let told = "it is switched off: it does not guard anything".to_owned();
                let advice = format!("run ALTER TABLE {table} ENABLE TRIGGER {name}, then verify again");
                book.find(Check::TriggerDisabled, place, 1, told, &advice);
            }
            Some(_) => {}
        }
    }
    Ok(())
}
