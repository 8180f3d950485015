//! Laps keep their results: every way in which a lap could be left without one, tried on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use common::{Db, World, database, settings};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::task::JoinHandle;

const ORPHAN: &str = "23503";
const REFUSED: &str = "0A000";
const OLD_SNAPSHOT: &str = "40001";
const ISOLATIONS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// Race 1 with results 1 (two laps), 2 (one lap) and 3 (none).
async fn prepared() -> Db {
    let db = database().await;
    prepare(&db).await;
    db
}

async fn prepare(db: &Db) {
    db.run(
        "TRUNCATE tracks CASCADE; INSERT INTO tracks VALUES ('a', 'A'); INSERT INTO events (id, track, name) VALUES (1, 'a', ''); \
         INSERT INTO races (id, event_id, round, class, label, length) VALUES (1, 1, '', '', '', ''); \
         INSERT INTO results (id, race_id, name, car_number, behind) SELECT g, 1, '', '', '' FROM generate_series(1, 3) g; \
         INSERT INTO laps (result_id, number, time_ms) VALUES (1, 1, 5), (1, 2, 5), (2, 1, 5)",
    )
    .await;
}

/// SQLSTATE of what came of some statements; empty: all went well.
async fn run(conn: &mut PgConnection, sql: &str) -> String {
    match conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await {
        Ok(_) => String::new(),
        Err(error) => error.as_database_error().and_then(|e| e.code()).expect("an error of PostgreSQL").into_owned(),
    }
}

async fn orphans(db: &Db) -> String {
    db.text("SELECT count(*)::text FROM laps l WHERE NOT EXISTS (SELECT FROM results r WHERE r.id = l.result_id)").await
}

async fn laps(db: &Db) -> String {
    let all = "SELECT string_agg(result_id || '.' || number, ' ' ORDER BY result_id, number) FROM laps";
    db.text(all).await
}

#[tokio::test]
async fn laps_without_a_result_are_refused_however_they_come() {
    let db = prepared().await;
    let mut conn = db.connect().await;
    for sql in [
        "INSERT INTO laps (result_id, number, time_ms) VALUES (4711, 1, 5)",
        "INSERT INTO laps (result_id, number, time_ms) VALUES (3, 1, 5), (4711, 1, 5), (3, 2, 5)",
        "INSERT INTO laps (result_id, number, time_ms) SELECT 3 + g % 2, g, 5 FROM generate_series(1, 5000) g",
        "INSERT INTO laps (result_id, number, time_ms) VALUES (4711, 1, 5) \
         ON CONFLICT (result_id, number) DO UPDATE SET time_ms = EXCLUDED.time_ms",
        "WITH gone AS (DELETE FROM results WHERE id = 3) INSERT INTO laps (result_id, number, time_ms) VALUES (4711, 1, 5)",
        "MERGE INTO laps l USING (VALUES (4711::bigint)) AS s (id) ON l.result_id = s.id \
         WHEN NOT MATCHED THEN INSERT (result_id, number, time_ms) VALUES (s.id, 1, 5)",
        "UPDATE laps SET result_id = 4711 WHERE result_id = 2",
        "UPDATE laps SET result_id = result_id + 2",
    ] {
        for isolation in ISOLATIONS {
            assert_eq!(run(&mut conn, &format!("BEGIN ISOLATION LEVEL {isolation}; {sql}")).await, ORPHAN, "{sql}");
            run(&mut conn, "ROLLBACK").await;
        }
    }
    let mut copy = conn.copy_in_raw("COPY laps (result_id, number, time_ms) FROM STDIN").await.unwrap();
    copy.send(&b"3\t1\t5\n4711\t1\t5\n"[..]).await.unwrap();
    let error = copy.finish().await.unwrap_err();
    let error = error.as_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some(ORPHAN));
    assert_eq!(error.message(), "laps of 1 results that are not in table \"results\"");
    let detail = error.downcast_ref::<sqlx::postgres::PgDatabaseError>().detail();
    assert_eq!(detail, Some("The first is result_id 4711."));
    assert_eq!(error.constraint(), Some("laps_have_results"));
    assert_eq!(laps(&db).await, "1.1 1.2 2.1");
}

