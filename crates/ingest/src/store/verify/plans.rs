//! Whether the lookups of the engine can go by their indexes: plans made while sequential scans cost more than anything,
//! so that small tables say what large ones would do.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use super::super::error::doing;
use super::super::session::args;
use super::super::{Session, StoreError};
use super::{Book, Check};

/// Lookups with the index that each must go by; the comments say who makes them. Constants stand for parameters.
const LOOKUPS: [(&str, &str); 18] = [
    // event::record
    (
        "tracks_pkey",
        "INSERT INTO tracks (slug, name) VALUES ('a', 'A') ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name",
    ),
    ("events_pkey", "SELECT ingest_depth FROM events WHERE id = 1::bigint"),
    // drivers::write, and the check of a result's foreign key
    ("drivers_pkey", "SELECT id, name FROM drivers WHERE id = 1::bigint"),
    (
        "drivers_pkey",
        "INSERT INTO drivers (id, name) VALUES (1, 'A') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name",
    ),
    // rows::results_one_by_one, entries::write
    ("entries_pkey", "SELECT driver_id FROM entries WHERE event_id = 1::bigint AND class = 'A' AND name = 'B'"),
    (
        "entries_pkey",
        "INSERT INTO entries (event_id, class, name, car_number, transponder) VALUES (1, '', '', '', '') \
         ON CONFLICT (event_id, class, name, car_number, transponder) DO UPDATE SET driver_id = entries.driver_id",
    ),
    // rows::race_one, checkpoint::read
    ("races_pkey", "SELECT round FROM races WHERE id = 1::bigint"),
    (
        "races_pkey",
        "INSERT INTO races (id, event_id, round, class, label, length) VALUES (1, 1, '', '', '', '') \
         ON CONFLICT (id) DO UPDATE SET round = EXCLUDED.round",
    ),
    // checkpoint::of_event, event::remove, and the cascade of an event
    ("races_event_id", "SELECT id FROM races WHERE event_id = 1::bigint"),
    // rows::write
    ("results_pkey", "SELECT race_id FROM results WHERE id = 1::bigint"),
    (
        "results_pkey",
        "INSERT INTO results (id, race_id, name, car_number, behind) VALUES (1, 1, '', '', '') \
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name",
    ),
    // rows::prune_one, rows::results_batched, load_race, and the cascade of a race
    ("results_race_id", "SELECT id FROM results WHERE race_id = ANY ('{1,2}'::bigint[])"),
    // laps::prune, load_race, and the cascade of a result
    ("laps_pkey", "SELECT number FROM laps WHERE result_id = ANY ('{1,2}'::bigint[])"),
    (
        "laps_pkey",
        "INSERT INTO laps (result_id, number, time_ms) VALUES (1, 1, 1) \
         ON CONFLICT (result_id, number) DO UPDATE SET time_ms = EXCLUDED.time_ms",
    ),
    // event::begin_fenced
    ("ingest_events_pkey", "SELECT fence FROM ingest_events WHERE event_id = 1::bigint"),
    // checkpoint::read, checkpoint::write
    ("ingest_checkpoints_pkey", "SELECT state FROM ingest_checkpoints WHERE race_id = 1::bigint"),
    (
        "ingest_checkpoints_pkey",
        "INSERT INTO ingest_checkpoints (race_id, event_id, state) VALUES (1, 1, 'written') \
         ON CONFLICT (race_id) DO UPDATE SET state = EXCLUDED.state",
    ),
    // checkpoint::of_event
    ("ingest_checkpoints_event_id", "SELECT race_id FROM ingest_checkpoints WHERE event_id = 1::bigint"),
];

/// Plans every lookup whose index is sound. Ends with planner settings that hold until the transaction ends.
pub(super) async fn verify(session: &mut Session, sound: &HashSet<&str>, book: &mut Book) -> Result<(), StoreError> {
    let what = "planning a lookup";
    session.execute(what, "SET LOCAL enable_seqscan = off", args![]).await?;
    let mut told = HashSet::new();
    for (index, lookup) in LOOKUPS.iter().filter(|(index, _)| sound.contains(index)) {
        book.looked.plans += 1;
        let sql = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON, COSTS OFF) {lookup}"));
        let plan: Value = session.row(what, sql, args![]).await?.try_get(0).map_err(doing(what))?;
        if !uses(&plan, index) && told.insert(*index) {
            let what = format!("`{lookup}` is planned without it");
            let advice = format!(
                "look at the planner's settings (enable_indexscan and its kin, pg_db_role_setting), then run \
                 REINDEX INDEX {index}"
            );
            book.find(Check::IndexUnused, format!("index {index}"), 1, what, &advice);
        }
    }
    Ok(())
}

/// Whether a node of the plan goes by the index: with a condition on its key, or to find conflicts.
fn uses(plan: &Value, index: &str) -> bool {
    match plan {
        Value::Array(nodes) => nodes.iter().any(|n| uses(n, index)),
        Value::Object(node) => {
            let names = |key: &str| node.get(key).is_some_and(|v| v == index);
            let searched = names("Index Name") && node.contains_key("Index Cond");
            let arbiter = node.get("Conflict Arbiter Indexes").and_then(Value::as_array);
            let arbiter = arbiter.is_some_and(|all| all.iter().any(|v| v == index));
            searched || arbiter || node.values().any(|n| uses(n, index))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::uses;

    #[test]
    fn an_index_that_is_walked_whole_is_not_used() {
        let node = json!({ "Index Name": "a", "Index Cond": "(id = 1)" });
        assert!(uses(&json!([{ "Plan": { "Plans": [node] } }]), "a"));
        assert!(!uses(&json!([{ "Plan": { "Plans": [node] } }]), "b"));
        assert!(!uses(&json!([{ "Plan": { "Index Name": "a", "Filter": "(id = 1)" } }]), "a"));
        assert!(uses(&json!([{ "Plan": { "Conflict Arbiter Indexes": ["b"] } }]), "b"));
    }
}
