//! `ingest verify` against a real PostgreSQL: it finds nothing on what the engine leaves, and what is broken, no more.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use common::{Db, PROFILES, World, database, settings};
use ingest::settings::Profile;
use ingest::store::{Check, Session, StoreError, Verification, verify};

/// Ingests event 77: races 1 to 3, each of drivers 1000 and 1001 with four laps.
async fn healthy() -> (Db, World) {
    let (db, world) = (database().await, World::new(3, 2, 4));
    let (summary, _) = world.ingest(&db, &settings(Profile::Fast, &[])).await;
    assert_eq!(summary.exit, 0, "{summary:?}");
    (db, world)
}

async fn looked(db: &Db, event: Option<u64>) -> Result<Verification, StoreError> {
    let store = db.store(&settings(Profile::Fast, &[]));
    let mut session = Session::acquire(&store).await.unwrap();
    let verification = verify(&mut session, event).await;
    session.close().await;
    verification
}

async fn found(db: &Db) -> Vec<(Check, String)> {
    let mut found: Vec<_> = looked(db, None).await.unwrap().findings.into_iter().map(|f| (f.check, f.place)).collect();
    found.sort();
    found
}

/// Breaks a fresh healthy database each time, and sees that exactly this is found.
async fn finds(cases: &[(&'static str, &[(Check, &str)])]) {
    for (sql, expected) in cases {
        let (db, _) = healthy().await;
        db.run(sql).await;
        let mut expected: Vec<_> = expected.iter().map(|(check, place)| (*check, (*place).to_owned())).collect();
        expected.sort();
        assert_eq!(found(&db).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn nothing_is_found_on_what_an_engine_leaves() {
    for profile in PROFILES {
        let (db, mut world) = (database().await, World::new(3, 2, 4));
        assert_eq!(found(&db).await, [], "an empty database");
        world.bad = vec![2];
        world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!(found(&db).await, [], "a race that failed at first, {profile:?}");
        world.bad.clear();
        world.ingest(&db, &settings(profile, &[])).await;
        let all = looked(&db, Some(77)).await.unwrap();
        assert_eq!(all.findings, [], "{profile:?}");
        let looked = all.looked;
        assert_eq!((looked.events, looked.races, looked.hashed, looked.laps), (1, 3, 3, 24), "{profile:?}");
        assert_eq!((looked.indexes, looked.constraints, looked.triggers, looked.plans), (19, 13, 5, 18), "{profile:?}");
        world.bad = vec![1];
        world.races[0].results[0].laps.pop();
        world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!(found(&db).await, [], "a stored race that failed later, and one that changed, {profile:?}");
    }
}

#[tokio::test]
async fn what_the_engine_stored_under_an_older_hash_is_not_judged() {
    let (db, _) = healthy().await;
    db.run("UPDATE ingest_checkpoints SET hash_version = 0, hash = '\\x00'").await;
    assert_eq!(found(&db).await, []);
}

#[tokio::test]
async fn indexes_are_found_missing_different_and_invalid() {
    finds(&[
        ("DROP INDEX races_event_id", &[(Check::IndexMissing, "index races_event_id on races")]),
        ("ALTER TABLE laps DROP CONSTRAINT laps_pkey", &[(Check::IndexMissing, "index laps_pkey on laps")]),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'results_race_id'::regclass",
            &[(Check::IndexInvalid, "index results_race_id on results")],
        ),
        (
            "DROP INDEX results_race_id; CREATE INDEX results_race_id ON results (driver_id, race_id)",
            &[(Check::IndexDifferent, "index results_race_id on results")],
        ),
        (
            "DROP INDEX results_race_id; CREATE INDEX results_race_id ON results (race_id) WHERE race_id > 5",
            &[(Check::IndexDifferent, "index results_race_id on results")],
        ),
        (
            "DROP INDEX results_race_id; CREATE INDEX results_race_id ON results ((race_id + 1))",
            &[(Check::IndexDifferent, "index results_race_id on results")],
        ),
        (
            "ALTER TABLE laps DROP CONSTRAINT laps_pkey; CREATE INDEX laps_pkey ON laps (result_id, number)",
            &[(Check::IndexDifferent, "index laps_pkey on laps")],
        ),
        ("DROP TABLE ingest_events", &[(Check::TableMissing, "ingest_events")]),
    ])
    .await;
}

#[tokio::test]
async fn lookups_that_do_not_go_by_their_index_are_found() {
    let (db, _) = healthy().await;
    db.run(
        "DO $$ DECLARE s text; BEGIN FOREACH s IN ARRAY ARRAY['indexscan', 'indexonlyscan', 'bitmapscan'] LOOP \
         EXECUTE format('ALTER DATABASE %I SET enable_%s = off', current_database(), s); END LOOP; END $$; ANALYZE",
    )
    .await;
    // Where both ways are forbidden the cheaper one is taken: of a page that is known to be the only one, the scan.
    let found = found(&db).await;
    assert!(found.iter().all(|(check, _)| *check == Check::IndexUnused), "{found:?}");
    // Of `tracks` the engine only asks for conflicts, which an index finds whatever the planner's settings.
    assert_eq!(found.len(), 11, "each once: {found:?}");
}

#[tokio::test]
async fn constraints_are_found_missing_different_unchecked_and_switched_off() {
    const FKEY: &str = "constraint results_race_id_fkey on results";
    finds(&[
        ("ALTER TABLE results DROP CONSTRAINT results_race_id_fkey", &[(Check::ConstraintMissing, FKEY)]),
        (
            "ALTER TABLE results DROP CONSTRAINT results_race_id_fkey, \
             ADD CONSTRAINT results_race_id_fkey FOREIGN KEY (race_id) REFERENCES races",
            &[(Check::ConstraintDifferent, FKEY)],
        ),
        (
            "ALTER TABLE results DROP CONSTRAINT results_race_id_fkey, \
             ADD CONSTRAINT results_race_id_fkey FOREIGN KEY (race_id) REFERENCES races ON DELETE CASCADE NOT VALID",
            &[(Check::ConstraintNotValid, FKEY)],
        ),
        (
            "UPDATE pg_constraint SET convalidated = false WHERE conname = 'laps_time_ms_check'",
            &[(Check::ConstraintNotValid, "constraint laps_time_ms_check on laps")],
        ),
        (
            "ALTER TABLE events DROP CONSTRAINT events_ingest_depth_check",
            &[(Check::ConstraintMissing, "constraint events_ingest_depth_check on events")],
        ),
        (
            "ALTER TABLE entries DISABLE TRIGGER ALL",
            &[
                (Check::ConstraintDisabled, "constraint entries_driver_id_fkey on entries"),
                (Check::ConstraintDisabled, "constraint entries_event_id_fkey on entries"),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_triggers_that_keep_laps_are_found_missing_different_and_switched_off() {
    use Check::{TriggerDifferent, TriggerDisabled, TriggerMissing};
    const ADD: &str = "trigger laps_have_results on laps";
    finds(&[
        ("DROP TRIGGER laps_have_results ON laps", &[(TriggerMissing, ADD)]),
        (
            "DROP FUNCTION results_truncate_laps CASCADE",
            &[(TriggerMissing, "trigger results_truncate_laps on results")],
        ),
        (
            "DROP TRIGGER results_take_laps ON results; CREATE TRIGGER results_take_laps AFTER DELETE ON results \
             REFERENCING OLD TABLE AS removed FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION results_take_laps()",
            &[(TriggerDifferent, "trigger results_take_laps on results")],
        ),
        (
            "CREATE OR REPLACE FUNCTION laps_have_results() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = public, pg_temp AS $$ BEGIN RETURN NULL; END $$",
            &[(TriggerDifferent, ADD)],
        ),
        ("ALTER FUNCTION laps_have_results() RESET search_path", &[(TriggerDifferent, ADD)]),
        ("ALTER FUNCTION laps_have_results() SECURITY INVOKER", &[(TriggerDifferent, ADD)]),
        ("ALTER TABLE laps DISABLE TRIGGER laps_have_results", &[(TriggerDisabled, ADD)]),
        (
            "ALTER TABLE results DISABLE TRIGGER USER",
            &[
                (TriggerDisabled, "trigger results_keep_keys on results"),
                (TriggerDisabled, "trigger results_take_laps on results"),
                (TriggerDisabled, "trigger results_truncate_laps on results"),
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn orphans_are_found() {
    use Check::{CheckpointWithoutData, Depth, Orphans};
    finds(&[
        (
            "SET session_replication_role = replica; INSERT INTO laps (result_id, number, time_ms) VALUES (4711, 1, 1)",
            &[(Orphans, "laps.result_id")],
        ),
        (
            "SET session_replication_role = replica; \
             INSERT INTO results (id, race_id, name, car_number, behind) VALUES (1, 4711, '', '', '')",
            &[(Orphans, "results.race_id")],
        ),
        (
            "SET session_replication_role = replica; DELETE FROM drivers WHERE id = 1000",
            &[(Orphans, "entries.driver_id"), (Orphans, "results.driver_id")],
        ),
        (
            "SET session_replication_role = replica; DELETE FROM events",
            &[(Orphans, "entries.event_id"), (Orphans, "races.event_id"), (Orphans, "ingest_checkpoints.event_id")],
        ),
        ("SET session_replication_role = replica; DELETE FROM tracks", &[(Orphans, "events.track")]),
        (
            "SET session_replication_role = replica; DELETE FROM races WHERE id = 2",
            &[(Orphans, "results.race_id"), (CheckpointWithoutData, "event 77 race 2"), (Depth, "event 77")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn rows_that_their_checkpoint_does_not_speak_of_are_found() {
    const RACE: &str = "event 77 race 2";
    finds(&[
        (
            "DELETE FROM laps WHERE number = 4 AND result_id IN (SELECT id FROM results WHERE race_id = 2)",
            &[(Check::LapCount, RACE)],
        ),
        (
            "DELETE FROM laps WHERE number = 2 AND result_id IN (SELECT id FROM results WHERE race_id = 2)",
            &[(Check::LapCount, RACE), (Check::LapNumbers, RACE)],
        ),
        (
            "UPDATE laps SET number = 9 WHERE number = 4 AND result_id IN (SELECT id FROM results WHERE race_id = 2)",
            &[(Check::LapNumbers, RACE)],
        ),
        (
            "UPDATE laps SET time_ms = time_ms + 1 \
             WHERE number = 1 AND result_id = (SELECT id FROM results WHERE race_id = 2 AND driver_id = 1000)",
            &[(Check::ContentHash, RACE)],
        ),
        ("UPDATE races SET label = 'X' WHERE id = 2", &[(Check::ContentHash, RACE)]),
        ("UPDATE results SET total_ms = -1 WHERE race_id = 2", &[(Check::Unreadable, RACE)]),
        ("DELETE FROM ingest_checkpoints WHERE race_id = 2", &[(Check::DataWithoutCheckpoint, RACE)]),
        (
            "UPDATE ingest_checkpoints SET state = 'failed', hash = NULL WHERE race_id = 2",
            &[(Check::DataWithoutCheckpoint, RACE), (Check::Depth, "event 77")],
        ),
        ("UPDATE ingest_checkpoints SET hash = NULL WHERE race_id = 2", &[(Check::CheckpointHash, RACE)]),
        ("UPDATE ingest_checkpoints SET hash = '\\x00' WHERE race_id = 2", &[(Check::CheckpointHash, RACE)]),
        (
            "INSERT INTO events (id, track, name) VALUES (78, 'testtrack', ''); INSERT INTO ingest_events VALUES (78); \
             UPDATE ingest_checkpoints SET event_id = 78 WHERE race_id = 2",
            &[(Check::CheckpointEvent, RACE)],
        ),
    ])
    .await;
}

#[tokio::test]
async fn drivers_are_counted_as_drivers() {
    const RACE: &str = "event 77 race 2";
    finds(&[
        (
            "INSERT INTO results (id, race_id, driver_id, name, car_number, behind) \
             SELECT 1, race_id, driver_id, 'ANOTHER SPELLING', '', '' FROM results WHERE race_id = 2 AND driver_id = 1000",
            &[(Check::ResultTwice, RACE)],
        ),
        (
            "SET session_replication_role = replica; \
             UPDATE laps SET result_id = 1 FROM results r WHERE r.id = result_id AND race_id = 2 AND driver_id = 1000; \
             UPDATE results SET id = 1 WHERE race_id = 2 AND driver_id = 1000",
            &[(Check::ResultId, RACE)],
        ),
        (
            "UPDATE entries SET driver_id = 1001 WHERE driver_id = 1000",
            &[(Check::EntryDriver, "event 77")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_depth_that_the_races_do_not_bear_out_is_found() {
    finds(&[
        ("UPDATE events SET listed_races = 4", &[(Check::Depth, "event 77")]),
        ("UPDATE events SET ingest_depth = 'none'", &[(Check::Depth, "event 77")]),
        ("UPDATE events SET ingest_depth = 'partial', listed_races = 2", &[(Check::Depth, "event 77")]),
        ("UPDATE ingest_checkpoints SET state = 'failed' WHERE race_id = 2", &[(Check::Depth, "event 77")]),
        // What a crash ahead of the last transaction leaves is whole.
        ("UPDATE events SET ingest_depth = 'partial'", &[]),
        ("DELETE FROM ingest_events", &[(Check::BookMissing, "event 77")]),
    ])
    .await;
}

#[tokio::test]
async fn the_advice_mends_a_race() {
    let (db, world) = healthy().await;
    db.run(
        "DELETE FROM laps WHERE number = 2; UPDATE results SET behind = 'X' WHERE race_id = 1; \
         INSERT INTO results (id, race_id, driver_id, name, car_number, behind) \
         SELECT 1, race_id, driver_id, name, '', '' FROM results WHERE race_id = 3 AND driver_id = 1000",
    )
    .await;
    let findings = looked(&db, None).await.unwrap().findings;
    let mended = "after DELETE FROM ingest_checkpoints for this race";
    assert!(!findings.is_empty() && findings.iter().all(|f| f.advice.contains(mended)), "{findings:#?}");
    db.run("DELETE FROM ingest_checkpoints").await;
    world.ingest(&db, &settings(Profile::Fast, &[])).await;
    assert_eq!(found(&db).await, []);
}

/// Another event's data is not looked at, and nothing that is written meanwhile.
#[tokio::test]
async fn one_event_is_looked_at_in_one_snapshot() {
    let (db, world) = healthy().await;
    let other = World { event: 78, races: vec![ingest::fixture::race(9, 2, 4)], ..World::new(0, 2, 0) };
    other.ingest(&db, &settings(Profile::Fast, &[])).await;
    db.run("DELETE FROM laps WHERE result_id IN (SELECT id FROM results WHERE race_id = 9)").await;
    assert_eq!(looked(&db, Some(77)).await.unwrap().findings, []);
    let found: Vec<_> =
        looked(&db, Some(78)).await.unwrap().findings.into_iter().map(|f| (f.check, f.race_id)).collect();
    assert_eq!(found, [(Check::LapCount, Some(9))]);
    assert!(matches!(looked(&db, Some(4711)).await, Err(StoreError::NoEvent(4711))));

    let mut store = db.store(&settings(Profile::Fast, &[]));
    let sent = store.record_statements();
    let mut session = Session::acquire(&store).await.unwrap();
    verify(&mut session, Some(world.event)).await.unwrap();
    assert!(session.is_clean(), "the session can be used again");
    session.close().await;
    let sent = sent.lock().unwrap().clone();
    assert_eq!(sent[..2], ["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"]);
    assert_eq!(
        sent.iter().filter(|s| ["BEGIN", "COMMIT", "ROLLBACK"].contains(&s.as_str())).count(),
        2,
        "one transaction"
    );
}

fn command(url: &str, own: &[&str]) -> Output {
    Command::new(cargo_bin!("ingest")).env("DATABASE_URL", url).arg("verify").args(own).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_where_how_many_and_what_to_do() {
    let (db, _) = healthy().await;
    let output = command(&db.url, &["77"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).starts_with("nothing found; looked at 19 indexes"), "{}", text(&output));

    db.run("DROP INDEX results_race_id; UPDATE laps SET time_ms = 1 WHERE number = 1").await;
    let output = command(&db.url, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for part in [
        "index-missing: index results_race_id on results: there is no index",
        "CREATE INDEX results_race_id ON results (race_id)",
        "content-hash: event 77 race 3: its rows are not those",
        "4 findings; looked at",
    ] {
        assert!(text(&output).contains(part), "`{part}` in {}", text(&output));
    }
    let output = command(&db.url, &["77", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 4);
    assert_eq!((&findings[0]["check"], &findings[0]["count"]), (&"index-missing".into(), &1.into()));
    assert_eq!((&findings[1]["check"], &findings[1]["race_id"]), (&"content-hash".into(), &1.into()));
    assert!(findings.iter().all(|f| !f["advice"].as_str().unwrap().is_empty()));

    let output = command("postgres://nobody@127.0.0.1:1/none", &["--acquire-timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    let output = command(&db.url, &["4711"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("event 4711 is not in the database"), "{}", text(&output));
}
