//! The statements that profiles make: `before`'s are frozen, and both ends of the bar are kept.

use ingest::settings::Profile;

use crate::common::{Db, World, database, settings};

/// Statements of the reviewed pattern for one race of two results, in their order. Counted statements are written as
/// `n× …`. A change of this list is a change of what every comparison is made against.
#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_before_for_one_race_are_frozen() {
    let db = database().await;
    let world = World::new(1, 2, 3);
    let (summary, statements) = world.ingest(&db, &settings(Profile::Before, &[])).await;
    assert_eq!(summary.exit, 0);
    let unit = statements.iter().position(|s| s.contains("FROM drivers")).unwrap() - 1;
    let end = unit + statements[unit..].iter().rposition(|s| s.contains("INTO ingest_checkpoints")).unwrap() + 2;
    let text: String = statements[unit..end].iter().map(|s| format!("{s};\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/before-one-race.sql");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (i, pair) in text.split(";\n").zip(golden.split(";\n")).enumerate() {
        assert_eq!(pair.0, pair.1, "statement {i} of `before` changed; if that is meant: UPDATE_GOLDEN=1 cargo test");
    }
    assert_eq!(text.len(), golden.len(), "the statements of `before` became more or fewer");
}

/// Calls by the engine's role in the database, as the harness counts them.
async fn calls(db: &Db) -> u64 {
    let server = db.database.server().admin_url().expose().to_owned();
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&server).await.unwrap();
    let sum: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
         JOIN pg_roles r ON r.oid = s.userid WHERE d.datname = $1 AND r.rolname = 'engine'",
    )
    .bind(db.database.name())
    .fetch_one(&mut conn)
    .await
    .unwrap();
    sum.unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_takes_before_thousands_of_statements_and_fast_forty() {
    let world = World::new(40, 12, 21); // 480 results, 10,080 laps
    let mut made = Vec::new();
    for profile in [Profile::Before, Profile::Fast] {
        let db = database().await;
        let (summary, _) = world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!((summary.exit, summary.rows.laps.inserted), (0, 10_080), "{:?}", summary.error);
        made.push(calls(&db).await);
    }
    println!("before {}, fast {}", made[0], made[1]);
    assert!(made[0] >= 2_800, "{made:?}");
    assert!(made[1] > 0 && made[1] <= 40, "{made:?}");
}