#[tokio::test]
async fn laps_with_a_result_are_taken_however_they_come() {
    let db = prepared().await;
    let mut conn = db.connect().await;
    for sql in [
        "INSERT INTO laps (result_id, number, time_ms) VALUES (3, 1, 5), (2, 2, 5)",
        "INSERT INTO laps (result_id, number, time_ms) VALUES (3, 1, 5), (3, 2, 6) \
         ON CONFLICT (result_id, number) DO UPDATE SET time_ms = EXCLUDED.time_ms",
        "INSERT INTO laps (result_id, number, time_ms) SELECT 1, 1, 1 WHERE false",
        "WITH new AS (INSERT INTO results (id, race_id, name, car_number, behind) VALUES (4, 1, '', '', '') RETURNING id) \
         INSERT INTO laps (result_id, number, time_ms) SELECT id, 1, 5 FROM new",
        "UPDATE laps SET result_id = 4 WHERE result_id = 3 AND number = 2",
        "UPDATE laps SET time_ms = 7; UPDATE results SET name = 'X'; UPDATE results SET id = id",
        "DELETE FROM laps WHERE result_id = 4 AND number = 2",
    ] {
        assert_eq!(run(&mut conn, sql).await, "", "{sql}");
    }
    assert_eq!(laps(&db).await, "1.1 1.2 2.1 2.2 3.1 4.1");
    // A table of the same name in front, or a role that may do nothing but add laps, changes nothing.
    db.run(
        "CREATE ROLE adder; GRANT INSERT ON laps TO adder; SET ROLE adder; CREATE TEMP TABLE results (id bigint); \
         INSERT INTO results VALUES (4711); INSERT INTO laps (result_id, number, time_ms) VALUES (3, 9, 5)",
    )
    .await;
    let hidden = "SET ROLE adder; CREATE TEMP TABLE results (id bigint); INSERT INTO results VALUES (4711); \
                  INSERT INTO laps (result_id, number, time_ms) VALUES (4711, 9, 5)";
    assert_eq!(run(&mut conn, hidden).await, ORPHAN);
    db.run("DROP OWNED BY adder; DROP ROLE adder").await;
}

#[tokio::test]
async fn results_that_go_take_their_laps_along() {
    let db = prepared().await;
    let mut conn = db.connect().await;
    for (sql, left) in [
        ("DELETE FROM results WHERE id IN (1, 3)", "2.1"),
        ("DELETE FROM races", ""),
        ("DELETE FROM events", ""),
        ("TRUNCATE results", ""),
        ("TRUNCATE races CASCADE", ""),
        ("WITH l AS (DELETE FROM laps WHERE result_id = 1) DELETE FROM results WHERE id = 1", "2.1"),
        (
            "MERGE INTO results r USING (VALUES (2::bigint)) AS s (id) ON r.id = s.id WHEN MATCHED THEN DELETE",
            "1.1 1.2",
        ),
    ] {
        assert_eq!(run(&mut conn, &format!("BEGIN; {sql}")).await, "", "{sql}");
        let all =
            "SELECT coalesce(string_agg(result_id || '.' || number, ' ' ORDER BY result_id, number), '') FROM laps";
        let row = conn.fetch_one(all).await.unwrap();
        assert_eq!(row.get::<String, _>(0), left, "{sql}");
        run(&mut conn, "ROLLBACK").await;
    }
    assert_eq!(laps(&db).await, "1.1 1.2 2.1");
}

/// Their snapshot would not show laps that were committed meanwhile.
#[tokio::test]
async fn under_an_older_snapshot_results_stay() {
    let db = prepared().await;
    let mut conn = db.connect().await;
    for isolation in &ISOLATIONS[1..] {
        for sql in ["DELETE FROM results WHERE id = 3", "DELETE FROM races", "UPDATE results SET id = 9 WHERE id = 3"] {
            assert_eq!(run(&mut conn, &format!("BEGIN ISOLATION LEVEL {isolation}; {sql}")).await, REFUSED, "{sql}");
            run(&mut conn, "ROLLBACK").await;
        }
        let nothing = format!("BEGIN ISOLATION LEVEL {isolation}; DELETE FROM results WHERE id = 4711; COMMIT");
        assert_eq!(run(&mut conn, &nothing).await, "");
    }
}

