//! Template databases, on a local server.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod postgres_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres_support::{at, local, scalar};
use sandbox::postgres::{DATABASE_PREFIX, Error, ServerUrl, Templates, connect};

async fn migrate(url: ServerUrl) -> Result<(), std::io::Error> {
    at(&url, "CREATE TABLE laps (n int PRIMARY KEY); INSERT INTO laps VALUES (1)").await;
    Ok(())
}

#[tokio::test]
async fn each_trial_gets_a_migrated_database_of_the_engines_own() {
    let server = Arc::new(local().await);
    let templates = Templates::new(Arc::clone(&server));
    let template = templates.template("schema-1", migrate).await.unwrap();
    assert!(template.bytes() > 1_000_000);
    let first = templates.create(&template, "large-event 1").await.unwrap();
    let second = templates.create(&template, "large-event 1").await.unwrap();
    assert_ne!(first.name(), second.name());
    assert!(first.name().starts_with(DATABASE_PREFIX) && first.name().contains("large"), "{}", first.name());
    assert!(first.checkpointed());

    // The engine's role owns what is in it: it can write and alter.
    at(&first.engine_url(), "INSERT INTO laps VALUES (2); ALTER TABLE laps ADD COLUMN x int").await;
    let rows: i64 = scalar(&first.admin_url(), "SELECT count(*) FROM laps").await;
    let others: i64 = scalar(&second.admin_url(), "SELECT count(*) FROM laps").await;
    assert_eq!((rows, others), (2, 1));
    let owner: String = scalar(
        &first.admin_url(),
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()",
    )
    .await;
    assert_eq!(owner, server.engine_role());

    // Dropped although somebody is connected.
    let _stray = connect(&first.engine_url()).await.unwrap();
    first.remove().await.unwrap();
    let kept = second.keep().await.unwrap();
    let left: Vec<String> =
        scalar(server.admin_url(), "SELECT array_agg(datname::text) FROM pg_database WHERE datname LIKE 'liverc%'")
            .await;
    assert_eq!(left.len(), 2, "the template and the kept one: {left:?}");
    assert!(!kept.starts_with(DATABASE_PREFIX) && left.contains(&kept));
}

#[tokio::test]
async fn a_key_is_migrated_once_also_by_many_at_a_time() {
    let templates = Templates::new(Arc::new(local().await));
    let calls = AtomicU32::new(0);
    let one = || {
        templates.template("same", |url| {
            calls.fetch_add(1, Ordering::SeqCst);
            migrate(url)
        })
    };
    let (a, b, c) = tokio::join!(one(), one(), one());
    let a = a.unwrap();
    assert_eq!((&a, &a), (&b.unwrap(), &c.unwrap()));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let other = templates.template("other", migrate).await.unwrap();
    assert_ne!(other.name(), a.name());
    // Copies of one template at the same time.
    let (x, y) = tokio::join!(templates.create(&a, "x"), templates.create(&a, "y"));
    assert_ne!(x.unwrap().name(), y.unwrap().name());
}

#[tokio::test]
async fn a_failed_migration_says_why_leaves_nothing_and_may_be_tried_again() {
    let server = Arc::new(local().await);
    let templates = Templates::new(Arc::clone(&server));
    let error = templates
        .template("schema", |_| async { Err::<(), _>(std::io::Error::other("table laps is crooked")) })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Migrate { .. }) && error.to_string().contains("table laps is crooked"), "{error}");
    let left: i64 = scalar(server.admin_url(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'liverc%'").await;
    assert_eq!(left, 0);
    templates.template("schema", migrate).await.unwrap();
}

#[tokio::test]
async fn statements_of_the_engine_are_counted_apart_from_the_admins() {
    let server = Arc::new(local().await);
    let templates = Templates::new(Arc::clone(&server));
    let template = templates.template("schema", migrate).await.unwrap();
    let database = templates.create(&template, "count").await.unwrap();
    at(&database.engine_url(), "INSERT INTO laps VALUES (7)").await;
    at(&database.admin_url(), "INSERT INTO laps VALUES (8)").await;
    let counted: Vec<String> = scalar(
        server.admin_url(),
        "SELECT array_agg(s.query) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
         JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = 'engine' AND d.datname LIKE '%\\_count' AND s.query LIKE 'INSERT%'",
    )
    .await;
    assert_eq!(
        counted.len(),
        1,
        "the engine's own in the trial's database; not the migration's, not the admin's: {counted:?}"
    );
}
