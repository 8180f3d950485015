//! The pool against a server that has few connections left, and one that has none.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use common::site::{ingest, site, told};
use common::{World, database_on, settings};
use contract::feed::Summary;
use ingest::settings::Profile;
use sandbox::postgres::Options;
use sqlx::{Connection, PgConnection};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_no_more_than_the_server_has_left() {
    // 20, of which three are for the superuser; the test keeps some itself.
    let db = database_on(&Options { max_connections: 20, ..Options::default() }).await;
    let world = World::new(12, 2, 5);
    let (summary, _) = world.ingest(&db, &settings(Profile::Fast, &[("writers", "4"), ("commit_races", "1")])).await;
    assert_eq!((summary.exit, summary.written, &summary.error), (0, 12, &None));
    assert!((2..=16).contains(&summary.pool_size), "capped: {}", summary.pool_size);
    let own = settings(Profile::Fast, &[("pool_size", "3")]);
    assert_eq!(world.ingest(&db, &own).await.0.pool_size, 3, "what was asked for, where there is room");

    // With hardly any left four writers make do with what there is.
    let mut others = Vec::new();
    while let Ok(conn) = PgConnection::connect(&db.url).await {
        others.push(conn);
        assert!(others.len() < 20, "the server takes no end of connections");
    }
    for _ in 0..4 {
        others.pop().unwrap().close().await.unwrap();
    }
    db.clear().await;
    let few = settings(Profile::Fast, &[("writers", "4"), ("commit_races", "1"), ("acquire_timeout", "1s")]);
    let (summary, _) = world.ingest(&db, &few).await;
    assert_eq!((summary.exit, summary.written, &summary.error), (0, 12, &None));
    assert!(summary.pool_size <= 4, "{}", summary.pool_size);

    // With none it says so, and that it is worth trying again.
    while let Ok(conn) = PgConnection::connect(&db.url).await {
        others.push(conn);
    }
    let site = site(Duration::ZERO).await;
    let hasty = ["--json", "--retry-attempts", "2", "--retry-base", "1ms", "--acquire-timeout", "1s"];
    let output = ingest(&db, &site, &hasty).output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", told(&output));
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    let error = summary.error.unwrap();
    assert!(error.contains("connecting to the database"), "{error}");
    assert!(error.contains("raise max_connections"), "it says why, and what to do: {error}");
}