#[tokio::test]
async fn the_key_of_a_result_with_laps_stays() {
    let db = prepared().await;
    let mut conn = db.connect().await;
    assert_eq!(run(&mut conn, "UPDATE results SET id = 4 WHERE id = 1").await, ORPHAN);
    assert_eq!(run(&mut conn, "UPDATE results SET id = id + 10").await, ORPHAN);
    let upsert = "INSERT INTO results (id, race_id, name, car_number, behind) VALUES (1, 1, '', '', '') \
                  ON CONFLICT (id) DO UPDATE SET id = 4";
    assert_eq!(run(&mut conn, upsert).await, ORPHAN);
    // Changed behind the statement's back it is seen all the same.
    db.run(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := 4; RETURN NEW; END $$; \
         CREATE TRIGGER f BEFORE UPDATE ON results FOR EACH ROW WHEN (NEW.name = 'f') EXECUTE FUNCTION f()",
    )
    .await;
    assert_eq!(run(&mut conn, "UPDATE results SET name = 'f' WHERE id = 2").await, ORPHAN);
    assert_eq!(run(&mut conn, "UPDATE results SET id = 4 WHERE id = 3").await, "");
    assert_eq!(laps(&db).await, "1.1 1.2 2.1");
}

/// Runs a statement that must wait for another transaction, and returns when it does.
async fn waiting(db: &Db, mut conn: PgConnection, sql: &str) -> JoinHandle<(String, PgConnection)> {
    let pid: i32 = conn.fetch_one("SELECT pg_backend_pid()").await.unwrap().get(0);
    let sql = sql.to_owned();
    let task = tokio::spawn(async move { (run(&mut conn, &sql).await, conn) });
    let mut watch = db.connect().await;
    loop {
        let blocked = sqlx::query_scalar::<_, bool>("SELECT cardinality(pg_blocking_pids($1)) > 0").bind(pid);
        if blocked.fetch_one(&mut watch).await.unwrap() {
            return task;
        }
        assert!(!task.is_finished(), "it did not wait");
    }
}

/// What takes the parent of new laps away, and how many laps of it are left when both have committed.
const TAKES: [(&str, &str); 4] = [
    ("DELETE FROM results WHERE id = 3", ""),
    ("DELETE FROM races WHERE id = 1", ""),
    ("TRUNCATE results", ""),
    ("UPDATE results SET id = 4 WHERE id = 3", ORPHAN),
];

const ADDS: [&str; 2] = [
    "INSERT INTO laps (result_id, number, time_ms) VALUES (2, 7, 5), (3, 7, 5)",
    "UPDATE laps SET result_id = 3 WHERE result_id = 2",
];

/// Laps come first: whoever takes the result away waits, and then sees them.
#[tokio::test]
async fn a_result_that_goes_while_its_laps_come_takes_them_along_or_stays() {
    let db = database().await;
    for add in ADDS {
        for (take, outcome) in TAKES {
            for commit in [true, false] {
                prepare(&db).await;
                let mut adder = db.connect().await;
                assert_eq!(run(&mut adder, &format!("BEGIN; {add}")).await, "");
                let taker = waiting(&db, db.connect().await, take).await;
                run(&mut adder, if commit { "COMMIT" } else { "ROLLBACK" }).await;
                let (state, _) = taker.await.unwrap();
                assert_eq!(state, if commit { outcome } else { "" }, "{take} against {add}, committed: {commit}");
                assert_eq!(orphans(&db).await, "0", "{take} against {add}");
                let kept = db.text("SELECT count(*)::text FROM results WHERE id = 3").await;
                let of_it = db.text("SELECT count(*)::text FROM laps WHERE result_id = 3").await;
                let stays = commit && outcome == ORPHAN;
                assert_eq!((kept.as_str(), of_it.as_str()), if stays { ("1", "1") } else { ("0", "0") }, "{take}");
            }
        }
    }
}

/// The result goes first: laps wait, and are then refused, or taken when it came back.
#[tokio::test]
async fn laps_that_come_while_their_result_goes_wait_and_are_refused() {
    let db = database().await;
    for isolation in ISOLATIONS {
        for add in ADDS {
            for (take, _) in TAKES {
                for commit in [true, false] {
                    prepare(&db).await;
                    let mut taker = db.connect().await;
                    assert_eq!(run(&mut taker, &format!("BEGIN; {take}")).await, "");
                    let mut adder = db.connect().await;
                    // Its snapshot is from before.
                    run(&mut adder, &format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM drivers")).await;
                    let adder = waiting(&db, adder, add).await;
                    run(&mut taker, if commit { "COMMIT" } else { "ROLLBACK" }).await;
                    let (state, mut adder) = adder.await.unwrap();
                    let said = format!("{add} against {take}, {isolation}, committed: {commit}: `{state}`");
                    let refused = [ORPHAN, OLD_SNAPSHOT].contains(&state.as_str());
                    // Where its laps went with the races it had none to move.
                    let moved_none = add.starts_with("UPDATE") && state.is_empty();
                    assert!(if commit { refused || moved_none } else { state.is_empty() }, "{said}");
                    run(&mut adder, "COMMIT").await;
                    assert_eq!(orphans(&db).await, "0", "{said}");
                }
            }
        }
    }
}

/// Rows that have been copied and are not yet checked are no more than any that are not committed.
#[tokio::test]
async fn a_result_that_goes_in_the_middle_of_a_copy_ends_the_copy() {
    let db = prepared().await;
    let mut adder = db.connect().await;
    let mut copy = adder.copy_in_raw("COPY laps (result_id, number, time_ms) FROM STDIN").await.unwrap();
    copy.send(&b"3\t1\t5\n"[..]).await.unwrap();
    let mut taker = db.connect().await;
    assert_eq!(run(&mut taker, "DELETE FROM results WHERE id = 3").await, "");
    let error = copy.finish().await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some(ORPHAN));
    assert_eq!((orphans(&db).await, laps(&db).await), ("0".to_owned(), "1.1 1.2 2.1".to_owned()));
}

/// Two that add laps of one result do not wait for each other.
#[tokio::test]
async fn those_that_add_laps_do_not_wait_for_each_other() {
    let db = prepared().await;
    let (mut one, mut two) = (db.connect().await, db.connect().await);
    assert_eq!(run(&mut one, "BEGIN; INSERT INTO laps (result_id, number, time_ms) VALUES (3, 1, 5)").await, "");
    assert_eq!(run(&mut two, "BEGIN; UPDATE results SET name = 'X' WHERE id = 3").await, "");
    let mut three = db.connect().await;
    let add = "SET lock_timeout = '10s'; INSERT INTO laps (result_id, number, time_ms) VALUES (3, 2, 5)";
    assert_eq!(run(&mut three, add).await, "");
    assert_eq!(run(&mut two, "COMMIT").await, "");
    assert_eq!(run(&mut one, "COMMIT").await, "");
    assert_eq!(laps(&db).await, "1.1 1.2 2.1 3.1 3.2");
    for conn in [one, two, three] {
        conn.close().await.unwrap();
    }
}

/// Results and races that leave the pages go through the same triggers.
#[tokio::test]
async fn the_engine_ingests_and_corrects_under_the_check() {
    for profile in common::PROFILES {
        let db = database().await;
        let mut world = World::new(3, 4, 6);
        let settings = settings(profile, &[]);
        world.ingest(&db, &settings).await;
        world.races[0].results.remove(1);
        world.races[1].results[0].laps.pop();
        world.races.remove(2);
        let (summary, _) = world.ingest(&db, &settings).await;
        assert_eq!((summary.exit, summary.error), (0, None), "{profile}");
        assert_eq!(orphans(&db).await, "0");
        assert_eq!(db.text("SELECT count(*)::text FROM laps").await, (3 * 6 + 4 * 6 - 1).to_string(), "{profile}");
    }
}
